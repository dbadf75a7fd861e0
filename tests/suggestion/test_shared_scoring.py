"""Scorings that share models, at the same time or one after the other was stopped; and damaged files of theirs."""

import shutil
import threading
import time
from collections import Counter

import pandas as pd
import pytest
import torch
from torch import nn

from jobs.claims import Claims
from models.memory import ModelMemory
from models.store import ModelHandle, ModelStore
from suggestion import scoring
from tests.suggestion.makers import colour_images, colour_loaded

N, CHUNK = 24, 4


class StopError(Exception):
    pass


@pytest.fixture
def images(tmp_path):
    return colour_images(tmp_path / "images", N)


@pytest.fixture
def cards(model_store):
    return [model_store.add(colour_loaded(f"net {number}", scale=1 + number)) for number in range(3)]


@pytest.fixture
def passes(monkeypatch):
    """How many images went through each model."""
    counted, guard, whole = Counter(), threading.Lock(), ModelHandle.logits

    def logits(self, inputs):
        with guard:
            counted[self.card.digest] += len(inputs)
        time.sleep(0.001)
        return whole(self, inputs)

    monkeypatch.setattr(ModelHandle, "logits", logits)
    return counted


def together(*works):
    """Runs all of these at once; what each returns, or raises."""
    results = [None] * len(works)

    def run(place):
        try:
            results[place] = works[place]()
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    return results


def score(model_store, cards, images, folder, report=lambda done, total: None):
    return lambda: scoring.score(model_store, cards, images, folder, report, chunk=CHUNK)


def frame(cards, images, folder):
    return scoring.load(cards, images, folder).to_frame()


def left_over(folder):
    return [path for path in folder.rglob("*") if path.suffix == ".partial" or path.parent.parent.parent == folder]


def test_every_part_is_computed_once_however_many_ask_for_it(model_store, images, cards, tmp_path, passes):
    score(model_store, cards, images, tmp_path / "alone")()
    passes.clear()
    first, second, third = cards
    asked = [[first, second], [second, third], [third, first], [first, second, third]] * 2
    reports = [[] for _ in asked]
    works = [
        score(model_store, some, images, tmp_path / "out", lambda done, total, place=place: reports[place].append(done))
        for place, some in enumerate(asked)
    ]
    assert together(*works) == [{}] * len(works)
    assert passes == {card.digest: N for card in cards}
    pd.testing.assert_frame_equal(frame(cards, images, tmp_path / "out"), frame(cards, images, tmp_path / "alone"))
    assert left_over(tmp_path / "out") == []
    for some, heard in zip(asked, reports, strict=True):
        assert heard == sorted(heard)
        assert heard[-1] == N * len(some)


def test_what_a_stopped_run_was_at_is_taken_over(model_store, images, cards, tmp_path, passes):
    score(model_store, cards, images, tmp_path / "alone")()
    passes.clear()
    reached = threading.Event()

    def stop_late(done, total):
        if done >= 3 * CHUNK:
            reached.set()
            time.sleep(0.05)  # the others are waiting for this very part
            raise StopError

    def others():
        assert reached.wait(30)
        return score(model_store, cards, images, tmp_path / "out")()

    stopped, *finished = together(score(model_store, cards, images, tmp_path / "out", stop_late), others, others)
    assert isinstance(stopped, StopError)
    assert finished == [{}, {}]
    pd.testing.assert_frame_equal(frame(cards, images, tmp_path / "out"), frame(cards, images, tmp_path / "alone"))
    assert all(N <= n <= N + CHUNK for n in passes.values())
    assert left_over(tmp_path / "out") == []


def test_who_waits_for_others_can_be_stopped(model_store, images, cards, tmp_path):
    begun, let_go, card = threading.Event(), threading.Event(), cards[0]
    heard = []

    def hold(done, total):
        if done:
            begun.set()
            assert let_go.wait(30)

    def stop(done, total):
        heard.append(done)
        raise StopError

    def waits():
        assert begun.wait(30)
        one_chunk = images.take(range(CHUNK))
        try:
            return score(
                model_store, [card], one_chunk, tmp_path / "out", lambda *_: (heard and stop(*_)) or heard.append(0)
            )()
        finally:
            let_go.set()

    held, waited = together(score(model_store, [card], images.take(range(CHUNK)), tmp_path / "out", hold), waits)
    assert held == {}
    assert isinstance(waited, StopError)


