"""Memory that all decoders of the process share: what one will take is asked first, and waits until there is room."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """So many bytes, of which each holder names its part; those without room wait, first come first served.

    A part larger than all is given when nobody else holds any.

    Example:
        >>> with Room(1000).taken(400):
        ...     ...
    """

    def __init__(self, n_bytes: float) -> None:
        self._n_bytes, self._taken, self._n_holders = n_bytes, 0.0, 0
        self._turn, self._change = threading.Lock(), threading.Condition()

    @contextmanager
    def taken(self, n_bytes: float) -> Iterator[None]:
        """Hold `n_bytes` until the block ends. Not to be held twice by one thread."""
        with self._turn, self._change:  # who waits for much lets nobody pass, or small ones would starve it
            self._change.wait_for(lambda: not self._n_holders or self._taken + n_bytes <= self._n_bytes)
            self._taken += n_bytes
            self._n_holders += 1
        try:
            yield
        finally:
            with self._change:
                self._taken -= n_bytes
                self._n_holders -= 1
                self._change.notify_all()
