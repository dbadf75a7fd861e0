"""Which mask belongs to which image: by a `masks` folder beside the images, or by the mask columns of a CSV.

`masks/cat/1.png` belongs to `cat/1.jpg`, and so does `masks/1.png` where no other image has that stem. With several
kinds of masks, each has a folder of its own: `masks/signature/cat/1.png`. A `masks` folder further down speaks of the
images beside and below it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from common.errors import InputError
from images.image_set import MASK, Skipped

#: The folder of masks, and the kind of those that lie directly in it.
FOLDER, ONLY_KIND = "masks", "mask"


class MaskOf(NamedTuple):
    """A mask file, the image that it belongs to, and what it marks there."""

    file: str
    image: str
    kind: str


def in_mask_folder(name: str) -> bool:
    """Whether a file lies in or below a folder called `masks`."""
    return FOLDER in name.lower().split("/")[:-1]


def assign(
    files: Iterable[str], images: Sequence[str], annotations: Mapping[str, Mapping[str, str]]
) -> tuple[list[MaskOf], list[Skipped]]:
    """Each mask of `files` with its image, and those that belong to none, with the reason.

    `annotations` are what a CSV says of each image of `images`; it speaks before the folders.
    """
    files = list(files)
    known = set(files)
    found: dict[tuple[str, str], MaskOf] = {}
    skipped = []
    for image, facts in annotations.items():
        for column, file in facts.items():
            if not column.startswith(MASK):
                continue
            kind = column.removeprefix(MASK)
            if file in known:
                found[image, kind] = MaskOf(file, image, kind)
            else:
                cure = "Add it, or mend the CSV; paths count from where the CSV lies."
                skipped.append(Skipped(file, str(InputError(f"the mask of {image}", "no such file", cure))))
    in_table = {mask.file for mask in found.values()}
    by_stem: dict[str, list[str]] = {}
    for image in images if files else ():
        by_stem.setdefault(PurePosixPath(image).stem, []).append(image)
    for file in files:
        if file in in_table:
            continue
        mask = _by_path(file, by_stem.get(PurePosixPath(file).stem, []))
        if isinstance(mask, Skipped):
            skipped.append(mask)
        elif (other := found.setdefault((mask.image, mask.kind), mask)) is not mask:
            cure = "Keep one of them, or give each kind a folder of its own: masks/KIND."
            skipped.append(Skipped(file, str(InputError(f"one mask of {mask.image}", f"{other.file} too", cure))))
    return list(found.values()), skipped


def _by_path(file: str, images: Sequence[str]) -> MaskOf | Skipped:
    """The image of a mask, among `images` of the same stem."""
    parts = PurePosixPath(file).parts
    expected = "an image of the same name as the mask"
    cure = "Name the mask like its image; if these are images themselves, rename the folder."
    if not in_mask_folder(file):  # a CSV speaks of it, for an image that is not there
        return Skipped(file, str(InputError(expected, "none", "The CSV gives it to an image that was not read.")))
    at = next(i for i, part in enumerate(parts) if part.lower() == FOLDER)
    base, rest = parts[:at], (*parts[at + 1 : -1], PurePosixPath(file).stem)
    beside = {image: PurePosixPath(image).with_suffix("").parts for image in images}
    beside = {image: path[at:] for image, path in beside.items() if path[:at] == base}
    for kind, path in ((ONLY_KIND, rest), (rest[0], rest[1:])):
        matching = [image for image, its in beside.items() if path and its[-len(path) :] == path]
        exact = [image for image in matching if beside[image] == path]
        if len(exact or matching) == 1:
            return MaskOf(file, (exact or matching)[0], kind)
        if matching:
            cure = "Put the mask into the same folders as its image: masks/FOLDER/NAME."
            return Skipped(file, str(InputError(expected, f"several ({', '.join(matching[:2])})", cure)))
    return Skipped(file, str(InputError(expected, "none", cure)))
