"""Class names: how they are shown, and when two spellings mean one class."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache, lru_cache

_WORDNET_ID = re.compile(r"^(n\d{8})(?:[_ -]+|$)")

#: Outputs of a head -> the label set that timm gives it; the 1000 classes have names that everybody knows better.
_SUBSETS = {
    21841: "imagenet-22k",
    21843: "imagenet-21k-goog",
    11221: "imagenet-21k-miil",
    11821: "imagenet-12k",
}


@lru_cache(maxsize=1 << 16)
def plain_name(label: str) -> str:
    """A label as people say it: `n01443537_goldfish` -> `goldfish`, `still_life` -> `still life`.

    The id decides where there is one, bare or with a name behind it: ImageNet calls two classes "crane". Letters with
    accents are one character each (Unicode NFC), however the file system spells them.
    """
    label = unicodedata.normalize("NFC", label).strip()
    if (match := _WORDNET_ID.match(label)) is None:
        return _spaced(label)
    known = _by_wordnet_id().get(match[1])
    return known or _spaced(label[match.end() :]) or label


def plain_names(labels: Sequence[str]) -> dict[str, str]:
    """`plain_name` of each label; those that would become equal stay: `a_b` and `a b` are two classes."""
    plain = {label: plain_name(label) for label in labels}
    exact = {label: _exact(label) for label in plain}
    spellings: dict[str, set[str]] = {}
    for label, name in plain.items():
        spellings.setdefault(name, set()).add(exact[label])
    one = {label: len(spellings[name]) == 1 or _has_known_id(label) for label, name in plain.items()}
    return {label: name if one[label] else exact[label] for label, name in plain.items()}


def unite(class_lists: Sequence[Sequence[str]]) -> tuple[tuple[str, ...], list[tuple[int, ...]]]:
    """All classes of several lists, each once, by its first spelling; and for each list the number of each name.

    Two spellings are one class where they differ only in case, `_`, `-`, Unicode form, WordNet id or in synonyms after
    a comma, unless one of the lists tells classes apart by just that: then only closer spellings are one class. What
    is one class within a list (the same name twice) is one class here.

    Example:
        >>> unite([("Tench, Tinca tinca", "golden-retriever"), ("golden retriever", "tench")])
        (('Tench, Tinca tinca', 'golden-retriever'), [(0, 1), (1, 0)])
    """
    return _unite(tuple(map(tuple, class_lists)))


@lru_cache(maxsize=64)
def _unite(class_lists: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], list[tuple[int, ...]]]:
    indexed = {name for names in class_lists for name, bare in zip(names, _bare(names), strict=True) if bare != name}
    places: dict[str, set[int]] = {}  # the lists that hold a spelling
    for number, names in enumerate(class_lists):
        for name in names:
            places.setdefault(name, set()).add(number)
    class_of: dict[str, str] = {}  # spelling -> the first one of its class

    def split(spellings: list[str], folds: Sequence[Callable[[str], str]]) -> None:
        groups: dict[str, list[str]] = {}
        for name in spellings:
            bare = name.rpartition(" (")[0] if name in indexed and len(folds) > 1 else name
            groups.setdefault(folds[0](bare), []).append(name)
        for group in groups.values():
            held = Counter(place for name in group for place in places[name])
            if len(folds) == 1 or max(held.values()) == 1:
                class_of.update(dict.fromkeys(group, group[0]))
            else:
                split(group, folds[1:])

    split(list(places), _FOLDS)
    numbers: dict[str, int] = {}
    for name in places:
        numbers.setdefault(class_of[name], len(numbers))
    return tuple(numbers), [tuple(numbers[class_of[name]] for name in names) for names in class_lists]


@lru_cache(maxsize=1 << 12)
def find(wanted: str, names: tuple[str, ...]) -> int | None:
    """Position among `names` of the class that `wanted` means, as `unite` has it; `None` where it means none."""
    _, (numbers, (number,)) = unite([names, (wanted,)])
    return numbers.index(number) if number in numbers else None


def class_numbers(labels: Sequence[str], class_lists: Sequence[Sequence[str]]) -> dict[str, int]:
    """Labels that are no names but numbers of classes: label -> position in a list of classes, counted from 0.

    Empty unless all labels are whole numbers, none is the name of a class, they are in range, and all lists hold the
    same classes in the same order. They count from 1 where none is 0 and one is the number of classes.
    """
    able = [names for names in class_lists if len(names) > 1]
    if not (labels and able and all(label.isascii() and label.isdigit() for label in labels)):
        return {}
    values, n_classes = {label: int(label) for label in labels}, len(able[0])
    offset = 1 if max(values.values()) == n_classes and min(values.values()) > 0 else 0
    named = {name for names in able for name in names}
    if max(values.values()) - offset >= n_classes or named & set(labels) or len(set(unite(able)[1])) > 1:
        return {}
    return {label: value - offset for label, value in values.items()}


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with the index behind those that are the same but for case."""
    counts = Counter(_without_case(name) for name in names)
    return tuple(f"{name} ({i})" if counts[_without_case(name)] > 1 else name for i, name in enumerate(names))


def first_pairs(names: Sequence[str], n: int = 3, start: int = 0) -> str:
    """The first numbers and names in words, to check their order: `0 = cat, 1 = dog, 2 = hen, …`."""
    pairs = [f"{number} = {name}" for number, name in enumerate(names[:n], start)]
    return ", ".join(pairs + ["…"] * (len(names) > n))


@lru_cache(maxsize=64)
def imagenet_names(n_classes: int) -> tuple[str, ...] | None:
    """Class names of an ImageNet head with `n_classes` outputs, `None` where there is no such label set."""
    if n_classes == 1000:
        from torchvision.models import ResNet18_Weights

        return distinct(ResNet18_Weights.DEFAULT.meta["categories"])
    if n_classes not in _SUBSETS:
        return None
    from timm.data import ImageNetInfo

    descriptions = ImageNetInfo(_SUBSETS[n_classes]).label_descriptions()
    return distinct([name.split(",")[0] for name in descriptions])


def has_wordnet_id(name: str) -> bool:
    """Whether a name is a WordNet id, or begins with one."""
    return _WORDNET_ID.match(name) is not None


def _has_known_id(label: str) -> bool:
    return (match := _WORDNET_ID.match(label)) is not None and match[1] in _by_wordnet_id()


@cache
def _by_wordnet_id() -> dict[str, str]:
    """Names of ImageNet's 1000 classes by their WordNet ids."""
    from timm.data import ImageNetInfo

    names = imagenet_names(1000)
    assert names is not None
    return dict(zip(ImageNetInfo("imagenet-1k").label_names(), names, strict=True))


def _bare(names: Sequence[str]) -> list[str]:
    """The names without the index that `distinct` gave them."""
    return [name.removesuffix(f" ({index})") for index, name in enumerate(names)]


def _spaced(label: str) -> str:
    return " ".join(label.replace("_", " ").split())


def _exact(name: str) -> str:
    return " ".join(unicodedata.normalize("NFC", name).split())


@lru_cache(maxsize=1 << 16)
def _without_case(name: str) -> str:
    return unicodedata.normalize("NFC", plain_name(name).casefold())


def _without_hyphens(name: str) -> str:
    return " ".join(_without_case(name).replace("-", " ").split())


def _without_synonyms(name: str) -> str:
    return _without_hyphens(plain_name(name).split(",")[0]) or _without_hyphens(name)


#: What may differ between two spellings of one class, most first.
_FOLDS = (_without_synonyms, _without_hyphens, _without_case, plain_name, _exact, str)
