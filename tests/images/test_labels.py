"""Labels: every way in which people write a table is read, or what is not used of it is said; folders give the rest."""

import io
import os
import unicodedata

import pytest

from images import intake
from images.paths import PathIndex
from tests.images.test_intake import reasons, write, zipped
from tests.makers import encoded, picture

PNG = [encoded(picture(20, 30, seed=seed)) for seed in range(6)]
FILES = {"cat/a.png": PNG[0], "dog/b.png": PNG[1], "dog/Größe 3.png": PNG[2]}
PLAIN = "file,label\ncat/a.png,tabby\ndog/b.png,pug\ndog/Größe 3.png,poodle\n"
ALL = ("tabby", "poodle", "pug")


def labelled(tmp_path, data_folder, table, files=FILES, name="labels.csv"):
    """The image set of a folder with a table in it."""
    return intake.from_folder(write(tmp_path / "pets", {**files, name: table}), data_folder)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("labels.csv", PLAIN.replace("\n", ",\n")),
        ("labels.csv", PLAIN.replace("label\n", "label,\n")),
        ("labels.csv", PLAIN.replace(",", ";").replace("\n", "\r\n")),
        ("labels.tsv", PLAIN.replace(",", "\t")),
        ("labels.csv", PLAIN.replace(",", "|")),
        ("labels.csv", "sep=;\n" + PLAIN.replace(",", ";")),
        ("labels.csv", PLAIN.encode("cp1252")),
        ("labels.csv", PLAIN.encode("utf-16")),
        ("labels.csv", PLAIN.encode("utf-16-le")),
        ("labels.csv", PLAIN.encode("utf-8-sig")),
        ("labels.csv", PLAIN.replace("file,label", '"file","label"').replace("tabby", '"tabby"')),
        ("labels.csv", PLAIN.partition("\n")[2]),
        ("labels.csv", "".join(f"{n},{line}\n" for n, line in enumerate(PLAIN.splitlines()[1:]))),
        ("labels.csv", ",file,label\n" + "".join(f"{n},{line}\n" for n, line in enumerate(PLAIN.splitlines()[1:]))),
        ("labels.csv", PLAIN.replace("file,label", "Image Path,class_id")),
        ("labels.csv", PLAIN.replace("file,label", "imageFile,ClassId")),
        ("labels.csv", PLAIN.replace("file,label", "bild,Klasse")),
        ("labels.csv", PLAIN.replace("/", "\\")),
        ("labels.csv", PLAIN.replace("cat/", "data/pets/cat/").replace("dog/", "data/pets/dog/")),
        ("labels.csv", PLAIN.replace("cat/", "C:\\Users\\me\\cat\\").replace("dog/", "/home/me/dog/")),
        ("labels.csv", PLAIN.replace("cat/", "").replace("dog/", "")),
        ("labels.csv", PLAIN.replace("cat/a.png", "CAT/A.PNG").replace("Größe", "GRÖSSE")),
        ("labels.csv", PLAIN.replace(".png", "")),
        ("labels.csv", unicodedata.normalize("NFD", PLAIN)),
        ("meta/labels.csv", PLAIN),
        ("meta/labels.csv", PLAIN.replace("cat/", "../cat/")),
        ("labels.csv", PLAIN + "\n\n" + "cat/a.png,tabby\n"),
        ("labels.csv", PLAIN.replace("file", "id,file").replace("cat/", "7,cat/").replace("dog/", "8,dog/")),
    ],
)
def test_a_table_is_read_however_it_is_written(tmp_path, data_folder, name, table):
    images = labelled(tmp_path, data_folder, table, name=name)
    assert images.labels == ALL
    n_rows = 4 if str(table).count("tabby") == 2 else 3
    assert images.remarks[0].startswith(f"{name}: {n_rows} of {n_rows} rows used")
    assert images.remarks[1] == "Labels: 3 from tables, 0 from folders, 0 without."
    assert not images.skipped


def test_how_a_table_was_understood_is_said(tmp_path, data_folder):
    table = PLAIN.replace("file,label", "image_path,class_id").encode("cp1252")
    remark = labelled(tmp_path, data_folder, table).remarks[0]
    assert "read as Windows-1252" in remark
    assert "labels from its column 'class_id'" in remark
    table = PLAIN.replace("file,label", "file,owner")
    images = labelled(tmp_path, data_folder, table)
    assert "no column of labels (call it 'label')" in images.remarks[0]
    assert images.labels == ("cat", "dog", "dog")
    assert images.metadata["owner"].tolist() == list(ALL)


