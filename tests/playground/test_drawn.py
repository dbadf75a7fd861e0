"""Drawings as digits: place, size, pen and slant make no difference, and the frame is that of the data."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from common.errors import InputError
from images.digits import digits
from playground.drawn import as_digit, is_blank

SEVEN = [(0.2, 0.05), (0.8, 0.05), (0.4, 0.95)]
TWO = [(0.2, 0.25), (0.35, 0.08), (0.6, 0.08), (0.75, 0.3), (0.2, 0.95), (0.8, 0.95)]
TALL_L = [(0.3, 0.0), (0.3, 1.0), (0.8, 1.0)]


def drawn(points, size=0.8, left=0.1, top=0.1, pen=0.08, lean=0.0, side_px=56, grey=255):
    """A line through points (x, y) from 0 to 1, on a canvas whose side is 1, as the page sends it."""
    large = 5 * side_px
    image = Image.new("L", (large, large))
    places = [((left + size * (x - lean * (y - 0.5))) * large, (top + size * y) * large) for x, y in points]
    brush = ImageDraw.Draw(image)
    brush.line(places, fill=grey, width=round(pen * large), joint="curve")
    for x, y in places:
        brush.ellipse([c + sign * pen * large / 2 for sign in (-1, 1) for c in (x, y)], fill=grey)
    return np.asarray(image.resize((side_px, side_px), Image.Resampling.BOX))


def apart(first, second):
    """How far two digits are apart, as a share of the ink of one."""
    return np.abs(first.astype(float) - second).sum() / first.sum()


@pytest.mark.parametrize("points", [SEVEN, TWO, TALL_L])
@pytest.mark.parametrize("like", ["digits", "mnist"])
def test_where_how_large_and_with_which_pen_a_digit_was_drawn_makes_no_difference(points, like):
    large = as_digit(drawn(points), like=like)
    others = [
        drawn(points, size=0.35, left=0.6, top=0.02),
        drawn(points, size=0.35, left=0.02, top=0.6, pen=0.05),
        drawn(points, size=0.7, left=0.25, top=0.2, pen=0.14),
        drawn(points, grey=90),
        drawn(points, side_px=280),
    ]
    assert max(apart(large, as_digit(other, like=like)) for other in others) < 0.35
    assert apart(large, as_digit(drawn(TWO if points is SEVEN else SEVEN), like=like)) > 0.5


@pytest.mark.parametrize(("side_px", "frame_px"), [(32, 4), (28, 4), (64, 8), (16, 2)])
def test_the_larger_side_fills_the_image_within_its_frame(side_px, frame_px):
    for points in (SEVEN, [(y, x) for x, y in SEVEN]):
        digit = as_digit(drawn(points, size=0.4), side_px)
        assert (digit.shape, digit.dtype) == ((side_px, side_px), np.uint8)
        rows, columns = (np.flatnonzero((digit > 60).any(axis)) for axis in (1, 0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == side_px - 2 * frame_px
        assert not digit[:frame_px].any()
        assert not digit[:, -frame_px:].any()


def test_the_digits_of_the_app_stay_much_as_they_are():
    images = digits().images[:40]
    assert np.mean([apart(image, as_digit(image)) for image in images]) < 0.3


def test_slant_is_taken_back_where_the_data_have_none():
    upright, leaning = drawn(SEVEN), drawn(SEVEN, lean=0.5)
    assert apart(as_digit(upright), as_digit(leaning)) < 0.3
    assert apart(as_digit(upright, 28, "mnist"), as_digit(leaning, 28, "mnist")) > 0.5


def test_mnist_has_the_centre_of_mass_in_the_middle_and_loses_no_ink_to_it():
    def centre(digit):
        return np.array([(digit.sum(1 - axis) * np.arange(28)).sum() / digit.sum() for axis in (0, 1)])

    assert np.abs(centre(as_digit(drawn(TWO), 28, "mnist")) - 13.5).max() < 0.3
    boot = drawn([(0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.0, 0.9), (1.0, 0.9), (0.0, 0.8), (1.0, 0.8)])
    digit = as_digit(boot, 28, "mnist")
    for axis in (0, 1):
        filled = np.flatnonzero((digit > 60).any(axis))
        assert np.ptp(filled) + 1 >= 20


@pytest.mark.parametrize(
    "ink", [(slice(3, 4), slice(50, 51)), (slice(None), slice(None)), (slice(20, 22), slice(None))]
)
def test_a_dot_a_dash_and_a_canvas_full_of_ink_are_digits_too(ink):
    canvas = np.zeros((56, 56), np.uint8)
    canvas[ink] = 255
    for like in ("digits", "mnist"):
        assert as_digit(canvas, like=like).max() > 100


def test_a_blank_drawing_is_refused_with_the_cure():
    for blank in (np.zeros((56, 56), np.uint8), np.full((56, 56), 9, np.uint8), np.zeros((0, 0), np.uint8)):
        assert is_blank(blank)
        with pytest.raises(InputError, match="Draw a digit first"):
            as_digit(blank)
    assert not is_blank(drawn(SEVEN))
    with pytest.raises(InputError, match="Did you mean mnist"):
        as_digit(drawn(SEVEN), like="mnst")
