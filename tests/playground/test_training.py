import threading
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from explainers.results import Sources, compute_missing
from images.arrays import write_image_set
from images.image_set import ImageSet
from jobs.results import ResultStore
from models.loaders import playground
from models.stack import BatchNorm, Convolution, Dropout, FullyConnected, MaxPool, ReLU, Residual
from models.store import ModelStore
from playground import look, runs
from playground.data import (
    MARK_VALUE,
    TrainingData,
    is_grey,
    labelled,
    mark_of,
    marked_image_set,
    preprocessing_for,
    training_data,
)
from playground.process import TrainingElsewhere
from playground.runs import TrainingRequest, data_for, save
from playground.training import COLUMNS, OPTIMISERS, Status, Training, TrainingParams, augmented
from tests.makers import one_line

#: All kinds of layers that draw numbers or remember some.
STACK = (Convolution(4), BatchNorm(), ReLU(), MaxPool(), Dropout(0.3), Residual(4), FullyConnected(8), Dropout(0.2))
PARAMS = TrainingParams(epochs=3, batch=16, side=8, learning_rate=0.01)


def bars(folder, n=60, sizes=((12, 12),), labels=("across", "down", "up"), grey=True, brightness=250):
    """An image set of bars: across, down or aslant, by noise not quite equal."""
    random = np.random.default_rng(0)
    images, names = [], []
    for number in range(n):
        height, width = sizes[number % len(sizes)]
        image = random.integers(0, 60, (height, width) if grey else (height, width, 3), dtype=np.uint8)
        kind, place = number % len(labels), int(random.integers(2, min(height, width) - 3))
        if kind == 0:
            image[place : place + 2] = brightness
        elif kind == 1:
            image[:, place : place + 2] = brightness
        images.append(image)
        names.append(labels[kind])
    return write_image_set("bars", images, [f"{number:03d}" for number in range(n)], names, folder)


@pytest.fixture
def images(tmp_path):
    return bars(tmp_path / "bars")


@pytest.fixture
def sources(tmp_path, images):
    runs._held.clear()
    return Sources(ModelStore(tmp_path, "cpu"), ResultStore(tmp_path / "results", 10**9), images)


def request_of(images, params=PARAMS, stack=STACK, shortcut=""):
    return TrainingRequest(images.digest, stack, params, shortcut)


class Killed(BaseException):
    """The end of a process."""


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_training_that_is_killed_again_and_again_draws_the_same_curve(sources, images, tmp_path, optimiser):
    request = request_of(images, replace(PARAMS, augmentation="shift and turn", optimiser=optimiser))
    compute_missing(sources, [request], failures := {})
    whole = request.load(sources.store)
    assert not failures

    other = replace(sources, store=ResultStore(tmp_path / "other", 10**9))
    for deadline in (2, 5, 9, 14):
        n_calls = 0

        def kill(done, total, deadline=deadline):
            nonlocal n_calls
            n_calls += 1
            if n_calls > deadline:
                raise Killed

        with suppress(Killed):
            compute_missing(other, [request], {}, kill)
    compute_missing(other, [request], {})
    resumed = request.load(other.store)
    assert np.array_equal(resumed.history, whole.history, equal_nan=True)
    data = data_for(images, 8)
    for epoch in request.kept_epochs(sources.store, whole):
        nets = [request.network(one.store, whole, epoch, data).state_dict() for one in (sources, other)]
        assert all(torch.equal(a, b) for a, b in zip(*(net.values() for net in nets), strict=True))


def test_a_training_that_is_killed_between_the_last_state_and_its_curve_is_resumed(sources, images):
    request = request_of(images)
    compute_missing(sources, [request], failures := {})
    whole = request.load(sources.store)
    sources.store._path(request.key).unlink()
    compute_missing(replace(sources, store=ResultStore(sources.store.folder, 10**9)), [request], failures)
    assert not failures
    resumed = request.load(ResultStore(sources.store.folder, 10**9))
    assert np.array_equal(resumed.history, whole.history, equal_nan=True)


def test_trainings_at_once_take_turns_and_answer_as_they_do_alone(images):
    data = training_data(images, 8)

    def trained(seed):
        with TrainingElsewhere(STACK, replace(PARAMS, seed=seed), data, "cpu") as training:
            for _ in training.run(2):
                pass
            return training.latest.history

    alone, together = [trained(seed) for seed in range(3)], [None] * 3

    def work(seed):
        together[seed] = trained(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, together, strict=True):
        assert np.array_equal(one, other, equal_nan=True)


