"""Generators: their measures, the training that stops and goes on, what goes wrong, and what is kept."""

import numpy as np
import pytest
import torch

from explainers.contrastive import training
from explainers.contrastive.generator import Critic, Encoder, Generator, Shape
from explainers.contrastive.generators import WEIGHTS, GeneratorRequest, find, ready_made, training_images
from explainers.contrastive.method import GeneratorParams
from explainers.contrastive.training import N_SAMPLES, Status, Training
from explainers.results import Sources, compute
from images.digits import digits_image_set
from jobs.queue import Cancelled
from jobs.results import ResultStore
from tests.explainers.contrastive.small import image_set
from tests.makers import one_line
from tools.train_generators import READY_MADE

SHORT = GeneratorParams(steps=6, width=4, latent=8, batch=8, critic_steps=2)


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results", 10**9)


@pytest.fixture
def images(tmp_path):
    return image_set(tmp_path / "pictures", 300)


@pytest.fixture
def sources(model_store, store, images):
    return Sources(model_store, store, images)


def request_of(images, params=SHORT):
    return GeneratorRequest(images.digest, params)


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
    assert training_images(image_set(tmp_path / "grey", 5), 32).shape == (5, 1, 32, 32)
    assert training_images(image_set(tmp_path / "colour", 5, side=40, grey=False), 32).shape == (5, 3, 32, 32)


def test_a_small_set_is_refused_before_anything_is_read(model_store, store, tmp_path):
    few = image_set(tmp_path / "few", 20)
    with one_line("300 images", "20"):
        compute(Sources(model_store, store, few), request_of(few))


def test_a_training_that_was_stopped_is_resumed_as_if_it_never_had_been(sources, images, tmp_path):
    def stop(done, _total):
        if done >= 4:
            raise Cancelled

    request = request_of(images)
    with pytest.raises(Cancelled):
        compute(sources, request, stop)
    assert request.load(sources.store).step == 4
    assert not request.finished(sources.store)
    one = compute(Sources(sources.model_store, ResultStore(sources.store.folder, 10**9), images), request)
    other = compute(Sources(sources.model_store, ResultStore(tmp_path / "elsewhere", 10**9), images), request)
    assert one.step == other.step == 6
    assert np.array_equal(one.samples, other.samples)
    assert np.array_equal(one.losses, other.losses)


def test_a_process_that_was_killed_between_the_last_state_and_its_snapshot_is_resumed(sources, images):
    request = request_of(images)
    whole = compute(sources, request)
    sources.store._path(request.key).unlink()
    again = compute(Sources(sources.model_store, ResultStore(sources.store.folder, 10**9), images), request)
    assert np.array_equal(again.samples, whole.samples)
    assert np.array_equal(again.losses, whole.losses)


def test_a_generator_is_kept_under_its_sets_digest_and_more_steps_are_another(sources, store, images):
    assert find(store, images.digest) is None
    snapshot = compute(sources, request_of(images))
    first = find(store, images.digest)
    assert first.data == images.digest
    assert snapshot.samples.shape == (N_SAMPLES, 32, 32, 1)
    assert snapshot.losses.shape == (6,)
    assert find(store, "another digest") is None
    longer = request_of(images, GeneratorParams(**{**vars(SHORT), "steps": 8}))
    assert longer.key == request_of(images).key
    compute(sources, longer)
    assert find(store, images.digest).step == 8
    assert find(store, images.digest).key != first.key
    assert longer.trained(store).generator(torch.zeros(1, 8)).shape == (1, 1, 32, 32)


def test_losses_that_are_no_numbers_end_the_training_at_its_last_good_state(sources, store, images, monkeypatch):
    monkeypatch.setattr(training, "_LOOK_EVERY", 2)
    advance = Training._advance

    def breaks(self):
        distance = advance(self)
        if self.step == 3:
            with torch.no_grad():
                self.nets["trained"][0].weight.fill_(torch.nan)
            return float("nan")
        return distance

    monkeypatch.setattr(Training, "_advance", breaks)
    snapshot = compute(sources, request_of(images))
    assert snapshot.status == Status.NOT_FINITE
    assert "last good state" in snapshot.note
    assert snapshot.step == 2
    assert np.isfinite(snapshot.losses).all()
    assert len(np.unique(snapshot.samples)) > 1
    assert request_of(images).finished(store)
    assert find(store, images.digest).step == 2


def test_samples_that_are_all_alike_are_called_a_collapse(images, monkeypatch):
    monkeypatch.setattr(training, "_LOOK_EVERY", 2)
    monkeypatch.setattr(training, "_FIRST_LOOK", 4)
    known = training_images(images, 32)
    well = Training(SHORT, known)
    list(well.run(2))
    assert well.status == Status.OK
    with torch.no_grad():  # whatever the numbers, the same picture
        well.nets["generator"][0].weight.zero_()
        well.nets["trained"][0].weight.zero_()
    list(well.run(6))
    assert well.status == Status.COLLAPSED
    assert "all alike" in well.snapshot().note
    assert well.step == 2, "the last good state"
    assert well.snapshot().spread > 0


def test_ready_made_generators_are_small_and_belong_to_their_sets(tmp_path):
    assert ready_made("another set") is None
    for name, marked in READY_MADE.items():
        path = WEIGHTS / f"{name}.safetensors"
        assert path.stat().st_size < 4_000_000
        found = ready_made(digits_image_set(tmp_path, marked).digest)
        assert found is not None, "the digits have changed: train their generators anew"
        assert found.shape.channels == 1
        assert not any(parameter.requires_grad for parameter in found.generator.parameters())
