"""Histories of trainings out of files as people have them: CSV, JSON, TensorBoard's event files."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from common.errors import InputError, first_line
from images.tables import cells_of, decode
from playground.history import History
from playground.history_columns import EXPECTED, Log, history_of, numbers

#: Larger files are refused, texts sooner than event files, which are read without building lists.
MAX_BYTES, _MAX_TEXT_BYTES, _MAX_CELLS = 64 * 1024**2, 16 * 1024**2, 2_000_000

#: How archives and pickles begin.
_NO_TEXT = (b"PK\3\4", b"\x1f\x8b", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")

#: What a folder is searched for, and how many files may be found.
_EVENTS, _MOST_FILES = "*tfevents*", 500


def read_history(source: Path | bytes, name: str) -> History:
    """The history in a file, its content, or a run's folder of event files; `name` is the run's.

    Read are CSV and TSV (Keras, Lightning, fastai, timm, and others with a header), JSON (Keras' `history.history`, a
    list of rows, a row a line, Hugging Face's `trainer_state.json`) and TensorBoard's event files. `History.remarks`
    says what was chosen where a file can be read in two ways. Nothing in a file is executed.

    Raises:
        InputError: the file is none of these, is damaged from its beginning, or larger than `MAX_BYTES`.

    Example:
        >>> read_history(b"epoch,loss,val_loss\\n0,2.1,1.9\\n1,1.2,1.3\\n", "run").best()
        1
    """
    if isinstance(source, bytes):
        return read_files({"": source}, name)
    try:
        if source.is_dir():
            paths = sorted(path for path in source.rglob(_EVENTS) if path.is_file())[: _MOST_FILES + 1]
            if not paths or len(paths) > _MOST_FILES:
                received = f"{source.name} with {'none' if not paths else f'more than {_MOST_FILES}'}"
                raise InputError("a run's folder with event files", received, "Give the folder of one run.")
        else:
            paths = [source]
        check_size(sum(path.stat().st_size for path in paths), name)
        folder = source.absolute().parent
        return read_files({path.absolute().relative_to(folder).as_posix(): path.read_bytes() for path in paths}, name)
    except OSError as error:
        raise InputError(EXPECTED, f"{source} ({error.strerror or first_line(error)})", "Check the path.") from error


def read_files(files: Mapping[str, bytes], name: str) -> History:
    """The history in one file or in the event files of one run, contents by path; see `read_history`."""
    check_size(sum(map(len, files.values())), name)
    from playground.event_files import is_event_file, read_event_files

    events = {path: content for path, content in files.items() if is_event_file(content)}
    if events:
        others = [PurePosixPath(path).name for path in files if path not in events]
        log = read_event_files(events, name)
        remarks = (f"Left out, as no event files: {', '.join(others[:4])}.",) if others else ()
        return history_of(Log(log.columns, log.values, log.remarks + remarks, log.counts), name)
    if len(files) != 1:
        raise InputError("one history, or the event files of one run", f"{len(files)} files", "Give one of them.")
    path, content = next(iter(files.items()))
    if "tfevents" in path:
        received = f"{name}, which is {'empty' if not content else 'damaged at its beginning'}"
        raise InputError("an event file of TensorBoard", received, "Copy it again from where it was written.")
    return history_of(_text_log(content, name), name)


def check_size(n_bytes: int, name: str) -> None:
    """Raise `InputError` for files that are too large to be read."""
    if n_bytes > MAX_BYTES:
        received = f"{name} with {n_bytes / 1024**2:,.0f} MB"
        raise InputError(f"a history of at most {MAX_BYTES // 1024**2} MB", received, "Log less, or export a CSV.")


def _text_log(content: bytes, name: str) -> Log:
    """A log that is text: JSON if it begins like that, else a table."""
    if len(content) > _MAX_TEXT_BYTES:
        received = f"{name} with {len(content) / 1024**2:,.0f} MB"
        raise InputError(f"a text of at most {_MAX_TEXT_BYTES // 1024**2} MB", received, "Keep one row an epoch.")
    if content.startswith(_NO_TEXT) or b"\0\0\0\0" in content[:64]:
        raise InputError(EXPECTED, f"{name}, which is no text", "Export it as CSV or JSON.")
    text, notes = decode(content, name)
    remarks = tuple(f"{note[0].upper()}{note[1:]}." for note in notes)
    log = _json_log(text, name) if text.lstrip()[:1] in ("{", "[") else _table_log(text, name)
    return Log(log.columns, log.values, remarks + log.remarks, log.counts)


def _table_log(text: str, name: str) -> Log:
    if sum(text.count(separator) for separator in ",;\t|\n") > _MAX_CELLS:
        raise InputError(f"a table of at most {_MAX_CELLS:,} cells", f"{name}", "Keep one row an epoch.")
    lines = cells_of(text, name, EXPECTED)
    if len(lines) < 2:
        raise InputError(EXPECTED, f"{name}, which has {len(lines)} lines", "Give a header and a line an epoch.")
    header = [cell.strip().lstrip("#").strip() for cell in lines[0][1]]
    while len(header) > 1 and not header[-1]:
        header.pop()
    if all(_is_number(cell) for cell in header if cell):
        cure = "Give it a first line such as epoch,loss,accuracy."
        raise InputError("a table with a header", f"{name}, which begins with numbers", cure)
    rows = [(line, cells) for line, cells in lines[1:] if cells != lines[0][1]]  # a resumed training writes it again
    return numbers(header, rows, name, decimal_comma=True)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _json_log(text: str, name: str) -> Log:
    try:
        found = _parsed(text)
    except (ValueError, RecursionError, MemoryError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else f"broken: {first_line(error)}"
        cure = "Write it with json.dump(history.history, file)."
        raise InputError("a history as JSON", f"{name}, which is {why}", cure) from error
    for key in ("history", "log_history"):  # Keras' history object, Hugging Face's trainer_state.json
        if isinstance(found, dict) and isinstance(found.get(key), dict | list):
            found = found[key]
    if isinstance(found, dict) and found and all(isinstance(value, dict) for value in found.values()):
        return _of_columns({key: list(value.values()) for key, value in found.items()}, name, found)
    if isinstance(found, dict) and any(isinstance(value, list) for value in found.values()):
        return _of_columns({key: value for key, value in found.items() if isinstance(value, list)}, name, {})
    if isinstance(found, list) and found and all(isinstance(row, dict) for row in found):
        columns = list(dict.fromkeys(str(key) for row in found for key in row))
        if len(columns) * len(found) > _MAX_CELLS:
            raise InputError(f"at most {_MAX_CELLS:,} values", f"{name}", "Keep one row an epoch.")
        rows = [(n, [_plain(row.get(column)) for column in columns]) for n, row in enumerate(found, 1)]
        return numbers(columns, rows, name, decimal_comma=False)
    received = f"{name}, whose JSON is something else"
    raise InputError("lists by name, or a list of rows", received, "Write it with json.dump(history.history, file).")


def _parsed(text: str) -> Any:
    """JSON, or a JSON object a line."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith("{") for line in lines):
            raise
        return [json.loads(line) for line in lines]


def _of_columns(columns: dict[str, list[Any]], name: str, keyed: dict[str, dict[str, Any]]) -> Log:
    """Lists by name, of which all must be equally long; `keyed` has the epochs' numbers, as pandas writes them."""
    lengths = {key: len(values) for key, values in columns.items()}
    if sum(lengths.values()) > _MAX_CELLS:
        raise InputError(f"at most {_MAX_CELLS:,} values", f"{name} with more", "Keep one row an epoch.")
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{key}: {length}" for key, length in list(lengths.items())[:5])
        raise InputError("lists of one length", f"{name} with {told}", "Give one value for each epoch.")
    cells = [[_plain(value) for value in values] for values in columns.values()]
    log = numbers(list(columns), list(enumerate(zip(*cells, strict=True), 1)), name, decimal_comma=False)
    index = [list(part) for part in keyed.values()]
    if index and all(part == index[0] for part in index) and all(_is_number(key) for key in index[0]):
        return Log(log.columns, log.values, log.remarks, np.array(index[0], dtype=np.float64))
    return log


def _plain(value: Any) -> Any:
    """A JSON value that can be a number, else its text."""
    return value if value is None or isinstance(value, int | float | str) else str(value)[:40]
