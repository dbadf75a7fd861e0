"""Contrasts as requests: found in batches, told in words, and all that cannot be asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from explainers.contrastive import request as request_module
from explainers.contrastive.method import ContrastParams
from explainers.contrastive.request import LARGE_RESIDUAL, ContrastRequest
from explainers.results import Sources, compute, compute_missing
from jobs.results import ResultStore
from models import store as store_module
from models.store import ModelStore
from tests.explainers.contrastive.small import image_set, loaded, trained
from tests.makers import tiny_loaded

QUICK = ContrastParams(inversion_steps=12, restarts=2, rounds=6, iterations=10, strip=5)


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results", 10**9)


@pytest.fixture
def images(tmp_path):
    return image_set(tmp_path / "pictures", 6)


@pytest.fixture
def generator(images):
    return trained(images.digest)


@pytest.fixture
def sources(model_store, store, images):
    return Sources(model_store, store, images)


def request_of(card, images, generator, true=0, probe=1, row=0, params=QUICK):
    return ContrastRequest(card, images.ids[row], true, probe, generator, params)


def test_contrasts_are_found_in_batches_over_images_and_classes(model_store, sources, images, generator, monkeypatch):
    cards = [model_store.add(loaded()), model_store.add(loaded(side=48, channels=3, name="colour"))]
    wanted = [
        request_of(card, images, generator, 0, probe, row) for card in cards for row in (0, 1) for probe in (1, 2)
    ]
    batches = []
    true_search = request_module.search

    def counting(answers, z0, *rest):
        batches.append(len(z0))
        return true_search(answers, z0, *rest)

    monkeypatch.setattr(request_module, "search", counting)
    failures = {}
    compute_missing(sources, wanted, failures)
    assert not failures
    assert batches == [4, 4]
    for request in wanted:
        found = request.load(ResultStore(sources.store.folder, 10**9))
        assert found.picture.shape == found.rebuilt.shape == found.changed.shape == (32, 32, 1)
        assert found.strip.shape == (5, 32, 32, 1)
        assert found.strip_shares.shape == (5, 3)
        assert found.difference.shape == (32, 32)
        np.testing.assert_allclose(found.strip_shares[0], found.path[0], atol=1e-5)
        np.testing.assert_allclose(found.before.sum(), 1, rtol=1e-5)
        np.testing.assert_allclose(found.seen(0), found.picture, atol=1 / 255)
        assert found.path.shape == (found.iterations + 1, 3)
        if found.feasible:
            assert found.after[request.true] == pytest.approx(found.after[request.probe], rel=0.01)
            assert not found.third_wins(request)
            assert found.status(request) == "constraints hold"


def test_a_batch_is_no_larger_than_the_model_takes_at_once(model_store, sources, images, generator, monkeypatch):
    monkeypatch.setattr(store_module, "batch_for", lambda size, device: 2)
    card, batches, true_search = model_store.add(loaded()), [], request_module.search

    def counting(answers, z0, *rest):
        batches.append(len(z0))
        return true_search(answers, z0, *rest)

    monkeypatch.setattr(request_module, "search", counting)
    compute_missing(sources, [request_of(card, images, generator, row=row) for row in range(3)], {})
    assert batches == [2, 1]


def test_a_batch_finds_what_each_finds_alone(model_store, sources, images, generator, tmp_path):
    card = model_store.add(loaded())
    wanted = [request_of(card, images, generator, 0, probe, row) for row in (0, 3) for probe in (1, 3)]
    compute_missing(sources, wanted, {})
    for request in wanted:
        alone = compute(Sources(model_store, ResultStore(tmp_path / request.key, 10**9), images), request)
        np.testing.assert_allclose(alone.changed, request.load(sources.store).changed, atol=0.02)


def test_what_starts_is_the_models_own_answer_to_the_image(model_store, sources, images, generator):
    card = model_store.add(loaded(side=20))
    found = compute(sources, request_of(card, images, generator, row=2))
    with model_store.borrow(card) as model:
        own = model.logits(model.normalise(card.preprocessing.crop(images.image(2))[None])).softmax(1)[0]
    np.testing.assert_allclose(found.before, own.numpy(), atol=1e-5)


def test_what_cannot_be_asked_is_said_and_the_rest_goes_on(model_store, sources, images, generator):
    card, regression = (
        model_store.add(loaded()),
        model_store.add(tiny_loaded(n_classes=1, channels=1, name="regression", head="regression")),
    )
    good = request_of(card, images, generator)
    bad = {
        "two different classes": request_of(card, images, generator, 1, 1),
        "a class of tiny": request_of(card, images, generator, 0, 9),
        "two classes or more": request_of(regression, images, generator),
        "a generator of small, got none. Train one": replace(good, generator=None),
        "one of another image set": replace(good, generator=replace(trained("another set"), key="another")),
    }
    failures = {}
    compute_missing(sources, [*bad.values(), good], failures)
    assert good.load(sources.store) is not None
    for expected, request in bad.items():
        assert expected in failures[request.key]
        assert failures[request.key].startswith("Expected ")


def test_a_model_without_gradients_gets_one_line(model_store, sources, images, generator):
    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return torch.stack([(x.mean((1, 2, 3)) * 10).round(), x.detach().std((1, 2, 3))], 1).detach()

    card = model_store.add(tiny_loaded(Steps(), channels=1))
    request, failures = request_of(card, images, generator), {}
    compute_missing(sources, [request], failures)
    assert "gradient" in failures[request.key]
    assert "\n" not in failures[request.key]


def test_notes_tell_what_a_person_should_know(model_store, sources, images, generator):
    card = model_store.add(loaded(n_classes=2))
    with model_store.borrow(card) as model:
        own = model.logits(model.normalise(card.preprocessing.crop(images.image(0))[None]))[0]
    winner = int(own.argmax())
    request = request_of(card, images, generator, 1 - winner, winner)
    found = compute(sources, request)
    notes = " ".join(found.notes(request))
    assert "already finds" in notes
    assert "two classes only" in notes
    assert found.third(request) is None
    assert not found.third_wins(request)
    assert found.error > LARGE_RESIDUAL
    assert "could not rebuild" in notes, "this generator is untrained"
    missed = replace(found, feasible=False, violation=1.5)
    assert "off by 1.5" in missed.status(request)
    assert "off by 1.5" in " ".join(missed.notes(request))


def test_the_key_stands_for_everything(tmp_path, images, generator):
    card = ModelStore(tmp_path / "model_store", "cpu").add(loaded())
    first = request_of(card, images, generator)
    others = [
        request_of(card, images, generator, 1, 0),
        request_of(card, images, generator, row=1),
        replace(first, generator=replace(generator, key="longer trained")),
        replace(first, params=ContrastParams(constraints=False)),
    ]
    assert len({first.key, *(other.key for other in others)}) == 5
    assert first.title == "why class 0 and not class 1"
