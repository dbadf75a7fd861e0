import gc
import threading
import weakref

import pytest
import torch
from torch import nn

from models.card import Recipe
from models.loaders import LOADERS
from models.loaders.base import Loader
from models.memory import ModelMemory, bytes_of
from models.store import ModelStore
from tests.makers import one_line, tiny_loaded

#: Bytes of the nets below.
ONE = 400


def net():
    return nn.Linear(10, 10, bias=False)


class Loads:
    """Counts how often each net was loaded."""

    def __init__(self):
        self.keys = []

    def __call__(self, key):
        def load():
            self.keys.append(key)
            return net()

        return load


@pytest.fixture
def loads():
    return Loads()


def use(memory, loads, *keys):
    for key in keys:
        with memory.borrow(key, loads(key)) as module:
            assert module(torch.zeros(1, 10)).shape == (1, 10)


def test_the_least_recently_used_goes_first_and_comes_back_when_it_is_borrowed(loads):
    memory = ModelMemory(2 * ONE)
    use(memory, loads, "a", "b", "a", "c")
    assert ("a" in memory, "b" in memory, "c" in memory) == (True, False, True)
    use(memory, loads, "b")
    assert loads.keys == ["a", "b", "c", "b"]
    assert (len(memory), memory.n_bytes) == (2, 2 * ONE)


def test_what_is_put_counts_as_used_and_does_not_replace_what_is_there(loads):
    memory = ModelMemory(2 * ONE)
    first, other = net(), net()
    memory.put("a", first)
    memory.put("a", other)
    memory.put("b", other)
    with memory.borrow("a", loads("a")) as module:
        assert module is first
    memory.put("c", net())
    assert ("a" in memory, "b" in memory, loads.keys) == (True, False, [])


def test_a_dropped_module_leaves_nothing_behind(loads):
    memory = ModelMemory(ONE)
    watched = []
    for number in range(50):
        with memory.borrow(f"net {number}", loads(number)) as module:
            watched.append(weakref.ref(module))
        del module
    gc.collect()
    assert [ref() is None for ref in watched] == [True] * 49 + [False]
    assert list(memory._places) == ["net 49"]


def test_what_is_lent_stays_though_the_bound_is_passed(loads):
    memory = ModelMemory(ONE)
    with memory.borrow("a", loads("a")) as first:
        use(memory, loads, "b", "c")
        assert "a" in memory
        with memory.borrow("a", loads("a")) as again:
            assert again is first
    assert loads.keys == ["a", "b", "c"]
    assert memory.n_bytes == ONE


def test_a_module_larger_than_the_bound_stays_while_it_was_used_last(loads):
    memory = ModelMemory(ONE - 1)
    use(memory, loads, "a", "a", "b", "a")
    assert loads.keys == ["a", "b", "a"]


def test_a_module_that_cannot_be_loaded_leaves_no_trace_and_hurts_no_other(loads):
    memory = ModelMemory(2 * ONE)
    use(memory, loads, "a")

    def fail():
        raise OSError("gone")

    for number in range(5):
        with pytest.raises(OSError, match="gone"), memory.borrow(f"lost {number}", fail):
            pass
    assert (list(memory._places), memory.n_bytes) == (["a"], ONE)


def test_many_threads_never_share_a_module_nor_load_one_that_another_has(loads):
    memory, busy, wrong = ModelMemory(2 * ONE), dict.fromkeys("abcd", 0), []

    def work(shift):
        for turn in range(60):
            key = "abcd"[(turn + shift) % 4]
            with memory.borrow(key, loads(key)) as module:
                busy[key] += 1
                if busy[key] != 1 or key not in memory:
                    wrong.append(key)
                module(torch.zeros(1, 10))
                busy[key] -= 1

    threads = [threading.Thread(target=work, args=(shift,)) for shift in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert memory.n_bytes <= 2 * ONE
    assert all(place.n_users == 0 for place in memory._places.values())


def test_shared_weights_count_once():
    module = nn.Sequential(net(), net())
    module[1].weight = module[0].weight
    assert bytes_of(module) == ONE


@pytest.fixture
def seeded(monkeypatch):
    """Tiny nets that a recipe brings back; the list says which were loaded by it."""
    found = []

    def load(seed):
        found.append(seed)
        return tiny_loaded(seed=seed, recipe=Recipe("tiny", {"seed": seed}))

    monkeypatch.setitem(LOADERS, "tiny", Loader("tiny", load, "", read=lambda text, names: [load(int(text))]))
    return lambda seed: tiny_loaded(seed=seed, recipe=Recipe("tiny", {"seed": seed})), found


def test_stores_of_two_folders_share_one_memory_and_answer_as_one_alone(tmp_path, seeded):
    make, loaded_again = seeded
    memory = ModelMemory(2 * bytes_of(make(0).module))
    stores = [ModelStore(tmp_path / name, "cpu", memory) for name in ("one", "other")]
    images = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    cards, expected = [], []
    for seed in range(4):
        cards.append(stores[seed % 2].add(make(seed)))
        with ModelStore(tmp_path / "alone", "cpu").borrow(cards[-1]) as model, torch.no_grad():
            expected.append(model.logits(images))
    assert len(memory) == 2
    loaded_again.clear()
    for turn in range(8):
        with stores[turn % 2].borrow(cards[turn % 4]) as model, torch.no_grad():
            assert torch.equal(model.logits(images), expected[turn % 4])
        assert memory.n_bytes <= memory.max_bytes
    assert len(loaded_again) == 8
    assert stores[0].add(make(1)).digest == cards[1].digest  # the same model in another folder
    with stores[0].borrow(cards[1]) as model, stores[1].borrow(cards[1]) as same:
        assert model.module is same.module


def test_a_dropped_model_whose_source_has_gone_is_an_error_of_one_line(tmp_path, seeded):
    make, _ = seeded
    store = ModelStore(tmp_path, "cpu", ModelMemory(1))
    lost, _ = store.add(tiny_loaded(seed=7)), store.add(make(0))
    with one_line("Add it again."), store.borrow(lost):
        pass