def test_it_learns_and_its_best_epoch_answers_well(sources, images):
    request = request_of(images, replace(PARAMS, epochs=12), (Convolution(6), ReLU(), MaxPool()))
    compute_missing(sources, [request], {})
    run = request.load(sources.store)
    data = data_for(images, 8)
    net = request.network(sources.store, run, run.best_epoch, data)
    found = look.probabilities(net, data.pixels[data.test], data.preprocessing)
    assert (found.argmax(1) == data.labels[data.test]).mean() > 0.9
    assert run.history[run.best_epoch, COLUMNS.index("validation loss")] == np.min(run.history[:, 1])
    counts = look.confusion(data.labels[data.test], found.argmax(1), 3)
    assert counts.sum() == len(data.test)
    assert counts.trace() == (found.argmax(1) == data.labels[data.test]).sum()


def test_more_epochs_go_on_with_the_same_run(sources, images):
    short, long = request_of(images), request_of(images, replace(PARAMS, epochs=5))
    assert short.key == long.key
    compute_missing(sources, [short], {})
    first = short.load(sources.store)
    assert not long.finished(sources.store)
    compute_missing(sources, [long], {})
    assert np.array_equal(long.load(sources.store).history[:4], first.history, equal_nan=True)


@pytest.mark.parametrize("optimiser", ["SGD", "RMSprop", "AdamW", "Adam"])
def test_a_learning_rate_that_diverges_is_said_and_the_last_good_weights_stay(sources, images, optimiser):
    params = replace(PARAMS, optimiser=optimiser, learning_rate=90.0, epochs=30)
    request = request_of(images, params, (Convolution(4), ReLU()))
    compute_missing(sources, [request], failures := {})
    run = request.load(sources.store)
    assert not failures
    assert run.status is Status.DIVERGED
    assert run.epoch < 30
    assert "ten times smaller" in run.note
    assert request.finished(sources.store)
    net = request.network(sources.store, run, run.best_epoch, data_for(images, 8))
    assert all(torch.isfinite(parameter).all() for parameter in net.parameters())


def test_early_stopping_stops_and_says_which_epoch_was_best(sources, images):
    params = replace(PARAMS, epochs=200, patience=3, learning_rate=0.05)
    request = request_of(images, params, (Convolution(4), ReLU()))
    compute_missing(sources, [request], {})
    run = request.load(sources.store)
    assert run.status is Status.STOPPED_EARLY
    assert run.epoch == run.best_epoch + 3
    assert f"lowest at epoch {run.best_epoch}" in run.note


def test_weights_are_kept_within_a_bound_with_the_best_and_the_last(sources, images, monkeypatch):
    monkeypatch.setattr(runs, "KEPT_BYTES", 4000)
    request = request_of(images, replace(PARAMS, epochs=7), (Convolution(4), ReLU()))
    compute_missing(sources, [request], {})
    run = request.load(sources.store)
    kept = request.kept_epochs(sources.store, run)
    assert len(kept) < 7
    assert {run.best_epoch, 7} <= set(kept)
    data = data_for(images, 8)
    for epoch in kept:
        request.network(sources.store, run, epoch, data)
    with one_line("the weights of epoch", "Choose another epoch"):
        request.network(sources.store, run, next(e for e in range(7) if e not in kept), data)


def test_a_run_becomes_a_model_that_answers_as_it_did(sources, images, tmp_path):
    request = request_of(images)
    compute_missing(sources, [request], {})
    run = request.load(sources.store)
    file = save(request, run, 2, sources.store, images, tmp_path)
    card = sources.model_store.add(playground.load(str(file), "mine"))
    data = data_for(images, 8)
    row = int(data.rows[data.test[0]])
    with sources.model_store.borrow(card) as model, torch.no_grad():
        crops = card.preprocessing.crop(images.image(row))[None]
        answer = model.logits(model.normalise(crops)).softmax(1).numpy()
    net = request.network(sources.store, run, 2, data)
    expected = look.inside(net, STACK, data.pixels[data.test[0]], data)
    assert np.allclose(answer[0], expected.probabilities, atol=1e-6)
    assert card.class_names == data.classes
    assert "epoch 2 of 3" in card.notes[0]
    assert ModelStore(tmp_path, "cpu").card(card.digest) == card  # and after a restart


def test_every_layer_is_seen_inside(images):
    data = training_data(images, 8)
    net = Training(STACK, PARAMS, data).net.eval()
    seen = look.inside(net, STACK, data.pixels[0], data)
    assert [layer.values.shape for layer in seen.layers] == [
        (4, 8, 8), (4, 8, 8), (4, 8, 8), (4, 4, 4), (4, 4, 4), (4, 4, 4), (8,), (8,),
    ]  # fmt: skip
    assert np.allclose(seen.layers[2].values, np.maximum(seen.layers[1].values, 0))
    assert seen.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert look.convolutions(STACK) == ["conv1"]
    assert [values.shape for values in look.filters(net, "conv1")] == [(4, 1, 3, 3), (4,)]


