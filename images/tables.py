"""Tables of labels as people have them: CSV with any separator, encoding and header, or none."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from common.bounds import MAX_TABLE_BYTES, MAX_TABLE_CELLS, MAX_TABLE_COLUMNS
from common.class_names import plain_names
from common.errors import InputError, first_line
from images.formats import is_image
from images.image_set import LABEL, MASK, META
from images.paths import clean_path

#: Names that people give these columns, the surest first; only their letters and digits count.
FILE_COLUMNS = (
    *("path", "file", "filename", "filepath", "relativepath", "relpath", "image", "imagepath", "imagefile"),
    *("imagefilename", "imagename", "img", "imgpath", "imgfile", "imgname", "picture", "photo", "fname", "files"),
    *("images", "name", "imageid", "imgid", "id"),
)
LABEL_COLUMNS = (
    *("classname", "label", "class", "category", "target", "truelabel", "labelname", "categoryname", "trueclass"),
    *("classlabel", "labels", "groundtruth", "gt", "species", "klasse", "y"),
    *("classid", "labelid", "categoryid", "targetid", "classindex", "classidx", "labelindex", "labelidx"),
)
_MASK_COLUMNS = ("mask", "mask_path", "mask_file")
_SEPARATORS = ",;\t|"
_EXPECTED = "a CSV with the columns 'file' and 'label'"

#: Rows that are looked at to find the column of files.
_SAMPLE = 5000


@dataclass(frozen=True)
class Table:
    """What a table says: `rows` of a file and its facts (columns of an `ImageSet`'s table).

    `n_rows` counts all rows, `faults` are those that cannot be read, `notes` say how it was understood.
    """

    name: str
    rows: list[tuple[str, dict[str, str]]]
    n_rows: int
    faults: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def mask_files(self) -> set[str]:
        """The files that its mask columns name."""
        return {value for _, facts in self.rows for column, value in facts.items() if column.startswith(MASK)}


def read_table(content: bytes, name: str, is_file: Callable[[str], bool]) -> Table:
    """Read a table; `is_file` tells the paths of the upload's files, by which their column is known.

    Raises `InputError` for a file that is no such table.
    """
    if len(content) > MAX_TABLE_BYTES:
        received = f"{name} with {len(content) / 1024**2:,.0f} MB"
        raise InputError(f"a table of at most {MAX_TABLE_BYTES // 1024**2} MB", received, "Leave columns out.")
    text, notes = decode(content, name)
    lines = cells_of(text, name)
    if not lines:
        raise InputError(_EXPECTED, f"{name}, which is empty", "Fill it, or leave it away.")
    header = [cell.strip() for cell in lines[0][1]]
    has_header = any(_plain(cell) in FILE_COLUMNS for cell in header) or not any(map(is_file, header))
    if has_header:
        lines = lines[1:]
    while header and not header[-1]:
        header.pop()
    width = len(header)
    faults, rows = [], []
    for number, cells in lines:
        cells = [cell.strip() for cell in cells]
        if any(cells[width:]):
            faults.append(f"line {number} has {len(cells)} cells for {width} columns")
        else:
            rows.append((cells + [""] * width)[:width])
    if not has_header:
        notes.append("it has no header")
    file = _file_column(header if has_header else [""] * width, rows, is_file, name)
    label = _label_column(header, file) if has_header else _only_other_column(rows, file, width, name)
    if label is not None and all(re.fullmatch(r"\d+\.0+", row[label]) for row in rows if row[label]):
        rows = [[*row[:label], row[label].partition(".")[0], *row[label + 1 :]] for row in rows]  # pandas' way
    kinds = _kinds(header if has_header else [""] * width, rows, file, label)
    if label is None:
        notes.append("no column of labels (call it 'label')")
    elif has_header and _plain(header[label]) != "label":
        notes.append(f"labels from its column '{header[label]}'")
    classes = {} if label is None else plain_names([row[label] for row in rows])
    facts = [
        (
            clean_path(row[file]),
            {
                kind: classes[cell] if kind == LABEL else clean_path(cell) if kind.startswith(MASK) else cell
                for kind, cell in zip(kinds, row, strict=True)
                if kind and cell
            },
        )
        for row in rows
    ]
    return Table(name, facts, len(lines), tuple(faults), tuple(notes))


def decode(content: bytes, name: str) -> tuple[str, list[str]]:
    """A table's text, and a note where its encoding had to be guessed; raises `InputError` where it is none."""
    if content.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        encoding = "utf-32"
    elif content.startswith((b"\xff\xfe", b"\xfe\xff")):
        encoding = "utf-16"
    elif b"\0" in content[:2]:
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    else:
        encoding = "utf-8-sig"
    try:
        return content.decode(encoding), []
    except UnicodeDecodeError as error:
        try:
            if encoding == "utf-8-sig":
                return content.decode("cp1252"), ["it is not UTF-8 and was read as Windows-1252"]
        except UnicodeDecodeError:
            pass
        raise InputError("a CSV in UTF-8", f"{name} in another encoding", "Save it again as CSV UTF-8.") from error


def cells_of(text: str, name: str, expected: str = _EXPECTED) -> list[tuple[int, list[str]]]:
    """(line number, cells) of all lines of a table that are not empty, whatever separates its cells."""
    first = next((line for line in io.StringIO(text) if line.strip()), "").strip("\r\n")
    skipped = 0
    if said := re.fullmatch(r'"?sep=(.)"?', first.strip("\r\n\ufeff ")):  # Excel's own way to say it
        separator = said[1]
        text = text.partition(first)[2]
        skipped = 1
    else:
        separator = max(_SEPARATORS, key=lambda one: len(_cells(first, one)))
    n_cells = text.count(separator) + text.count("\n")
    if first.count(separator) >= MAX_TABLE_COLUMNS or n_cells > MAX_TABLE_CELLS:
        received = f"{name} with {first.count(separator) + 1:,} columns, and {n_cells:,} cells"
        most = f"at most {MAX_TABLE_COLUMNS:,} columns and {MAX_TABLE_CELLS:,} cells"
        raise InputError(f"a table of {most}", received, "Leave columns out that nobody needs.")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True, strict=True)
    try:
        return [(reader.line_num + skipped, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        why = f"line {reader.line_num + skipped}: {first_line(error)}"
        raise InputError(expected, f"{name}, which breaks off ({why})", "Check its quotation marks.") from error


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    except csv.Error:  # a cell longer than csv takes
        return []


def _plain(column: str) -> str:
    """A column's name by its letters and digits alone."""
    return "".join(letter for letter in column.casefold() if letter.isalnum())


def _file_column(header: Sequence[str], rows: list[list[str]], is_file: Callable[[str], bool], name: str) -> int:
    """The column in which most cells are files of the upload; the surest name decides between equals."""
    sample = rows[:: max(1, len(rows) // _SAMPLE)]
    found = [sum(bool(row[n]) and is_file(row[n]) for row in sample) for n in range(len(header))]
    found = [0 if title.lower().startswith("mask") else n for title, n in zip(header, found, strict=True)]
    order = {title: -place for place, title in enumerate(FILE_COLUMNS)}
    known = [n for n in range(len(header)) if _plain(header[n]) in order]
    best = max(range(len(header)), key=lambda n: (found[n], order.get(_plain(header[n]), -len(order))), default=0)
    if (not found[best] and not known) or len(header) < 2:
        received = f"{name} with {', '.join(filter(None, header[:8])) or 'one column'}"
        raise InputError(_EXPECTED, received, "Rename its columns; so far it gives no labels.")
    return best


def _label_column(header: Sequence[str], file: int) -> int | None:
    """The column with the surest name, else the only one whose name speaks of labels or classes."""
    columns = {_plain(title): n for n, title in reversed(list(enumerate(header))) if n != file}
    known = [columns[title] for title in LABEL_COLUMNS if title in columns]
    like = [n for title, n in columns.items() if any(word in title for word in ("label", "class", "categor"))]
    return known[0] if known else like[0] if len(like) == 1 else None


def _only_other_column(rows: list[list[str]], file: int, width: int, name: str) -> int:
    """The column of labels of a table without a header: all but the files, and running numbers before them."""
    others = [n for n in range(width) if n != file and not (n < file and _counts([row[n] for row in rows]))]
    if len(others) != 1:
        received = f"{name}, which has none, and {len(others)} columns that may be labels"
        raise InputError(
            "a CSV with a header", received, "Give it a first line with the names of its columns: file,label."
        )
    return others[0]


def _counts(cells: Sequence[str]) -> bool:
    """Whether cells are running numbers, as pandas writes them in front of each row."""
    return any(list(cells) == [str(n + start) for n in range(len(cells))] for start in (0, 1))


def _kinds(header: Sequence[str], rows: list[list[str]], file: int, label: int | None) -> list[str]:
    """What each column is in an `ImageSet`'s table; empty for the files and for columns without a name."""
    kinds: list[str] = []
    for n, title in enumerate(header):
        kind = "" if n == file or (not title and n != label) else LABEL if n == label else _kind(title, rows, n)
        kinds.append(f"{kind} ({n + 1})" if kind and kind in kinds else kind)
    return kinds


def _kind(title: str, rows: list[list[str]], column: int) -> str:
    """Masks where the cells are called like image files, else metadata."""
    if title.lower().startswith("mask") and any(is_image(row[column]) for row in rows):
        kind = "mask" if title.lower() in _MASK_COLUMNS else title[len("mask") :].strip(" _-:")
        return f"{MASK}{kind or 'mask'}"
    return f"{META}{title}"
