import contextlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common import settings as settings_module
from common.errors import InputError
from common.settings import settings
from images import intake
from images.image_set import ImageSet, image_id
from images.labels import folder_labels
from images.tables import read_table
from tests.makers import encoded, one_line, picture

PNG = [encoded(picture(20, 30, seed=seed)) for seed in range(6)]


def choose(text):
    settings_module.FILE.write_text(text)
    settings.cache_clear()


def zipped(entries, packing=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    buffer.seek(0)
    return buffer


def write(folder, entries):
    for name, content in entries.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def reasons(images):
    return {skipped.name: skipped.reason for skipped in images.skipped}


# Files


def test_uploaded_files_are_kept_by_their_content(data_folder):
    images = intake.from_files([("a.png", io.BytesIO(PNG[0])), ("b.png", io.BytesIO(PNG[1]))], data_folder)
    assert (images.name, images.names, images.labels) == ("2 files", ("a.png", "b.png"), (None, None))
    assert images.ids == (image_id(PNG[0]), image_id(PNG[1]))
    assert all(path.parent == data_folder / "images" for path in images.paths)
    np.testing.assert_array_equal(images.image(1), picture(20, 30, seed=1))
    assert not list(data_folder.rglob("*.partial"))


def test_a_csv_among_the_files_gives_the_labels(data_folder):
    table = b"file,label\na.png,night_sky\nb.png,\n"
    files = [("a.png", PNG[0]), ("labels.csv", table), ("b.png", PNG[1])]
    images = intake.from_files([(name, io.BytesIO(content)) for name, content in files], data_folder)
    assert images.labels == ("night sky", None)


def test_one_bad_file_is_left_out_and_the_rest_kept(data_folder):
    files = [("a.png", PNG[0]), ("b.png", b"no picture"), ("c.jpg", encoded(picture(40, 40), "JPEG")[:600])]
    images = intake.from_files([(name, io.BytesIO(content)) for name, content in files], data_folder)
    assert images.names == ("a.png",)
    assert "which holds something else" in reasons(images)["b.png"]
    assert "cut short or damaged" in reasons(images)["c.jpg"]


def test_a_file_that_the_system_refuses_is_left_out_with_the_reason(data_folder):
    class Locked(io.BytesIO):
        def read(self, *_):
            raise PermissionError(13, "Permission denied", "/secret")

    images = intake.from_files([("a.png", io.BytesIO(PNG[0])), ("b.png", Locked())], data_folder)
    assert reasons(images)["b.png"].startswith("Expected a file that can be read, got permission denied. Check")


def test_the_same_picture_counts_once(data_folder):
    files = [("a.png", io.BytesIO(PNG[0])), ("copy of a.png", io.BytesIO(PNG[0]))]
    images = intake.from_files(files, data_folder)
    assert len(images) == 1
    assert reasons(images) == {"copy of a.png": "The same image as a.png."}


def test_nothing_that_can_be_used_is_an_error_of_one_line(data_folder):
    with one_line("at least one image", "1 that cannot be used", "a.png: Expected an image"):
        intake.from_files([("a.png", io.BytesIO(b"text"))], data_folder)
    with one_line("images, got none"):
        intake.from_files([("labels.csv", io.BytesIO(b"file,label\n"))], data_folder)
    with one_line("images, got none"):
        intake.from_files([], data_folder)


def test_a_set_is_saved_when_it_is_in(data_folder):
    images = intake.from_files([("a.png", io.BytesIO(PNG[0]))], data_folder)
    assert ImageSet.read(data_folder / "image-sets" / f"{images.digest}.parquet").ids == images.ids


def test_progress_is_told_and_may_stop_the_work(data_folder):
    told = []
    files = [(f"{index}.png", io.BytesIO(PNG[index])) for index in range(5)]
    intake.from_files(files, data_folder, lambda done, total: told.append((done, total)))
    assert told[-1] == (5, 5)

    class StopError(Exception):
        pass

    def stop(done, total):
        raise StopError

    with pytest.raises(StopError):
        intake.from_files([("a.png", io.BytesIO(PNG[0]))], data_folder, stop)


# Zips


def test_class_folders_in_a_zip_give_the_labels(data_folder):
    entries = {"set/cat/1.png": PNG[0], "set/dog/1.png": PNG[1], "set/readme.txt": b"hello"}
    images = intake.from_zip(zipped(entries), "pets.zip", data_folder)
    assert (images.name, images.labels) == ("pets", ("cat", "dog"))


def test_a_lone_folder_around_all_pictures_is_no_class(data_folder):
    images = intake.from_zip(zipped({"holiday/1.png": PNG[0], "holiday/2.png": PNG[1]}), "h.zip", data_folder)
    assert images.labels == (None, None)


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["cat/1", "dog/1"], ["cat", "dog"]),
        (["train/cat/1", "val/dog/1", "val/cat/1"], ["cat", "dog", "cat"]),
        (["n01440764/images/1", "n01443537/images/1"], ["tench", "goldfish"]),
        (["1", "dog/1"], [None, "dog"]),
        (["a/b/1", "a/b/2"], ["b", "b"]),
        (["cat/images/1", "cat/images/2"], ["cat", "cat"]),
        (["train/1", "val/2"], [None, None]),
        (["train/1", "bus/2"], ["train", "bus"]),
        (["cat/train/1", "cat/val/2", "dog/val/3"], ["cat", "cat", "dog"]),
        (["images/1", "images/2"], [None, None]),
        (["1", "2"], [None, None]),
    ],
)
def test_the_innermost_folder_that_differs_is_the_class(names, labels):
    assert folder_labels(names) == labels


