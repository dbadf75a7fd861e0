"""Which file a path in somebody's table means, however it was written on another machine."""

import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

Parts = tuple[str, ...]


#: Paths whose files are remembered.
_MOST_KNOWN = 100_000

#: Files with one name from which nobody expects that their spelling tells them apart.
_MANY = 100


class Found(NamedTuple):
    """The files that a path may mean; `whole` where all of the path agrees with theirs."""

    names: list[str]
    whole: bool


class PathIndex:
    """Files by the ends of their paths.

    A path means the file whose own path ends in it (`a.png` or `x/a.png` for `x/a.png`), else the one that it ends in
    (`/home/me/data/x/a.png`). Folders that contradict each other (`train/a.png` for `val/a.png`) never agree. Case,
    the two spellings of an accent, `\\` for `/`, and a missing suffix don't count as long as one file remains.
    """

    def __init__(self, names: Iterable[str], place: str = "") -> None:
        """`place` is where the names count from, if that has a name of its own."""
        self._ends: dict[Parts, list[str]] = {}
        self._whole: dict[Parts, list[str]] = {}
        self._last: set[str] = set()
        self._known: dict[tuple[str, str], Found] = {}
        files = {name: _parts(name) for name in names}
        n_shared = len(_shared([parts[:-1] for parts in files.values()]))
        around = _parts(place)
        for name, parts in files.items():
            stem = (*parts[:-1], parts[-1].rpartition(".")[0] or parts[-1]) if parts else parts
            for spelling in {parts, stem}:
                self._last.update(spelling[-1:])
                for end in {spelling, spelling[n_shared:]}:
                    self._whole.setdefault(end, []).append(name)
                spelling = (*around, *spelling)
                for start in range(len(spelling)):
                    self._ends.setdefault(spelling[start:], []).append(name)

    def find(self, path: str, folder: str = "") -> Found:
        """The files that `path`, in a table that lies in `folder`, may mean."""
        if (found := self._known.get((path, folder))) is not None:  # tables name many files more than once
            return found
        parts = _parts(path)
        if not parts or parts[-1] not in self._last:  # and many that are not there
            return Found([], False)
        found = self._find(path, parts, folder)
        if found.names and len(self._known) < _MOST_KNOWN:
            self._known[path, folder] = found
        return found

    def _find(self, path: str, parts: Parts, folder: str) -> Found:
        for wanted in (_parts(f"{folder}/{path}"), parts):
            if names := self._whole.get(wanted):
                return Found(_closest(names, path), True)
        if names := self._ends.get(parts):
            return Found(_closest(names, path), True)
        for start in range(1, len(parts)):
            if names := self._whole.get(parts[start:]):
                return Found(_closest(names, path), False)
        return Found([], False)


def clean_path(path: str) -> str:
    """A path as it stands in a table, with `/` between folders."""
    path = path.strip()
    return (path.replace("\\", "/") if "\\" in path else path).removeprefix("./")


def _parts(path: str) -> Parts:
    """Folders and name, in one spelling; `x/../a.png` is `a.png`."""
    parts: list[str] = []
    for part in unicodedata.normalize("NFC", clean_path(path)).casefold().split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return tuple(parts)


def _shared(folders: Sequence[Parts]) -> Parts:
    """The folders that all lie in."""
    low, high = min(folders, default=()), max(folders, default=())
    n = next((n for n, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return low[:n]


def _closest(names: Sequence[str], path: str) -> list[str]:
    """Of several files, those whose name is spelt as in the path, if there are any; of very many, two."""
    if len(names) > _MANY:
        return list(names[:2])
    name = clean_path(path).rpartition("/")[2]
    for spelling in (lambda text: text, lambda text: unicodedata.normalize("NFC", text), str.casefold):
        same = [one for one in names if spelling(one.rpartition("/")[2]) == spelling(name)]
        if same:
            exact = [one for one in same if one.endswith(clean_path(path))]
            return exact or same
    return list(names)
