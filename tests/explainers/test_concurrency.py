"""Eight visitors with two models at once get the maps that each would get alone."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from explainers.registry import METHODS
from tests.explainers.nets import NETS, add, pictures, seeded, state_of
from tests.explainers.test_contract import prepared, settings_for


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """As on the server: torch's own threads inside each of ours."""


def test_maps_made_by_eight_threads_are_those_made_alone(model_store):
    modules = [seeded(NETS["reused"]), seeded(NETS["plain"], seed=1)]
    cards = [add(model_store, module, f"net {i}") for i, module in enumerate(modules)]
    before = [state_of(module) for module in modules]
    images = pictures(4)

    def explain(job):
        name, which, image, target = job
        method = METHODS[name]
        with model_store.borrow(cards[which]) as model:
            model = prepared(method, model)
            return method.explain(model, [images[image]], ["x"], [target], settings_for(method)).maps

    suited = [(name, which) for name in METHODS for which in range(2) if METHODS[name].applies(cards[which]) is None]
    jobs = [(name, which, image, image) for name, which in suited for image in range(4)]
    order = np.random.default_rng(0).permutation(len(jobs))
    alone = [explain(job) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda i: explain(jobs[i]), order))
    wrong = [jobs[i] for i, maps in zip(order, together, strict=True) if not np.array_equal(maps, alone[i])]
    assert wrong == []
    assert [state_of(module) for module in modules] == before
    assert torch.is_grad_enabled()
