import unicodedata

import pytest
from timm.data import ImageNetInfo

from common.class_names import class_numbers, distinct, find, imagenet_names, plain_name, plain_names, unite


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


def same(*spellings):
    """How many classes the spellings are, each in a list of its own."""
    return len(unite([[spelling] for spelling in spellings])[0]) == 1


@pytest.mark.parametrize(
    "spellings",
    [
        ("Tench", "tench, Tinca tinca", "n01440764_tench", "n01440764"),
        ("Granny_Smith", "granny smith", "GRANNY-SMITH"),
        ("K\u00e4fer", "Ka\u0308fer", "k\u00e4fer"),
        ("crème brûlée", unicodedata.normalize("NFD", "Crème_brûlée")),
        ("Straße", "STRASSE"),
        ("black-and-white cat", "black and_white  cat", "Black and white cat, tuxedo"),
    ],
)
def test_spellings_of_one_class_are_one(spellings):
    assert same(*spellings)


@pytest.mark.parametrize("pair", [("cat", "cattle"), ("night 1", "night 2"), ("a.b", "a b"), ("C", "C++"), ("é", "e")])
def test_other_names_are_other_classes(pair):
    assert not same(*pair)


@pytest.mark.parametrize(
    "names",
    [
        ("red, large", "red, small", "blue"),
        ("Polish", "polish", "shoe polish"),
        ("a-b", "a b", "a_b", "A B"),
        ("Ka\u0308fer", "K\u00e4fer"),
        ("pick-up", "pick up", "pickup"),
        ("bmw, 3", "bmw, 5", "bmw"),
        ("x (1)", "x (2)", "x"),
    ],
)
def test_classes_that_a_list_tells_apart_stay_apart_and_find_themselves(names):
    united, (one, other) = unite([names, tuple(reversed(names))])
    assert len(united) == len(names)
    assert one == tuple(reversed(other))
    assert [find(name, names) for name in names] == list(range(len(names)))


def test_a_name_that_may_mean_two_classes_means_none():
    assert find("red", ("red, large", "red, small", "blue")) is None
    assert find("POLISH", ("Polish", "polish")) is None
    assert find("Polish", ("Polish", "polish")) == 0
    assert find("A-B", ("a b", "c")) == 0


def test_what_one_list_tells_apart_keeps_others_from_meeting_in_it():
    united, (one, two, _) = unite([["red, large"], ["red"], ["red, large", "red, small"]])
    assert one != two
    assert len(united) == 3


def test_a_name_meets_the_one_that_got_an_index():
    names = imagenet_names(1000)
    for name in ("cardigan", "Cardigan"):
        assert names[find(name, names)].rpartition(" (")[0] == name
    assert find("CARDIGAN", names) is None
    assert find("maillot", ("maillot (0)", "maillot (1)")) is None


@pytest.mark.parametrize("n_classes", [1000, 11221, 11821, 21841, 21843])
def test_every_label_set_keeps_all_its_classes(n_classes):
    names = imagenet_names(n_classes)
    united, (numbers, shouted) = unite([names, [name.replace(" ", "_") for name in names]])
    assert len(set(numbers)) == n_classes
    assert sum(a != b for a, b in zip(numbers, shouted, strict=True)) <= len(united) - n_classes


@pytest.mark.parametrize(
    ("labels", "lists", "found"),
    [
        (["0", "2"], [["cat", "dog", "hen"]], {"0": 0, "2": 2}),
        (["1", "3"], [["cat", "dog", "hen"]], {"1": 0, "3": 2}),
        (["007"], [[f"c{i}" for i in range(9)], [f"C_{i}".replace("_", "") for i in range(9)]], {"007": 7}),
        (["0", "3"], [["cat", "dog", "hen"]], {}),
        (["0", "1"], [["0", "1", "2"]], {}),
        (["0", "1"], [["cat", "dog"], ["dog", "cat"]], {}),
        (["0", "1"], [["cat", "dog"], ["cat", "dog", "hen"]], {}),
        (["0", "cat"], [["cat", "dog"]], {}),
        (["0", "1"], [["value"]], {}),
        ([], [["cat", "dog"]], {}),
    ],
)
def test_labels_are_numbers_of_classes_only_where_no_other_reading_is_left(labels, lists, found):
    assert class_numbers(labels, lists) == found


def test_labels_stay_apart_when_they_are_made_plain():
    assert plain_names(["a_b", "a b", "c_d"]) == {"a_b": "a_b", "a b": "a b", "c_d": "c d"}
    assert plain_names(["n01440764_tench", "tench"]) == {"n01440764_tench": "tench", "tench": "tench"}
    assert set(plain_names(["n90000001_crane", "n90000002_crane"]).values()) == {"n90000001_crane", "n90000002_crane"}


def test_imagenets_namesakes_are_told_apart_by_their_ids():
    assert plain_name("n02012849_crane") == "crane bird"
    assert plain_name("n03126707_crane") == "crane"
    assert plain_name("n02963159_cardigan") != plain_name("n02113186_Cardigan")
    assert plain_name("n03710637_maillot") != plain_name("n03710721_maillot")


def test_every_folder_of_imagenet_finds_its_class():
    names = imagenet_names(1000)
    info = ImageNetInfo("imagenet-1k")
    for index, (wordnet_id, description) in enumerate(zip(info.label_names(), info.label_descriptions(), strict=True)):
        folder = f"{wordnet_id}_{description.split(',')[0].replace(' ', '_')}"
        assert plain_name(folder) == names[index]


@pytest.mark.parametrize("n_classes", [1000, 11221, 11821, 21841, 21843])
def test_imagenets_larger_heads_have_names_too(n_classes):
    names = imagenet_names(n_classes)
    assert len(names) == len(set(names)) == n_classes
    assert imagenet_names(n_classes + 1) is None


def test_names_that_occur_twice_get_their_index():
    assert distinct(["crane", "dog", "Crane"]) == ("crane (0)", "dog", "Crane (2)")