def test_a_csv_in_a_zip_names_files_from_where_it_lies(data_folder):
    table = "path;class\na/1.png;cat\nb\\1.png;dog\n"
    entries = {"set/labels.csv": table, "set/a/1.png": PNG[0], "set/b/1.png": PNG[1], "set/b/2.png": PNG[2]}
    images = intake.from_zip(zipped(entries), "pets.zip", data_folder)
    assert images.labels == ("cat", "dog", "b")
    assert images.remarks[1] == "Labels: 2 from tables, 1 from folders, 0 without."


def test_what_operating_systems_hide_is_no_picture(data_folder):
    entries = {"a.png": PNG[0], "__MACOSX/._a.png": b"x", ".thumbs/a.png": PNG[1], "._b.png": b"y"}
    images = intake.from_zip(zipped(entries), "a.zip", data_folder)
    assert (images.names, images.labels) == (("a.png",), (None,))
    assert reasons(images).keys() == {".thumbs/a.png", "__MACOSX/._a.png", "._b.png"}
    assert len(set(reasons(images).values())) == 1


@pytest.mark.parametrize("name", ["../outside.png", "a/../../outside.png", "/etc/outside.png", "..\\outside.png"])
def test_a_zip_that_reaches_outside_itself_is_refused_whole(data_folder, name):
    with one_line("stays within itself", "outside.png", "Zip the folder from inside"):
        intake.from_zip(zipped({"a.png": PNG[0], name: PNG[1]}), "evil.zip", data_folder)
    assert not data_folder.exists()


def test_a_zip_bomb_is_refused_before_it_is_unpacked(data_folder):
    content = zipped({"a.png": PNG[0], "b.png": bytes(30_000_000)}, zipfile.ZIP_DEFLATED)
    with one_line("at most 200 times its size", "bomb.zip", "nothing was unpacked"):
        intake.from_zip(content, "bomb.zip", data_folder)
    assert not data_folder.exists()


def test_a_bomb_cannot_hide_among_honest_pictures(data_folder):
    entries = {"b.png": bytes(30_000_000), **{f"{i}.bmp": os.urandom(400_000) for i in range(3)}}
    with one_line("zip bomb"):
        intake.from_zip(zipped(entries, zipfile.ZIP_DEFLATED), "bomb.zip", data_folder)


def test_a_zip_too_large_is_refused(data_folder):
    choose("max_zip_gigabytes = 0.000001")
    with one_line("at most 1e-06 GB unpacked", "max_zip_gigabytes"):
        intake.from_zip(zipped({"a.png": PNG[0]}), "a.zip", data_folder)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "no whole zip"),
        (b"this is text", "no whole zip"),
        (zipped({"a.png": PNG[0]}).getvalue()[:-30], "no whole zip"),
        (zipped({}).getvalue(), "images in a.zip, got none. Parallax reads JPEG"),
        (zipped({"a.txt": b"hello"}).getvalue(), "images in a.zip, got none among 1 files"),
    ],
)
def test_a_zip_without_pictures_is_an_error_of_one_line(data_folder, content, part):
    with one_line(part):
        intake.from_zip(io.BytesIO(content), "a.zip", data_folder)


