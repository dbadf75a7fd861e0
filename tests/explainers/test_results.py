"""The loop of the result cache, once for all requests: found, computed, stopped, resumed, and what cannot be."""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
import torch

from common.errors import InputError
from explainers.attribution import request_for
from explainers.registry import METHODS
from explainers.results import Request, Resumable, Sources, Step, compute, compute_missing, missing
from jobs.queue import Cancelled
from jobs.results import ResultStore
from tests.explainers.nets import NETS, add, seeded

#: What was computed, in order: (names, …).
COMPUTED: list[tuple] = []


@pytest.fixture
def sources(tmp_path):
    COMPUTED.clear()
    return Sources(None, ResultStore(tmp_path / "results", 10**9), None)


@dataclass(frozen=True)
class Square(Request[float]):
    """A number's square, two at a time."""

    number: float
    fails: Exception | None = field(default=None, compare=False)
    together = 2

    key = property(lambda self: f"{int(self.number):032x}")
    title = property(lambda self: f"{self.number} squared")

    def pack(self, result):
        return {"square": np.array(result)}

    def unpack(self, arrays):
        return float(arrays["square"])

    def group(self, sources):
        return "squares"

    def check(self, sources):
        if self.number < 0:
            raise InputError("a number of at least 0", str(self.number), "Take another.")

    @classmethod
    def compute(cls, requests: Sequence["Square"], sources, progress):
        COMPUTED.append(tuple(request.number for request in requests))
        progress(1, 2)
        for request in requests:
            if request.fails is not None:
                raise request.fails
        yield Step.of(*(request.number**2 for request in requests))


