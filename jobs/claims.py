"""Claims: who of a process's threads works at what, so that nothing is worked at twice."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


class Claims:
    """What is being worked at, by its keys.

    Example:
        >>> with claims.mine() as mine:
        ...     for key in mine.take(keys):
        ...         make(key)
        ...         mine.release([key])
        ...     claims.wait(keys, 0.2)  # for those that somebody else makes
    """

    def __init__(self) -> None:
        self._taken: set[Hashable] = set()
        self._changed = threading.Condition()

    @contextmanager
    def mine(self) -> Iterator[Mine]:
        """What one thread claims; all of it is free again when the block ends, well or not."""
        mine = Mine(self)
        try:
            yield mine
        finally:
            mine.release(list(mine.keys))

    def wait(self, keys: Iterable[Hashable], timeout_s: float) -> None:
        """Wait until one of these is free, or the time is up."""
        wanted = set(keys)
        with self._changed:
            self._changed.wait_for(lambda: not wanted <= self._taken, timeout_s)


class Mine:
    """The claims of one thread."""

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self.keys: set[Hashable] = set()

    def take(self, keys: Iterable[K]) -> list[K]:
        """Claim what nobody has claimed; returns that, in order."""
        with self._claims._changed:
            free = [key for key in dict.fromkeys(keys) if key not in self._claims._taken]
            self._claims._taken.update(free)
        self.keys.update(free)
        return free

    def release(self, keys: Iterable[Hashable]) -> None:
        """Let others have these."""
        own = self.keys.intersection(keys)
        self.keys -= own
        with self._claims._changed:
            self._claims._taken -= own
            self._claims._changed.notify_all()
