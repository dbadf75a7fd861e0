import errno
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from jobs.results import ResultStore, key_of

MAP = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "results"


@pytest.fixture
def store(folder):
    return ResultStore(folder, max_bytes=10_000_000)


def on_disk(folder):
    return sorted(path.stem for path in folder.glob("*/*.npz"))


def key(number):
    return key_of(number=number)


def test_what_is_put_is_got_now_and_after_a_restart(store, folder):
    store.put(key(1), map=MAP, seconds=np.float64(2.5))
    for each in (store, ResultStore(folder, 10_000_000)):
        found = each.get(key(1))
        np.testing.assert_array_equal(found["map"], MAP)
        assert (found["map"].dtype, float(found["seconds"])) == (np.float32, 2.5)
        assert key(1) in each


def test_what_was_never_put_is_missing(store):
    assert store.get(key(1)) is None
    assert key(1) not in store


def test_a_key_stands_for_its_facts_in_any_order():
    assert key_of(model="m", image="i", params={"a": 1, "b": 2}) == key_of(
        params={"b": 2, "a": 1}, image="i", model="m"
    )
    assert key_of(model="m", target=3) == "c96017c2621282adac39cfc3035a45f3"  # results of older versions are found
    keys = {key_of(target=target, layer=layer) for target in (1, 2, None) for layer in ("a", "b")}
    assert len(keys) == 6
    assert all(len(each) == 32 for each in keys)


def test_nobody_can_change_what_others_hold(store):
    mine = MAP.copy()
    store.put(key(1), map=mine)
    mine[:] = -1
    found = store.get(key(1))
    np.testing.assert_array_equal(found["map"], MAP)
    with pytest.raises(ValueError, match="read-only"):
        found["map"][0] = 1
    found.clear()
    assert "map" in store.get(key(1))


def test_a_later_result_replaces_an_earlier_one(store):
    store.put(key(1), map=MAP)
    store.put(key(1), map=MAP + 1)
    assert store.get(key(1))["map"][0, 0] == 1


def test_a_put_that_fails_leaves_the_old_result_and_no_scraps(store, folder, monkeypatch):
    store.put(key(1), map=MAP)

    def half(file, **_):
        file.write(b"PK half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(OSError, match="No space"):
        store.put(key(1), map=MAP + 1)
    assert [path.suffix for path in folder.glob("*/*")] == [".npz"]
    np.testing.assert_array_equal(ResultStore(folder, 10_000_000).get(key(1))["map"], MAP)


def test_what_is_stored_is_found_on_a_disk_that_can_only_be_read(store, folder, monkeypatch, caplog):
    for number in (1, 2):
        store.put(key(number), map=MAP)
    file = store._path(key(2))
    file.write_bytes(file.read_bytes()[:-1])
    (folder / "ab").mkdir()
    (folder / "ab" / "old.partial").write_bytes(b"half")
    os.utime(folder / "ab" / "old.partial", (0, 0))

    def refuse(*_args, **_kwargs):
        raise OSError(errno.EROFS, "Read-only file system")

    for name in ("utime", "replace", "unlink", "mkdir"):
        monkeypatch.setattr(os, name, refuse)
    for changed in ("unlink", "replace"):
        monkeypatch.setattr(Path, changed, refuse)
    again = ResultStore(folder, 10_000_000)
    np.testing.assert_array_equal(again.get(key(1))["map"], MAP)
    assert again.get(key(2)) is None, "a damaged one can neither be read nor moved"
    assert "damaged" in caplog.text


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"",
        lambda content: b"text",
        lambda content: content[: len(content) // 2],
        lambda content: content[:60] + bytes(30) + content[90:],
        lambda content: content[:-120] + bytes(120),
    ],
)
def test_a_spoilt_file_counts_as_missing_and_is_removed(store, folder, spoil):
    store.put(key(1), map=MAP)
    (file,) = folder.glob("*/*.npz")
    file.write_bytes(spoil(file.read_bytes()))
    again = ResultStore(folder, 10_000_000)
    assert again.get(key(1)) is None
    assert not file.exists()
    again.put(key(1), map=MAP)
    np.testing.assert_array_equal(again.get(key(1))["map"], MAP)


