"""JSON that somebody wrote: read within bounds, or one line that says what is wrong with it."""

import json
from typing import Any

from common.bounds import MAX_JSON_DEPTH, MAX_JSON_TEXT
from common.errors import InputError, first_line


def parse_json(text: str, expected: str, cure: str) -> Any:
    """The data of a JSON text; raises `InputError` for a mistake in it, for one too long, or nested too deeply.

    Example:
        >>> parse_json('{"a": [1, 2]}', "a configuration as JSON", "Write an object.")
        {'a': [1, 2]}
    """
    if len(text) > MAX_JSON_TEXT:
        raise InputError(f"{expected} of at most {MAX_JSON_TEXT // 1024**2} MB", f"{len(text):,} letters", cure)
    try:
        data = json.loads(text)
    except RecursionError as error:
        raise _too_deep(expected, cure) from error
    except ValueError as error:
        raise InputError(expected, f"JSON with a mistake ({first_line(error)})", cure) from error
    check_depth(data, expected, cure)
    return data


def check_depth(data: Any, expected: str, cure: str) -> None:
    """Raise `InputError` where lists and objects lie in each other deeper than `MAX_JSON_DEPTH`."""
    level: list[Any] = [data] if isinstance(data, dict | list | tuple) else []
    for _ in range(MAX_JSON_DEPTH):
        parts = (part.values() if isinstance(part, dict) else part for part in level)
        level = [inner for part in parts for inner in part if isinstance(inner, dict | list | tuple)]
        if not level:
            return
    raise _too_deep(expected, cure)


def _too_deep(expected: str, cure: str) -> InputError:
    return InputError(expected, f"lists or objects in each other more than {MAX_JSON_DEPTH} deep", cure)
