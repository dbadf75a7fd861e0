"""`ModelMemory`: the modules of a server in memory, within a bound of bytes, each used by one thread at a time."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain

from torch import nn


@dataclass(eq=False)
class _Place:
    """Where one module lies, or is on its way to; `n_users` threads have it, or wait for it."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    module: nn.Module | None = None
    n_bytes: int = 0
    n_users: int = 0


class ModelMemory:
    """Modules by key, `max_bytes` of weights at most: those that were not used for the longest go first.

    What is lent never goes, and the one that was used last stays however large it is; so the bound is passed by
    these alone. Safe for many threads, and for the model stores of several folders, which share what has equal keys.

    Example:
        >>> with memory.borrow(card.digest, load) as module:
        ...     module(inputs)
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._places: OrderedDict[str, _Place] = OrderedDict()  # used last, last
        self._guard = threading.Lock()

    @property
    def n_bytes(self) -> int:
        """Bytes of the weights that are in memory."""
        with self._guard:
            return self._n_bytes()

    def __len__(self) -> int:
        """Number of modules in memory."""
        with self._guard:
            return sum(place.module is not None for place in self._places.values())

    def __contains__(self, key: str) -> bool:
        with self._guard:
            return key in self._places and self._places[key].module is not None

    def put(self, key: str, module: nn.Module) -> None:
        """Keep `module` as the one used last, unless there is one with its key."""
        with self._guard:
            self._fill(self._places.setdefault(key, _Place()), module)
            self._make_room(key)

    @contextmanager
    def borrow(self, key: str, load: Callable[[], nn.Module]) -> Iterator[nn.Module]:
        """The module with this key, from `load` where it is not in memory; nobody else has it until the block ends.

        A thread may borrow again what it has. What `load` raises passes through.
        """
        with self._guard:
            place = self._places.setdefault(key, _Place())
            place.n_users += 1
        try:
            with place.lock:
                yield place.module if place.module is not None else self._loaded(key, place, load())
        finally:
            with self._guard:
                place.n_users -= 1
                self._make_room(key)

    def _loaded(self, key: str, place: _Place, module: nn.Module) -> nn.Module:
        with self._guard:
            module = self._fill(place, module)
            self._make_room(key)
            return module

    def _fill(self, place: _Place, module: nn.Module) -> nn.Module:
        if place.module is None:
            place.module, place.n_bytes = module, bytes_of(module)
        return place.module

    def _make_room(self, used: str) -> None:
        """Drop what the bound asks for; the one just `used` comes last, and stays."""
        self._places.move_to_end(used)
        n_bytes = self._n_bytes()
        for key, place in list(self._places.items()):
            if place.n_users:
                continue
            if place.module is None or (n_bytes > self.max_bytes and key != used):
                n_bytes -= place.n_bytes
                del self._places[key]

    def _n_bytes(self) -> int:
        return sum(place.n_bytes for place in self._places.values())


def bytes_of(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers, each counted once."""
    return sum(tensor.nbytes for tensor in chain(module.parameters(), module.buffers()))
