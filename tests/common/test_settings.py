from pathlib import Path

import pytest
import torch

from common import settings as settings_module
from common.errors import InputError, did_you_mean, first_line
from common.settings import Settings, check_at_start, mistakes, settings
from models.device import choose_device, device_title
from tests.makers import one_line


def write(text):
    settings_module.FILE.write_text(text)
    settings.cache_clear()


@pytest.fixture(autouse=True)
def no_choices(monkeypatch):
    monkeypatch.delenv("PARALLAX_DEVICE", raising=False)


def defaults():
    return {name: field.default for name, field in Settings.model_fields.items()}


def test_without_a_file_the_defaults_stand(data_folder):
    assert settings().model_dump() == {**defaults(), "data": str(data_folder)}


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
    assert settings().model_dump() == defaults()
    text = settings_module.FILE.read_text()
    assert all(f"\n{name} =" in text for name in Settings.model_fields)


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
    with one_line("a whole number from 1 to 100,000 for max_zip_ratio", "20.5 in parallax.toml", "default is 200"):
        settings()
    write("device = 1")
    with one_line('a device ("auto", "cpu", "mps", "cuda:1") for device', "1 in"):
        settings()
    write("")
    monkeypatch.setenv("PARALLAX_MAX_STORE_GIGABYTES", "plenty")
    with one_line("for max_store_gigabytes", "a number from 1e-06", "'plenty' in PARALLAX_MAX_STORE_GIGABYTES"):
        settings()


NUMBERS = [name for name, field in Settings.model_fields.items() if field.annotation in (int, float)]


@pytest.mark.parametrize(
    "value", ["nan", "-nan", "inf", "-inf", "-1", "-0.5", "0", "1e300", "true", "[1]", '"x"', "{}"]
)
def test_no_number_is_none_negative_endless_or_absurd(value, monkeypatch):
    write("\n".join(f"{name} = {value}" for name in NUMBERS))
    assert len(NUMBERS) > 10
    assert [str(line).partition(" for ")[2].partition(",")[0] for line in mistakes()] == NUMBERS
    write("")
    for name in NUMBERS:
        monkeypatch.setenv(f"PARALLAX_{name.upper()}", value)
    assert [line.received.split()[-1] for line in mistakes()] == [f"PARALLAX_{name.upper()}" for name in NUMBERS]


@pytest.mark.parametrize(
    "line",
    [
        'device = "CPU!"', 'device = ""', "device = true", 'data = "a\\u0000b"', 'data = "~nobody-of-this-name/x"',
        "data = []", 'image_folders = "/tmp:~nobody-of-this-name"', 'sharing = "Shared"', "sharing = true",
        'teacher_key = "short"', 'teacher_key = "has a space in its middle"', 'teacher_key = "ümlaute sind keine"',
        "[device]", "device = 2026-01-01", f'device = "{"a" * 100_000}"', f"keep_days = {'9' * 400}",
    ],
)  # fmt: skip
def test_values_that_cannot_be_meant_get_a_short_line(line, monkeypatch):
    monkeypatch.delenv("PARALLAX_DATA")
    write(line)
    (wrong,) = mistakes()
    assert len(str(wrong)) < 400
    with one_line("in parallax.toml"):
        settings()


def test_each_mistake_gets_its_line(monkeypatch, capsys):
    write('devise = "cpu"\nmax_zip_ratio = -1\nkeep_days = nan\n')
    monkeypatch.setenv("PARALLAX_MAX_CLASES", "7")
    monkeypatch.setenv("PARALLAX_SERVICE_HOST", "10.0.0.1")  # Kubernetes
    with pytest.raises(SystemExit) as ended:
        check_at_start()
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("got ")[2].partition(", max_u")[0] for line in lines] == [
        "'max_clases' in PARALLAX_MAX_CLASES. Did you mean max_classes",
        "nan in parallax.toml. Its default is 30.",
        "-1 in parallax.toml. Its default is 200.",
        "'devise' in parallax.toml. Did you mean device?",
    ]


def test_a_folder_for_images_that_is_not_there_is_told_at_start(tmp_path, capsys):
    write(f'image_folders = "{tmp_path}:{tmp_path}/none"')
    check_at_start()
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{tmp_path}/none, which is none" in line


def test_who_shares_needs_a_key_which_no_line_tells(monkeypatch):
    write('sharing = "shared"')
    with one_line("a teacher_key where sharing", "got none", "PARALLAX_TEACHER_KEY"):
        settings()
    monkeypatch.setenv("PARALLAX_TEACHER_KEY", "0123456789abcdef")
    assert settings().teacher_key == "0123456789abcdef"
    assert "0123456789abcdef" not in repr(settings())
    settings.cache_clear()
    monkeypatch.setenv("PARALLAX_TEACHER_KEY", "0123456789abcde")
    with one_line("16 to 200", "one of 15 in PARALLAX_TEACHER_KEY"):
        settings()


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe", b"device = cpu", b"= 1", b'device = "cpu"\ndevice = "cpu"', b"\0", b"keep_days = " + b"9" * 5000],
)
def test_a_file_that_is_no_toml_gets_one_line(content):
    settings_module.FILE.write_bytes(content)
    with one_line("TOML in parallax.toml"):
        settings()


@pytest.mark.parametrize("data", ["/proc/none/data", "/dev/null/data", "/tmp/" + "a" * 300])
def test_a_data_folder_that_cannot_be_is_told(data):
    with one_line("a data folder that can be written", data):
        Settings(data=data).data_folder  # noqa: B018


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
