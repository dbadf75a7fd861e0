"""What is known about images from tables (labels, masks, further columns) and from class folders."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from common.class_names import plain_names
from common.errors import InputError
from images.image_set import LABEL, MASK, Skipped, reason
from images.paths import PathIndex
from images.tables import Table, read_table

#: Folders that say how images are kept, not what they show; unless there are others beside them.
_NO_CLASSES = {
    *("image", "images", "img", "imgs", "photo", "photos", "picture", "pictures", "jpegimages", "raw", "original"),
    *("train", "training", "val", "valid", "validation", "test", "testing", "eval", "all", "data", "dataset", "files"),
}

#: Examples that a line names, at most.
_N_SHOWN = 3


@dataclass(frozen=True)
class Annotations:
    """What tables and folders say of images: facts (columns of an `ImageSet`'s table) by name, and remarks."""

    of: Mapping[str, Mapping[str, str]]
    remarks: tuple[str, ...]


def read_tables(
    files: Iterable[tuple[str, Callable[[], bytes]]], names: Sequence[str], place: str = ""
) -> tuple[list[Table], list[Skipped]]:
    """Tables (name, how to read it), and those that say nothing with the reason.

    `names` are all files of the upload. Their paths in a table count from where it lies, or from anywhere above; those
    of masks are resolved here.
    """
    tables, skipped = [], []
    files = list(files)
    index = PathIndex(names if files else (), place)
    for name, read in files:
        folder = PurePosixPath(name).parent.as_posix()

        def is_file(path: str, folder: str = folder) -> bool:
            return bool(index.find(path, folder).names)

        try:
            table = read_table(read(), name, is_file)
        except (InputError, OSError) as error:
            skipped.append(Skipped(name, reason(error)))
            continue
        for _, facts in table.rows:
            for column, value in facts.items():
                if column.startswith(MASK):
                    found = index.find(value, folder).names
                    facts[column] = found[0] if len(found) == 1 else PurePosixPath(folder, value).as_posix()
        tables.append(table)
    return tables, skipped


def annotate(
    tables: Sequence[Table], names: Sequence[str], copies: Mapping[str, str], place: str = "", n_outer: int = 0
) -> Annotations:
    """Facts of images by their names, from the rows that mean them; class folders give the labels of the rest.

    `copies` are the names of further files of the same content, and the image of each; what is said of one is said
    of the other. `n_outer` folders around all names were chosen, and are no classes. An image that has two labels
    gets none.
    """
    every = [*names, *copies]
    index = PathIndex(every if tables else (), place)
    values: dict[str, dict[str, dict[str, str]]] = {name: {} for name in names}
    remarks = []
    for table in tables:
        meant, unused = _meant(table, index, copies)
        for image, facts in meant:
            for column, value in facts.items():
                values[image].setdefault(column, {})[value.casefold()] = value
        said = [f"{len(meant):,} of {table.n_rows:,} rows used", *table.notes]
        remarks.append(f"{table.name}: {', '.join(said)}." + "".join(f" Not used: {line}." for line in unused))
    folders: dict[str, dict[str, str]] = {}
    class_folders = _class_folders(every, n_outer)
    around = sorted(
        {folder[-2] for folder in class_folders if len(folder) > 1 and folder[-2].lower() not in _NO_CLASSES}
    )
    plain = plain_names([folder[-1] for folder in class_folders if folder])
    for name, folder in zip(every, class_folders, strict=True):
        if folder:
            label = plain[folder[-1]]
            folders.setdefault(copies.get(name, name), {})[label.casefold()] = label
    torn, n_from = {}, {"tables": 0, "folders": 0}
    differ = []
    for name in names:
        labels, by_folder = values[name].get(LABEL, {}), folders.get(name, {})
        source = "tables" if labels else "folders"
        if labels and by_folder and not labels.keys() & by_folder.keys():
            differ.append(f"{name} ({', '.join(labels.values())})")
        labels = labels or by_folder
        values[name][LABEL] = labels
        if len(labels) > 1:
            torn[name] = " or ".join(labels.values())
        else:
            n_from[source] += len(labels)
    if len(around) > 1 and n_from["folders"]:
        remarks.append(f"Classes are the innermost folders, not those around them ({_some(around)}).")
    if tables:
        n_none = len(names) - sum(n_from.values())
        counts = [f"{n_from['tables']:,} from tables", f"{n_from['folders']:,} from folders", f"{n_none:,} without"]
        remarks.append(f"Labels: {', '.join(counts)}.")
    if any(LABEL in facts for table in tables for _, facts in table.rows) and differ:
        remarks.append(f"The table's label counts where the folder has another name: {_some(differ)}.")
    if torn:
        found = [f"{name} ({labels})" for name, labels in torn.items()]
        remarks.append(f"More than one label, so they count as having none: {_some(found)}.")
    several = sorted({column for facts in values.values() for column, all_ in facts.items() if len(all_) > 1} - {LABEL})
    if several:
        titles = [column.partition(":")[2] for column in several]
        remarks.append(f"Rows of one image differ in {', '.join(titles)}; such values are left out.")
    agreed = {
        name: {column: next(iter(each.values())) for column, each in columns.items() if len(each) == 1}
        for name, columns in values.items()
    }
    return Annotations(agreed, tuple(remarks))


def _meant(
    table: Table, index: PathIndex, copies: Mapping[str, str]
) -> tuple[list[tuple[str, dict[str, str]]], list[str]]:
    """The image and facts of each row that means one, and why the others don't."""
    folder = PurePosixPath(table.name).parent.as_posix()
    found: list[tuple[str, dict[str, str], bool]] = []
    unknown, unclear = [], []
    for path, facts in table.rows:
        names, whole = index.find(path, folder) if path else ([], False)
        images = list(dict.fromkeys(copies.get(name, name) for name in names))
        if len(images) == 1:
            found.append((images[0], facts, whole))
        elif images:
            unclear.append(f"{path} ({' or '.join(images[:2])})")
        else:
            unknown.append(path or "an empty cell")
    surely = {image for image, _, whole in found if whole}
    unknown += [image for image, _, whole in found if not whole and image in surely]  # meant for a file elsewhere
    unused = [f"{len(table.faults):,} that cannot be read, {_some(table.faults)}"] if table.faults else []
    unused += [f"{len(unknown):,} with no image here, such as {_some(unknown, 1)}"] if unknown else []
    unused += [f"{len(unclear):,} that may mean several images, such as {_some(unclear, 1)}"] if unclear else []
    return [(image, facts) for image, facts, whole in found if whole or image not in surely], unused


def _some(items: Sequence[str], n_shown: int = _N_SHOWN) -> str:
    more = f" and {len(items) - n_shown:,} more" if len(items) > n_shown > 1 else ""
    return ", ".join(items[:n_shown]) + more


def folder_labels(names: Sequence[str], n_outer: int = 0) -> list[str | None]:
    """Class folders of images, by their paths without the `n_outer` first folders: the innermost that tells them apart.

    `train/cat/1.jpg` is a cat and `cat/images/1.jpg` too. One class folder around all images counts, but not one that
    only says how they are kept (`images`, `train`).
    """
    folders = _class_folders(names, n_outer)
    plain = plain_names([folder[-1] for folder in folders if folder])
    return [plain[folder[-1]] if folder else None for folder in folders]


def _class_folders(names: Sequence[str], n_outer: int) -> list[tuple[str, ...]]:
    """The folders of each image down to the one that is its class; empty where none is."""
    folders = [tuple(name.split("/")[n_outer:-1]) for name in names]
    around = None
    while any(folders):
        innermost = {folder[-1].lower() for folder in folders if folder}
        if len(innermost) == 1 and all(folders) and not innermost <= _NO_CLASSES:
            around = around or folders[0][-1]
        elif not innermost <= _NO_CLASSES:
            break
        folders = [folder[:-1] for folder in folders]
    if not any(folders) and around is not None:
        folders = [(around,)] * len(folders)
    return folders
