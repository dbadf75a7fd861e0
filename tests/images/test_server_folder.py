"""What a visitor may name, and that nobody learns what lies elsewhere."""

import os
from pathlib import Path

import pytest

from common.errors import InputError
from images import intake
from images.server_folder import check_server_folder
from tests.images.test_intake import PNG, write
from tests.makers import one_line


@pytest.fixture
def place(tmp_path, monkeypatch, data_folder):
    """A home with folders that are allowed, closed, and linked in all ways; the working directory is in it."""
    write(tmp_path, {"open/pets/a.png": PNG[0], "closed/b.png": PNG[1]})
    monkeypatch.setenv("HOME", str(tmp_path / "open"))
    monkeypatch.chdir(tmp_path)
    for name, target in {
        "open/out": "closed", "open/lost": "none", "open/in": "open/pets", "entry": "open/pets",
        "open/round": "open/round",
    }.items():  # fmt: skip
        (tmp_path / name).symlink_to(tmp_path / target)
    return tmp_path


ALLOWED = ("{}/open", "{}/open/", "{}/open/pets", "{}/open/./pets", "{}/open/in", "{}/closed/../open/pets", "~",
           "~/pets", "open/pets", "./open", "{}/open/none/../pets")  # fmt: skip

REFUSED = (
    "{}", "{}/closed", "{}/none", "{}/openly", "/", "/etc", "/etc/passwd", "/none", "", ".", "..", "closed", "none",
    "{}/open/..", "{}/open/../closed", "{}/open/../none", "{}/open/pets/../../closed/b.png", "~/../closed",
    "../../../..",
    "{}/open/out", "{}/open/out/b.png", "{}/open/out/none", "{}/open/lost", "{}/entry", "{}/entry/none", "entry",
    "~root", "~root/x", "~nobody-of-this-name", "~nobody-of-this-name/x", "~+", "$HOME", "file://{}/open",
    "/proc/self/cwd", "/proc/self/cwd/open", "/proc/self/root{}/open", "/proc/1/cwd", "/dev/fd/0", "/dev/null",
    "a\0b", "{}/open/\0", "{}/open\0", "/" + "a" * 300, "a" * 100_000, "//{}", "//none/share", "C:\\Windows",
    "\n", "\udcff",
)  # fmt: skip


@pytest.mark.parametrize("text", ALLOWED)
def test_what_lies_in_an_allowed_folder_is_opened(text, place, data_folder):
    roots = (place / "open",)
    folder = check_server_folder(text.format(place), roots)
    assert len(intake.from_folder(folder, data_folder, roots=roots)) == 1


@pytest.mark.parametrize("text", REFUSED)
def test_all_else_gets_the_same_line_whether_it_is_there_or_not(text, place):
    text = text.format(place)
    with pytest.raises(InputError) as caught:
        check_server_folder(text, (place / "open",))
    error = caught.value
    shown = repr(text if len(text) <= 200 else text[:199] + "…")
    line = f"Expected a folder that this server opens, got {shown}. Allowed: {place}/open."
    assert " ".join(str(error).split()) == " ".join(line.split())
    with pytest.raises(InputError, match=r"Allowed: none; image_folders in parallax\.toml names them\."):
        check_server_folder(text, ())


def test_what_is_not_there_is_told_of_allowed_folders_alone(place):
    for text in ("open/none", "~/none", "open/pets/a.png", "open/round"):
        with one_line("a folder on the server", "which is not there"):
            check_server_folder(text, (place / "open",))


def test_a_folder_that_is_a_link_itself_may_be_allowed(place):
    assert check_server_folder(str(place / "entry"), (place / "entry",)) == place / "entry"
    assert check_server_folder(str(place / "open" / "pets"), (place / "entry",))
    with one_line("a folder that this server opens", f"Allowed: {place}/entry."):
        check_server_folder(str(place / "open"), (place / "entry",))


def test_what_parallax_keeps_of_its_visitors_is_no_folder_of_images(place, data_folder):
    """Whatever is allowed around it: a home folder holds the data folder, usually."""
    write(data_folder, {"images/secret.png": PNG[2]})
    (place / "open" / "data").symlink_to(data_folder)
    for text in (data_folder, data_folder / "images", data_folder / "none", "open/data", "open/data/images"):
        with one_line("a folder that this server opens"):
            check_server_folder(str(text), (place,))
    images = intake.from_folder(place, data_folder, roots=(place,))
    assert "secret" not in " ".join(images.names)
    assert images.names[0] == "closed/b.png"


def test_a_link_that_is_made_while_a_visitor_looks_leads_nowhere(place, data_folder):
    """What was a folder when it was typed is a link out of it by now."""
    roots = (place / "open",)
    folder = check_server_folder("open/pets", roots)
    (folder / "a.png").unlink()
    os.symlink(place / "closed" / "b.png", folder / "a.png")
    with one_line("images in", "none"):
        intake.from_folder(folder, data_folder, roots=roots)
    folder.joinpath("a.png").unlink()
    folder.rmdir()
    os.symlink(place / "closed", folder)
    with one_line("a folder that this server opens"):
        intake.from_folder(folder, data_folder, roots=roots)


def test_the_owner_at_the_command_line_opens_any_folder(place, data_folder):
    assert intake.from_folder(Path("closed"), data_folder).names == ("b.png",)
