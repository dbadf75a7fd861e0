import io
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from images.image_set import ImageSet, Skipped, image_id, to_jpeg
from images.intake import from_folder
from tests.images.test_intake import write
from tests.makers import encoded, one_line, picture


@pytest.fixture
def images(tmp_path):
    rows = []
    for index, label in enumerate(["cat", None, "ant", "cat"]):
        content = encoded(picture(30 + index, 50, seed=index))
        path = tmp_path / f"{index}.png"
        path.write_bytes(content)
        row = {"id": image_id(content), "path": str(path), "name": path.name, "label": label, "note": ""}
        rows.append(row)
    return ImageSet("four", pd.DataFrame(rows), (Skipped("x.txt", "no picture"),))


def test_a_set_says_what_is_in_it(images):
    assert (len(images), images.classes, images.labels) == (4, ("ant", "cat"), ("cat", None, "ant", "cat"))
    assert images.index(images.ids[2]) == 2
    assert images.ids[1] in images
    assert "0123456789abcdef" not in images
    with pytest.raises(KeyError):
        images.index("0123456789abcdef")


def test_pictures_are_read_when_they_are_asked_for(images):
    np.testing.assert_array_equal(images.image(2), picture(32, 50, seed=2))


def test_thumbnails_are_small_jpegs(images):
    thumbnail = Image.open(io.BytesIO(images.thumbnail(0, side_px=20)))
    assert (thumbnail.format, thumbnail.size) == ("JPEG", (20, 12))
    assert Image.open(io.BytesIO(to_jpeg(picture(30, 50)))).size == (50, 30)


def test_a_set_is_found_again_as_it_was(images, tmp_path):
    again = ImageSet.read(images.save(tmp_path / "sets"))
    assert (again.name, again.ids, again.labels, again.skipped) == ("four", images.ids, images.labels, images.skipped)
    assert again.digest == images.digest
    assert not list((tmp_path / "sets").glob("*.partial"))


def test_a_set_without_labels_is_found_again_too(images, tmp_path):
    bare = ImageSet("bare", images.table.assign(label=None))
    assert ImageSet.read(bare.save(tmp_path / "sets")).labels == (None,) * 4


def test_the_digest_stands_for_pictures_labels_and_order(images):
    relabelled = ImageSet("four", images.table.assign(label="cat"))
    assert len({images.digest, relabelled.digest, images.take([3, 2, 1, 0]).digest, images.take([0]).digest}) == 4
    assert ImageSet("another name", images.table).digest == images.digest


def test_some_pictures_of_a_set_are_a_set(images):
    some = images.take([2, 0], "some")
    assert (some.name, some.names, some.labels) == ("some", ("2.png", "0.png"), ("ant", "cat"))
    np.testing.assert_array_equal(some.image(0), images.image(2))


def test_a_file_that_has_gone_is_an_error_of_one_line(images):
    images.paths[1].unlink()
    with one_line("the file of 1.png", "Put it back"):
        images.image(1)


# Files that change


@pytest.fixture
def kept(tmp_path, data_folder):
    """Three images of a server folder, one with a mask."""
    entries = {f"{n}.png": encoded(picture(20, 30, seed=n)) for n in range(3)}
    entries["masks/0.png"] = encoded(Image.fromarray(np.eye(20, 30) > 0))
    return from_folder(write(tmp_path / "set", entries), data_folder)


def test_another_image_in_a_files_place_is_not_taken_for_it(kept):
    for index, content in ((0, encoded(picture(20, 30, seed=7))), (1, encoded(picture(9, 9))), (2, b"text")):
        kept.paths[index].write_bytes(content)
        assert not kept.can_be_read(index)
        with one_line(f"{index}.png"):
            kept.image(index)
    with one_line("0.png as it was added", "another image at", "add the images again"):
        kept.image(0)


def test_nor_is_one_of_the_same_size_and_time(kept):
    status, content = kept.paths[0].stat(), encoded(picture(20, 30, seed=7))
    kept.paths[0].write_bytes(content[: status.st_size].ljust(status.st_size, b"\0"))
    os.utime(kept.paths[0], ns=(status.st_atime_ns, status.st_mtime_ns))
    assert kept.paths[0].stat().st_size == status.st_size
    assert not kept.can_be_read(0)


def test_a_file_that_was_only_copied_or_touched_is_the_same(kept):
    for path, time_s in zip(kept.paths, (0, 10**9, 2 * 10**9), strict=True):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
        os.utime(path, (time_s, time_s))
    for index in range(3):
        assert kept.can_be_read(index)
        np.testing.assert_array_equal(kept.image(index), picture(20, 30, seed=index))


def test_a_file_that_did_not_change_is_read_once_and_checked_without_reading(kept, monkeypatch):
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    assert kept.can_be_read(0)


def test_sets_of_former_versions_are_checked_by_content(kept):
    old = ImageSet("old", kept.table.drop(columns="stamp"))
    assert old.can_be_read(1)
    old.paths[1].write_bytes(encoded(picture(20, 30, seed=8)))
    assert not old.can_be_read(1)


def test_another_mask_in_a_files_place_is_not_taken_for_it(kept):
    assert kept.mask(0, "mask").sum() == 20
    Path(kept.table["mask:mask"][0]).write_bytes(encoded(Image.fromarray(np.eye(20, 30) == 0)))
    with one_line("the mask of 0.png as it was added", "another at"):
        kept.mask(0, "mask")


def test_a_locked_file_is_an_error_of_one_line(kept, monkeypatch):
    def locked(path):
        raise PermissionError(13, "Permission denied")

    os.utime(kept.paths[0], (0, 0))
    monkeypatch.setattr(Path, "read_bytes", locked)
    with one_line("the file of 0.png", "Permission denied"):
        kept.image(0)
