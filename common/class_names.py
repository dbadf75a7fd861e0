"""Class names: where they come from, and when two spellings mean one class."""

import ast
import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache

from common.errors import InputError, first_line

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

    The id decides where there is one, bare or with a name behind it: ImageNet calls two classes "crane".
    """
    label = label.strip()
    if (match := _WORDNET_ID.match(label)) is None:
        return _spaced(label)
    known = _by_wordnet_id().get(match[1])
    return known or _spaced(label[match.end() :]) or label


@lru_cache(maxsize=1 << 16)
def name_key(name: str) -> str:
    """Equal keys, equal classes: case, underscores and WordNet ids do not count, nor synonyms after a comma."""
    return plain_name(name).split(",")[0].strip().casefold()


def parse_class_names(text: str, n_classes: int) -> tuple[str, ...]:
    """Class names from a file: one a line, a JSON list, or a JSON object of index to name (or name to index).

    Names that occur twice get their index, as ImageNet's two cardigans do. Raises `InputError` when the file cannot
    be read or holds another number of names than the model has outputs.
    """
    text = text.removeprefix("\ufeff").strip()
    if text[:1] in ("[", "{"):
        data = _parse(text)
        names = _from_mapping(data) if isinstance(data, dict) else data
    else:
        names = [line for line in text.splitlines() if line.strip()]
    if len(names) != n_classes:
        drop = len(names) == n_classes + 1
        cure = "Drop the background class?" if drop else "Pick the file that belongs to this model."
        raise InputError(f"{n_classes} class names, one for each output", str(len(names)), cure)
    lines = [" ".join(str(name).split()) for name in names]
    return distinct([plain_name(line) if _WORDNET_ID.match(line) else line for line in lines])


def distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with the index behind those that occur more than once."""
    counts = Counter(name_key(name) for name in names)
    return tuple(f"{name} ({i})" if counts[name_key(name)] > 1 else name for i, name in enumerate(names))


@cache
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


@cache
def _by_wordnet_id() -> dict[str, str]:
    """Names of ImageNet's 1000 classes by their WordNet ids."""
    from timm.data import ImageNetInfo

    names = imagenet_names(1000)
    assert names is not None
    return dict(zip(ImageNetInfo("imagenet-1k").label_names(), names, strict=True))


def _spaced(label: str) -> str:
    return " ".join(label.replace("_", " ").split())


def _parse(text: str) -> list[object] | dict[object, object]:
    """A list or dict in JSON, or as Python prints it: the best-known file of ImageNet's names is of that kind."""
    try:
        return json.loads(text)
    except ValueError as error:
        try:
            data = ast.literal_eval(text)
            if isinstance(data, list | dict):
                return data
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            pass
        cure = "Correct the file, or write one name a line."
        raise InputError("class names as JSON", f"JSON with a mistake ({first_line(error)})", cure) from error


def _from_mapping(data: dict[object, object]) -> list[object]:
    """Order an object of index -> name, or name -> index, by index; torchvision's [wnid, name] pairs lose the id."""
    try:
        if all(str(key).isdigit() for key in data):
            pairs = {int(str(key)): value for key, value in data.items()}
        else:
            pairs = {int(str(value)): key for key, value in data.items()}
    except ValueError as error:
        cure = 'Write {"0": "cat", "1": "dog"} or {"cat": 0, "dog": 1}.'
        raise InputError("a JSON object of index to class name", "other keys and values", cure) from error
    missing = [index for index in range(len(pairs)) if index not in pairs]
    if missing:
        raise InputError("class numbers 0, 1, 2, …", f"none for class {missing[0]}", "Number the classes from 0.")
    ordered = [pairs[index] for index in range(len(pairs))]
    return [value[-1] if isinstance(value, list) and value else value for value in ordered]
