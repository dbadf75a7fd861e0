"""True classes from CSV files and class folders."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pandas as pd

from common.class_names import plain_name
from common.errors import InputError, first_line
from images.image_set import Skipped, reason

#: Names that people give these columns, the surest first.
FILE_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "image", "name", "image_id", "id")
LABEL_COLUMNS = ("class_name", "label", "class", "category", "target", "true_label")


@dataclass(frozen=True)
class Labels:
    """What CSV files say of pictures: by their path, else by their bare name where that names one class."""

    by_path: dict[str, str] = field(default_factory=dict)
    by_name: dict[str, set[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.by_path)

    def of(self, name: str) -> str | None:
        """The label of the picture called `name` (its path inside the upload), `None` where no CSV lists it."""
        path = PurePosixPath(name)
        candidates = self.by_name.get(path.name) or self.by_name.get(path.stem) or set()
        return self.by_path.get(name) or (next(iter(candidates)) if len(candidates) == 1 else None)


def read_labels(tables: Iterable[tuple[str, Callable[[], bytes]]]) -> tuple[Labels, list[Skipped]]:
    """Labels from CSV files (name, how to read it), and the files that give none with the reason."""
    labels, skipped = Labels(), []
    for name, read in tables:
        try:
            rows = parse_csv(read(), name)
        except (InputError, OSError) as error:
            skipped.append(Skipped(name, reason(error)))
            continue
        for file, label in rows:
            labels.by_path[file] = label
            labels.by_path[(PurePosixPath(name).parent / file).as_posix()] = label
            labels.by_name.setdefault(PurePosixPath(file).name, set()).add(label)
    return labels, skipped


def parse_csv(content: bytes, name: str) -> list[tuple[str, str]]:
    """(file, label) of each row; the columns are found by the names that people give them.

    Raises `InputError` for a file that is no CSV in UTF-8, or has no such columns.
    """
    expected = "a CSV with the columns 'file' and 'label'"
    try:
        text = content.decode("utf-8-sig")
        header = text.partition("\n")[0]
        separator = max(",;\t", key=header.count)
        table = pd.read_csv(io.StringIO(text), dtype=str, sep=separator, keep_default_na=False)
    except UnicodeDecodeError as error:
        raise InputError("a CSV in UTF-8", f"{name} in another encoding", "Save it again as CSV UTF-8.") from error
    except pd.errors.EmptyDataError as error:
        raise InputError(expected, f"{name}, which is empty", "Fill it, or leave it away.") from error
    except pd.errors.ParserError as error:
        why = first_line(error).rpartition("error: ")[2]
        raise InputError(expected, f"{name}, which breaks off ({why})", "Check its quotation marks.") from error
    columns = {str(column).strip().lower(): column for column in table.columns}
    file = next((columns[c] for c in FILE_COLUMNS if c in columns), None)
    label = next((columns[c] for c in LABEL_COLUMNS if c in columns), None)
    if file is None or label is None:
        received = f"{name} with {', '.join(map(str, table.columns[:8]))}"
        raise InputError(expected, received, "Rename its columns; so far it gives no labels.")
    pairs = zip(table[file], table[label], strict=True)
    return [(path.strip().replace("\\", "/"), plain_name(value)) for path, value in pairs if path and value]


def folder_labels(names: Sequence[str]) -> list[str | None]:
    """Class folders of pictures, by their paths: the innermost folder that is not the same for all.

    `train/cat/1.jpg` is a cat and `cat/images/1.jpg` too; a lone folder around all pictures says nothing.
    """
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    while any(folders) and len({folder[-1:] for folder in folders}) == 1:
        folders = [folder[:-1] for folder in folders]
    return [plain_name(folder[-1]) if folder else None for folder in folders]
