"""The one error a person may cause, and the line that helps them out of it."""

import difflib
import errno
from collections.abc import Collection, Iterable

#: Letters of each part of a line, and of a name for which others are suggested: comparing takes their square.
_LONGEST_PART, _LONGEST_NAME = 2_000, 200


_FULL = "one that is full", "Free some space on it, and try again; what is finished is kept."
_CLOSED = (
    "one that cannot be written",
    "Let Parallax write into its data folder, and try again; what is finished is kept.",
)

#: What the system says of its disks, in other words, and the cure.
_DISK = {
    errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EROFS: _CLOSED, errno.EACCES: _CLOSED, errno.EPERM: _CLOSED,
    errno.ENOENT: ("a file or folder that has gone", "Put it back, or add again what was in it."),
    errno.EIO: ("one that fails", "Check the disk, and add again what was on it."),
}  # fmt: skip


class InputError(ValueError):
    """A mistake in somebody's input: what was expected, what came instead, and the cure, in one line."""

    def __init__(self, expected: str, received: str, cure: str) -> None:
        self.expected, self.received, self.cure = map(_short_line, (expected, received, cure))
        super().__init__(f"Expected {self.expected}, got {self.received}. {self.cure}".strip())

    def __reduce__(self) -> tuple[type, tuple[str, str, str]]:  # it may be raised in another process
        return type(self), (self.expected, self.received, self.cure)


def _short_line(text: str) -> str:
    line = " ".join(text[: 2 * _LONGEST_PART].split())
    return line if len(line) <= _LONGEST_PART else line[: _LONGEST_PART - 1].rstrip() + "…"


def of_disk(error: BaseException) -> InputError | None:
    """What to say where the server's disk refuses, without its paths; `None` for any other error."""
    known = _DISK.get(error.errno or 0) if isinstance(error, OSError) else None
    return InputError("a disk of the server that can be read and written", *known) if known else None


def in_one_line(error: Exception) -> str:
    """A mistake in somebody's input, or what a disk says, for a page; raises any other error again."""
    if isinstance(error, InputError):
        return str(error)
    if (found := of_disk(error)) is None:
        raise error
    return str(found)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Name the closest known spellings of `name`, as a sentence; empty when nothing is near."""
    near = difflib.get_close_matches(name[:_LONGEST_NAME], list(known), n=3, cutoff=0.5)
    return f"Did you mean {' or '.join([', '.join(near[:-1]), near[-1]] if near[1:] else near)}?" if near else ""


def check_known(name: str, known: Collection[str], expected: str) -> None:
    """Raise `InputError` with the nearest known names where `name` is none of them."""
    if name not in known:
        raise InputError(
            expected, repr(name[:_LONGEST_PART]), did_you_mean(name, known) or f"Known: {', '.join(known)}."
        )


def first_line(error: BaseException, limit: int = 160) -> str:
    """What another library's error says, short enough for a line of ours; its type where it says nothing.

    Of the system's errors that is the reason alone, without the path, which is no visitor's concern.
    """
    said = error.strerror if isinstance(error, OSError) and error.strerror and error.filename else str(error)
    lines = [line.strip() for line in said[: 100 * limit].splitlines() if line.strip()]
    line = lines[0].rstrip(".:") if lines else type(error).__name__
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
