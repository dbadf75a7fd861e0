"""MaxOut's pictures on disk."""

import numpy as np
import pytest
import torch

from explainers.maxout import keeping
from explainers.maxout.ascent import Ascent
from explainers.maxout.keeping import AT_ONCE, Asked, batches, find, go_on, work_out
from explainers.maxout.method import MaxOutParams
from explainers.maxout.state import WELL
from explainers.output import Output
from jobs.queue import Cancelled
from jobs.results import ResultStore
from tests.explainers.maxout.test_ascent import Deaf
from tests.explainers.nets import NETS, add, grey, seeded, state_of

SHORT = MaxOutParams(iterations=8)


@pytest.fixture
def store(tmp_path):
    return ResultStore(tmp_path / "results", 10**9)


def asked_of(card, target=0, output=None, **changes):
    return Asked(card, target, output or Output(), MaxOutParams(**{**vars(SHORT), **changes}))


def stop_at(step):
    def report(done, _total):
        if done >= step:
            raise Cancelled

    return report


def test_what_was_stopped_goes_on_after_a_restart_as_if_it_never_had(model_store, tiny_card, store, tmp_path):
    targets = [asked_of(tiny_card, target) for target in (0, 2)]
    with pytest.raises(Cancelled):
        go_on(model_store, store, targets, 8, stop_at(5))
    assert [find(store, asked).step for asked in targets] == [5, 5]
    restarted = ResultStore(store.folder, 10**9)
    go_on(model_store, restarted, targets, 8)
    elsewhere = ResultStore(tmp_path / "elsewhere", 10**9)
    go_on(model_store, elsewhere, targets, 8)
    for asked in targets:
        resumed, whole = find(restarted, asked), find(elsewhere, asked)
        assert all(np.array_equal(getattr(resumed, name), getattr(whole, name)) for name in vars(whole))


def test_more_iterations_go_on_and_another_seed_does_not(tiny_card):
    asked = asked_of(tiny_card)
    assert asked_of(tiny_card, iterations=900).key == asked.key
    assert len({asked.key, asked_of(tiny_card, seed=1).key, asked_of(tiny_card, 1).key}) == 3
    assert asked_of(tiny_card, 0, Output("probability")).key != asked.key


def test_values_are_those_of_the_picture_as_it_is_shown(model_store, tiny_card, store):
    asked = asked_of(tiny_card, 1)
    go_on(model_store, store, [asked], 8)
    made = find(store, asked)
    assert made.pictures.shape == (1, *tiny_card.input_size, 3)
    assert made.pictures.dtype == np.uint8
    with model_store.borrow(tiny_card) as model, torch.no_grad():
        scores = model.logits(model.normalise(made.pictures))[0]
    assert made.values[0] == pytest.approx(float(scores[1]), abs=1e-5)
    assert made.answers[0] == int(scores.argmax())
    assert made.probability[0] == pytest.approx(float(scores.softmax(0).max()), abs=1e-5)


def test_targets_of_one_step_climb_together_and_finished_ones_no_more(model_store, store):
    card = add(model_store, seeded(NETS["plain"]))
    units = [asked_of(card, unit % 12, Output("unit", "4"), seed=unit // 12) for unit in range(24)]
    same = [asked_of(card, unit, Output("unit", "4")) for unit in range(12)]
    assert [len(batch) for batch in batches(store, units, 8)] == [12, 12]
    go_on(model_store, store, same[:2], 3)
    go_on(model_store, store, same[2:3], 8)
    assert [len(batch) for batch in batches(store, same, 8)] == [2, 9]
    assert AT_ONCE >= 12


def test_all_have_a_picture_before_one_is_finished_and_one_that_fails_costs_no_other(model_store, tiny_card, store):
    other = add(model_store, seeded(NETS["plain"]))
    good = [asked_of(tiny_card, iterations=16), asked_of(other, iterations=16)]
    bad = asked_of(tiny_card, 99, iterations=16)
    failures, reports, order = {}, [], []

    def show(asked, made):
        order.append((asked.card.name, made.step))

    work_out(model_store, store, [*good, bad], failures, lambda *report: reports.append(report), show)
    assert order == [("tiny", 2), ("net", 2), ("tiny", 8), ("net", 8), ("tiny", 16), ("net", 16)]
    assert list(failures) == [bad.key]
    assert "0 to 2" in failures[bad.key]
    assert reports[-1] == (48, 48)
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)


def test_a_dead_target_keeps_its_picture_and_is_not_tried_again(model_store, store):
    card = add(model_store, Deaf())
    asked = asked_of(card, 0, iterations=40)
    work_out(model_store, store, [asked], {})
    made = find(store, asked)
    assert "No gradient" in made.notes[0]
    assert made.pictures.std() > 0
    assert made.finished(40)
    assert batches(store, [asked], 40) == []


def test_pictures_form_while_somebody_looks(model_store, tiny_card, store, monkeypatch):
    monkeypatch.setattr(keeping, "_SHOW_S", 0.0)
    steps = []
    go_on(model_store, store, [asked_of(tiny_card)], 8, show=lambda _asked, made: steps.append(made.step))
    assert steps == [1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert (find(store, asked_of(tiny_card)).fates == WELL).all()


def test_the_model_is_given_back_as_it_was_also_when_stopped(model_store, store):
    module = seeded(NETS["plain"])
    card = add(model_store, module)
    before = state_of(module)
    with pytest.raises(Cancelled):
        go_on(model_store, store, [asked_of(card, 0, Output("unit", "4"), pictures=2)], 8, stop_at(3))
    assert state_of(module) == before


def test_grey_pictures_are_shown_as_grey(model_store, store):
    card = add(model_store, seeded(lambda: grey(32)), channels=1)
    go_on(model_store, store, [asked_of(card)], 2)
    red, green, blue = np.moveaxis(find(store, asked_of(card)).pictures, 3, 0)
    assert np.array_equal(red, green)
    assert np.array_equal(red, blue)


def test_the_notebook_lines_of_the_ascent_run(model_store, tiny_card):
    with model_store.borrow(tiny_card) as model:
        ascent = Ascent(model, Output("logit"), [0, 2], MaxOutParams())
        *_, state = ascent.climb(ascent.new(), 4)
        assert ascent.pictures(ascent.judged(state)).shape == (2, 3, *tiny_card.input_size)