def test_the_only_column_that_speaks_of_labels_is_taken_and_numbers_of_pandas_are_whole(tmp_path, data_folder):
    table = "Image Index,Finding Labels,Age\ncat/a.png,1.0,4.0\ndog/b.png,0.0,\nGröße 3.png,,7.0\n"
    images = labelled(tmp_path, data_folder, table)
    assert images.labels == ("1", "dog", "0")
    assert "3 of 3 rows used, labels from its column 'Finding Labels'" in images.remarks[0]
    assert images.metadata["Age"].tolist()[:2] == ["4.0", "7.0"]


def test_which_folders_are_classes_is_said_where_others_lie_around_them(tmp_path, data_folder):
    files = {"cat/monday/1.png": PNG[0], "cat/friday/2.png": PNG[1], "dog/monday/3.png": PNG[2]}
    images = intake.from_folder(write(tmp_path / "pets", files), data_folder)
    assert images.labels == ("friday", "monday", "monday")
    assert images.remarks == ("Classes are the innermost folders, not those around them (cat, dog).",)
    split = {"train/cat/1.png": PNG[0], "val/dog/2.png": PNG[1]}
    assert not intake.from_folder(write(tmp_path / "split", split), data_folder).remarks


def test_numbers_behind_the_files_are_labels_and_before_them_a_count(tmp_path, data_folder):
    table = "cat/a.png,0\ndog/b.png,1\nGröße 3.png,2\n"
    assert labelled(tmp_path, data_folder, table).labels == ("0", "2", "1")
    table = "1,cat/a.png\n2,dog/b.png\n3,Größe 3.png\n"
    images = labelled(tmp_path, data_folder, table)
    assert images.labels == ("cat", "dog", "dog")
    assert "got labels.csv, which has none, and 0 columns" in reasons(images)["labels.csv"]


def test_a_table_of_some_images_leaves_the_rest_to_the_folders(tmp_path, data_folder):
    images = labelled(tmp_path, data_folder, "file,label\nb.png,pug\ncat/a.png,\n")
    assert images.labels == ("cat", "dog", "pug")
    assert "2 of 2 rows used" in images.remarks[0]
    assert images.remarks[1] == "Labels: 1 from tables, 2 from folders, 0 without."
    assert "folder has another name: dog/b.png (pug)" in images.remarks[2]


def test_rows_that_are_not_used_are_counted_and_named(tmp_path, data_folder):
    table = "file,label\ncat/a.png,tabby\ngone.png,x\ndog/b.png,red, large\n1.png,y\n,z\nother/b.png,wolf\n"
    files = {**FILES, "cat/1.png": PNG[3], "dog/1.png": PNG[4]}
    images = labelled(tmp_path, data_folder, table, files)
    assert images.labels == ("cat", "tabby", "dog", "dog", "dog")
    remark = images.remarks[0]
    assert remark.startswith("labels.csv: 1 of 6 rows used.")
    assert "1 that cannot be read, line 4 has 3 cells for 2 columns" in remark
    assert "3 with no image here, such as gone.png" in remark
    assert "1 that may mean several images, such as 1.png (cat/1.png or dog/1.png)" in remark


def test_rows_for_another_folder_of_the_same_names_are_not_taken(tmp_path, data_folder):
    table = "file,label\ntrain/a.png,cat\nval/a.png,dog\ntrain/b.png,ant\n"
    images = intake.from_zip(zipped({"val/a.png": PNG[0], "labels.csv": table}), "set.zip", data_folder)
    assert images.labels == ("dog",)
    folder = write(tmp_path / "val", {"a.png": PNG[0], "labels.csv": table})
    images = intake.from_folder(folder, data_folder)
    assert images.labels == ("dog",)
    assert "1 of 3 rows used" in images.remarks[0]


def test_two_labels_of_one_image_are_none_and_it_is_named(tmp_path, data_folder):
    table = "file,label,age\ncat/a.png,tabby,3\ncat/a.png,lion,3\ndog/b.png,Pug,4\ndog/b.png,pug,5\n"
    images = labelled(tmp_path, data_folder, table, {"cat/a.png": PNG[0], "dog/b.png": PNG[1]})
    assert images.labels == (None, "pug")
    assert images.metadata["age"].tolist()[0] == "3"
    assert any("so they count as having none: cat/a.png (tabby or lion)" in line for line in images.remarks)
    assert any("differ in age" in line for line in images.remarks)


