"""What an installation may choose: the device, where things are kept, who sees what, and how much may be asked of it.

`parallax.toml` beside `app.py` holds the choices; an environment variable `PARALLAX_<NAME>` overrides one of
them, for example `PARALLAX_DEVICE=cpu`.
"""

import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import platformdirs
from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from common.errors import InputError, did_you_mean, first_line
from common.files import check_writable

FILE = Path(__file__).parent.parent / "parallax.toml"

_PREFIX = "PARALLAX_"

_WRITABLE = "a data folder that can be written"

#: Variables that look like settings: those of the tests, and those that Kubernetes sets for a service called parallax.
_NO_SETTINGS = re.compile(r"PARALLAX_(CHROMIUM|REQUIRE_BROWSER|SERVICE_\w+|PORT(_\w+)?)")

_Gigabytes = Annotated[float, Field(ge=1e-6, le=1_000_000, allow_inf_nan=False)]


class Settings(BaseSettings):
    """One installation's choices; a text's `title` says what is expected of it. Raises `ValidationError`."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="forbid", frozen=True)

    device: str = Field(
        default="auto", pattern=r"^[a-z]{2,16}(:\d{1,3})?$", title='a device ("auto", "cpu", "mps", "cuda:1")'
    )
    data: str = Field(default="", max_length=4000, title="the path of a folder, in quotes,")
    image_folders: str = Field(
        default="", max_length=100_000, title=f'paths of folders, in quotes, separated by "{os.pathsep}",'
    )
    allow_home_folder: bool = False
    host_names: str = Field(
        default="", max_length=10_000, pattern=r"^[\w.: ,\[\]-]*$", title='names of hosts, in quotes, separated by ",",'
    )
    sharing: Literal["private", "shared"] = "private"
    teacher_key: str = Field(
        default="", pattern=r"^([!-~]{16,200})?$", title="16 to 200 letters, digits and signs", repr=False
    )
    max_running_jobs: int = Field(default=2, ge=1, le=64)
    max_waiting_jobs: int = Field(default=20, ge=1, le=10_000)
    max_models_gigabytes: _Gigabytes = 4.0
    max_store_gigabytes: _Gigabytes = 5.0
    max_workspace_gigabytes: _Gigabytes = 10.0
    keep_days: int = Field(default=30, ge=1, le=36_500)
    max_upload_gigabytes: _Gigabytes = 2.0
    max_image_megapixels: int = Field(default=100, ge=1, le=10_000)
    max_zip_gigabytes: _Gigabytes = 20.0
    max_zip_ratio: int = Field(default=200, ge=1, le=100_000)
    max_classes: int = Field(default=100_000, ge=1, le=10_000_000)
    max_input_pixels: int = Field(default=2048, ge=8, le=16_384)

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource, dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:  # fmt: skip
        """What goes first: arguments, then the environment, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=FILE)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value(cls, value: Any, field: ValidationInfo) -> Any:
        if isinstance(value, bool) != (cls.model_fields[str(field.field_name)].annotation is bool) and not (
            isinstance(value, str)
        ):  # Python takes a truth value for 0 or 1, and pydantic numbers for truth values
            raise ValueError(value)
        return value

    @field_validator("data", "image_folders")
    @classmethod
    def _paths(cls, value: str) -> str:
        if "\0" in value:
            raise ValueError(value)
        for part in value.split(os.pathsep):
            try:
                Path(part).expanduser()
            except RuntimeError as error:  # of a user that is none
                raise ValueError(value) from error
        return value

    @model_validator(mode="after")
    def _sharing_has_a_teacher(self) -> Self:
        if self.sharing == "shared" and not self.teacher_key:
            raise ValueError(self.sharing)
        return self

    @property
    def data_folder(self) -> Path:
        """Where models, image sets, predictions and maps are kept; made on first use.

        Raises `InputError` where nothing can be written, as on a full disk.
        """
        _make_writable(self._data_path)
        return self._data_path

    @property
    def _data_path(self) -> Path:
        return Path(self.data).expanduser() if self.data else platformdirs.user_data_path("parallax")

    @property
    def allowed_folders(self) -> tuple[Path, ...]:
        """Server folders that visitors may name; none where it is empty."""
        return tuple(Path(p).expanduser().resolve() for p in self.image_folders.split(os.pathsep) if p)


