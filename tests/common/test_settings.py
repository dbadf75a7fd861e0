from pathlib import Path

import pytest
import torch

from common import settings as settings_module
from common.errors import InputError, did_you_mean, first_line
from common.settings import Settings, settings
from models.device import choose_device, device_title
from tests.makers import one_line


def write(text):
    settings_module.FILE.write_text(text)
    settings.cache_clear()


@pytest.fixture(autouse=True)
def no_choices(monkeypatch):
    monkeypatch.delenv("PARALLAX_DEVICE", raising=False)


def test_without_a_file_the_defaults_stand():
    assert settings() == Settings(data=settings().data)


def test_the_file_chooses_and_the_environment_overrides(monkeypatch):
    write('device = "cpu"\nmax_zip_gigabytes = 3\nmax_image_megapixels = 7\n')
    assert (settings().device, settings().max_zip_gigabytes, settings().max_image_megapixels) == ("cpu", 3.0, 7)
    monkeypatch.setenv("PARALLAX_MAX_IMAGE_MEGAPIXELS", "12")
    settings.cache_clear()
    assert (settings().device, settings().max_image_megapixels) == ("cpu", 12)


def test_the_file_that_comes_with_parallax_holds_every_setting_at_its_default(monkeypatch):
    monkeypatch.delenv("PARALLAX_DATA")
    settings_module.FILE = Path(settings_module.__file__).parent.parent / "parallax.toml"
    settings.cache_clear()
    assert settings() == Settings()
    text = settings_module.FILE.read_text()
    assert all(f"\n{name} =" in text for name in Settings.__dataclass_fields__)


def test_an_unknown_setting_is_answered_with_its_nearest_kin():
    write('devise = "cpu"')
    with one_line("'devise' in parallax.toml", "Did you mean device?"):
        settings()


def test_a_setting_like_no_other_is_answered_with_all():
    write("zzz = 1")
    with one_line("'zzz'", "max_zip_ratio"):
        settings()


def test_values_of_another_kind_are_explained(monkeypatch):
    write("max_zip_ratio = 20.5")
    with one_line("a whole number for max_zip_ratio", "20.5 in parallax.toml", "default is 200"):
        settings()
    write("device = 1")
    with one_line("a text in quotes for device"):
        settings()
    write("")
    monkeypatch.setenv("PARALLAX_MAX_STORE_GIGABYTES", "plenty")
    with one_line("a number for max_store_gigabytes", "'plenty' in PARALLAX_MAX_STORE_GIGABYTES"):
        settings()


def test_a_file_that_is_no_toml_is_explained():
    write("device = cpu")
    with one_line("TOML in parallax.toml", "one setting a line"):
        settings()


def test_the_data_folder_is_made(tmp_path, data_folder):
    assert settings().data_folder == data_folder
    assert data_folder.is_dir()


def test_allowed_folders_are_separated_by_colons(tmp_path):
    write(f'image_folders = "{tmp_path}:{tmp_path}/b"')
    assert settings().allowed_folders == (tmp_path.resolve(), tmp_path.resolve() / "b")


def test_the_device_is_chosen_by_name_or_by_itself():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cuda", "mps", "cpu")
    assert choose_device().type in ("cuda", "mps", "cpu")
    assert "CPU" in device_title(torch.device("cpu"))


@pytest.mark.parametrize(("name", "part"), [("gpu", "which names none"), ("CPU!", "names none"), ("cuda:99", " (")])
def test_a_device_that_is_not_there_is_an_error_of_one_line(name, part):
    with one_line(f"{name!r}", part, 'device = "auto"'):
        choose_device(name)


def test_errors_are_one_line_whatever_they_are_made_of():
    error = InputError("a\ncat", "  two\n\tdogs", "")
    assert str(error) == "Expected a cat, got two dogs."
    assert first_line(RuntimeError("\n  first. \nsecond")) == "first"
    assert first_line(AssertionError()) == "AssertionError"
    assert len(first_line(ValueError("x" * 500), limit=50)) == 50


def test_near_spellings_are_listed_as_people_list_them():
    assert did_you_mean("resnet", ["resnet1"]) == "Did you mean resnet1?"
    assert did_you_mean("resnet", ["resnet1", "resnet2", "resnet3"]).count(",") == 1
    assert did_you_mean("resnet", ["zzz"]) == ""
