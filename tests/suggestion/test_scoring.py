import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from jobs.queue import Cancelled
from models.store import ModelStore
from suggestion import scoring
from suggestion.table import NONE, shared_classes
from suggestion.views import Filters, accuracy, agreement, keep, where_they_differ
from tests.suggestion.makers import colour_images, colour_loaded


@pytest.fixture
def model_store(tmp_path):
    return ModelStore(tmp_path / "model_store", "cpu")


def test_the_table_holds_each_models_answers_in_the_images_order(model_store, tmp_path):
    images = colour_images(tmp_path / "images")
    card = model_store.add(colour_loaded())
    assert scoring.score(model_store, [card], images, tmp_path / "out") == {}
    table = scoring.load([card], images, tmp_path / "out")
    names = [table.class_name(number) for number in table.predicted[:, 0]]
    assert names == list(images.labels)
    assert accuracy(table)[0].tolist() == [1.0]
    assert table.probability[:, 0, :3].sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert (table.top[:, 0, 3:] == NONE).all()
    assert table.true_probability[:, 0] == pytest.approx(table.confidence[:, 0])


def test_answers_equal_a_plain_forward_pass(model_store, tmp_path):
    images = colour_images(tmp_path / "images", 5)
    card = model_store.add(colour_loaded(scale=0.7))
    scoring.score(model_store, [card], images, tmp_path / "out")
    table = scoring.load([card], images, tmp_path / "out")
    with model_store.borrow(card) as model, torch.no_grad():
        crops = np.stack([card.preprocessing.crop(images.image(i)) for i in range(5)])
        expected = model.logits(model.normalise(crops)).softmax(1).max(1).values
    assert table.confidence[:, 0] == pytest.approx(expected.numpy())


def test_models_with_other_sizes_and_class_lists_share_one_table(model_store, tmp_path):
    images = colour_images(tmp_path / "images", 9)
    first = model_store.add(colour_loaded("first"))
    second = model_store.add(colour_loaded("second", 24, ("Blue", "red", "purple"), order=(2, 0, 1)))
    scoring.score(model_store, [first, second], images, tmp_path / "out")
    table = scoring.load([first, second], images, tmp_path / "out")
    assert table.classes == ("red", "green", "blue", "purple")
    assert shared_classes([first, second]) == ("red", "blue")
    blue = np.array([label == "blue" for label in images.labels])
    assert (table.predicted[blue, 0] == table.predicted[blue, 1]).all()
    green = np.array([label == "green" for label in images.labels])
    assert np.isnan(table.true_probability[green, 1]).all()
    assert accuracy(table)[1].tolist() == [9, 6]


def test_a_finished_chunk_is_never_scored_again(model_store, tmp_path):
    images = colour_images(tmp_path / "images", 20)
    card = model_store.add(colour_loaded())

    def stop_after_ten(done: int, total: int) -> None:
        if done >= 10:
            raise Cancelled

    with pytest.raises(Cancelled):
        scoring.score(model_store, [card], images, tmp_path / "out", stop_after_ten, chunk=4)
    parts = sorted((tmp_path / "out").glob("*/*/*.parquet"))
    assert len(parts) == 2
    stamps = {part: part.stat().st_mtime_ns for part in parts}
    reports = []

    def look(done: int, total: int) -> None:
        reports.append(done)
        assert all(part.stat().st_mtime_ns == stamp for part, stamp in stamps.items() if part.exists())

    scoring.score(model_store, [card], images, tmp_path / "out", look, chunk=4)
    assert reports[0] == 8
    assert reports[-1] == 20


def test_a_model_added_later_leaves_the_others_answers_alone(model_store, tmp_path):
    images = colour_images(tmp_path / "images", 6)
    first, second = model_store.add(colour_loaded("first")), model_store.add(colour_loaded("second", scale=1.0))
    scoring.score(model_store, [first], images, tmp_path / "out")
    file = next((tmp_path / "out").glob(f"*/{first.digest}.parquet"))
    stamp = file.stat().st_mtime_ns
    scoring.score(model_store, [first, second], images, tmp_path / "out")
    assert file.stat().st_mtime_ns == stamp
    assert scoring.load([first, second], images, tmp_path / "out") is not None


