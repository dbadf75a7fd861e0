"""Every file of an upload is an image, a mask, a table, or listed under skipped."""

import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image

from images import intake
from images.formats import FORMATS, SUFFIXES, is_image
from tests.images.test_intake import reasons, write, zipped
from tests.makers import encoded, picture

PNG = [encoded(picture(20, 30, seed=seed)) for seed in range(6)]


@pytest.mark.parametrize(("kind", "suffix"), [(kind, suffix) for kind, all_ in FORMATS.items() for suffix in all_])
def test_every_suffix_of_the_list_is_read(tmp_path, data_folder, kind, suffix):
    pixels = picture(40, 60)
    content = encoded(pixels, {"MPO": "JPEG"}.get(kind, kind))
    images = intake.from_folder(write(tmp_path / "set", {f"a{suffix.upper()}": content}), data_folder)
    assert np.abs(images.image(0).astype(int) - pixels).mean() < 15
    assert not images.skipped


def test_suffixes_belong_to_one_format_each():
    assert len(set(SUFFIXES)) == len(SUFFIXES)
    assert is_image("A.JFIF")
    assert not is_image("jfif")


def test_a_picture_of_several_in_one_file_gives_the_first(data_folder):
    frames = [Image.fromarray(picture(40, 60, seed=seed)) for seed in range(2)]
    content = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    images = intake.from_files([("a.jpg", io.BytesIO(content))], data_folder)
    assert images.table["note"].tolist() == ["first of 2 frames"]


def test_links_to_class_folders_are_followed_and_bad_ones_listed(tmp_path, data_folder):
    elsewhere = write(tmp_path / "elsewhere", {"dogs/1.png": PNG[0], "dogs/deep/2.png": PNG[1]})
    folder = write(tmp_path / "pets", {"cat/3.png": PNG[2]})
    (folder / "dog").symlink_to(elsewhere / "dogs")
    (folder / "link.png").symlink_to(elsewhere / "dogs" / "1.png")
    (folder / "gone").symlink_to(tmp_path / "nowhere")
    (folder / "cat" / "up").symlink_to(folder)
    (elsewhere / "dogs" / "round").symlink_to(elsewhere / "dogs")
    images = intake.from_folder(folder, data_folder)
    assert images.names == ("cat/3.png", "dog/1.png", "dog/deep/2.png")
    assert images.labels == ("cat", "dog", "deep")
    assert reasons(images).keys() == {"gone", "cat/up/", "dog/round/", "link.png"}
    assert "a link to nothing" in reasons(images)["gone"]
    assert "a link to a folder around it" in reasons(images)["dog/round/"]


def test_links_do_not_lead_out_of_the_allowed_folders(tmp_path, data_folder):
    write(tmp_path, {"open/a.png": PNG[0], "open/also/c.png": PNG[2], "closed/b.png": PNG[1]})
    folder = tmp_path / "open"
    for name, target in {"b": "closed", "b.png": "closed/b.png", "e": "nothing", "f.png": "open/also/c.png"}.items():
        (folder / name).symlink_to(tmp_path / target)
    (folder / "round").symlink_to(folder / "round")
    images = intake.from_folder(folder, data_folder, roots=(folder,))
    assert images.names == ("a.png", "also/c.png")
    why = reasons(images)
    assert len({why[name] for name in ("b", "b.png", "e")}) == 1, "whether there is anything or not"
    assert "a link to one outside" in why["b"]
    assert intake.from_folder(folder, data_folder).names == ("a.png", "also/c.png", "b.png")


def test_a_locked_folder_is_listed(tmp_path, data_folder, monkeypatch):
    folder = write(tmp_path / "pets", {"a.png": PNG[0], "locked/b.png": PNG[1]})
    scandir = os.scandir

    def refusing(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    images = intake.from_folder(folder, data_folder)
    assert images.names == ("a.png",)
    assert "permission denied" in reasons(images)["locked/"]


@pytest.mark.parametrize(
    "name",
    [
        *("@eaDir/a.png/SYNOPHOTO_THUMB.png", "cat/.ipynb_checkpoints/1-checkpoint.png", "$Recycle.Bin/S-1-5/x.png"),
        *("lost+found/1.png", "System Volume Information/x.png", "cat/.AppleDouble/1.png", "Thumbs.db", "cat/._1.png"),
        *("#recycle/cat/1.png", "cat/desktop.ini"),
    ],
)
def test_folders_of_systems_and_programs_are_no_classes(tmp_path, data_folder, name):
    entries = {"cat/1.png": PNG[0], "dog/2.png": PNG[1], name: PNG[2]}
    uploaded = [(f"pets/{path}", io.BytesIO(content)) for path, content in entries.items()]
    for images, path in (
        (intake.from_folder(write(tmp_path / "pets", entries), data_folder), name),
        (intake.from_zip(zipped(entries), "pets.zip", data_folder), name),
        (intake.from_files(uploaded, data_folder), f"pets/{name}"),
    ):
        assert images.labels == ("cat", "dog")
        assert "not one of yours" in reasons(images)[path]


def test_files_of_other_kinds_are_listed_by_kind(tmp_path, data_folder):
    entries = {"cat/1.png": PNG[0], "a.xcf": b"x", "b/1.xml": b"x", "b/2.xml": b"x", "b/3.XML": b"x", "README": b"x"}
    images = intake.from_folder(write(tmp_path / "pets", entries), data_folder)
    assert images.names == ("cat/1.png",)
    assert reasons(images).keys() == {"a.xcf", "b/1.xml and 2 more of its kind", "README"}
    assert ", got .xcf. Convert" in reasons(images)["a.xcf"]
    assert "got a file without a suffix" in reasons(images)["README"]


def foreign_zip(name: str, extra: bytes = b"") -> io.BytesIO:
    """A zip with one image whose name is in UTF-8 without the flag that says so, as macOS and Java write it."""
    stand_in = "x" * len(name.encode())
    entry = zipfile.ZipInfo(stand_in)
    entry.extra = extra
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(entry, PNG[0])
    return io.BytesIO(buffer.getvalue().replace(stand_in.encode(), name.encode()))


@pytest.mark.parametrize("name", ["Käfer/Größe.png", "猫/一.png", "кот.png"])
def test_names_in_a_zip_are_utf8_where_they_are_that(data_folder, name):
    assert intake.from_zip(foreign_zip(name), "z.zip", data_folder).names == (name,)


def test_other_names_in_a_zip_are_what_the_format_says(data_folder):
    content = zipped({"Kxfer.png": PNG[0]}).getvalue().replace(b"Kxfer", b"K\x84fer")
    assert intake.from_zip(io.BytesIO(content), "z.zip", data_folder).names == ("Käfer.png",)
    said = "übung.png".encode()
    extra = b"\x75\x70" + (5 + len(said)).to_bytes(2, "little") + b"\1" + bytes(4) + said
    assert intake.from_zip(foreign_zip("plain.png", extra), "z.zip", data_folder).names == ("übung.png",)


def test_a_name_that_a_zip_holds_twice_is_listed(data_folder):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.png", PNG[0])
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("a.png", PNG[1])
    images = intake.from_zip(buffer, "z.zip", data_folder)
    np.testing.assert_array_equal(images.image(0), picture(20, 30, seed=1))
    assert "got two. The last one" in reasons(images)["a.png"]
