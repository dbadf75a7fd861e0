"""Which configuration, or file of class names, belongs to which of several files of weights: by their names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from common.errors import InputError
from models.loaders.entries import stem_of


def pair(weights: Sequence[str], others: Mapping[str, str]) -> dict[str, str]:
    """The name among `others` that belongs to each name of `weights`; weights to which none does are left out.

    A configuration belongs to the weights that it says it is of (`of`, a file name, "" where it says none), else to
    those whose name begins with its own, as `resnet20.json` to `resnet20-12fca82f.th`, or the other way round. A
    single one that belongs to none of them is for all. Raises `InputError` where two belong equally well.
    """
    twice = [name for name, count in Counter(weights).items() if count > 1]
    if twice and len(others) > 1:
        raise InputError("weights of different names, to pair them by", f"{twice[0]} twice", "Rename one of them.")
    pairs: dict[str, str] = {}
    for name in dict.fromkeys(weights):
        ranks = {other: _rank(name, other, of) for other, of in others.items()}
        best = [other for other, rank in ranks.items() if rank and rank == max(ranks.values())]
        if len(best) > 1:
            cure = "Give it the name of the weights, with .json behind it."
            raise InputError(f"one file that belongs to {name}", " and ".join(best), cure)
        if best:
            pairs[name] = best[0]
    if len(others) == 1 and not pairs:
        return dict.fromkeys(weights, next(iter(others)))
    return pairs


def _rank(weights: str, other: str, of: str) -> int:
    """How well a file belongs to weights, by how much of their names is the same; 0 for not at all."""
    if of.rpartition("/")[2] == weights:
        return 10_000
    one, two = stem_of(weights).lower(), other.lower().rpartition(".")[0]
    short, long = sorted((one, two), key=len)
    whole = long.startswith(short) and not long[len(short) : len(short) + 1].isalnum()
    return len(short) * 2 + (one == two) if whole else 0