def _make_writable(folder: Path) -> None:
    cure = f"Free space there, or set another one: data in {FILE.name}, or {_PREFIX}DATA."
    _check_writable(folder, cure)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(_WRITABLE, f"{folder} ({error.strerror})", cure) from error


@cache
def _check_writable(folder: Path, cure: str) -> None:
    """Asked once for each folder."""
    check_writable(folder, _WRITABLE, cure)


@cache
def settings() -> Settings:
    """The installation's settings, read once from `parallax.toml` and the environment.

    Raises `InputError` for the first of the `mistakes` in them.
    """
    found, wrong = _read()
    if found is None:
        raise wrong[0]
    return found


def without_paths(text: str) -> str:
    """A message for visitors, where files in the data folder have no path: it tells of others, and of the server."""
    return re.sub(rf"{re.escape(str(settings()._data_path))}[^\s'\",;:()]*", "a file of this server", text)


def mistakes() -> list[InputError]:
    """All that is wrong with the settings: names that are none, and values of another kind or out of range."""
    return _read()[1]


def check_at_start() -> None:
    """What a server does first: a line on stderr for each of the `mistakes`, with which it does not start."""
    if wrong := mistakes():
        print(*wrong, sep="\n", file=sys.stderr)
        raise SystemExit(2)
    for folder in settings().allowed_folders:
        if not folder.is_dir():  # it may be mounted later
            print(InputError("folders in image_folders", f"{folder}, which is none", "Check it."), file=sys.stderr)


def _read() -> tuple[Settings | None, list[InputError]]:
    """The settings, or else what is wrong with them."""
    wrong = [
        _unknown(name, variable)
        for variable in sorted(map(str.upper, os.environ))
        if variable.startswith(_PREFIX) and not _NO_SETTINGS.fullmatch(variable)
        if (name := variable.removeprefix(_PREFIX).lower()) not in Settings.model_fields
    ]
    try:
        found = Settings()
    except ValidationError as error:
        return None, [*wrong, *map(_mistake, error.errors(include_url=False, include_context=False))]
    except (ValueError, RecursionError) as error:  # tomllib's own, of text that is none, of a number of 5,000 digits
        cure = 'Write one setting a line, as in device = "cpu".'
        return None, [*wrong, InputError(f"TOML in {FILE.name}", f"something else ({first_line(error)})", cure)]
    except OSError as error:
        cure = "Check its permissions."
        return None, [*wrong, InputError(f"a readable {FILE.name}", str(error.strerror), cure)]
    return (None if wrong else found), wrong


def _unknown(name: str, where: str) -> InputError:
    cure = did_you_mean(name, Settings.model_fields) or f"Known: {', '.join(Settings.model_fields)}."
    return InputError("a setting that Parallax knows", f"{_short(name)} in {where}", cure)


def _mistake(error: ErrorDetails) -> InputError:
    """An error of pydantic's in our words."""
    if not error["loc"]:
        cure = f"Set one of 16 signs or more in {FILE.name}, or {_PREFIX}TEACHER_KEY."
        return InputError('a teacher_key where sharing = "shared"', "none", cure)
    name, given = str(error["loc"][0]), error["input"]
    if error["type"] == "extra_forbidden":
        return _unknown(name, FILE.name)
    variable = f"{_PREFIX}{name.upper()}"
    where = variable if variable in map(str.upper, os.environ) else FILE.name
    received = f"one of {len(str(given))}" if name == "teacher_key" else _short(given)  # which no log need know
    cure = f"Its default is {Settings.model_fields[name].default!r}."
    return InputError(f"{_expected(name)} for {name}", f"{received} in {where}", cure)


def _expected(name: str) -> str:
    """The kind of a setting's value and its range, in words."""
    field = Settings.model_fields[name]
    if field.annotation not in (int, float):
        return field.title or ("true or false" if field.annotation is bool else '"private" or "shared"')
    low, high = (next(getattr(m, end) for m in field.metadata if hasattr(m, end)) for end in ("ge", "le"))
    return f"{'a whole number' if field.annotation is int else 'a number'} from {low:g} to {high:,}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
