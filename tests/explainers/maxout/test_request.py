"""MaxOut's images as requests: one batch for many targets, resumed as if never stopped, exact values."""

from functools import partial

import numpy as np
import pytest
import torch

from explainers.maxout.ascent import Ascent
from explainers.maxout.method import MaxOutParams
from explainers.maxout.request import MaxOutRequest
from explainers.maxout.state import Status
from explainers.output import Output
from explainers.results import Sources, compute, compute_missing
from jobs.queue import Cancelled
from jobs.results import ResultStore
from tests.explainers.maxout.test_ascent import Deaf
from tests.explainers.nets import NETS, add, grey, seeded, state_of

SHORT = MaxOutParams(iterations=8)


@pytest.fixture
def sources(model_store, tmp_path):
    return Sources(model_store, ResultStore(tmp_path / "results", 10**9))


def request_of(card, target=0, output=None, **changes):
    return MaxOutRequest(card, target, output or Output(), MaxOutParams(**{**vars(SHORT), **changes}))


def stop_at(step):
    def progress(done, _total):
        if done >= step:
            raise Cancelled

    return progress


def test_what_was_stopped_is_resumed_after_a_restart_as_if_it_never_had_been(sources, tiny_card, tmp_path):
    wanted = [request_of(tiny_card, target) for target in (0, 2)]
    with pytest.raises(Cancelled):
        compute_missing(sources, wanted, {}, stop_at(10))
    assert [request.load(sources.store).step for request in wanted] == [5, 5]
    restarted = Sources(sources.model_store, ResultStore(sources.store.folder, 10**9))
    elsewhere = Sources(sources.model_store, ResultStore(tmp_path / "elsewhere", 10**9))
    for one in (restarted, elsewhere):
        compute_missing(one, wanted, {})
    for request in wanted:
        resumed, whole = request.load(restarted.store), request.load(elsewhere.store)
        assert all(np.array_equal(array, request.pack(whole)[name]) for name, array in request.pack(resumed).items())


def test_more_iterations_are_the_same_request_and_another_seed_is_not(tiny_card):
    request = request_of(tiny_card)
    assert request_of(tiny_card, iterations=900).key == request.key
    assert request_of(tiny_card, iterations=900).goal != request.goal
    assert len({request.key, request_of(tiny_card, seed=1).key, request_of(tiny_card, 1).key}) == 3
    assert request_of(tiny_card, 0, Output("probability")).key != request.key


def test_values_are_those_of_the_image_as_it_is_shown(sources, model_store, tiny_card):
    made = compute(sources, request_of(tiny_card, 1))
    assert made.pictures.shape == (1, *tiny_card.input_size, 3)
    assert made.pictures.dtype == np.uint8
    with model_store.borrow(tiny_card) as model, torch.no_grad():
        scores = model.logits(model.normalise(made.pictures))[0]
    assert made.values[0] == pytest.approx(float(scores[1]), abs=1e-5)
    assert made.answers[0] == int(scores.argmax())
    assert made.probability[0] == pytest.approx(float(scores.softmax(0).max()), abs=1e-5)


def test_targets_at_one_step_climb_together(sources, model_store):
    card = add(model_store, seeded(NETS["plain"]))
    units = [request_of(card, unit, Output("unit", "4")) for unit in range(12)]
    compute_missing(sources, [unit.up_to(3) for unit in units[:2]], {})
    groups = {request.group(sources) for request in units}
    assert len(groups) == 2
    assert len({request.group(sources) for request in units[2:]}) == 1
    assert request_of(card, 2, Output("unit", "4"), seed=1).group(sources) not in groups


def test_all_have_an_image_before_one_is_finished(sources, model_store, tiny_card, monkeypatch):
    other, order = add(model_store, seeded(NETS["plain"])), []
    wanted = [request_of(tiny_card, iterations=16), request_of(other, iterations=16)]

    def show(request, _unfinished):
        order.append((request.card.name, request.load(sources.store).step))

    bad, failures = request_of(tiny_card, 99, iterations=16), {}
    monkeypatch.setattr(MaxOutRequest, "show_s", 1e9)
    compute_missing(sources, [*wanted, bad], failures, show=show)
    assert order == [("tiny", 2), ("net", 2), ("tiny", 8), ("net", 8), ("tiny", 16), ("net", 16)]
    assert "0 to 2" in failures[bad.key]


def test_a_dead_target_keeps_its_image_and_is_not_tried_again(sources, model_store):
    request = request_of(add(model_store, Deaf()), 0, iterations=40)
    made = compute(sources, request)
    assert "No gradient" in made.notes[0]
    assert made.pictures.std() > 0
    assert request.finished(sources.store)
    assert made.step < 400
    assert request.up_to(400).finished(sources.store)


def test_images_form_while_somebody_looks(sources, tiny_card, monkeypatch):
    monkeypatch.setattr(MaxOutRequest, "show_s", 0.0)
    steps = []
    compute(sources, request_of(tiny_card), show=lambda _request, made: steps.append(made and made.step))
    assert steps == [1, 2, 3, 4, 5, 6, 7, None]
    assert (request_of(tiny_card).load(sources.store).status == Status.OK).all()


def test_the_model_is_given_back_as_it_was_also_when_stopped(sources, model_store):
    module = seeded(NETS["plain"])
    card = add(model_store, module)
    before = state_of(module)
    with pytest.raises(Cancelled):
        compute(sources, request_of(card, 0, Output("unit", "4"), pictures=2), stop_at(3))
    assert state_of(module) == before


def test_grey_images_are_shown_as_grey(sources, model_store):
    card = add(model_store, seeded(partial(grey, 32)), channels=1)
    red, green, blue = np.moveaxis(compute(sources, request_of(card, iterations=2)).pictures, 3, 0)
    assert np.array_equal(red, green)
    assert np.array_equal(red, blue)


def test_the_notebook_lines_of_the_ascent_run(model_store, tiny_card):
    with model_store.borrow(tiny_card) as model:
        ascent = Ascent(model, Output("logit"), [0, 2], MaxOutParams())
        *_, state = ascent.climb(ascent.new(), 4)
        assert ascent.pictures(ascent.judged(state)).shape == (2, 3, *tiny_card.input_size)


@pytest.mark.parametrize("lost", [(0,), (0, 1)], ids=["one", "both"])
@pytest.mark.parametrize("stopped", [5, 8], ids=["on the way", "at the end"])
def test_a_process_that_was_killed_between_the_state_and_its_images_is_resumed(
    sources, tiny_card, tmp_path, lost, stopped
):
    wanted = [request_of(tiny_card, target) for target in (0, 2)]
    compute_missing(sources, [request.up_to(4) for request in wanted], {})
    before = {number: wanted[number].load(sources.store) for number in lost}
    compute_missing(sources, [request.up_to(stopped) for request in wanted], {})
    for number in lost:  # what was kept before, beside the newer state
        sources.store.put(wanted[number].key, **wanted[number].pack(before[number]))
    restarted = Sources(sources.model_store, ResultStore(sources.store.folder, 10**9))
    elsewhere = Sources(sources.model_store, ResultStore(tmp_path / "elsewhere", 10**9))
    for one in (restarted, elsewhere):
        compute_missing(one, wanted, failures := {})
        assert not failures
    for request in wanted:
        resumed, whole = request.load(restarted.store), request.load(elsewhere.store)
        assert all(np.array_equal(array, request.pack(whole)[name]) for name, array in request.pack(resumed).items())
