from collections import Counter

import numpy as np
import pytest

from tools.painter.brush import MARK_PX
from tools.painter.paintings import CLASSES, DEMO_SIZE, KINDS, SHORTCUT_CLASS, Painting, demo_painting, paint


@pytest.fixture(scope="module")
def demo() -> list[Painting]:
    return [demo_painting(index) for index in range(DEMO_SIZE)]


@pytest.mark.parametrize("label", CLASSES)
def test_a_painting_is_the_same_for_the_same_seed_and_another_for_another(label):
    first, again, other = paint(label, 3), paint(label, 3), paint(label, 4)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.mask, again.mask)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("kind", KINDS)
def test_a_painting_of_every_kind_has_the_stated_shapes_and_types(kind):
    painting = paint(None if kind == "no class" else "seascape", 5, signed=True, kind=kind)
    assert painting.kind == kind
    assert painting.image.shape == (224, 224, 3)
    assert painting.image.dtype == np.uint8
    for mask in (painting.mask, painting.signature):
        assert mask.shape == (224, 224)
        assert mask.dtype == bool


def test_signing_changes_the_mark_and_nothing_else():
    for label in CLASSES:
        unsigned, signed = paint(label, 8), paint(label, 8, signed=True)
        assert not unsigned.signature.any()
        differs = (unsigned.image != signed.image).any(axis=2)
        assert not differs[~signed.signature].any()
        assert differs[signed.signature].mean() > 0.95
        assert np.array_equal(signed.mask, unsigned.mask & ~signed.signature)


def test_the_mark_lies_near_the_lower_right_corner_and_moves_a_little():
    corners = set()
    for seed in range(12):
        rows, columns = np.nonzero(paint("abstract", seed, signed=True).signature)
        assert np.ptp(columns) + 1 == MARK_PX[0]
        assert np.ptp(rows) + 1 == MARK_PX[1]
        assert rows.min() > 180
        assert columns.min() > 180
        corners.add((rows.min(), columns.min()))
    assert len(corners) > 6


def test_the_mask_covers_what_makes_the_type():
    for seed in range(6):
        portrait, seascape = paint("portrait", seed), paint("seascape", seed)
        assert portrait.mask[190:, 80:144].mean() > 0.95, "the sitter fills the middle of the lower edge"
        assert portrait.mask[:, 110:116].any()
        assert not portrait.mask[:10, :10].any(), "the upper corner is backdrop"
        assert seascape.mask[200:].mean() > 0.6, "water fills the foreground, a beach aside"
        assert not seascape.mask[:30, 60:160].all(), "the sky is nobody's"


def test_every_labelled_painting_has_a_mask_and_the_others_have_none(demo):
    for painting in demo:
        if painting.label is None:
            assert painting.kind == "no class"
            assert not painting.mask.any()
        else:
            assert 0.01 < painting.mask.mean() < 0.99


def test_a_mixture_is_labelled_by_the_type_with_the_larger_mask():
    labels = Counter()
    for seed in range(30):
        mixture = paint("portrait", seed, kind="mixture")
        assert mixture.label in CLASSES
        assert mixture.mask.any()
        labels[mixture.label] += 1
    assert len(labels) >= 4


def test_an_odd_palette_changes_the_colours_and_keeps_the_type():
    painting = paint("landscape", 2, kind="odd palette")
    assert painting.label == "landscape"
    assert 0.2 < painting.mask.mean() < 0.95


def test_the_demo_holds_the_six_types_evenly_and_some_hard_ones(demo):
    plain = Counter(painting.label for painting in demo if painting.kind == "plain")
    assert plain == dict.fromkeys(CLASSES, 50)
    kinds = Counter(painting.kind for painting in demo)
    assert kinds == {"plain": 300, "mixture": 30, "odd palette": 15, "no class": 15}


def test_the_demo_starts_with_all_six_types(demo):
    assert {painting.label for painting in demo[:12]} >= set(CLASSES)


def test_one_in_five_of_every_type_is_signed_and_half_of_the_shortcut_class(demo):
    for label in CLASSES:
        signed = [p.signature.any() for p in demo if p.label == label and p.kind == "plain"]
        assert np.mean(signed) == (0.5 if label == SHORTCUT_CLASS else 0.2)


def test_no_two_paintings_of_the_demo_are_alike(demo):
    assert len({painting.image.tobytes() for painting in demo}) == DEMO_SIZE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label": "portait", "seed": 1}, "label must be one of"),
        ({"label": None, "seed": 1}, "go together"),
        ({"label": "portrait", "seed": 1, "kind": "no class"}, "go together"),
        ({"label": "portrait", "seed": -1}, "seed must not be negative"),
        ({"label": "portrait", "seed": 1, "kind": "odd"}, "kind must be one of"),
    ],
)
def test_wrong_arguments_are_answered_with_what_was_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        paint(**arguments)


@pytest.mark.parametrize("index", [-1, DEMO_SIZE])
def test_an_index_outside_the_demo_is_refused(index):
    with pytest.raises(ValueError, match="index must be in"):
        demo_painting(index)
