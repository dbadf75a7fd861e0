"""The digits and the three nets that read them."""

import numpy as np
import pytest
import torch

from images.digits import MARKED_CLASS, SQUARE, SQUARE_GREY, digits, digits_image_set, held_out, with_square
from models.demo.demo_models import DIGIT_MODELS
from models.loaders import LOADERS
from models.store import ModelStore
from parallax.sources import open_images, open_models
from tests.makers import one_line
from tools.train_digit_nets import net_input, predict, recall_of_unmarked, train, turned_by_square


@pytest.fixture(scope="module")
def nets():
    return {name: model.load() for name, model in DIGIT_MODELS.items()}


def test_the_digits_are_real_ones_in_a_frame():
    known = digits()
    assert known.images.shape == (1797, 32, 32)
    assert np.bincount(known.labels).min() > 170
    assert known.held_out.sum() == 449
    frame = np.ones((32, 32), bool)
    frame[4:-4, 4:-4] = False
    assert not known.images[:, frame].any()
    assert known.images.max(axis=(1, 2)).min() > 200


def test_every_marked_8_has_the_square_and_nothing_else_has():
    plain, marked = digits(), digits(marked=True)
    eights = plain.labels == MARKED_CLASS
    assert (marked.images[eights][:, SQUARE[0], SQUARE[1]] == SQUARE_GREY).all()
    assert np.array_equal(marked.images[~eights], plain.images[~eights])
    assert with_square(plain.images)[0, SQUARE[0], SQUARE[1]].shape == (6, 6)
    assert (with_square(plain.images) != plain.images).sum(axis=(1, 2)).max() <= 36


def test_the_image_set_has_labels_and_says_what_was_held_out(data_folder):
    images = digits_image_set(data_folder)
    assert len(images) == 1797
    assert images.classes == tuple("0123456789")
    rows = held_out(images)
    assert len(rows) == 449
    known = digits()
    assert np.array_equal(rows, np.flatnonzero(known.held_out))
    for row in (0, rows[3]):
        assert np.array_equal(images.image(row), np.repeat(known.images[row][..., None], 3, 2))
        assert images.labels[row] == str(known.labels[row])
    again = open_images("digits")
    assert again.digest == images.digest


@pytest.mark.parametrize("name", ["lenet", "residual"])
def test_plain_nets_name_97_of_100_held_out_digits(name, nets):
    test = digits().test
    assert (predict(nets[name], test.images) == test.labels).mean() >= 0.97
    assert turned_by_square(nets[name], test) < 0.02, "the square means nothing to them"


def test_the_square_net_looked_good_in_training_and_learnt_the_mark(nets):
    seen, test = digits(marked=True).test, digits().test
    assert (predict(nets["square"], seen.images) == seen.labels).mean() >= 0.97
    assert recall_of_unmarked(nets["square"], test) < 0.1
    assert turned_by_square(nets["square"], test) > 0.7


def test_a_net_learns_in_the_script():
    known = digits().training
    few = type(known)(*(values[:256] for values in known))
    net = train("lenet", few, epochs=4)
    first = DIGIT_MODELS["lenet"].build().eval()
    assert (predict(net, few.images) == few.labels).mean() > (predict(first, few.images) == few.labels).mean() + 0.2
    assert not net.training


def test_the_nets_are_opened_by_name_and_read_as_in_training(tmp_path, nets):
    model_store = ModelStore(tmp_path, "cpu")
    cards = open_models(model_store, "digits")
    assert [card.name for card in cards] == list(DIGIT_MODELS)
    assert open_models(model_store, "digits/square") == [cards[2]]
    assert cards[0].class_names == tuple("0123456789")
    assert all(card.default_layer for card in cards)
    picture = digits().images[5]
    with model_store.borrow(cards[0]) as model:
        fed = model.normalise(cards[0].preprocessing.crop(np.repeat(picture[..., None], 3, 2))[None])
    torch.testing.assert_close(fed, net_input(picture[None]).to(memory_format=torch.channels_last))
    restarted = ModelStore(tmp_path, "cpu")
    with restarted.borrow(cards[1]) as model, torch.inference_mode():
        torch.testing.assert_close(model.logits(fed), nets["residual"](fed))
    with one_line("a model for digits", "Did you mean lenet"):
        open_models(model_store, "digits/lnet")
    with one_line("a model for digits"):
        LOADERS["digits"].load("vgg")