def test_no_pickle_is_written_or_read(store, folder):
    with pytest.raises(ValueError, match="allow_pickle"):
        store.put(key(1), things=np.array([object()]))
    assert key(1) not in store
    path = folder / key(2)[:2] / f"{key(2)}.npz"
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, things=np.array([{"a": 1}], dtype=object))
    assert store.get(key(2)) is None


def test_the_least_recently_used_results_go_first(folder):
    one_kilobyte = np.zeros(256, np.float32)
    store = ResultStore(folder, max_bytes=4_500)
    for number in range(3):
        store.put(key(number), map=one_kilobyte)
        path = folder / key(number)[:2] / f"{key(number)}.npz"
        os.utime(path, (number + 1, number + 1))
    assert store.get(key(0)) is not None  # used just now, though it is the oldest
    store.put(key(3), map=one_kilobyte)
    store.prune()
    assert on_disk(folder) == sorted([key(0), key(2), key(3)])
    assert store.get(key(1)) is None


def test_the_folder_keeps_its_bound_without_being_asked(folder):
    store = ResultStore(folder, max_bytes=20_000, max_bytes_in_memory=4 * MAP.nbytes)
    for number in range(200):
        store.put(key(number), map=MAP)
    assert sum(path.stat().st_size for path in folder.glob("*/*.npz")) <= 20_000
    assert key(199) in store


def test_a_new_store_tidies_up_after_a_crash(store, folder):
    store.put(key(1), map=MAP)
    (folder / "ab").mkdir()
    left, being_written = (folder / "ab" / f"abcd.{number}.partial" for number in (1, 2))
    for partial in (left, being_written):
        partial.write_bytes(b"half")
    os.utime(left, (0, 0))
    ResultStore(folder, max_bytes=1)
    assert list(folder.glob("*/*")) == [being_written]  # by another process


def test_many_threads_may_use_one_store(folder):
    store = ResultStore(folder, max_bytes=30_000, max_bytes_in_memory=5 * MAP.nbytes)
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(60):
            number = int(rng.integers(0, 40))
            found = store.get(key(number))
            if found is None:
                store.put(key(number), map=MAP + number)
            elif found["map"][0, 0] != number:
                wrong.append(number)
            if rng.random() < 0.1:
                store.prune()

    errors = []

    def guarded(seed):
        try:
            work(seed)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (wrong, errors) == ([], [])
    assert not list(folder.glob("*/*.partial"))


def test_what_was_read_before_a_newer_put_does_not_replace_it(store, folder, monkeypatch):
    store.put(key(1), map=MAP)
    restarted, load = ResultStore(folder, max_bytes=10_000_000), np.load

    def overtaken(*args, **kwargs):
        stored = load(*args, **kwargs)
        restarted.put(key(1), map=MAP + 1)
        return stored

    monkeypatch.setattr(np, "load", overtaken)
    restarted.get(key(1))
    monkeypatch.setattr(np, "load", load)
    assert np.array_equal(restarted.get(key(1))["map"], MAP + 1)


def test_what_is_kept_in_memory_is_the_latest_and_bounded_by_its_bytes(tmp_path):
    store = ResultStore(tmp_path, 10**9, max_bytes_in_memory=2500)
    for name in ("a", "b", "c"):
        store.put(key_of(name=name), values=np.ones(1000, np.uint8))
    assert list(store._memory) == [key_of(name="b"), key_of(name="c")]
    assert store._bytes_in_memory == 2000
    assert store.get(key_of(name="a"))["values"].sum() == 1000, "on disk it stays"
    store.put(key_of(name="a"), values=np.ones(1200, np.uint8))
    assert store._bytes_in_memory == 2200
    store.put(key_of(name="d"), values=np.ones(5000, np.uint8))
    assert store._bytes_in_memory == 0, "one that is larger than all is not kept at hand"
    assert len(store.get(key_of(name="d"))["values"]) == 5000
