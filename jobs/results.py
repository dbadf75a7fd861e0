"""Finished pieces on disk, found again by what made them."""

import hashlib
import io
import json
import os
import threading
import time
import zipfile
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from common import sealed
from common.arrays import arrays_to_bytes
from common.errors import first_line
from common.files import remove_abandoned

Arrays = dict[str, np.ndarray]

#: Results written between two looks at the folder's size.
_PRUNE_EVERY = 100


def key_of(**facts: Any) -> str:
    """32 hex digits that stand for `facts` (plain data): digest of weights, image id, method, parameters, target."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


class ResultStore:
    """Arrays and a few plain facts under a key: in memory while they are fresh, on disk until space runs out.

    `max_bytes` bounds the folder, `max_bytes_in_memory` what is kept at hand: the least recently used results go first.
    Safe for many threads. What it hands out is read-only, since others may hold the same arrays.
    """

    def __init__(self, folder: Path, max_bytes: int, max_bytes_in_memory: int = 512 * 1024**2) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self._memory: OrderedDict[str, Arrays] = OrderedDict()
        self._max_bytes_in_memory, self._bytes_in_memory = max_bytes_in_memory, 0
        self._guard = threading.Lock()
        self._n_written = 0
        folder.mkdir(parents=True, exist_ok=True)
        remove_abandoned(folder, time.time())
        self.prune()

    def get(self, key: str) -> Arrays | None:
        """What `put` stored under `key`; `None` when there is nothing (whole) there."""
        path = self._path(key)
        with self._guard:
            fresh, n_written = self._memory.get(key), self._n_written
        try:
            _mark(path)
            if fresh is not None:
                return self._remember(key, fresh, n_written)
            content = sealed.read(path)
            if content is None:
                return None
            with np.load(io.BytesIO(content), allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
        except OSError:
            return None
        except (
            ValueError,
            EOFError,
            KeyError,
            TypeError,
            NotImplementedError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            sealed.set_aside(path, f"it holds no arrays ({first_line(error)})")
            return None
        return self._remember(key, arrays, n_written)

    def put(self, key: str, **arrays: np.ndarray) -> None:
        """Store `arrays` under `key`, whole or not at all."""
        sealed.write(self._path(key), arrays_to_bytes(**arrays))
        with self._guard:
            self._n_written += 1
            n_written = self._n_written
        self._remember(key, {name: np.array(array) for name, array in arrays.items()})
        if n_written % _PRUNE_EVERY == 0:
            self.prune()

    def __contains__(self, key: str) -> bool:
        return self._path(key).exists()

    def prune(self) -> None:
        """Delete the least recently used results until the folder fits its bound."""
        found = []
        for file in self.folder.glob("*/*.npz"):
            try:
                status = file.stat()
            except FileNotFoundError:  # another thread was faster
                continue
            found.append((status.st_mtime_ns, status.st_size, file))
        used = 0
        for _, size, file in sorted(found, reverse=True):
            used += size
            if used > self.max_bytes:
                file.unlink(missing_ok=True)
                with self._guard:
                    self._forget(file.stem)

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.npz"

    def _remember(self, key: str, arrays: Arrays, read_at: int | None = None) -> Arrays:
        """Keep `arrays` at hand; not what was read before a later `put`, which may have replaced it."""
        for array in arrays.values():
            array.flags.writeable = False
        with self._guard:
            if read_at is not None and read_at != self._n_written:
                return dict(arrays)
            self._forget(key)
            self._memory[key] = arrays
            self._bytes_in_memory += _n_bytes(arrays)
            while self._bytes_in_memory > self._max_bytes_in_memory:
                self._forget(next(iter(self._memory)))
        return dict(arrays)

    def _forget(self, key: str) -> None:
        self._bytes_in_memory -= _n_bytes(self._memory.pop(key, {}))


def _mark(path: Path) -> None:
    """What was used last is pruned last. Raises `FileNotFoundError` where there is nothing."""
    try:
        os.utime(path)
    except FileNotFoundError:
        raise
    except OSError:  # a disk that can only be read
        return


def _n_bytes(arrays: Arrays) -> int:
    return sum(array.nbytes for array in arrays.values())
