"""What would have to change in an image, drawn over it."""

import numpy as np

from figures.contrastive import changed_over, crisp


def stroke():
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[8:24, 12:20] = 255
    change = np.zeros((32, 32), np.float32)
    change[2:6, 12:20], change[26:30, 12:20] = 0.5, -0.5
    return picture, change


def test_what_is_to_add_is_red_and_what_is_to_take_away_blue():
    shown = changed_over(*stroke()).astype(int)
    assert shown[4, 15, 0] > shown[4, 15, 2] + 50
    assert shown[28, 15, 2] > shown[28, 15, 0] + 50
    assert len(set(shown[15, 15])) == 1, "the rest is grey"


def test_a_shared_scale_makes_weak_changes_pale():
    strong, weak = (changed_over(*stroke(), scale).astype(int) for scale in (None, 5.0))
    assert (weak[4, 15, 0] - weak[4, 15, 2]) < (strong[4, 15, 0] - strong[4, 15, 2])


def test_small_pictures_stay_crisp():
    assert crisp(stroke()[0]).shape == (256, 256, 3)
    assert crisp(np.zeros((300, 200, 3), np.uint8)).shape == (300, 200, 3)