def damaged(entries, name):
    """A zip in which one entry's bytes are overwritten."""
    content = bytearray(zipped(entries, zipfile.ZIP_DEFLATED).getvalue())
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        start = archive.getinfo(name).header_offset + 30 + len(name)
    content[start : start + 40] = bytes([0x5A] * 40)
    return io.BytesIO(bytes(content))


def encrypted(entries, name):
    """A zip in which one entry says that it is encrypted, in both of its headers."""
    content = bytearray(zipped(entries).getvalue())
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        offset = archive.getinfo(name).header_offset
    content[offset + 6] |= 1
    directory = content.rindex(name.encode()) - 46
    content[directory + 8] |= 1
    return io.BytesIO(bytes(content))


@pytest.mark.parametrize(("spoil", "reason"), [(damaged, "b.png, which is damaged"), (encrypted, "without a password")])
def test_one_bad_entry_is_left_out_and_the_rest_kept(data_folder, spoil, reason):
    images = intake.from_zip(spoil({"a.png": PNG[0], "b.png": PNG[1], "c.png": PNG[2]}, "b.png"), "z.zip", data_folder)
    assert images.names == ("a.png", "c.png")
    assert reason in reasons(images)["b.png"]
    assert "\n" not in reasons(images)["b.png"]


def test_no_damage_to_a_zip_ends_in_anything_but_one_line(data_folder):
    whole = zipped({f"{'ab'[i % 2]}/{i}.png": PNG[i] for i in range(4)}, zipfile.ZIP_DEFLATED).getvalue()
    rng = np.random.default_rng(0)
    for _ in range(150):
        content = bytearray(whole)
        for position in rng.integers(0, len(whole), rng.integers(1, 20)):
            content[position] = rng.integers(0, 256)
        with contextlib.suppress(InputError):
            images = intake.from_zip(io.BytesIO(bytes(content)), "a.zip", data_folder)
            assert all("\n" not in line for line in reasons(images).values())


# Folders


def test_a_folder_is_read_where_it_lies(tmp_path, data_folder):
    folder = write(tmp_path / "pets", {"cat/1.PNG": PNG[0], "dog/deep/2.png": PNG[1], "notes.txt": "x"})
    images = intake.from_folder(folder, data_folder)
    assert (images.name, images.names) == ("pets", ("cat/1.PNG", "dog/deep/2.png"))
    assert images.labels == ("cat", "deep")
    assert images.paths[0] == folder / "cat/1.PNG"
    assert not (data_folder / "images").exists()


def test_a_second_visit_reads_only_what_changed(tmp_path, data_folder, monkeypatch):
    folder = write(tmp_path / "pets", {"cat/1.png": PNG[0], "dog/2.png": PNG[1], "bad.png": "text"})
    first = intake.from_folder(folder, data_folder)
    read = []
    decode = intake.decode
    monkeypatch.setattr(intake, "decode", lambda content, name: read.append(name) or decode(content, name))
    again = intake.from_folder(folder, data_folder)
    assert (again.ids, again.labels, reasons(again)) == (first.ids, first.labels, reasons(first))
    assert read == ["bad.png"]
    write(folder, {"cat/1.png": PNG[2], "ant/3.png": PNG[3]})
    changed = intake.from_folder(folder, data_folder)
    assert set(changed.ids) == {image_id(PNG[i]) for i in (1, 2, 3)}
    assert sorted(read[1:]) == ["ant/3.png", "bad.png", "cat/1.png"]


@pytest.mark.parametrize(
    "files",
    [
        {"a.png": PNG[0], "b.png": PNG[0], "c.png": PNG[0]},
        {"cat/a.png": PNG[0], "dog/a.png": PNG[0], "masks/cat/a.png": encoded(picture(20, 30)[..., 0] > 99)},
        {"a.tif": encoded(picture(20, 30), "TIFF"), "b/@eaDir/a.png": PNG[1], "c.png": PNG[1]},
    ],
)
def test_a_second_visit_reads_no_file_again(tmp_path, data_folder, monkeypatch, files):
    first = intake.from_folder(write(tmp_path / "pets", files), data_folder)
    memory, read = data_folder / "image-sets", Path.read_bytes
    monkeypatch.setattr(
        Path,
        "read_bytes",
        lambda path: read(path) if path.is_relative_to(memory) else pytest.fail(f"{path} was read"),
    )
    again = intake.from_folder(tmp_path / "pets", data_folder)
    assert (again.digest, again.names, again.skipped) == (first.digest, first.names, first.skipped)


