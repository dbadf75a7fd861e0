import json
from pathlib import Path

import pytest
import torchvision

from common.class_names import imagenet_names
from common.class_names_file import parse_class_names
from tests.makers import one_line

THREE = ("cat", "dog", "hen")


@pytest.mark.parametrize(
    "text",
    [
        "cat\ndog\nhen",
        "\ufeffcat\r\ndog\r\n\r\nhen\r\n",
        json.dumps(THREE),
        json.dumps({"0": "cat", "1": "dog", "2": "hen"}),
        json.dumps({"2": "hen", "10": "x", "0": "cat", "1": "dog"} | {str(i): f"c{i}" for i in range(3, 10)}),
        json.dumps({"hen": 2, "cat": 0, "dog": 1}),
        json.dumps({"0": ["n1", "cat"], "1": ["n2", "dog"], "2": ["n3", "hen"]}),
        "{0: 'cat',\n 1: 'dog',\n 2: 'hen'}",
    ],
)
def test_class_names_are_read_however_they_are_written(text):
    names = parse_class_names(text, 11 if "c3" in text else 3)
    assert names[:3] == THREE


def test_lists_of_wordnet_ids_get_names():
    assert parse_class_names("n01440764\nn02102040\n", 2) == ("tench", "English springer")
    assert parse_class_names("n01440764 tench, Tinca tinca\nn01443537 goldfish", 2) == ("tench", "goldfish")


def test_names_that_occur_twice_get_their_index():
    assert parse_class_names("a\nb\na", 3) == ("a (0)", "b", "a (2)")


@pytest.mark.parametrize("text", ["cat\ndog", '["cat", "dog"]', '{"0": "cat", "1": "dog"}'])
def test_the_wrong_number_of_names_is_an_error_of_one_line(text):
    with one_line("5 class names, one for each output", "got 2", "belongs to this model"):
        parse_class_names(text, 5)


def test_one_name_too_many_may_be_the_background():
    with one_line("got 3", "background"):
        parse_class_names("background\ncat\ndog", 2)


def test_broken_lists_are_errors_of_one_line():
    with one_line("JSON with a mistake", "one name a line"):
        parse_class_names('["cat", "dog"', 2)
    with one_line("class numbers 0, 1, 2", "class 1"):
        parse_class_names('{"0": "cat", "2": "dog"}', 2)
    with one_line("index to class name"):
        parse_class_names('{"cat": "miaow", "dog": "woof"}', 2)
    with one_line("got 0"):
        parse_class_names("", 2)


def test_no_code_in_a_list_of_names_is_run(tmp_path):
    target = tmp_path / "made"
    with one_line("JSON with a mistake"):
        parse_class_names(f"[__import__('pathlib').Path({str(target)!r}).touch()]", 1)
    assert not Path(target).exists()


def test_torchvisions_list_in_a_file_is_the_one_that_heads_of_1000_get():
    categories = torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"]
    assert parse_class_names("\n".join(categories), 1000) == imagenet_names(1000)


@pytest.mark.parametrize(
    "text",
    [
        "0 cat\n1 dog\n2 hen",
        "0: cat\n1: dog\n2: hen",
        "0,cat\n1,dog\n2,hen",
        "2\then\n0\tcat\n1\tdog",
        "1. cat\n2. dog\n3. hen",
        "0) cat\n1) dog\n2) hen",
        "0 -> cat\n1 -> dog\n2 -> hen",
        "cat,0\ndog,1\nhen,2",
        "hen: 2\ndog: 1\ncat: 0",
        "name\ncat\ndog\nhen",
        "index,name\n0,cat\n1,dog\n2,hen",
        "class_name;class_id\nhen;2\ncat;0\ndog;1",
        "# classes of the farm\ncat\ndog\n# a bird\nhen\n",
        '"cat"\n"dog"\n"hen"',
        "'cat',\n'dog',\n'hen'",
        json.dumps([{"id": 2, "name": "hen"}, {"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]),
        json.dumps([{"id": i + 1, "name": name, "supercategory": "animal"} for i, name in enumerate(THREE)]),
        json.dumps([{"label": name} for name in THREE]),
        json.dumps({"model_type": "vit", "id2label": {"0": "cat", "1": "dog", "2": "hen"}, "label2id": {}}),
        json.dumps({"architecture": "resnet18", "num_classes": 3, "label_names": THREE}),
        json.dumps({"nc": 3, "names": THREE}),
        json.dumps({"class_to_idx": {"hen": 2, "dog": 1, "cat": 0}}),
        json.dumps({"1": "cat", "2": "dog", "3": "hen"}),
        "{'cat': 0, 'dog': 1, 'hen': 2}",
    ],
)
def test_numbers_and_remarks_are_no_part_of_a_name(text):
    assert parse_class_names(text, 3) == THREE


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("7 up\n3 musketeers\n1 lion", ("7 up", "3 musketeers", "1 lion")),
        ("1 euro\n2 euro", ("1 euro", "2 euro")),
        ("0\n1\n2", ("0", "1", "2")),
        ("name\nlabel", ("name", "label")),
        ("#1\n#2\n#3", ("#1", "#2", "#3")),
        ("type 0\ntype 1", ("type 0", "type 1")),
        ("red, large\nred, small", ("red, large", "red, small")),
        ('["3", "5", "8"]', ("3", "5", "8")),
        ('{"0": "5", "1": "7"}', ("5", "7")),
        ('{"0": 7, "1": 5}', ("7", "5")),
        ("[0, 1]", ("0", "1")),
    ],
)
def test_names_that_look_like_numbers_stay_names(text, names):
    assert parse_class_names(text, len(names)) == names


@pytest.mark.parametrize("folders", [["0", "1", "10", "2"], [str(n) for n in range(12)], ["100", "20", "3"]])
def test_class_folders_that_are_called_by_numbers_keep_the_order_of_their_indices(folders):
    text = json.dumps({name: index for index, name in enumerate(sorted(folders))})
    assert parse_class_names(text, len(folders)) == tuple(sorted(folders))


def test_numbers_that_can_be_read_in_two_ways_are_refused():
    with one_line("read in one way", "numbers on both sides", "one a line"):
        parse_class_names('{"0": 1, "1": 2, "2": 0}', 3)


@pytest.mark.parametrize("text", ['[["a"], ["b"]]', '[{"colour": "red"}]', '{"names": [{"x": 1}]}'])
def test_what_holds_no_names_is_an_error_of_one_line(text):
    with one_line("a list of class names", "one name a line"):
        parse_class_names(text, 2)
