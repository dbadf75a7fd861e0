"""What an installation may choose: the device, where things are kept, and how much an upload may weigh.

`parallax.toml` beside `app.py` holds the choices; an environment variable `PARALLAX_<NAME>` overrides one of
them, for example `PARALLAX_DEVICE=cpu`.
"""

import os
import tomllib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs

from common.errors import InputError, did_you_mean, first_line
from common.files import check_writable

FILE = Path(__file__).parent.parent / "parallax.toml"


@dataclass(frozen=True)
class Settings:
    """One installation's choices; sizes in bytes unless the name says otherwise."""

    device: str = "auto"
    data: str = ""
    image_folders: str = ""
    max_image_megapixels: int = 100
    max_zip_gigabytes: float = 20.0
    max_zip_ratio: int = 200
    max_store_gigabytes: float = 5.0

    @property
    def data_folder(self) -> Path:
        """Where models, image sets, predictions and maps are kept; made on first use.

        Raises `InputError` where nothing can be written, as on a full disk.
        """
        folder = Path(self.data).expanduser() if self.data else platformdirs.user_data_path("parallax")
        _check_writable(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def allowed_folders(self) -> tuple[Path, ...]:
        """Server folders that image sets may be read from; empty means any."""
        return tuple(Path(p).expanduser().resolve() for p in self.image_folders.split(os.pathsep) if p)


@cache
def _check_writable(folder: Path) -> None:
    """Asked once for each folder."""
    cure = f"Free space there, or set another one: data in {FILE.name}, or PARALLAX_DATA."
    check_writable(folder, "a data folder that can be written", cure)


@cache
def settings() -> Settings:
    """The installation's settings, read once from `parallax.toml` and the environment.

    Raises `InputError` for a setting that Parallax does not know, or a value of another kind.
    """
    kinds = {field.name: type(field.default) for field in fields(Settings)}
    chosen = {name: (value, FILE.name) for name, value in _read(FILE).items()}
    for name in kinds:
        variable = f"PARALLAX_{name.upper()}"
        if (text := os.environ.get(variable)) is not None:
            chosen[name] = (text, variable)
    for name, (_, where) in chosen.items():
        if name not in kinds:
            cure = did_you_mean(name, kinds) or f"Known: {', '.join(kinds)}."
            raise InputError("a setting that Parallax knows", f"{name!r} in {where}", cure)
    return Settings(**{name: _value(name, kinds[name], *given) for name, given in chosen.items()})


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        cure = 'Write one setting a line, as in device = "cpu".'
        raise InputError(f"TOML in {file.name}", f"something else ({first_line(error)})", cure) from error


def _value(name: str, kind: type, value: Any, where: str) -> Any:
    """`value` as `kind`, by way of text, which is all that the environment has."""
    try:
        if kind is str and not isinstance(value, str):
            raise TypeError(value)
        return kind(str(value))
    except (ValueError, TypeError) as error:
        title = {int: "a whole number", float: "a number", str: "a text in quotes"}[kind]
        cure = f"Its default is {getattr(Settings, name)!r}."
        raise InputError(f"{title} for {name}", f"{value!r} in {where}", cure) from error
