"""Files of class names, as people have them: lines, tables, JSON, and what training scripts and libraries write."""

import ast
import csv
import re
from collections.abc import Iterator, Mapping, Sequence

from common.bounds import MAX_CLASS_NAME, MAX_JSON_TEXT, MAX_LITERAL_TEXT
from common.class_names import distinct, has_wordnet_id, plain_name
from common.errors import InputError
from common.plain_json import check_depth, parse_json
from common.settings import settings

#: Keys under which configurations hold the names, the surest first.
_HOLDERS = ("id2label", "label2id", "label_names", "class_names", "classes", "names", "labels", "categories",
            "class_to_idx", "idx_to_class")  # fmt: skip

#: Keys of one class's name and number in a list of objects.
_NAMES = ("name", "label", "class_name", "class", "title", "wnid")
_NUMBERS = ("id", "index", "idx", "class_id", "label_id", "number")

#: What stands between a number and a name on a line: `0 cat`, `0: cat`, `0,cat`, `0. cat`, `0) cat`, `0 -> cat`; and
#: between a name and its number, as in `cat,0`.
_BEHIND_NUMBER, _BEFORE_NUMBER = " \t:,;.)=|-", "\t:,;=|"

#: Digits of a number of a class, and letters of a line beside the name.
_MOST_DIGITS, _MOST_BESIDE = 9, 40


def parse_class_names(text: str, n_classes: int) -> tuple[str, ...]:
    """Class names from a file, in the order of the model's outputs.

    - Lines of names, or of number and name in any order (`0 cat`, `0: cat`, `cat,0`), from 0 or from 1; a header, and
      lines that begin with `#`, do not count.
    - JSON, or what Python prints: a list of names or of objects with a name (and number), an object of number to name
      or name to number, or a configuration that holds one of these (`id2label`, `label_names`, `class_to_idx`, …).

    Names that occur twice get their index, as ImageNet's two cardigans do. Raises `InputError` when the file cannot be
    read, can be read in two ways, or holds another number of names than the model has outputs.
    """
    if len(text) > MAX_JSON_TEXT:
        received = f"{len(text) / 1024**2:,.0f} MB"
        raise InputError(f"class names of at most {MAX_JSON_TEXT // 1024**2} MB", received, "Write one name a line.")
    text = text.removeprefix("\ufeff").strip()
    readings = [_from_data(_parse(text))] if text[:1] in ("[", "{") else list(_from_lines(text.splitlines()))
    fitting = [names for names in readings if len(names) == n_classes]
    if not fitting:
        n = len(readings[-1])
        cure = "Drop the background class?" if n == n_classes + 1 else "Pick the file that belongs to this model."
        raise InputError(f"{n_classes} class names, one for each output", str(n), cure)
    check_names(fitting[0])
    lines = [" ".join(name.split()) for name in fitting[0]]
    return distinct([plain_name(line) if has_wordnet_id(line) else line for line in lines])


def check_names(names: Sequence[str]) -> None:
    """Raise `InputError` for more class names than a model may have, or one that is a text."""
    if len(names) > (most := settings().max_classes):
        raise InputError(f"at most {most:,} class names", f"{len(names):,}", "Pick the file of this model.")
    if long := next((name for name in names if len(name) > MAX_CLASS_NAME), None):
        received = f"{long[:40]}… with {len(long):,}"
        raise InputError(f"class names of at most {MAX_CLASS_NAME} letters", received, "Write one name a line.")


def _from_lines(lines: list[str]) -> Iterator[list[str]]:
    """Readings of a text, the likeliest first: without remarks and a header, without remarks, as it is."""
    lines = [line.strip() for line in lines if line.strip()]
    check_names([line[_MOST_BESIDE:] for line in lines])
    plain = [line for line in lines if not line.startswith("#")]
    for kept in (plain, lines):
        if _is_header(kept):
            yield _by_number(kept[1:])
        yield _by_number(kept)


def _is_header(lines: list[str]) -> bool:
    """Whether the first line names columns, as in `index,name`, or is the title of a column of names."""
    titles = {*_NAMES, *_NUMBERS, "names", "labels", "classes", "class_names"}
    cells = re.split(r"[,;\t|]", lines[0].lower()) if lines else [""]
    return all(cell.strip(' "').replace(" ", "_") in titles for cell in cells)


def _by_number(lines: list[str]) -> list[str]:
    """The names in the order of the numbers beside them, where each line has one and they are 0, 1, … or 1, 2, …"""
    for split in (_number_first, _number_last):
        found = [pair for line in lines if (pair := split(line)) is not None]
        by_number = dict(found)
        names = {_unquoted(name) for name in by_number.values()}
        if not found or len(found) != len(lines) or len(names) < len(lines) or len(by_number) < len(lines):
            continue  # names such as `7 up` and `3 musketeers`; `1 euro` and `2 euro` would become one
        if min(by_number) in (0, 1) and max(by_number) - min(by_number) == len(lines) - 1:
            return [_unquoted(by_number[number]) for number in sorted(by_number)]
    return [_unquoted(line) for line in lines]


def _number_first(line: str) -> tuple[int, str] | None:
    """The number and the name of a line such as `0: cat`."""
    rest = line.lstrip("0123456789")
    digits, rest = line[: len(line) - len(rest)], rest.lstrip()
    spaced = len(rest) < len(line) - len(digits)
    if rest.startswith("->"):
        name = rest[2:].lstrip()
    elif rest[:1] and rest[0] in _BEHIND_NUMBER:
        name = rest[1:].lstrip()
    else:
        name = rest if spaced else ""
    if not name and spaced:  # the sign is the name
        name = rest
    return (int(digits), name) if 0 < len(digits) <= _MOST_DIGITS and name else None


