"""Where models come from: one file for each source or format, and the list of them."""

import hashlib
import shutil
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from common import sealed
from common.bounds import MAX_ARGUMENT_TEXT
from common.errors import InputError
from common.files import atomic_write
from common.settings import settings
from common.uploads import check_upload
from models.card import Recipe
from models.loaders import checkpoint, demo, playground, zoo
from models.loaders.base import Loaded, Loader

#: Every loader by name, in the order in which they are offered.
LOADERS: dict[str, Loader] = {
    loader.name: loader for loader in (demo.PAINTINGS, demo.DIGITS, zoo.LOADER, checkpoint.LOADER, playground.LOADER)
}

#: Suffixes of all files that hold models.
SUFFIXES = tuple(suffix for loader in LOADERS.values() for suffix in loader.suffixes)

#: The folder that uploaded models are kept in, and hex digits of their names.
KEPT, _N_HEX = "weights", 16

#: The argument behind a `?` that says what a model's outputs mean.
_HEAD = "head="


def load(recipe: Recipe) -> Loaded:
    """Load the model that a recipe describes; raises `InputError` when that is no longer possible."""
    if recipe.loader not in LOADERS:
        raise InputError("a model that can be loaded again", f"one from {recipe.loader!r}", "Add it again.")
    _check_kept(Path(recipe.arguments.get("path", "")))
    loaded = LOADERS[recipe.loader].load(**recipe.arguments)
    return loaded if recipe.head is None else loaded.with_head(recipe.head)


def read(text: str, class_names: str | None = None) -> list[Loaded]:
    """Load the models that a line of text names (see the loaders' `forms`), else raise `InputError`.

    `class_names`: the text of a file of class names, for models from files. `head=…` among the arguments behind a `?`
    says what the outputs mean, see `models.card.HEADS`.
    """
    if len(text) > MAX_ARGUMENT_TEXT:
        raise InputError(
            f"the name of a model, of at most {MAX_ARGUMENT_TEXT:,} letters", f"{len(text):,}", "Shorten it."
        )
    name, _, query = text.partition("?")
    arguments = query.split("&")
    if heads := [argument for argument in arguments if argument.startswith(_HEAD)]:
        rest = "&".join(argument for argument in arguments if argument not in heads)
        models = read(f"{name}?{rest}" if rest else name, class_names)
        return [loaded.with_head(heads[-1].removeprefix(_HEAD)) for loaded in models]
    file, _, _ = text.rpartition("@")
    plain = text.partition("?")[0]
    for loader in LOADERS.values():
        if plain.partition("/")[0] in loader.prefixes and not file:
            return loader.read(text, class_names)
    if file or _suffix(plain):
        return for_file(file or plain).read(text, class_names)
    return zoo.LOADER.read(text, class_names)


def for_file(name: str) -> Loader:
    """The loader that reads files of this name; raises `InputError` when there is none."""
    suffix = _suffix(name)
    for loader in LOADERS.values():
        if suffix in loader.suffixes:
            return loader
    cure = "Save the state_dict with torch or safetensors."
    raise InputError(f"a file that holds a model ({' '.join(SUFFIXES)})", repr(name), cure)


def keep(file: BytesIO, name: str, folder: Path) -> Path:
    """Copy an uploaded model into `folder`, under the digest of its content; equal files are kept once."""
    for_file(name)
    check_upload([(name, file)])
    path = folder / f"{_digest(file)}{_suffix(name)}"
    file.seek(0)
    with atomic_write(path) as partial, partial.open("wb") as copy:
        shutil.copyfileobj(file, copy)
    return path


def _digest(file: BinaryIO) -> str:
    """16 hex digits that stand for a file's content."""
    return hashlib.file_digest(file, "sha256").hexdigest()[:_N_HEX]  # type: ignore[arg-type] # any binary file


def _check_kept(path: Path) -> None:
    """Raise `InputError` for a file that `keep` has kept in the data folder, and that is no longer as it was."""
    name = path.name[:_N_HEX]
    if path.parent.name != KEPT or not path.is_relative_to(settings().data_folder) or not path.is_file():
        return
    with path.open("rb") as file:
        whole = _digest(file) == name
    if not whole:
        sealed.set_aside(path, "it is not what was uploaded")
        raise InputError("the weights as they were uploaded", f"{path.name}, which was damaged", "Upload them again.")


def _suffix(name: str) -> str:
    """The longest of `SUFFIXES` that a file's name ends in, "" for none."""
    return max((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), key=len, default="")
