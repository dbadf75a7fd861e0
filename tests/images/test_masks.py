"""Masks on their way in: what counts as inside, which image a mask belongs to, and what is said of those left out."""

import io

import numpy as np
import pytest
from PIL import Image

from images import intake
from images.decoding import decode_mask
from images.image_set import ImageSet
from images.paintings import DEMO, demo_image_set
from tests.images.test_intake import reasons, write, zipped
from tests.makers import encoded, one_line, picture

PNG = [encoded(picture(20, 30, seed=seed)) for seed in range(4)]
INSIDE = np.zeros((20, 30), dtype=bool)
INSIDE[4:9, 10:25] = True


def saved(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


MASK = saved(Image.fromarray(INSIDE))


def grey(value: int, dtype=np.uint8) -> Image.Image:
    return Image.fromarray(INSIDE.astype(dtype) * dtype(value))


def palette() -> Image.Image:
    image = grey(1).copy()
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image


def cut_out() -> Image.Image:
    image = Image.new("RGBA", (30, 20), (0, 0, 0, 0))
    image.putalpha(grey(255))
    return image


@pytest.mark.parametrize(
    "content",
    [
        MASK,
        saved(grey(255)),
        saved(grey(1)),
        saved(grey(7)),
        saved(grey(40_000, np.uint16)),
        saved(grey(255).convert("RGB")),
        saved(grey(255).convert("RGBA")),
        saved(palette()),
        saved(cut_out()),
        saved(grey(255), "JPEG", quality=95),
        saved(grey(255), "WEBP", quality=90),
        saved(grey(1), "GIF"),
    ],
    ids=["1-bit", "255", "1", "class", "16-bit", "RGB", "RGBA", "palette", "cut-out", "JPEG", "WebP", "GIF"],
)
def test_what_is_not_black_or_not_transparent_is_inside(content):
    mask = decode_mask(content)
    assert mask.dtype == bool
    assert np.array_equal(mask, INSIDE)


def test_a_mask_that_is_no_image_is_refused_in_one_line():
    with one_line("an image", "a.png, which holds something else"):
        decode_mask(b"text", "a.png")


def kinds_of(images: ImageSet) -> list[set[str]]:
    return [set(kinds) for kinds in images.mask_ids]


@pytest.mark.parametrize(
    ("names", "mask", "image", "kind"),
    [
        (["cat/1.jpg", "dog/1.jpg"], "masks/cat/1.png", "cat/1.jpg", "mask"),
        (["cat/1.jpg", "dog/2.jpg"], "masks/1.png", "cat/1.jpg", "mask"),
        (["cat/1.jpg", "dog/1.jpg"], "masks/mark/dog/1.png", "dog/1.jpg", "mark"),
        (["1.jpg", "2.jpg"], "masks/mark/2.png", "2.jpg", "mark"),
        (["set/images/cat/1.jpg", "set/images/dog/1.jpg"], "set/masks/cat/1.png", "set/images/cat/1.jpg", "mask"),
        (["train/1.jpg", "val/1.jpg"], "val/masks/1.png", "val/1.jpg", "mask"),
        (["1.jpg", "cat/1.jpg"], "Masks/1.jpg", "1.jpg", "mask"),
    ],
)
def test_a_mask_folder_names_images_by_their_paths_or_stems(tmp_path, data_folder, names, mask, image, kind):
    folder = write(tmp_path / "set", {**dict(zip(names, PNG, strict=False)), mask: MASK})
    images = intake.from_folder(folder, data_folder)
    assert images.names == tuple(sorted(names))
    assert not images.skipped
    assert images.mask_kinds == (kind,)
    for index, name in enumerate(images.names):
        found = images.mask(index, kind)
        assert (found is None) == (name != image)
    assert np.array_equal(images.mask(images.names.index(image), kind), INSIDE)


def test_files_a_zip_and_a_folder_give_the_same_masks(tmp_path, data_folder):
    table = "file,label,mask,mask_mark,camera\na.png,cat,m/a.png,,Leica\nb.png,dog,,m/b.png,\n"
    entries = {"a.png": PNG[0], "b.png": PNG[1], "labels.csv": table, "m/a.png": MASK, "m/b.png": saved(grey(1))}
    files = [(name, io.BytesIO(text if isinstance(text, bytes) else text.encode())) for name, text in entries.items()]
    sets = [
        intake.from_folder(write(tmp_path / "set", entries), data_folder),
        intake.from_zip(zipped(entries), "set.zip", data_folder),
        intake.from_files(files, data_folder),
    ]
    for images in sets:
        assert images.names == ("a.png", "b.png")
        assert not images.skipped
        assert kinds_of(images) == [{"mask"}, {"mark"}]
        assert np.array_equal(images.mask(1, "mark"), INSIDE)
        assert images.mask(1, "mask") is images.mask(0, "nothing") is None
        assert images.metadata["camera"].tolist()[0] == "Leica"
        assert images.metadata.notna()["camera"].tolist() == [True, False]
    assert len({images.digest for images in sets}) == 1
    again = ImageSet.read(data_folder / "image-sets" / f"{sets[0].digest}.parquet")
    assert (again.digest, kinds_of(again)) == (sets[0].digest, kinds_of(sets[0]))
    assert again.take([1]).mask_kinds == ("mark",)


def test_an_uploaded_directory_has_its_name_and_an_order_of_its_own(data_folder):
    entries = {"pets/dog/2.png": PNG[1], "pets/masks/cat/1.png": MASK, "pets/cat/1.png": PNG[0], "pets/.DS_Store": b"x"}
    images = intake.from_files([(name, io.BytesIO(content)) for name, content in entries.items()], data_folder)
    assert (images.name, images.names) == ("pets", ("pets/cat/1.png", "pets/dog/2.png"))
    assert images.labels == ("cat", "dog")
    assert reasons(images).keys() == {"pets/.DS_Store"}
    assert kinds_of(images) == [{"mask"}, set()]


def test_a_column_called_mask_that_names_no_files_is_metadata(tmp_path, data_folder):
    entries = {"a.png": PNG[0], "labels.csv": "file,label,mask,mask_area\na.png,cat,yes,0.3\n"}
    images = intake.from_folder(write(tmp_path / "set", entries), data_folder)
    assert images.mask_kinds == images.skipped == ()
    assert images.metadata.to_dict("list") == {"mask": ["yes"], "mask_area": ["0.3"]}


def test_a_mask_that_cannot_be_used_gets_one_line_and_the_images_stay(tmp_path, data_folder):
    entries = {
        "labels.csv": "file,mask\na.png,gone.png\n",
        "a.png": PNG[0],
        "cat/b.png": PNG[1],
        "dog/b.png": PNG[2],
        "masks/a.png": encoded(picture(10, 30)),
        "masks/b.png": MASK,
        "masks/c.png": MASK,
        "masks/cat/b.npy": b"\x93NUMPY",
        "masks/mark/dog/b.png": MASK,
        "masks/mark/dog/b.gif": saved(grey(1), "GIF"),
    }
    images = intake.from_folder(write(tmp_path / "set", entries), data_folder)
    assert images.names == ("a.png", "cat/b.png", "dog/b.png")
    said = reasons(images)
    assert said.keys() == {
        "gone.png",
        "masks/a.png",
        "masks/b.png",
        "masks/c.png",
        "masks/cat/b.npy",
        "masks/mark/dog/b.png",
    }
    assert "Expected the mask of a.png, got no such file" in said["gone.png"]
    assert "Expected a mask of 30 × 20 pixels, as a.png has, got 30 × 10 pixels" in said["masks/a.png"]
    assert "got several (cat/b.png, dog/b.png)" in said["masks/b.png"]
    assert "got none. Name the mask like its image" in said["masks/c.png"]
    assert "holds something else" in said["masks/cat/b.npy"]
    assert "masks/mark/dog/b.gif too" in said["masks/mark/dog/b.png"]
    assert all("\n" not in line for line in said.values())
    assert kinds_of(images) == [set(), set(), {"mark"}]


def test_a_folder_of_masks_alone_holds_no_images(tmp_path, data_folder):
    with one_line("images in", "1 in a folder of masks"):
        intake.from_folder(write(tmp_path / "set", {"masks/a.png": MASK}), data_folder)


def test_the_digest_stands_for_the_masks_too(tmp_path, data_folder):
    folder = write(tmp_path / "set", {"a.png": PNG[0], "b.png": PNG[1]})
    bare = intake.from_folder(folder, data_folder)
    write(folder, {"masks/a.png": MASK})
    masked = intake.from_folder(folder, data_folder)
    write(folder, {"masks/a.png": saved(Image.fromarray(~INSIDE))})
    changed = intake.from_folder(folder, data_folder)
    assert len({bare.digest, masked.digest, changed.digest}) == 3
    assert np.array_equal(changed.mask(0, "mask"), ~INSIDE)
    assert masked.take([1]).digest == bare.take([1]).digest


def test_a_mask_that_has_gone_is_an_error_of_one_line(tmp_path, data_folder):
    folder = write(tmp_path / "set", {"a.png": PNG[0], "masks/a.png": MASK})
    images = intake.from_folder(folder, data_folder)
    (folder / "masks/a.png").unlink()
    with one_line("the mask of a.png", "Put it back"):
        images.mask(0, "mask")


# The demo


def test_the_demo_is_a_folder_that_anybody_might_have(data_folder):
    images = demo_image_set(data_folder)
    assert (len(images), images.name, images.skipped) == (360, "paintings", ())
    assert images.mask_kinds == ("signature", "subject")
    assert images.metadata.columns.tolist() == ["signed", "hard"]
    assert images.paths[0].is_relative_to(DEMO)