def test_a_model_that_goes_wrong_on_a_picture_does_not_stop_the_others(model_store, tmp_path):
    class NanOnRed(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            scores = images.mean(dim=(2, 3))
            return torch.where(scores[:, :1] > 0.5, torch.nan, scores)

    images = colour_images(tmp_path / "images", 6)
    good = model_store.add(colour_loaded("good"))
    loaded = colour_loaded("bad")
    bad = model_store.add(type(loaded)(**{**vars(loaded), "module": NanOnRed(), "architecture": "test/bad"}))
    failed = scoring.score(model_store, [bad, good], images, tmp_path / "out")
    assert list(failed) == [bad.digest]
    assert "NaN" in failed[bad.digest]
    assert scoring.load([good], images, tmp_path / "out") is not None
    assert scoring.load([good, bad], images, tmp_path / "out") is None


def test_when_memory_runs_out_the_batch_is_halved(model_store, tmp_path, monkeypatch):
    images = colour_images(tmp_path / "images", 10)
    card = model_store.add(colour_loaded())
    scoring.score(model_store, [card], images, tmp_path / "plenty")
    with model_store.borrow(card) as model:
        whole = type(model).logits

    def little_memory(self, inputs):
        if len(inputs) > 3:
            raise torch.OutOfMemoryError
        return whole(self, inputs)

    monkeypatch.setattr("models.store.ModelHandle.logits", little_memory)
    assert scoring.score(model_store, [card], images, tmp_path / "scarce") == {}
    plenty, scarce = (scoring.load([card], images, tmp_path / name) for name in ("plenty", "scarce"))
    assert np.allclose(plenty.probability, scarce.probability, atol=1e-6)


# Images that change


def spoil(images, how, index):
    path = images.paths[index]
    if how == "gone":
        path.unlink()
    elif how == "another":
        path.write_bytes(images.paths[(index + 1) % len(images)].read_bytes())
    else:
        path.write_bytes(path.read_bytes()[:400])


@pytest.mark.parametrize("how", ["gone", "another", "cut short"])
@pytest.mark.parametrize("which", [(4,), (0, 1, 2, 3), (0, 5, 19)])
def test_images_that_cannot_be_read_are_named_and_the_rest_is_scored(model_store, tmp_path, how, which):
    images = colour_images(tmp_path / "images", 20)
    cards = [model_store.add(colour_loaded()), model_store.add(colour_loaded("second", 24, order=(1, 0, 2)))]
    scoring.score(model_store, cards, images, tmp_path / "whole", chunk=4)
    for index in reversed(which):
        spoil(images, how, index)
    assert scoring.score(model_store, cards, images, tmp_path / "out", chunk=4) == {}
    whole, table = (scoring.load(cards, images, tmp_path / name) for name in ("whole", "out"))
    good = np.array([index not in which for index in range(20)])
    assert table.scored.tolist() == good.tolist()
    assert np.array_equal(table.predicted[good], whole.predicted[good])
    assert table.probability[good] == pytest.approx(whole.probability[good], abs=1e-6)
    assert not table.errors[~good].any()
    assert [one.name for one in scoring.unread(table, images)] == [images.names[index] for index in which]
    assert keep(table, Filters()).tolist() == good.tolist()
    assert accuracy(table)[1].tolist() == [good.sum()] * 2
    assert agreement(table)[0, 1] == pytest.approx(agreement(_rows(whole, good))[0, 1])
    assert set(where_they_differ(table, 0, 1)) == set(np.flatnonzero(good)) & set(where_they_differ(whole, 0, 1))


def _rows(table, rows):
    arrays = {name: getattr(table, name)[rows] for name in ("top", "probability", "true", "true_probability")}
    return replace(table, image_ids=tuple(np.array(table.image_ids)[rows]), **arrays)


def test_an_image_that_is_back_is_scored_by_the_next_run_and_nothing_else(model_store, tmp_path):
    images = colour_images(tmp_path / "images", 12)
    card = model_store.add(colour_loaded())
    scoring.score(model_store, [card], images, tmp_path / "whole", chunk=4)
    content = images.paths[5].read_bytes()
    images.paths[5].unlink()
    scoring.score(model_store, [card], images, tmp_path / "out", chunk=4)
    reports = []
    scoring.score(model_store, [card], images, tmp_path / "out", lambda done, total: reports.append(done), chunk=4)
    assert reports == [12]
    images.paths[5].write_bytes(content)
    table = scoring.load([card], images, tmp_path / "out")
    assert "Score them again" in scoring.unread(table, images)[0].reason
    before = scoring.version(card, images, tmp_path / "out")
    reports.clear()
    scoring.score(model_store, [card], images, tmp_path / "out", lambda done, total: reports.append(done), chunk=4)
    assert reports == [8, 12]
    assert scoring.version(card, images, tmp_path / "out") != before
    whole, table = (scoring.load([card], images, tmp_path / name).to_frame() for name in ("whole", "out"))
    pd.testing.assert_frame_equal(whole, table)


_KILLED = """
    import sys, time
    from pathlib import Path
    from models.store import ModelStore
    from suggestion import scoring
    from tests.suggestion.makers import colour_images, colour_loaded
    folder = Path(sys.argv[1])
    model_store = ModelStore(folder / "model_store", "cpu")
    images = colour_images(folder / "images", 24)
    card = model_store.add(colour_loaded(scale=0.7))
    slowly = lambda done, total: time.sleep(0.25)
    report = slowly if sys.argv[2] == "slow" else lambda done, total: None
    scoring.score(model_store, [card], images, folder / "out", report, chunk=2)
"""


def test_after_kill_9_scoring_resumes_and_the_table_equals_an_unbroken_runs(model_store, tmp_path):
    command = [sys.executable, "-c", textwrap.dedent(_KILLED), str(tmp_path)]
    process = subprocess.Popen([*command, "slow"])
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "out").glob("*/*/*.parquet"))) < 3:
        assert time.monotonic() < deadline, "the run never wrote three chunks"
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    left = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*/*/*.parquet")}
    assert 3 <= len(left) < 12

    images = colour_images(tmp_path / "images", 24)
    card = model_store.add(colour_loaded(scale=0.7))
    first_report = []
    scoring.score(model_store, [card], images, tmp_path / "out", lambda done, total: first_report.append(done), chunk=2)
    assert first_report[0] == 2 * len(left)
    scoring.score(model_store, [card], images, tmp_path / "unbroken", chunk=2)
    resumed, unbroken = (scoring.load([card], images, tmp_path / name).to_frame() for name in ("out", "unbroken"))
    pd.testing.assert_frame_equal(resumed, unbroken, check_exact=True)
