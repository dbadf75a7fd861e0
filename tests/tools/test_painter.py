from collections import Counter

import numpy as np
import pandas as pd
import pytest

from images.image_set import ImageSet
from images.intake import from_folder
from images.paintings import demo_image_set
from tools.painter.__main__ import write
from tools.painter.brush import MARK_PX
from tools.painter.paintings import CLASSES, DEMO_SIZE, KINDS, SHORTCUT_CLASS, demo_painting, paint


@pytest.fixture(scope="module")
def demo(tmp_path_factory) -> ImageSet:
    """The committed files, which `python -m tools.painter` wrote."""
    return demo_image_set(tmp_path_factory.mktemp("data"))


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
    for index, (label, hard) in enumerate(zip(demo.labels, demo.metadata["hard"], strict=True)):
        mask = demo.mask(index, "subject")
        assert (mask is None) == (label is None) == (hard == "no class")
        assert mask is None or 0.01 < mask.mean() < 0.99


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


def test_the_demo_holds_the_six_classes_evenly_and_some_hard_ones(demo):
    hard = demo.metadata["hard"]
    assert Counter(label for label, kind in zip(demo.labels, hard.notna(), strict=True) if not kind) == dict.fromkeys(
        CLASSES, 50
    )
    assert hard.value_counts().to_dict() == {"mixture": 30, "odd palette": 15, "no class": 15}


def test_the_demo_starts_with_all_six_classes(demo):
    assert set(demo.labels[:12]) >= set(CLASSES)


def test_one_in_five_of_every_class_is_signed_and_half_of_the_shortcut_class(demo):
    plain = demo.metadata["hard"].isna()
    for label in CLASSES:
        of_class = np.array([other == label for other in demo.labels])
        signed = demo.metadata["signed"][plain & of_class] == "yes"
        assert signed.mean() == (0.5 if label == SHORTCUT_CLASS else 0.2)
    has_mark = ["signature" in kinds for kinds in demo.mask_ids]
    assert has_mark == (demo.metadata["signed"] == "yes").tolist()


@pytest.mark.parametrize("number", [0, 3, 5])
def test_the_files_of_the_demo_are_what_the_painter_paints(demo, number, tmp_path):
    row = write(demo_painting(number), number, tmp_path)
    painted, kept = from_folder(tmp_path, tmp_path / "data"), demo.take([number])
    assert (row["file"], row["label"] or None) == (kept.names[0], kept.labels[0])
    assert (row["signed"], row["hard"] or None) == (kept.metadata["signed"][0], one_or_none(kept.metadata["hard"][0]))
    assert np.abs(painted.image(0).astype(int) - kept.image(0)).mean() < 0.5  # Pillow's encoder may change
    assert painted.mask_kinds == kept.mask_kinds
    for kind in kept.mask_kinds:
        assert np.array_equal(painted.mask(0, kind), kept.mask(0, kind))


def one_or_none(value):
    return None if pd.isna(value) else value


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
