import json
from pathlib import Path

import pytest
import torchvision
from timm.data import ImageNetInfo

from common.class_names import distinct, imagenet_names, name_key, parse_class_names, plain_name
from tests.makers import one_line


@pytest.mark.parametrize(
    ("label", "plain"),
    [
        ("n01443537_goldfish", "goldfish"),
        ("n01443537", "goldfish"),
        ("n01443537 goldfish, Carassius auratus", "goldfish"),
        ("still_life", "still life"),
        ("  sulphur-crested   cockatoo ", "sulphur-crested cockatoo"),
        ("jack-o'-lantern", "jack-o'-lantern"),
        ("n99999999_new_thing", "new thing"),
        ("n99999999", "n99999999"),
        ("night_1", "night 1"),
    ],
)
def test_labels_are_read_as_people_say_them(label, plain):
    assert plain_name(label) == plain


def test_spellings_of_one_class_have_one_key():
    assert len({name_key(name) for name in ("Tench", "tench, Tinca tinca", "n01440764_tench", "n01440764")}) == 1
    assert name_key("Granny_Smith") == name_key("granny smith")
    assert name_key("cat") != name_key("cattle")


def test_imagenets_namesakes_are_told_apart_by_their_ids():
    assert plain_name("n02012849_crane") == "crane bird"
    assert plain_name("n03126707_crane") == "crane"
    assert plain_name("n02963159_cardigan") != plain_name("n02113186_Cardigan")
    assert plain_name("n03710637_maillot") != plain_name("n03710721_maillot")


def test_every_folder_of_imagenet_finds_its_class():
    names = imagenet_names(1000)
    info = ImageNetInfo("imagenet-1k")
    keys = [name_key(name) for name in names]
    assert len(set(keys)) == 1000
    for index, (wordnet_id, description) in enumerate(zip(info.label_names(), info.label_descriptions(), strict=True)):
        folder = f"{wordnet_id}_{description.split(',')[0].replace(' ', '_')}"
        assert name_key(plain_name(folder)) == keys[index]


def test_torchvisions_list_in_a_file_is_the_one_that_heads_of_1000_get():
    categories = torchvision.models.ResNet18_Weights.DEFAULT.meta["categories"]
    assert parse_class_names("\n".join(categories), 1000) == imagenet_names(1000)


@pytest.mark.parametrize("n_classes", [1000, 11221, 11821, 21841, 21843])
def test_imagenets_larger_heads_have_names_too(n_classes):
    names = imagenet_names(n_classes)
    assert len(names) == len(set(names)) == n_classes
    assert imagenet_names(n_classes + 1) is None


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
    assert distinct(["crane", "dog", "Crane"]) == ("crane (0)", "dog", "Crane (2)")
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
