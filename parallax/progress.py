"""A progress bar on stderr, and lines above it."""

import sys
from contextlib import AbstractContextManager

from tqdm import tqdm


class ProgressBar(AbstractContextManager["ProgressBar"]):
    """Progress as a bar with the time left; what an earlier run finished does not count as speed.

    Example:
        >>> with ProgressBar("maps") as progress:
        ...     progress(3, 10)  # three were there already
        ...     progress(4, 10)
    """

    def __init__(self, unit: str, delay_s: float = 0.0) -> None:
        """`unit`: what is counted; nothing is shown of what takes less than `delay_s`."""
        self._unit, self._delay_s = unit, delay_s
        self.bar: tqdm | None = None

    def __exit__(self, *_error: object) -> None:
        if self.bar is not None:
            self.bar.close()

    def __call__(self, done: float, total: float) -> None:
        """Show that `done` of `total` are done; the first call says how many an earlier run finished."""
        if self.bar is None:
            facts = {"unit": f" {self._unit}", "delay": self._delay_s, "mininterval": 0.5}
            self.bar = tqdm(total=total, initial=int(done), file=sys.stderr, **facts)
        self.bar.total = total
        self.bar.update(int(done) - self.bar.n)

    def describe(self, words: str) -> None:
        """Say before the bar what is being done beside the counting, such as learning from images; "" for nothing."""
        if self.bar is not None:
            self.bar.set_description_str(words)


def say(line: str) -> None:
    """Print a line above the bar, if there is one."""
    tqdm.write(line, file=sys.stdout)


def complain(line: str) -> None:
    """Print a line on stderr, above the bar."""
    tqdm.write(line, file=sys.stderr)