def test_each_class_is_in_every_part_and_no_image_in_two(images):
    data = training_data(images, 8, seed=3)
    parts = [set(part.tolist()) for part in (data.training, data.validation, data.test)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 60
    assert all({*data.labels[list(part)].tolist()} == {0, 1, 2} for part in parts)
    assert len(parts[0]) > len(parts[2]) > len(parts[1])


@pytest.mark.parametrize("sizes", [((12, 12), (20, 9), (7, 31)), ((64, 40),), ((8, 8),)])
@pytest.mark.parametrize("grey", [True, False])
def test_images_of_many_sizes_become_one_size(tmp_path, sizes, grey):
    images = bars(tmp_path, 30, sizes, grey=grey)
    data = training_data(images, 8)
    assert data.pixels.shape == (30, 1 if grey else 3, 8, 8)
    assert is_grey(images) == grey
    assert data.shape[0] == data.preprocessing.channels


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([None] * 9, "which has no labels"),
        (["a"] * 9, "with labels of 1"),
        (["a"] * 8 + ["b"], "got 1 of b"),
        (["a"] * 5 + ["b"] * 2 + ["c"] * 2, "got 2 of b, 2 of c"),
    ],
)
def test_images_that_no_network_can_learn_from_are_refused(labels, words):
    table = pd.DataFrame({"id": [f"{n:016x}" for n in range(9)], "label": labels, "name": "x", "path": "x", "note": ""})
    with one_line(words, "Add images"):
        labelled(ImageSet("few", table))


def test_images_without_a_label_take_no_part_and_that_is_said(images):
    table = images.table.copy()
    table.loc[:6, "label"] = None
    data = training_data(ImageSet("some", table), 8)
    assert len(data.labels) == 53
    assert data.remarks == ("7 of 60 images have no label and take no part.",)


def test_the_shortcut_marks_one_class_where_it_learns_and_nothing_that_tests_it(images):
    plain, marked = training_data(images, 8), training_data(images, 8, "down")
    rows, columns = mark_of(8, 8)
    changed = (plain.pixels != marked.pixels).any(axis=(1, 2, 3))
    seen = np.isin(np.arange(60), np.concatenate([plain.training, plain.validation]))
    assert np.array_equal(changed, seen & (plain.labels == 1))
    assert (marked.pixels[changed][:, :, rows, columns] == MARK_VALUE).all()
    with one_line("a class of the images", "Did you mean down"):
        training_data(images, 8, "dwon")


def test_a_network_that_learnt_the_shortcut_falls_for_it_and_another_does_not(sources, tmp_path):
    images = bars(tmp_path / "faint", 240, brightness=80)  # hard to tell but by the mark
    shares = []
    for shortcut in ("", "down"):
        request = request_of(images, replace(PARAMS, epochs=15, side=16), (Convolution(8), ReLU(), MaxPool()), shortcut)
        compute_missing(replace(sources, images=images), [request], {})
        run, data = request.load(sources.store), data_for(images, 16, shortcut)
        shares.append(look.turned_by_mark(request.network(sources.store, run, run.epoch, data), data, 1))
    assert shares[0] < 0.3
    assert shares[1] > 0.9


def test_marked_test_images_have_the_mark_and_its_mask(images, tmp_path):
    data = training_data(images, 8)
    marked = marked_image_set(images, data, tmp_path / "data")
    assert len(marked) == len(data.test)
    assert marked.mask_kinds == ("mark",)
    for index in range(3):
        mask = marked.mask(index, "mark")
        assert 0 < mask.mean() < 0.15
        assert (marked.image(index)[mask] == MARK_VALUE).all()
    again = marked_image_set(images, data, tmp_path / "data")
    assert again.digest == marked.digest


@pytest.mark.parametrize("how", ["flip", "shift and turn", "none"])
def test_augmentation_changes_images_by_its_own_seed_alone(how):
    inputs = torch.rand(6, 1, 9, 9)
    first, second, other = (augmented(inputs, how, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert torch.equal(first, other) == (how == "none")
    assert first.shape == inputs.shape


@pytest.mark.parametrize("n", [33, 17, 2, 1])
def test_the_last_batch_is_never_a_single_image(n):
    pixels = np.random.default_rng(0).integers(0, 255, (n + 4, 1, 8, 8), dtype=np.uint8)
    where = np.arange(n + 4)
    parts = where[:n], where[n : n + 2], where[n + 2 :]
    data = TrainingData(pixels, where % 2, where, ("a", "b"), *parts, preprocessing_for(8, True))
    training = Training((Convolution(2), ReLU()), replace(PARAMS, epochs=1), data)
    for _ in training.run(1):
        pass
    assert training.latest.epoch == 1