def test_a_model_that_fails_fails_in_every_run(model_store, images, cards, tmp_path):
    class Fails(nn.Module):
        def forward(self, images):
            scores = images.mean(dim=(2, 3))
            return torch.where(scores[:, :1] > 0.5, torch.nan, scores)

    loaded = colour_loaded("bad")
    bad = model_store.add(type(loaded)(**{**vars(loaded), "module": Fails(), "architecture": "test/bad"}))
    ran = together(*[score(model_store, [bad, cards[0]], images, tmp_path / "out")] * 3)
    assert [list(failed) for failed in ran] == [[bad.digest]] * 3
    assert scoring.load([cards[0]], images, tmp_path / "out") is not None


def test_another_process_may_be_done_first_and_remove_the_parts(model_store, images, cards, tmp_path, monkeypatch):
    card, whole = cards[0], scoring.write_table
    score(model_store, [card], images, tmp_path / "alone")()
    table, calls = scoring._whole(card, images, tmp_path / "out"), []

    def write(path, frame):
        calls.append(path)
        if len(calls) == 3:
            shutil.rmtree(path.parent)
            shutil.copy(scoring._whole(card, images, tmp_path / "alone"), table)
            raise FileNotFoundError(path)
        whole(path, frame)

    monkeypatch.setattr(scoring, "write_table", write)
    assert score(model_store, [card], images, tmp_path / "out")() == {}
    pd.testing.assert_frame_equal(frame([card], images, tmp_path / "out"), frame([card], images, tmp_path / "alone"))
    assert left_over(tmp_path / "out") == []


@pytest.mark.parametrize(
    "spoil", [lambda b: b[:-100], lambda b: b[:10], lambda b: b"", lambda b: b[:200] + bytes([b[200] ^ 1]) + b[201:]]
)
@pytest.mark.parametrize("part", [False, True], ids=["whole", "part"])
def test_a_damaged_table_is_computed_again(model_store, images, cards, tmp_path, spoil, part, caplog):
    folder, card = tmp_path / "out", cards[0]
    score(model_store, [card], images, folder)()
    before = frame([card], images, folder)
    if part:
        scoring._whole(card, images, folder).unlink()

        def stop(done, total):
            if done > 2 * CHUNK:
                raise StopError

        with pytest.raises(StopError):
            score(model_store, [card], images, folder, stop)()
    path = min(path for path in folder.rglob("*.parquet"))
    path.write_bytes(spoil(path.read_bytes()))
    if not part:
        assert scoring.load([card], images, folder) is None
        assert not scoring.scored(card, images, folder)
    assert score(model_store, [card], images, folder)() == {}
    pd.testing.assert_frame_equal(frame([card], images, folder), before)
    assert len(caplog.records) == 1
    assert path.name in caplog.text


def test_models_that_do_not_fit_beside_each_other_are_scored_one_after_another(tmp_path, images, monkeypatch):
    model_store = ModelStore(tmp_path / "small", "cpu", ModelMemory(100))
    cards = [model_store.add(colour_loaded(f"net {number}", scale=1 + number)) for number in range(3)]
    n_bytes = 4 * cards[0].n_parameters
    for max_bytes, groups in ((6 * n_bytes, 1), (4 * n_bytes, 2), (n_bytes, 3), (1, 3)):
        model_store.memory.max_bytes = max_bytes
        found = model_store.side_by_side(cards)
        assert len(found) == groups
        assert [card for group in found for card in group] == cards


def test_claims_are_free_again_whatever_happens():
    claims = Claims()
    with pytest.raises(StopError), claims.mine() as mine:  # noqa: PT012
        assert mine.take("abca") == ["a", "b", "c"]
        with claims.mine() as others:
            assert others.take("bcd") == ["d"]
            others.release("bcd")
            assert mine.keys == {"a", "b", "c"}, "nobody releases what others have"
        assert mine.take("ad") == ["d"]
        raise StopError
    with claims.mine() as mine:
        assert mine.take("abcd") == ["a", "b", "c", "d"]
        claims.wait("abcdx", 10)  # x is free: at once