def _number_last(line: str) -> tuple[int, str] | None:
    """The number and the name of a line such as `cat, 0`."""
    rest = line.rstrip("0123456789")
    digits, rest = line[len(rest) :], rest.rstrip(" ")
    name = rest[:-1].rstrip()
    fits = 0 < len(digits) <= _MOST_DIGITS and name and rest[-1] in _BEFORE_NUMBER
    return (int(digits), name) if fits else None


def _unquoted(cell: str) -> str:
    """A name without the quotation marks and the comma of a table or list."""
    cell = cell.strip()
    if cell[:1] in ('"', "'") and cell.rstrip(",;")[-1:] == cell[0] and len(cell) > 1:
        try:
            return next(csv.reader([cell.rstrip(",;")], quotechar=cell[0]))[0]
        except csv.Error:
            return cell
    return cell


def _parse(text: str) -> object:
    """A list or object in JSON, or as Python prints it: the best-known file of ImageNet's names is of that kind."""
    expected, cure = "class names as JSON", "Correct the file, or write one name a line."
    try:
        return parse_json(text, expected, cure)
    except InputError as error:
        try:
            if len(text) > MAX_LITERAL_TEXT:
                raise
            data = ast.literal_eval(text)
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            raise error from None
        check_depth(data, expected, cure)
        if isinstance(data, list | dict):
            return data
        raise


def _from_data(data: object) -> list[str]:
    """Names in the order of the outputs; raises `InputError` for what is none."""
    if isinstance(data, Mapping):
        held = next((data[key] for key in _HOLDERS if isinstance(data.get(key), list | dict)), None)
        return _from_mapping(data) if held is None else _from_data(held)
    if not isinstance(data, list):
        raise _no_names("a single value")
    if data and all(isinstance(entry, Mapping) for entry in data):
        return _from_objects(data)
    if not all(isinstance(entry, str | int) for entry in data):
        raise _no_names("a list of other things")
    return [_text(entry) for entry in data]


def _from_objects(entries: list[Mapping[str, object]]) -> list[str]:
    """Names of a list of objects, by their numbers where they have some."""
    name = next((key for key in _NAMES if all(isinstance(entry.get(key), str) for entry in entries)), None)
    if name is None:
        raise _no_names(f"objects with {', '.join(map(str, list(entries[0])[:6]))}")
    names = [str(entry[name]) for entry in entries]
    for key in _NUMBERS:
        numbers = [_number(entry.get(key)) for entry in entries]
        if None not in numbers:
            return _ordered({n: one for n, one in zip(numbers, names, strict=True) if n is not None}, len(names))
    return names


def _from_mapping(data: Mapping[object, object]) -> list[str]:
    """Order an object of index -> name, or name -> index, by index; torchvision's [wnid, name] pairs lose the id.

    Numbers may stand on both sides: class folders can be called "0", "1", "10". Then values that are numbers in JSON,
    not texts, are the indices, as every `class_to_idx` has them; unless the keys, too, would do as indices in another
    order than folders are sorted in.
    """
    by_key = {n: value for key, value in data.items() if (n := _number(key)) is not None}
    by_value = {n: _text(key) for key, value in data.items() if (n := _number(value)) is not None}
    all_keys, all_values = len(by_key) == len(data), len(by_value) == len(data)
    if not (all_keys or all_values):
        cure = 'Write {"0": "cat", "1": "dog"} or {"cat": 0, "dog": 1}.'
        raise InputError("a JSON object of index to class name", "other keys and values", cure)
    if all_keys and all_values:
        places = list(range(len(data)))
        keys_fit, values_fit = sorted(by_key) in (places, [p + 1 for p in places]), sorted(by_value) == places
        sorted_folders = [by_value[place] for place in places] == sorted(by_value.values()) if values_fit else False
        texts = all(isinstance(value, str) for value in data.values())
        if keys_fit and values_fit and not (texts or sorted_folders or all(by_key[p] == p for p in by_key)):
            cure = "Write the names, one a line, in the order of the model's outputs."
            raise InputError("class names that can be read in one way", "numbers on both sides", cure)
        all_keys = not values_fit or (keys_fit and texts)
    if not all_keys:
        return _ordered(by_value, len(data))
    return _ordered({k: _text(v[-1] if isinstance(v, list) and v else v) for k, v in by_key.items()}, len(data))


def _number(value: object) -> int | None:
    """A class's number, written as one or as text; `None` for anything else."""
    if isinstance(value, int):
        return int(value) if 0 <= value < 10**_MOST_DIGITS and not isinstance(value, bool) else None
    text = value if isinstance(value, str) else ""
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None


def _text(value: object) -> str:
    """A class's name, also where it is written as a number."""
    try:
        return str(value)
    except ValueError as error:  # a number of more digits than Python writes
        raise _no_names("a number that is too long for one") from error


def _ordered(names: dict[int, str], n: int) -> list[str]:
    """Names by their numbers, which count from 0, or from 1."""
    start = 0 if 0 in names else 1
    missing = [index for index in range(start, start + n) if index not in names]
    if missing:
        cure = "Number the classes from 0, each once."
        raise InputError("class numbers 0, 1, 2, …", f"none for class {missing[0]}", cure)
    return [names[index] for index in range(start, start + n)]


def _no_names(received: str) -> InputError:
    return InputError("a list of class names", received, "Write one name a line, that of output 0 first.")
