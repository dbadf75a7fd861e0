"""Generators: their measures, the training that stops and goes on, what goes wrong, and what is kept."""

import numpy as np
import pytest
import torch

from explainers.contrastive import generators, training
from explainers.contrastive.data import pictures
from explainers.contrastive.generator import Critic, Encoder, Generator, Shape
from explainers.contrastive.generators import Wanted, find, find_look, find_trained, finished, train
from explainers.contrastive.method import GeneratorParams
from explainers.contrastive.training import BROKEN, COLLAPSED, N_SAMPLES, WELL, Training
from jobs.queue import Cancelled
from jobs.results import ResultStore
from tests.explainers.contrastive.small import image_set
from tests.makers import one_line

SHORT = GeneratorParams(steps=6, width=4, latent=8, batch=8, critic_steps=2)


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results", 10**9)


@pytest.fixture
def images(tmp_path):
    return image_set(tmp_path / "pictures", 300)


@pytest.mark.parametrize("side", [32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_nets_fit_each_other_at_every_size_and_colour(side, channels):
    shape = Shape(side, channels, 16, 4)
    made = Generator(shape).eval()(torch.randn(2, 16))
    assert made.shape == (2, channels, side, side)
    assert made.min() >= 0
    assert made.max() <= 1
    assert Critic(shape)(made).shape == (2, 1)
    assert Encoder(shape)(made).shape == (2, 16)
    kinds = {type(module) for module in Critic(shape).modules()}
    assert torch.nn.BatchNorm2d not in kinds, "the penalty is each picture's own"


def test_sides_that_no_generator_has_are_refused():
    with one_line("32 or 64", "48"):
        GeneratorParams(side=48).shape(1)
    with one_line("channels", "2"):
        Shape(32, 2)


def test_grey_sets_are_read_as_grey_and_coloured_ones_as_coloured(tmp_path):
    assert pictures(image_set(tmp_path / "grey", 300), 32).shape == (300, 1, 32, 32)
    assert pictures(image_set(tmp_path / "colour", 300, side=40, grey=False), 32).shape == (300, 3, 32, 32)


def test_a_small_set_is_refused_before_anything_is_read(store, tmp_path):
    few = image_set(tmp_path / "few", 20)
    with one_line("300 pictures", "20"):
        train(store, few, SHORT)
    with one_line("300 pictures", "20"):
        Training(SHORT, np.zeros((20, 1, 32, 32), np.uint8))
    with one_line("32 × 32", "16 × 16"):
        Training(SHORT, np.zeros((300, 1, 16, 16), np.uint8))


def test_a_training_that_was_stopped_goes_on_as_if_it_never_had(store, images, tmp_path):
    def stop(done, _total):
        if done >= 4:
            raise Cancelled

    wanted = Wanted(images.digest, SHORT)
    with pytest.raises(Cancelled):
        train(store, images, SHORT, stop)
    assert find_look(store, wanted).step == 4
    assert not finished(store, wanted)
    restarted = ResultStore(store.folder, 10**9)
    train(restarted, images, SHORT)
    whole = ResultStore(tmp_path / "elsewhere", 10**9)
    train(whole, images, SHORT)
    one, other = find_look(restarted, wanted), find_look(whole, wanted)
    assert one.step == other.step == 6
    assert np.array_equal(one.samples, other.samples)
    assert np.array_equal(one.losses, other.losses)
    assert finished(restarted, wanted)


def test_a_generator_is_kept_under_its_sets_digest_and_more_steps_are_another(store, images):
    assert find(store, images.digest) is None
    looks = []
    train(store, images, SHORT, show=looks.append)
    first = find(store, images.digest)
    assert first.data == images.digest
    assert looks[-1].samples.shape == (N_SAMPLES, 32, 32, 1)
    assert looks[-1].losses.shape == (6,)
    assert find(store, "another digest") is None
    longer = GeneratorParams(**{**vars(SHORT), "steps": 8})
    assert Wanted(images.digest, longer).key == Wanted(images.digest, SHORT).key
    train(store, images, longer)
    assert find(store, images.digest).step == 8
    assert find(store, images.digest).key != first.key
    made = find_trained(store, Wanted(images.digest, longer)).generator(torch.zeros(1, 8))
    assert made.shape == (1, 1, 32, 32)


def test_losses_that_are_no_numbers_end_the_training_at_its_last_good_state(store, images, monkeypatch):
    monkeypatch.setattr(training, "_LOOK_EVERY", 2)
    monkeypatch.setattr(generators, "_SHOW_S", 0.0)
    advance = Training._advance

    def breaks(self):
        distance = advance(self)
        if self.step == 3:
            with torch.no_grad():
                self.nets["taught"][0].weight.fill_(torch.nan)
            return float("nan")
        return distance

    monkeypatch.setattr(Training, "_advance", breaks)
    look = train(store, images, SHORT)
    assert look.fate == BROKEN
    assert "last good state" in look.note
    assert look.step == 2
    assert np.isfinite(look.losses).all()
    assert len(np.unique(look.samples)) > 1
    assert finished(store, Wanted(images.digest, SHORT))
    assert find(store, images.digest).step == 2


def test_samples_that_are_all_alike_are_called_a_collapse(images, monkeypatch):
    monkeypatch.setattr(training, "_LOOK_EVERY", 2)
    monkeypatch.setattr(training, "_FIRST_LOOK", 4)
    known = pictures(images, 32)
    well = Training(SHORT, known)
    list(well.climb(2))
    assert well.fate == WELL
    with torch.no_grad():  # whatever the numbers, the same picture
        well.nets["generator"][0].weight.zero_()
        well.nets["taught"][0].weight.zero_()
    list(well.climb(6))
    assert well.fate == COLLAPSED
    assert "all alike" in well.look().note
    assert well.step == 2, "the last good state"
    assert well.look().spread > 0
