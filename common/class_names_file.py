"""Files of class names, as people have them: lines, tables, JSON, and what training scripts and libraries write."""

import ast
import csv
import json
import re
from collections.abc import Iterator, Mapping

from common.class_names import distinct, has_wordnet_id, plain_name
from common.errors import InputError, first_line

#: Keys under which configurations hold the names, the surest first.
_HOLDERS = ("id2label", "label2id", "label_names", "class_names", "classes", "names", "labels", "categories",
            "class_to_idx", "idx_to_class")  # fmt: skip

#: Keys of one class's name and number in a list of objects.
_NAMES = ("name", "label", "class_name", "class", "title", "wnid")
_NUMBERS = ("id", "index", "idx", "class_id", "label_id", "number")

#: A line that holds a number and a name: `0 cat`, `0: cat`, `0,cat`, `0. cat`, `0) cat`, `0<tab>cat`; and `cat,0`.
_NUMBER_FIRST = re.compile(r"^(\d+)\s*(?:->|[\s:,;.)=|-])\s*(\S.*)$")
_NUMBER_LAST = re.compile(r"^(.*\S)\s*[\t:,;=|]\s*(\d+)$")


def parse_class_names(text: str, n_classes: int) -> tuple[str, ...]:
    """Class names from a file, in the order of the model's outputs.

    - Lines of names, or of number and name in any order (`0 cat`, `0: cat`, `cat,0`), from 0 or from 1; a header, and
      lines that begin with `#`, do not count.
    - JSON, or what Python prints: a list of names or of objects with a name (and number), an object of number to name
      or name to number, or a configuration that holds one of these (`id2label`, `label_names`, `class_to_idx`, …).

    Names that occur twice get their index, as ImageNet's two cardigans do. Raises `InputError` when the file cannot be
    read, can be read in two ways, or holds another number of names than the model has outputs.
    """
    text = text.removeprefix("\ufeff").strip()
    readings = [_from_data(_parse(text))] if text[:1] in ("[", "{") else list(_from_lines(text.splitlines()))
    fitting = [names for names in readings if len(names) == n_classes]
    if not fitting:
        n = len(readings[-1])
        cure = "Drop the background class?" if n == n_classes + 1 else "Pick the file that belongs to this model."
        raise InputError(f"{n_classes} class names, one for each output", str(n), cure)
    lines = [" ".join(name.split()) for name in fitting[0]]
    return distinct([plain_name(line) if has_wordnet_id(line) else line for line in lines])


def _from_lines(lines: list[str]) -> Iterator[list[str]]:
    """Readings of a text, the likeliest first: without remarks and a header, without remarks, as it is."""
    lines = [line.strip() for line in lines if line.strip()]
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
    for pattern, number, name in ((_NUMBER_FIRST, 1, 2), (_NUMBER_LAST, 2, 1)):
        found = [match for line in lines if (match := pattern.match(line))]
        numbers = [int(match[number]) for match in found]
        names = [_unquoted(match[name]) for match in found]
        if len(found) != len(lines) or not found or len(set(names)) < len(names):
            continue  # names such as `7 up` and `3 musketeers`; `1 euro` and `2 euro` would become one
        if sorted(numbers) in (list(range(len(lines))), list(range(1, len(lines) + 1))):
            return [names[numbers.index(place)] for place in sorted(numbers)]
    return [_unquoted(line) for line in lines]


def _unquoted(cell: str) -> str:
    """A name without the quotation marks and the comma of a table or list."""
    cell = cell.strip()
    if cell[:1] in ('"', "'") and cell.rstrip(",;")[-1:] == cell[0] and len(cell) > 1:
        return next(csv.reader([cell.rstrip(",;")], quotechar=cell[0]))[0]
    return cell


def _parse(text: str) -> object:
    """A list or object in JSON, or as Python prints it: the best-known file of ImageNet's names is of that kind."""
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
    return [str(entry) for entry in data]


def _from_objects(entries: list[Mapping[str, object]]) -> list[str]:
    """Names of a list of objects, by their numbers where they have some."""
    name = next((key for key in _NAMES if all(isinstance(entry.get(key), str) for entry in entries)), None)
    if name is None:
        raise _no_names(f"objects with {', '.join(map(str, list(entries[0])[:6]))}")
    names = [str(entry[name]) for entry in entries]
    for key in _NUMBERS:
        if all(str(entry.get(key, "")).isdigit() for entry in entries):
            return _ordered({int(str(entry[key])): one for entry, one in zip(entries, names, strict=True)}, len(names))
    return names


def _from_mapping(data: Mapping[object, object]) -> list[str]:
    """Order an object of index -> name, or name -> index, by index; torchvision's [wnid, name] pairs lose the id.

    Numbers may stand on both sides: class folders can be called "0", "1", "10". Then values that are numbers in JSON,
    not texts, are the indices, as every `class_to_idx` has them; unless the keys, too, would do as indices in another
    order than folders are sorted in.
    """
    by_key = {int(str(key)): value for key, value in data.items() if str(key).isdigit()}
    by_value = {int(str(value)): str(key) for key, value in data.items() if str(value).isdigit()}
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
    return _ordered({k: str(v[-1] if isinstance(v, list) and v else v) for k, v in by_key.items()}, len(data))


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