def test_a_visit_that_was_stopped_is_not_begun_again(tmp_path, data_folder, monkeypatch):
    files = {f"{n:02d}.bmp": encoded(picture(2, 3, seed=n), "BMP") for n in range(70)}
    folder = write(tmp_path / "pets", files)

    def stop(done, total):
        if done > 32:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        intake.from_folder(folder, data_folder, stop)
    read = []
    decode = intake.decode
    monkeypatch.setattr(intake, "decode", lambda content, name: read.append(name) or decode(content, name))
    assert len(intake.from_folder(folder, data_folder)) == 70
    assert len(read) == 70 - 64


def test_a_spoilt_memory_of_a_folder_is_no_harm(tmp_path, data_folder):
    folder = write(tmp_path / "pets", {"1.png": PNG[0]})
    first = intake.from_folder(folder, data_folder)
    for memory in (data_folder / "image-sets").glob("folder-*.parquet"):
        memory.write_bytes(b"half")
    assert intake.from_folder(folder, data_folder).ids == first.ids


def test_a_csv_in_the_folder_speaks_before_the_subfolders(tmp_path, data_folder):
    table = "filename,class_name\ncat/1.png,tabby\n2.png,pug\n"
    folder = write(tmp_path / "pets", {"labels.csv": table, "cat/1.png": PNG[0], "dog/2.png": PNG[1]})
    assert intake.from_folder(folder, data_folder).labels == ("tabby", "pug")


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        (b"one,two\n8,9\n", "labels.csv with one, two. Rename its columns"),
        (b"", "labels.csv, which is empty"),
        (b'file,label\n"a.png,x\n', "labels.csv, which breaks off (line 2: unexpected end of data)"),
        (b"file,label\na.png,M\x81dchen\n", "labels.csv in another encoding. Save it again as CSV UTF-8"),
        (b"\xff\xfef\0i\0l\0e\0,\0\0\xd8", "labels.csv in another encoding"),
        (b"cat/1.png,cat,3\ndog/2.png,dog,5\n", "2 columns that may be labels"),
    ],
)
def test_a_csv_that_says_nothing_costs_the_labels_but_no_picture(tmp_path, data_folder, table, reason):
    folder = write(tmp_path / "pets", {"labels.csv": table, "cat/1.png": PNG[0], "dog/2.png": PNG[1]})
    images = intake.from_folder(folder, data_folder)
    assert images.labels == ("cat", "dog")
    assert reason in reasons(images)["labels.csv"]
    assert reasons(images)["labels.csv"].startswith("Expected a CSV")


def test_csv_cells_are_read_as_they_stand():
    table = read_table(b"Label , FILE\nnone,a.png\nNA, b.png \n007,c.png\n", "l.csv", {"a.png"}.__contains__)
    assert table.rows == [("a.png", {"label": "none"}), ("b.png", {"label": "NA"}), ("c.png", {"label": "007"})]


def test_a_folder_that_is_not_there_or_holds_no_picture_is_an_error_of_one_line(tmp_path, data_folder):
    with one_line("a folder on the server", "nowhere, which is not there", "not your computer's"):
        intake.from_folder(tmp_path / "nowhere", data_folder)
    with one_line("images in", "got none", "JPEG"):
        intake.from_folder(write(tmp_path / "texts", {"a.txt": "x"}), data_folder)
    write(tmp_path, {"file.png": PNG[0]})
    with one_line("a folder on the server"):
        intake.from_folder(tmp_path / "file.png", data_folder)


def test_a_large_set_stays_a_small_table(data_folder):
    files = [(f"{i}.bmp", io.BytesIO(encoded(picture(2, 3, seed=i), "BMP"))) for i in range(300)]
    images = intake.from_files(files, data_folder)
    assert len(images) == 300
    assert isinstance(images.table, pd.DataFrame)
    assert images.names == tuple(name for name, _ in files)