def test_the_same_image_in_two_class_folders_has_no_label(tmp_path, data_folder):
    files = {"cat/a.png": PNG[0], "dog/z.png": PNG[0], "dog/b.png": PNG[1], "dog/copy of b.png": PNG[1]}
    images = intake.from_folder(write(tmp_path / "pets", files), data_folder)
    assert dict(zip(images.names, images.labels, strict=True)) == {"cat/a.png": None, "dog/b.png": "dog"}
    assert images.remarks == ("More than one label, so they count as having none: cat/a.png (cat or dog).",)
    assert reasons(images)["dog/z.png"] == "The same image as cat/a.png."


def test_a_row_for_a_copy_counts_for_the_image(data_folder):
    table = b"file,label\nsecond.png,cat\n"
    files = [("first.png", PNG[0]), ("second.png", PNG[0]), ("labels.csv", table)]
    images = intake.from_files([(name, io.BytesIO(content)) for name, content in files], data_folder)
    assert (images.names, images.labels) == (("first.png",), ("cat",))


def test_one_class_folder_is_a_class_but_not_what_was_chosen(tmp_path, data_folder):
    files = {"cat/a.png": PNG[0], "cat/b.png": PNG[1]}
    assert intake.from_folder(write(tmp_path / "pets", files), data_folder).labels == ("cat", "cat")
    assert intake.from_folder(tmp_path / "pets" / "cat", data_folder).labels == (None, None)
    inside = {f"pets/{name}": content for name, content in files.items()}
    assert intake.from_zip(zipped(inside), "z.zip", data_folder).labels == ("cat", "cat")
    assert intake.from_zip(zipped(files), "z.zip", data_folder).labels == (None, None)
    uploaded = [(name, io.BytesIO(content)) for name, content in inside.items()]
    assert intake.from_files(uploaded, data_folder).labels == ("cat", "cat")


def test_accents_of_a_folder_are_spelt_in_one_way(tmp_path, data_folder):
    files = {unicodedata.normalize("NFD", "Käfer/a.png"): PNG[0], "Käfer/b.png": PNG[1], "Biene/c.png": PNG[2]}
    images = intake.from_folder(write(tmp_path / "pets", files), data_folder)
    assert images.classes == ("Biene", unicodedata.normalize("NFC", "Käfer"))


def test_many_rows_are_found_at_once():
    names = [f"{n % 100}/image {n // 100}.png" for n in range(20_000)]
    index = PathIndex(names)
    assert [index.find(f"data/{name}").names for name in names] == [[name] for name in names]
    assert len(index.find("image 7.png").names) == 100
    same = PathIndex([f"{n}/image.png" for n in range(20_000)])
    assert all(len(same.find("image.png").names) > 1 for _ in range(20_000))


@pytest.mark.skipif(os.name == "nt", reason="names of that kind are no files there")
def test_of_two_names_that_differ_by_case_the_exact_one_is_meant(tmp_path, data_folder):
    files = {"A.png": PNG[0], "a.png": PNG[1], "a.jpg": PNG[2]}
    images = labelled(tmp_path, data_folder, "file,label\na.png,low\nA.png,high\na.jpg,other\na,none\n", files)
    assert images.labels == ("high", "other", "low")
    assert "may mean several images, such as a (" in images.remarks[0]


@pytest.mark.parametrize("pair", [("a_b", "a b"), ("n90000001_crane", "n90000002_crane"), ("x__y", "x_y")])
def test_classes_that_would_become_one_when_made_plain_stay_two(data_folder, pair):
    files = [(f"{name}/{n}.png", io.BytesIO(encoded(picture(8, 8, n)))) for n, name in enumerate(pair)]
    assert intake.from_files(files, data_folder).classes == tuple(sorted(pair))
    table = ("labels.csv", io.BytesIO("file,label\n0.png,{}\n1.png,{}\n".format(*pair).encode()))
    flat = [(f"{n}.png", io.BytesIO(encoded(picture(8, 8, n)))) for n in range(2)]
    assert intake.from_files([*flat, table], data_folder).classes == tuple(sorted(pair))