@dataclass(frozen=True)
class Count(Resumable[int]):
    """Counts up to `until`, by one a step, in two stages."""

    name: int
    until: int
    fails_at: int = -1

    key = property(lambda self: f"{self.name:032x}")
    title = property(lambda self: f"count {self.name}")
    how_far = property(lambda self: self.until)
    size = property(lambda self: self.until)

    def pack(self, result):
        return {"count": np.array(result)}

    def unpack(self, arrays):
        return int(arrays["count"])

    def complete(self, result):
        return result >= self.until

    def reached(self, result):
        return result

    def stages(self):
        return [Count(self.name, max(1, self.until // 4), self.fails_at), self]

    @classmethod
    def compute(cls, requests, sources, progress):
        (request,) = requests
        count = request.load(sources.store) or 0
        progress(0, 1)
        while count < request.until:
            if count == request.fails_at:
                raise RuntimeError("out of order\nwith a trace")
            count += 1
            COMPUTED.append((request.name, count))
            yield Step(count, partial(list, [count]), final=count == request.until)


def stop_at(done):
    def progress(reached, _total):
        if reached >= done:
            raise Cancelled

    return progress


def test_what_is_stored_is_found_and_what_is_missing_computed_in_batches_and_counted(sources):
    reports, failures = [], {}
    compute_missing(sources, [Square(3)], failures)
    wanted = [Square(number) for number in (1, 2, 3, 4, 2)]
    assert missing(sources.store, wanted, {}) == [Square(1), Square(2), Square(4)]
    compute_missing(sources, wanted, failures, lambda *report: reports.append(report))
    assert COMPUTED == [(3,), (1, 2), (4,)]
    assert [request.load(sources.store) for request in wanted] == [1, 4, 9, 16, 4]
    assert not failures
    assert reports[0] == (1, 4)
    assert (2, 4) in reports, "a batch half through counts half"
    assert reports[-1] == (4, 4)
    assert reports == sorted(reports)
    compute_missing(sources, wanted, failures)
    assert len(COMPUTED) == 3, "nothing is computed twice"


def test_stopping_keeps_what_is_finished(sources):
    with pytest.raises(Cancelled):
        compute_missing(sources, [Square(number) for number in range(6)], {}, stop_at(3))
    assert [Square(number).finished(sources.store) for number in range(6)] == [True, True, False, False, False, False]


def test_what_fails_says_why_in_one_line_and_the_others_go_on(sources):
    failures = {}
    wanted = [Count(1, 8, fails_at=5), Square(-1), Square(5, fails=ValueError), Count(2, 8)]
    with pytest.raises(ValueError, match=r"^$"):
        compute_missing(sources, wanted[2:], failures)  # no mistake of a person's: a job tells of it
    compute_missing(sources, [*wanted[:2], wanted[3]], failures)
    assert failures[wanted[0].key] == "out of order"
    assert failures[wanted[1].key] == "Expected a number of at least 0, got -1. Take another."
    assert Count(2, 8).load(sources.store) == 8
    before = len(COMPUTED)
    compute_missing(sources, wanted[:2], failures)
    assert len(COMPUTED) == before, "what failed is not tried again unless it is taken out of the failures"


def test_when_memory_runs_out_the_batch_is_halved_and_a_single_one_says_so(sources):
    failures = {}
    compute_missing(sources, [Square(1), Square(2, fails=torch.OutOfMemoryError()), Square(3)], failures)
    assert COMPUTED == [(1, 2), (1,), (2,), (3,)]
    assert list(failures) == [Square(2).key]
    assert failures[Square(2).key].startswith("Not enough memory")


def test_a_step_may_answer_the_first_requests_alone(sources, monkeypatch):
    monkeypatch.setattr(Square, "together", 4)

    def one(cls, requests, sources, progress):
        COMPUTED.append(tuple(request.number for request in requests))
        yield Step.of(requests[0].number ** 2)

    monkeypatch.setattr(Square, "compute", classmethod(one))
    compute_missing(sources, [Square(1), Square(2), Square(3)], {})
    assert COMPUTED == [(1, 2, 3), (2, 3), (3,)]
    assert Square(3).load(sources.store) == 9


def test_all_reach_the_first_stage_before_any_goes_on(sources):
    reports = []
    compute_missing(sources, [Count(1, 8), Count(2, 4)], {}, lambda *report: reports.append(report))
    assert [name for name, _ in COMPUTED] == [1] * 2 + [2] + [1] * 6 + [2] * 3
    assert reports[-1] == (12, 12)
    assert reports == sorted(reports)


def test_a_stopped_one_is_not_taken_for_finished_and_goes_on_where_it_stopped(sources):
    with pytest.raises(Cancelled):
        compute_missing(sources, [Count(1, 8)], {}, stop_at(5))
    assert Count(1, 8).load(sources.store) == 5
    assert Count(1, 5).finished(sources.store)
    assert not Count(1, 8).finished(sources.store)
    assert Count(1, 8).key == Count(1, 5).key
    assert Count(1, 8).goal != Count(1, 5).goal
    reports = []
    compute_missing(sources, [Count(1, 8)], {}, lambda *report: reports.append(report))
    assert [count for _, count in COMPUTED] == list(range(1, 9))
    assert reports[0] == (5, 8)


def test_unfinished_results_are_shown_and_kept_on_the_way(sources, monkeypatch):
    shown = []
    monkeypatch.setattr(Request, "show_s", 0.0)
    compute_missing(sources, [Count(1, 4)], {}, show=lambda request, result: shown.append(result))
    assert shown == [1, 2, 3, None], "None: it is finished, and in the store"
    monkeypatch.setattr(Request, "keep_s", 0.0)

    def die(request, result):
        if request.load(sources.store) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compute_missing(sources, [Count(2, 8)], {}, show=die)
    assert Count(2, 8).load(sources.store) == 3


def test_one_request_is_found_or_computed_and_its_failure_is_raised(sources):
    assert compute(sources, Count(1, 8)) == 8
    assert compute(sources, Count(1, 4)) == 8
    assert len(COMPUTED) == 8
    with pytest.raises(RuntimeError, match="out of order"):
        compute(sources, Count(2, 8, fails_at=5))
    with pytest.raises(InputError, match="at least 0"):
        compute(sources, Square(-1))


def test_a_map_is_found_by_what_makes_it_and_refined_ones_are_shown_on_the_way(model_store, tmp_path, monkeypatch):
    from tests.explainers.contrastive.small import image_set

    monkeypatch.setattr(Request, "show_s", 0.0)
    images, card = image_set(tmp_path / "pictures", 2), add(model_store, seeded(NETS["plain"]))
    sources = Sources(model_store, ResultStore(tmp_path / "store", 10**9), images)
    rise, grad_cam = METHODS["rise"], METHODS["grad-cam"]
    wanted = [request_for(card, images.ids[0], method, target=1) for method in (grad_cam, rise)]
    shown, failures = [], {}
    compute_missing(sources, wanted, failures, show=lambda request, found: shown.append((request.method, found)))
    assert not failures
    assert len([found for method, found in shown if method is rise and found is not None]) > 2
    for request in wanted:
        found = request.load(ResultStore(tmp_path / "store", 10**9))
        with model_store.borrow(card) as model:
            expected = request.method.explain(model, [images.image(0)], [images.ids[0]], [1])
        assert np.array_equal(found.maps, expected.maps)
        assert (found.params, found.output, found.targets) == (expected.params, expected.output, expected.targets)
    assert wanted[0].key != request_for(card, images.ids[0], grad_cam, target=2).key
    assert wanted[0].key != request_for(card, images.ids[1], grad_cam, target=1).key


def at_once(*works):
    """Run these in threads of their own; what they raise."""
    raised = [None] * len(works)

    def run(place):
        try:
            works[place]()
        except Exception as error:
            raised[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return raised


@dataclass(frozen=True)
class Slow(Square):
    """One that waits until somebody else asks for it, too."""

    @classmethod
    def compute(cls, requests, sources, progress):
        COMPUTED.append(tuple(request.number for request in requests))
        for _ in range(20):
            time.sleep(0.002)
            progress(0, 1)
        yield Step.of(*(request.number**2 for request in requests))


def test_what_several_ask_for_at_once_is_computed_once(sources):
    def asks(*numbers):
        return lambda: compute_missing(sources, [Slow(number) for number in numbers], {})

    works = [asks(1, 2, 3, 4), asks(3, 4, 5), asks(5, 1, 2), asks(1, 2, 3, 4, 5)]
    assert at_once(*works) == [None] * 4
    assert sorted(number for batch in COMPUTED for number in batch) == [1, 2, 3, 4, 5]
    assert [Slow(number).load(sources.store) for number in range(1, 6)] == [1, 4, 9, 16, 25]


def test_what_was_stopped_on_the_way_is_taken_over_by_who_waits(sources):
    begun = threading.Event()

    def stopped():
        def progress(done, total):
            if COMPUTED:
                begun.set()
                time.sleep(0.02)  # the other waits by now
                raise Cancelled

        compute_missing(sources, [Count(1, 40), Count(2, 40)], {}, progress)

    def waits():
        assert begun.wait(10)
        compute_missing(sources, [Count(1, 40), Count(2, 40)], failures)

    failures = {}
    first, second = at_once(stopped, waits)
    assert isinstance(first, Cancelled)
    assert (second, failures) == (None, {})
    assert len(COMPUTED) == len(set(COMPUTED)) == 80, "no step is taken twice"


def test_who_waits_for_others_can_be_stopped(sources):
    begun, over = threading.Event(), threading.Event()

    def holds():
        def progress(done, total):
            if COMPUTED:
                begun.set()
                assert over.wait(10)

        compute_missing(sources, [Slow(1)], {}, progress)

    def waits():
        assert begun.wait(10)
        reports = []

        def progress(done, total):
            reports.append(done)
            if len(reports) > 1:
                raise Cancelled

        try:
            compute_missing(sources, [Slow(1)], {}, progress)
        finally:
            over.set()

    held, waited = at_once(holds, waits)
    assert held is None
    assert isinstance(waited, Cancelled)
    assert COMPUTED == [(1,)]
