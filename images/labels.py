"""What is known about images from CSV files (labels, masks, further columns) and from class folders."""

import io
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pandas as pd

from common.class_names import plain_name
from common.errors import InputError, first_line
from images.formats import SUFFIXES
from images.image_set import LABEL, MASK, META, Skipped, reason

#: Names that people give these columns, the surest first.
FILE_COLUMNS = ("path", "file", "filename", "file_name", "filepath", "image", "name", "image_id", "id")
LABEL_COLUMNS = ("class_name", "label", "class", "category", "target", "true_label")
_MASK_COLUMNS = ("mask", "mask_path", "mask_file")


@dataclass(frozen=True)
class Annotations:
    """What CSV files say of images: facts by column of an `ImageSet`'s table.

    `label`, `mask:KIND` (the name of a mask file in the same upload) and `meta:COLUMN` for every other column.
    """

    by_path: dict[str, dict[str, str]] = field(default_factory=dict)
    by_name: dict[str, list[dict[str, str]]] = field(default_factory=dict)

    @property
    def mask_files(self) -> set[str]:
        """The files that the mask columns name."""
        rows = self.by_path.values()
        return {value for facts in rows for column, value in facts.items() if column.startswith(MASK)}

    @property
    def has_labels(self) -> bool:
        """Whether any row has a label."""
        return any(LABEL in facts for facts in self.by_path.values())

    def of(self, name: str) -> dict[str, str]:
        """The facts of the image called `name` (its path inside the upload).

        By its path, else by its bare name, as far as all rows of that name agree.
        """
        if name in self.by_path:
            return self.by_path[name]
        path = PurePosixPath(name)
        values: dict[str, set[str]] = {}
        for facts in self.by_name.get(path.name) or self.by_name.get(path.stem) or []:
            for column, value in facts.items():
                values.setdefault(column, set()).add(value)
        return {column: found.pop() for column, found in values.items() if len(found) == 1}


def read_annotations(
    tables: Iterable[tuple[str, Callable[[], bytes]]], names: Collection[str]
) -> tuple[Annotations, list[Skipped]]:
    """What CSV files (name, how to read it) say, and the files that say nothing with the reason.

    `names` are all files of the upload; paths in a CSV count from where it lies, or from the top.
    """
    annotations, skipped = Annotations(), []
    for name, read in tables:
        try:
            rows = parse_csv(read(), name)
        except (InputError, OSError) as error:
            skipped.append(Skipped(name, reason(error)))
            continue
        folder = PurePosixPath(name).parent
        for file, facts in rows:
            for column, value in facts.items():
                if column.startswith(MASK):
                    beside = (folder / value).as_posix()
                    facts[column] = value if value in names and beside not in names else beside
            for path in {file, (folder / file).as_posix()}:
                annotations.by_path.setdefault(path, {}).update(facts)
            annotations.by_name.setdefault(PurePosixPath(file).name, []).append(facts)
    return annotations, skipped


def parse_csv(content: bytes, name: str) -> list[tuple[str, dict[str, str]]]:
    """(file, facts) of each row, empty cells left out; the columns are found by the names that people give them.

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
    columns = {str(column).strip().lower(): str(column) for column in table.columns}
    file = next((columns[c] for c in FILE_COLUMNS if c in columns), None)
    label = next((columns[c] for c in LABEL_COLUMNS if c in columns), None)
    if file is None or len(columns) == 1:
        received = f"{name} with {', '.join(map(str, table.columns[:8]))}"
        raise InputError(expected, received, "Rename its columns; so far it gives no labels.")
    kinds = {column: LABEL if column == label else _kind(column, table[column]) for column in columns.values()}
    rows = []
    for cells in table.to_dict("records"):
        path = _clean_path(cells[file])
        facts = {kinds[column]: value for column, value in cells.items() if column != file and str(value).strip()}
        facts = {kind: _clean(kind, value) for kind, value in facts.items()}
        if path and facts:
            rows.append((path, facts))
    return rows


def _kind(column: str, cells: pd.Series) -> str:
    """The table's column for a column of a CSV: masks where its cells are called like image files, else metadata."""
    title = column.strip()
    if title.lower().startswith("mask") and cells.str.strip().str.lower().str.endswith(SUFFIXES).any():
        kind = "mask" if title.lower() in _MASK_COLUMNS else title[len("mask") :].strip(" _-:")
        return f"{MASK}{kind or 'mask'}"
    return f"{META}{title}"


def _clean(kind: str, value: str) -> str:
    if kind == LABEL:
        return plain_name(value)
    return _clean_path(value) if kind.startswith(MASK) else value.strip()


def _clean_path(value: str) -> str:
    return value.strip().replace("\\", "/").removeprefix("./")


def folder_labels(names: Sequence[str]) -> list[str | None]:
    """Class folders of images, by their paths: the innermost folder that is not the same for all.

    `train/cat/1.jpg` is a cat and `cat/images/1.jpg` too; a lone folder around all images says nothing.
    """
    folders = [PurePosixPath(name).parts[:-1] for name in names]
    while any(folders) and len({folder[-1:] for folder in folders}) == 1:
        folders = [folder[:-1] for folder in folders]
    return [plain_name(folder[-1]) if folder else None for folder in folders]
