"""Contrasts on disk: what is asked, found once, and told in words; and all that cannot be asked."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from explainers.contrastive import keeping
from explainers.contrastive.keeping import LARGE_RESIDUAL, Asked, find, work_out
from explainers.contrastive.method import ContrastParams
from jobs.queue import Cancelled
from jobs.results import ResultStore
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


def asked_of(card, images, generator, true=0, probe=1, row=0, params=QUICK):
    return Asked(card, images.ids[row], true, probe, generator.key, params)


def test_contrasts_are_found_in_batches_over_pictures_and_classes_and_kept(
    model_store, store, images, generator, monkeypatch
):
    cards = [model_store.add(loaded()), model_store.add(loaded(side=48, channels=3, name="colour"))]
    all_asked = [
        asked_of(card, images, generator, 0, probe, row) for card in cards for row in (0, 1) for probe in (1, 2)
    ]
    batches, shown, counted = [], [], []
    true_search = keeping.search

    def counting(answers, z0, *rest):
        batches.append(len(z0))
        return true_search(answers, z0, *rest)

    monkeypatch.setattr(keeping, "search", counting)
    failures = {}
    work_out(
        model_store, store, images, generator, all_asked, failures,
        lambda done, total: counted.append((done, total)), lambda asked, _: shown.append(asked.key),
    )  # fmt: skip
    assert not failures
    assert batches == [4, 4]
    assert shown == [asked.key for asked in all_asked]
    assert counted[0] == (0, 8)
    assert counted[-1] == (8, 8)
    for asked in all_asked:
        found = find(ResultStore(store.folder, 10**9), asked)
        assert found.picture.shape == found.rebuilt.shape == found.changed.shape == (32, 32, 1)
        assert found.strip.shape == (5, 32, 32, 1)
        assert found.strip_shares.shape == (5, 3)
        assert found.difference.shape == (32, 32)
        np.testing.assert_allclose(found.strip_shares[0], found.path[0], atol=1e-5)
        np.testing.assert_allclose(found.before.sum(), 1, rtol=1e-5)
        np.testing.assert_allclose(found.seen(0), found.picture, atol=1 / 255)
        assert found.path.shape == (found.iterations + 1, 3)
        if found.feasible:
            assert found.after[asked.true] == pytest.approx(found.after[asked.probe], rel=0.01)
            assert not found.third_wins(asked)
            assert found.status(asked) == "constraints hold"
    work_out(model_store, store, images, generator, all_asked, failures)
    assert batches == [4, 4], "nothing is searched twice"


def test_a_batch_finds_what_each_finds_alone(model_store, store, images, generator, tmp_path):
    card = model_store.add(loaded())
    all_asked = [asked_of(card, images, generator, 0, probe, row) for row in (0, 3) for probe in (1, 3)]
    work_out(model_store, store, images, generator, all_asked, {})
    for asked in all_asked:
        alone = ResultStore(tmp_path / asked.key, 10**9)
        work_out(model_store, alone, images, generator, [asked], {})
        np.testing.assert_allclose(find(alone, asked).changed, find(store, asked).changed, atol=0.02)


def test_what_starts_is_the_models_own_answer_to_the_picture(model_store, store, images, generator):
    card = model_store.add(loaded(side=20))
    asked = asked_of(card, images, generator, row=2)
    work_out(model_store, store, images, generator, [asked], {})
    with model_store.borrow(card) as model:
        own = model.logits(model.normalise(card.preprocessing.crop(images.image(2))[None])).softmax(1)[0]
    np.testing.assert_allclose(find(store, asked).before, own.numpy(), atol=1e-5)


def test_what_cannot_be_asked_is_said_and_the_rest_goes_on(model_store, store, images, generator):
    card, regression = (
        model_store.add(loaded()),
        model_store.add(tiny_loaded(n_classes=1, channels=1, name="regression")),
    )
    good = asked_of(card, images, generator)
    bad = {
        "two different classes": asked_of(card, images, generator, 1, 1),
        "a class of tiny": asked_of(card, images, generator, 0, 9),
        "two classes or more": asked_of(regression, images, generator),
        "another image set or training": replace(good, generator="another"),
    }
    failures = {}
    work_out(model_store, store, images, generator, [*bad.values(), good], failures)
    assert find(store, good) is not None
    for expected, asked in bad.items():
        assert expected in failures[asked.key]
        assert failures[asked.key].startswith("Expected ")
    failures = {}
    work_out(model_store, store, images, None, [good], failures)
    assert "a generator of small, got none. Train one" in failures[good.key]
    failures = {}
    foreign = trained("another set")
    work_out(model_store, store, images, foreign, [replace(good, generator=foreign.key)], failures)
    assert "one of another image set" in next(iter(failures.values()))


def test_a_model_without_gradients_gets_one_line(model_store, store, images, generator):
    class Steps(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x):
            return torch.stack([(x.mean((1, 2, 3)) * 10).round(), x.detach().std((1, 2, 3))], 1).detach()

    card = model_store.add(tiny_loaded(Steps(), channels=1))
    asked, failures = asked_of(card, images, generator), {}
    work_out(model_store, store, images, generator, [asked], failures)
    assert "gradient" in failures[asked.key]
    assert "\n" not in failures[asked.key]


def test_notes_tell_what_a_person_should_know(model_store, store, images, generator):
    card = model_store.add(loaded(n_classes=2))
    with model_store.borrow(card) as model:
        own = model.logits(model.normalise(card.preprocessing.crop(images.image(0))[None]))[0]
    winner = int(own.argmax())
    asked = asked_of(card, images, generator, 1 - winner, winner)
    work_out(model_store, store, images, generator, [asked], {})
    found = find(store, asked)
    notes = " ".join(found.notes(asked))
    assert "already finds" in notes
    assert "two classes only" in notes
    assert found.third(asked) is None
    assert not found.third_wins(asked)
    assert found.error > LARGE_RESIDUAL
    assert "could not rebuild" in notes, "nobody taught this generator"
    missed = replace(found, feasible=False, violation=1.5)
    assert "off by 1.5" in missed.status(asked)
    assert "off by 1.5" in " ".join(missed.notes(asked))


def test_stopping_keeps_what_is_found(model_store, store, images, generator, monkeypatch):
    monkeypatch.setattr(keeping, "AT_ONCE", 1)
    card = model_store.add(loaded())
    all_asked = [asked_of(card, images, generator, row=row) for row in range(3)]

    def stop(done, _total):
        if done >= 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        work_out(model_store, store, images, generator, all_asked, {}, stop)
    assert [asked.key in store for asked in all_asked] == [True, False, False]
    with model_store.borrow(card) as model:
        assert not any(parameter.requires_grad for parameter in model.module.parameters())


def test_when_memory_runs_out_the_batch_is_halved(model_store, store, images, generator, monkeypatch):
    card, true_search, tried = model_store.add(loaded()), keeping.search, []

    def small(answers, z0, *rest):
        tried.append(len(z0))
        if len(z0) > 2:
            raise torch.OutOfMemoryError
        return true_search(answers, z0, *rest)

    monkeypatch.setattr(keeping, "search", small)
    all_asked, failures = [asked_of(card, images, generator, row=row) for row in range(4)], {}
    work_out(model_store, store, images, generator, all_asked, failures)
    assert tried == [4, 2, 2]
    assert not failures


def test_the_key_stands_for_everything(tmp_path, images, generator):
    card = ModelStore(tmp_path / "model_store", "cpu").add(loaded())
    first = asked_of(card, images, generator)
    others = [
        asked_of(card, images, generator, 1, 0),
        asked_of(card, images, generator, row=1),
        replace(first, generator="longer trained"),
        replace(first, params=ContrastParams(constraints=False)),
    ]
    assert len({first.key, *(other.key for other in others)}) == 5
    assert first.title == "why class 0 and not class 1"
