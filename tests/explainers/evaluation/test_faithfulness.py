"""Figures on a map: known answers on nets and maps made for them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from explainers.base import Explainer, ExplainerParams
from explainers.evaluation import faithfulness
from explainers.evaluation.faithfulness import (
    correlation,
    explained_by,
    insertion_deletion,
    pointing_game,
    relevance_mass,
    sensitivity,
    share_seen,
)
from explainers.methods.gradient import Saliency
from tests.explainers.nets import NETS, add, normalised, pictures, seeded

PX = 8


#: A chessboard in the upper left quarter, which blurring takes away.
CHESS = torch.zeros(PX, PX)
CHESS[: PX // 2, : PX // 2] = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(2, 2)


class Corner(nn.Module):
    """Knows class 0 by the chessboard alone: its log odds are twenty times the share of it that is there."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, x: Tensor) -> Tensor:
        evidence = (x * CHESS).mean((1, 2, 3)) * 4 * self.scale
        return torch.stack([evidence, torch.zeros_like(evidence)], 1)


def corner_map() -> np.ndarray:
    """(1, PX, PX): relevance where the net looks, falling towards the lower right, no two values equal."""
    rows, columns = np.mgrid[:PX, :PX]
    inside = (rows < PX // 2) & (columns < PX // 2)
    return (100.0 * inside - rows * PX - columns)[None].astype(np.float32)


@pytest.fixture
def model(model_store):
    with model_store.borrow(add(model_store, Corner(), px=PX)) as model:
        yield model


def chess() -> Tensor:
    """(1, 3, PX, PX): the chessboard, and noise elsewhere."""
    return torch.where(CHESS == 0, torch.randn(PX, PX, generator=torch.Generator().manual_seed(0)), CHESS).repeat(
        1, 3, 1, 1
    )


def test_deletion_area_is_the_one_that_a_pencil_finds(model):
    """A quarter of the pixels carries all: with four steps, the first takes it away, and 20 becomes 0 log odds."""
    steps = [torch.tensor(20.0).sigmoid().item(), 0.5, 0.5, 0.5, 0.5]
    by_hand = sum((a + b) / 2 for a, b in pairwise(steps)) / 4
    _, deletion = insertion_deletion(model, chess(), corner_map(), torch.tensor([0]), steps=4, deleted="mean")
    assert deletion[0] == pytest.approx(by_hand, abs=1e-6)


def test_insertion_area_is_the_one_that_a_pencil_finds(model, monkeypatch):
    """From the picture's negative (log odds -20): the first quarter brings all."""
    monkeypatch.setattr(faithfulness, "baseline", lambda kind, x, _: -x if kind == "blurred" else torch.zeros_like(x))
    low, high = (torch.tensor(sign * 20.0).sigmoid().item() for sign in (-1, 1))
    steps = [low, high, high, high, high]
    by_hand = sum((a + b) / 2 for a, b in pairwise(steps)) / 4
    insertion, _ = insertion_deletion(model, chess(), corner_map(), torch.tensor([0]), steps=4)
    assert insertion[0] == pytest.approx(by_hand, abs=1e-6)


def test_pixels_go_in_equal_parts_one_step_at_a_time(model):
    """With as many steps as pixels, the deletion curve falls by one sixteenth of the evidence a pixel."""
    log_odds = torch.cat([torch.linspace(20, 0, 17), torch.zeros(48)])
    by_hand = torch.trapezoid(log_odds.sigmoid(), dx=1 / 64).item()
    _, deletion = insertion_deletion(model, chess(), corner_map(), torch.tensor([0]), steps=64)
    assert deletion[0] == pytest.approx(by_hand, abs=1e-5)


def test_a_perfect_map_beats_a_random_one_which_beats_the_perfect_one_upside_down(model):
    model.module.scale.data.fill_(3)  # a net that is less sure has more to gain and lose
    noise = np.random.default_rng(0).normal(size=(1, PX, PX)).astype(np.float32)
    maps = np.concatenate([corner_map(), noise, -corner_map()])
    targets = torch.zeros(3, dtype=torch.int64)
    insertion, deletion = insertion_deletion(model, chess().expand(3, -1, -1, -1), maps, targets)
    assert insertion[0] > insertion[1] + 0.05 > insertion[2] + 0.1
    assert deletion[0] < deletion[1] - 0.05 < deletion[2] - 0.1
    assert all(0 <= area <= 1 for curve in (insertion, deletion) for area in curve)


def test_areas_do_not_depend_on_the_batch_nor_on_the_neighbours(model_store):
    maps = np.random.default_rng(1).normal(size=(5, 4, 4)).astype(np.float32)
    targets, inputs = torch.tensor([0, 1, 2, 3, 0]), normalised(5)
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        together = insertion_deletion(model, inputs, maps, targets)
        narrow = insertion_deletion(replace(model, batch=7), inputs, maps, targets)
        alone = insertion_deletion(model, inputs[3:4], maps[3:4], targets[3:4])
    np.testing.assert_allclose(together, narrow, atol=1e-6)
    np.testing.assert_allclose(np.array(together)[:, 3:4], alone, atol=1e-6)


def test_no_pass_is_larger_than_the_model_allows(model_store, monkeypatch):
    sizes = []
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        logits = type(model).logits
        monkeypatch.setattr(type(model), "logits", lambda self, x: (sizes.append(len(x)), logits(self, x))[1])
        insertion_deletion(replace(model, batch=10), normalised(12), np.zeros((12, 4, 4)), torch.zeros(12).long())
    assert max(sizes) <= 10


def test_passes_are_halved_when_memory_runs_out(model_store, monkeypatch):
    maps, targets = np.random.default_rng(1).normal(size=(4, 8, 8)), torch.zeros(4).long()
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        expected = insertion_deletion(model, normalised(4), maps, targets)
        logits = type(model).logits

        def scarce(self, x):
            if len(x) > 5:
                raise RuntimeError("DefaultCPUAllocator: not enough memory")
            return logits(self, x)

        monkeypatch.setattr(type(model), "logits", scarce)
        np.testing.assert_allclose(insertion_deletion(model, normalised(4), maps, targets), expected, atol=1e-6)


def test_equal_values_take_turns_all_over_the_picture():
    ranks = faithfulness._ranks(torch.zeros(1, 4, 4), 16, 16)[0]
    assert sorted(ranks.flatten().tolist()) == list(range(256))
    first = ranks < 128
    assert 30 < first[:8].sum() < 98
    assert torch.equal(ranks, faithfulness._ranks(torch.zeros(1, 4, 4), 16, 16)[0])


def test_pointing_game_by_hand():
    mask = np.zeros((6, 6), dtype=bool)
    mask[1:3, 1:3] = True
    hit, miss = np.zeros((2, 6, 6), dtype=np.float32)
    hit[1, 2], miss[5, 2] = 3, 3
    assert pointing_game(hit, mask) == 1
    assert pointing_game(miss, mask) == 0
    assert pointing_game(hit + miss, mask) == 0.5
    assert np.isnan(pointing_game(-hit, mask))
    assert np.isnan(pointing_game(hit, np.zeros_like(mask)))


def test_relevance_mass_counts_what_speaks_for_the_target():
    mask = np.zeros((4, 4), dtype=bool)
    mask[0] = True
    laid = np.full((4, 4), -7, dtype=np.float32)
    laid[0, 0], laid[3, 3], laid[2, 2] = 3, 1, np.nan
    assert relevance_mass(laid, mask) == pytest.approx(0.75)
    assert np.isnan(relevance_mass(-np.abs(laid), mask))


def test_what_the_model_never_saw_counts_nowhere():
    mask = np.zeros((4, 4), dtype=bool)
    mask[:, :2] = True
    laid = np.ones((4, 4), dtype=np.float32)
    laid[:, 0] = np.nan
    assert relevance_mass(laid, mask) == pytest.approx(1 / 3)
    assert share_seen(laid, mask) == pytest.approx(1 / 3)
    laid[:, :2] = np.nan
    assert np.isnan(relevance_mass(laid, mask))
    assert np.isnan(pointing_game(laid, mask))
    assert share_seen(laid, mask) == 0


class Brightness(Explainer):
    """The picture itself as its map (no section of any paper): it moves just as the picture moves."""

    name, title, family, signed = "brightness", "Brightness", "test", True
    question, reference = "?", "-"

    def attribute(self, model, inputs, targets, params, progress):
        return inputs.mean(1)


class Fixed(Brightness):
    """The same map whatever the picture."""

    def attribute(self, model, inputs, targets, params, progress):
        noise = torch.randn(inputs.shape[2:], generator=torch.Generator().manual_seed(0))
        return noise.expand(len(inputs), -1, -1)


@pytest.mark.parametrize("channels", [3, 1])
def test_a_map_that_moves_with_its_picture_is_not_sensitive(model_store, channels):
    net = seeded(lambda: nn.Sequential(nn.Conv2d(channels, 4, 3), nn.Flatten(), nn.Linear(4 * 30 * 30, 4)))
    with model_store.borrow(add(model_store, net, channels=channels)) as model:
        for method, change in ((Brightness(), 0), (Fixed(), 1)):
            maps = method.explain(model, pictures(3), ["a", "b", "c"], [0, 1, 2]).maps
            found = sensitivity(
                explained_by(method, [0, 1, 2], ExplainerParams()), model, pictures(3), maps, shift_px=3
            )
            np.testing.assert_allclose(found, change, atol=0.1 if change else 1e-6)


def test_sensitivity_shifts_what_the_model_sees_whatever_the_size_of_the_picture(model_store):
    card = add(model_store, seeded(NETS["plain"]))
    wide = [np.repeat(np.repeat(picture, 3, 0), 5, 1) for picture in pictures(2)]
    for mode, resize in (("squash", (32, 32)), ("center", (40, 40))):
        changed = replace(card, preprocessing=replace(card.preprocessing, mode=mode, resize=resize))
        with model_store.borrow(card) as model:
            model = replace(model, card=changed)
            maps = Brightness().explain(model, wide, ["a", "b"], [0, 1]).maps
            found = sensitivity(explained_by(Brightness(), [0, 1], ExplainerParams()), model, wide, maps)
        np.testing.assert_allclose(found, 0, atol=1e-6)


def test_sensitivity_of_a_real_method_is_finite_and_above_zero(model_store):
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        maps = Saliency().explain(model, pictures(2), ["a", "b"], [0, 1]).maps
        found = sensitivity(explained_by(Saliency(), [0, 1], ExplainerParams()), model, pictures(2), maps)
    assert ((found > 1e-3) & (found < 2)).all()


def test_correlation_of_maps_without_contrast():
    flat, noise = np.full((4, 4), 0.3, dtype=np.float32), np.random.default_rng(0).normal(size=(4, 4))
    assert correlation(flat, 2 * flat) == 1
    assert correlation(flat, noise) == 0
    assert correlation(noise, 1e-30 * noise) == pytest.approx(1)
    assert correlation(noise, -noise) == pytest.approx(-1)
