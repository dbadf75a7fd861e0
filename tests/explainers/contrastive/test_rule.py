"""The paper's rule that makes one contrast of two maps."""

import numpy as np
import torch
from torch import nn

from explainers.contrastive.rule import BESIDE, WEIGHTS, RuleContrastRequest, contrast
from explainers.registry import METHODS
from explainers.results import Sources, compute_missing
from jobs.results import ResultStore
from tests.explainers.contrastive.small import image_set, loaded
from tests.makers import tiny_loaded


class Halves(nn.Module):
    """Class 0 is how bright the left half is, class 1 the right."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return torch.stack([x[..., :8].mean((1, 2, 3)), x[..., 8:].mean((1, 2, 3))], 1) * self.weight


def maps():
    left, right = np.zeros((16, 16), np.float32), np.zeros((16, 16), np.float32)
    left[:, :8], right[:, 8:] = 1, 1
    return left, right


CROP = np.full((16, 16, 1), 128, np.uint8)


def test_right_maps_show_what_to_take_away_and_what_to_add(model_store):
    card = model_store.add(tiny_loaded(Halves(), channels=1))
    with model_store.borrow(card) as model:
        ruled = contrast(model, CROP, *maps(), 0, 1)
    assert ruled.n_kept == len(WEIGHTS) == 400
    assert (ruled.change[:, :8] < 0).all()
    assert (ruled.change[:, 8:] > 0).all()
    np.testing.assert_allclose(ruled.change[0, 0], -1, atol=1e-5)
    np.testing.assert_allclose(ruled.change[0, 15], WEIGHTS.mean(), rtol=1e-4)


def test_wrong_maps_are_not_kept_at_any_weight(model_store):
    card = model_store.add(tiny_loaded(Halves(), channels=1))
    left, right = maps()
    with model_store.borrow(card) as model:
        ruled = contrast(model, CROP, right, left, 0, 1)
    assert ruled.n_kept == 0
    assert not ruled.change.any()


def test_coarse_maps_are_enlarged_to_the_input(model_store):
    card = model_store.add(tiny_loaded(Halves(), channels=1))
    coarse = np.array([[1, 0]], np.float32), np.array([[0, 1]], np.float32)
    with model_store.borrow(card) as model:
        ruled = contrast(model, CROP, *coarse, 0, 1)
    assert ruled.change.shape == (16, 16)
    assert ruled.change[0, 0] < 0 < ruled.change[0, 15]


def test_the_rule_is_kept_beside_its_two_maps(model_store, tmp_path):
    card, store = model_store.add(loaded()), ResultStore(tmp_path / "results", 10**9)
    images, failures = image_set(tmp_path / "pictures", 2), {}
    methods = [METHODS[name] for name in BESIDE[:2]]
    wanted = [RuleContrastRequest(card, images.ids[0], 0, 1, method, images.digest) for method in methods]
    bad = RuleContrastRequest(card, images.ids[0], 0, 9, methods[0], images.digest)
    compute_missing(Sources(model_store, store, images), [*wanted, bad], failures)
    assert list(failures) == [bad.key]
    assert "a class of tiny" in failures[bad.key]
    for request in wanted:
        assert all(one.finished(store) for one in request.attributions), "the compare page finds them too"
        found = request.load(ResultStore(store.folder, 10**9))
        assert found.change.shape == (32, 32)
        assert 0 <= found.n_kept <= 400
    assert len({request.key for request in (*wanted, bad)}) == 3
