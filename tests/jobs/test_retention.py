"""What goes after thirty days, and what stays, in the data folder and in workspaces."""

import io
import os
import time

import numpy as np
import pytest

from common import sealed
from common.files import last_use, mark_used
from images.image_set import ImageSet
from images.intake import from_files
from jobs.results import ResultStore
from jobs.retention import clean
from models.card import Recipe
from models.store import ModelStore
from playground.history import History
from playground.kept_histories import KeptHistories
from suggestion import scoring
from tests.makers import encoded, picture, tiny_loaded

DAY, KEEP = 86_400, 30
NOW = time.time()
LATER = NOW + (KEEP + 1) * DAY


@pytest.fixture
def data(data_folder):
    """A data folder whose uses have been marked for long."""
    assert clean(data_folder, NOW, KEEP).n_files == 0
    age(data_folder)
    return data_folder


def age(folder, days=KEEP + 2):
    """Make everything in a folder that old."""
    for path in [*folder.rglob("*"), folder]:
        os.utime(path, (NOW - days * DAY,) * 2)


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"uses-are-marked"}


def fill(folder):
    """One of each kind; returns the image set and the card."""
    names = [(f"{seed}.png", io.BytesIO(encoded(picture(20, 20, seed)))) for seed in range(2)]
    images = from_files([*names, ("masks/0.png", io.BytesIO(encoded(picture(20, 20)[..., 0] > 99)))], folder)
    weights = folder / "weights" / "0123456789abcdef.pt"
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights")
    model_store = ModelStore(folder, "cpu")
    card = model_store.add(tiny_loaded(recipe=Recipe("checkpoint", {"path": str(weights)})))
    scoring.score(model_store, [card], images, folder / "predictions")
    ResultStore(folder / "results", 10**9).put("ab" * 16, map=np.zeros(3))
    KeptHistories(folder / "histories").put(card.digest, History("log", np.array([1]), {}))
    sealed.write(folder / "views" / f"{'0' * 16}.txt", b"{}")
    return images, card


def test_what_nobody_used_goes_and_what_it_was_made_of(data):
    fill(data)
    assert len(files(data)) == 10
    assert clean(data, NOW, KEEP).n_files == 0
    age(data)
    cleaned = clean(data, NOW, KEEP)
    assert files(data) == set()
    assert cleaned.n_files == 10
    assert cleaned.n_bytes > 1000


def test_what_is_in_use_stays_with_all_that_it_names(data):
    images, card = fill(data)
    age(data)
    before = files(data)
    index, model = data / "image-sets" / f"{images.digest}.parquet", data / "models" / f"{card.digest}.json"
    written = index.stat().st_mtime_ns
    mark_used(index)
    mark_used(model)
    assert index.stat().st_mtime_ns == written, "a mark is no new version"
    clean(data, NOW, KEEP)
    gone = {path.partition("/")[0] for path in before - files(data)}
    assert gone == {"predictions", "results", "views"}
    again = ImageSet.read(index)
    assert [again.image(row).shape for row in range(2)] == [(20, 20, 3)] * 2
    assert [again.mask(0, kind).shape for kind in again.mask_kinds] == [(20, 20)]
    assert clean(data, LATER, KEEP).n_files == len(before) - 3


def test_reading_is_no_use_but_borrowing_and_answers_are(data):
    images, card = fill(data)
    age(data)
    model_store = ModelStore(data, "cpu")
    table = data / "predictions" / images.digest / f"{card.digest}.parquet"
    assert model_store.cards() == [card]
    assert ImageSet.read(data / "image-sets" / f"{images.digest}.parquet").ids == images.ids
    assert last_use(model_store._file(card.digest)) < NOW - DAY
    model_store.add(tiny_loaded(recipe=card.recipe))
    age(data)
    with model_store.borrow(card):
        assert last_use(model_store._file(card.digest)) > NOW - DAY
    scoring.version(card, images, data / "predictions")
    assert last_use(table) > NOW - DAY


def test_a_workspace_goes_as_a_whole_and_one_in_use_loses_only_what_is_not(data):
    for name in ("left", "used", "opened"):
        fill(data / "workspaces" / name)
    age(data)
    os.utime(data / "workspaces" / "opened")
    mark_used(next((data / "workspaces" / "used" / "models").iterdir()))
    cleaned = clean(data, NOW, KEEP)
    assert cleaned.n_workspaces == 1
    assert sorted(path.name for path in (data / "workspaces").iterdir()) == ["opened", "used"]
    assert files(data / "workspaces" / "opened") == set()
    kept = {path.partition("/")[0] for path in files(data / "workspaces" / "used")}
    assert kept == {"models", "weights", "histories"}


def test_weights_stay_while_a_card_of_any_workspace_names_them(data):
    _, card = fill(data)
    other = ModelStore(data / "workspaces" / "other", "cpu")
    other.add(tiny_loaded(recipe=card.recipe))
    age(data)
    mark_used(other._file(card.digest))
    clean(data, NOW, KEEP)
    assert files(data) == {"weights/0123456789abcdef.pt", f"workspaces/other/models/{card.digest}.json"}


def test_nothing_goes_in_the_first_days_of_an_old_data_folder(data_folder):
    fill(data_folder)
    age(data_folder, 400)
    assert clean(data_folder, NOW, KEEP).n_files == 0
    assert clean(data_folder, NOW + (KEEP - 1) * DAY, KEEP).n_files == 0
    assert clean(data_folder, LATER, KEEP).n_files == 10


def test_unfinished_files_of_every_folder_go_after_an_hour(data):
    folders = ["", "results/ab", "models", "images", "workspaces/one/predictions/set/model", "any/new/one"]
    for folder in folders:
        (data / folder).mkdir(parents=True, exist_ok=True)
        for name, hours in (("old", 2), ("new", 0.5)):
            path = data / folder / f"{name}.0123abcd.partial"
            path.write_bytes(b"half")
            os.utime(path, (NOW - hours * 3600,) * 2)
    assert clean(data, NOW, KEEP).n_files == len(folders)
    assert {path.rpartition("/")[2] for path in files(data)} == {"new.0123abcd.partial"}


def test_parts_of_a_table_that_was_put_together_go_and_those_of_others_stay(data):
    for name, hours in (("whole", 2), ("young", 0.5), ("unfinished", 2)):
        part = data / "predictions" / "set" / name / "00000000.parquet"
        part.parent.mkdir(parents=True)
        part.write_bytes(b"part")
        os.utime(part, (NOW - hours * 3600,) * 2)
    for name in ("whole", "young"):
        (data / "predictions" / "set" / f"{name}.parquet").write_bytes(b"table")
    clean(data, NOW, KEEP)
    found = sorted(str(path.relative_to(data / "predictions" / "set")) for path in data.rglob("0*.parquet"))
    assert found == ["unfinished/00000000.parquet", "young/00000000.parquet"]
    assert not (data / "predictions" / "set" / "whole").exists()


def test_what_is_not_ours_stays(data):
    for name in ("torchvision/MNIST/raw/train", "notes.txt", "models/readme.md"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("mine")
    age(data, 400)
    before = files(data)
    clean(data, NOW, KEEP)
    assert files(data) == before
