"""Contrasts as a figure."""

import numpy as np

from figures.contrastive import Plate, changed_over, crisp, plates_figure


def plate(title="4, not 9"):
    picture = np.zeros((32, 32, 3), np.uint8)
    picture[8:24, 12:20] = 255
    change = np.zeros((32, 32), np.float32)
    change[2:6, 12:20], change[26:30, 12:20] = 0.5, -0.5
    return Plate(title, picture, picture, change, "distance 1.2")


def test_what_is_to_add_is_red_and_what_is_to_take_away_blue():
    one = plate()
    shown = changed_over(one.picture, one.change).astype(int)
    assert shown[4, 15, 0] > shown[4, 15, 2] + 50
    assert shown[28, 15, 2] > shown[28, 15, 0] + 50
    assert len(set(shown[15, 15])) == 1, "the rest is grey"


def test_a_shared_scale_makes_weak_changes_pale():
    one = plate()
    strong, weak = (
        changed_over(one.picture, one.change).astype(int),
        changed_over(one.picture, one.change, 5.0).astype(int),
    )
    assert (weak[4, 15, 0] - weak[4, 15, 2]) < (strong[4, 15, 0] - strong[4, 15, 2])


def test_small_pictures_stay_crisp():
    assert crisp(plate().picture).shape == (256, 256, 3)
    assert crisp(np.zeros((300, 200, 3), np.uint8)).shape == (300, 200, 3)


def test_every_plate_has_three_pictures_under_its_title():
    figure = plates_figure([plate("4, not 9"), plate("0, not 6"), plate("5, not 6")], n_columns=2)
    assert len(figure.layout.images) == 3 * 3 + 1
    words = [words.text for words in figure.layout.annotations]
    assert "<b>0, not 6</b>" in words
    assert words.count("distance 1.2") == 3
    assert {"to add", "to take away"} <= set(words)
