"""The ascent: where it arrives, that it repeats, that it can be stopped, and how it bears trouble."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.errors import InputError
from explainers.maxout import ascent as ascent_module
from explainers.maxout import objective as objective_module
from explainers.maxout.ascent import REDIRECTED_STEPS, Ascent
from explainers.maxout.method import MaxOutParams
from explainers.maxout.parametrisation import PIXEL
from explainers.maxout.state import CONTRASTS, State, Status
from explainers.output import CLASS_SCORE, Output
from tests.explainers.nets import N_CLASSES, NETS, add, seeded, state_of
from tests.makers import one_line

PX = 32
HONEST = MaxOutParams(parametrisation=PIXEL, decorrelated=False, jitter=0.0, scale=0.0, rotate=0.0)
MOVED = MaxOutParams(iterations=20)


def with_settings(**changes):
    return MaxOutParams(**{**vars(HONEST), **changes})


def climbed(model_store, card, params, targets=(0,), until=20, output=CLASS_SCORE, start=None):
    """The pictures, and the state they come from."""
    with model_store.borrow(card) as model:
        ascent = Ascent(model, output, list(targets), params)
        *_, state = ascent.climb(ascent.new() if start is None else start, until)
        return ascent.pictures(state), state


def same(first: State, second: State) -> bool:
    tensors = [name for name, value in vars(first).items() if isinstance(value, torch.Tensor)]
    equal = all(torch.equal(getattr(first, name), getattr(second, name)) for name in tensors)
    return equal and np.array_equal(first.curve, second.curve, equal_nan=True) and first.step == second.step


def linear(n_classes=3, px=8):
    return seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * px * px, n_classes)))


@pytest.mark.parametrize("basis", ["pixel", "fourier"])
def test_the_optimum_of_a_linear_net_under_the_norm_is_its_weight(model_store, basis):
    """Of w·x − c |2 x − 1|² / D: x = ½ + D w / (8 c), for x in [0, 1]."""
    module = linear(px=4)
    card = add(model_store, module, px=4)
    weight = module[1].weight.detach().view(-1, 3, 4, 4) / 0.25  # of pixels in [0, 1]
    cost = float(weight.abs().max()) * weight[0].numel() / (8 * 0.4)
    assert cost <= 100, "a weight that the settings allow"
    params = with_settings(parametrisation=basis, norm=cost, learning_rate=0.1)
    found, _ = climbed(model_store, card, params, targets=(0, 2), until=200)
    expected = 0.5 + weight[[0, 2]] * weight[0].numel() / (8 * cost)
    torch.testing.assert_close(found, expected, atol=5e-3, rtol=0)


def test_weights_of_zero_are_not_even_evaluated(model_store, tiny_card, monkeypatch):
    def refuse(_pictures):
        raise AssertionError("evaluated")

    monkeypatch.setattr(ascent_module, "total_variation", refuse)
    climbed(model_store, tiny_card, HONEST, until=2)
    with pytest.raises(AssertionError, match="evaluated"):
        climbed(model_store, tiny_card, with_settings(tv_weight=0.1), until=2)


def test_total_variation_makes_pictures_even(model_store, tiny_card):
    rough, _ = climbed(model_store, tiny_card, HONEST, until=60)
    even, _ = climbed(model_store, tiny_card, with_settings(tv_weight=50.0), until=60)
    assert even.diff(dim=3).abs().mean() < 0.3 * rough.diff(dim=3).abs().mean()


@pytest.mark.parametrize("net", sorted(NETS))
def test_every_kind_of_net_is_climbed_and_given_back_as_it_was(model_store, net):
    module = seeded(NETS[net])
    card = add(model_store, module)
    before = state_of(module)
    found, state = climbed(model_store, card, HONEST, targets=range(N_CLASSES))
    assert found.shape == (N_CLASSES, 3, PX, PX)
    assert 0 <= found.min() <= found.max() <= 1
    assert (state.status == Status.OK).all()
    assert (state.curve[-1] > state.curve[0]).all()
    assert state_of(module) == before


@pytest.mark.parametrize("params", [HONEST, MOVED, MaxOutParams(pictures=2)], ids=["honest", "moved", "diverse"])
def test_the_same_seed_gives_the_same_picture_and_stopping_changes_nothing(model_store, tiny_card, params):
    first, whole = climbed(model_store, tiny_card, params, targets=(0, 2))
    again, _ = climbed(model_store, tiny_card, params, targets=(0, 2))
    assert torch.equal(first, again)
    _, half = climbed(model_store, tiny_card, params, targets=(0, 2), until=11)
    _, resumed = climbed(model_store, tiny_card, params, targets=(0, 2), start=half)
    assert same(resumed, whole)
    assert half.step == 11, "what is gone on with stays as it was"
    other, _ = climbed(model_store, tiny_card, MaxOutParams(**{**vars(params), "seed": 1}), targets=(0, 2))
    assert not torch.equal(first, other)


@pytest.mark.parametrize("params", [HONEST, MOVED, MaxOutParams(pictures=2)], ids=["honest", "moved", "diverse"])
def test_a_picture_does_not_depend_on_which_others_climb_beside_it(model_store, tiny_card, params):
    together, _ = climbed(model_store, tiny_card, params, targets=(0, 1, 2))
    alone, _ = climbed(model_store, tiny_card, params, targets=(1,))
    d = params.pictures
    torch.testing.assert_close(together[d : 2 * d], alone, atol=1e-4, rtol=0)


def test_pictures_of_one_target_differ_the_more_their_likeness_costs(model_store):
    card = add(model_store, seeded(NETS["plain"]))

    def likeness(apart):
        params = MaxOutParams(**{**vars(HONEST), "pictures": 3, "apart": apart})
        found, _ = climbed(model_store, card, params, until=60, output=Output("unit", "4"))
        with model_store.borrow(card) as model, torch.no_grad():
            inputs = (found - 0.5) / 0.25
            reached = objective_module.Objective(model, Output("unit", "4"), 3)(inputs, torch.zeros(3, dtype=int))
        return float(reached[1].mean())

    assert likeness(5.0) < likeness(0.0) - 0.05


class Deaf(nn.Module):
    """A net whose first unit answers to nothing, whose second answers only to strong contrast and says no way there."""

    def forward(self, x):
        bright = x.flatten(1).amax(1)
        strong = torch.where(bright > 1.5, bright - 1.5, 0 * bright)
        return torch.stack([(bright * 0 - 1).relu(), strong, bright + 3], 1)


def test_a_dead_unit_is_said_to_be_dead_and_one_without_a_way_to_it_is_woken_by_noise(model_store):
    card = add(model_store, Deaf())
    found, state = climbed(model_store, card, HONEST, targets=(0, 1, 2), until=30)
    assert state.status.tolist() == [Status.DEAD, Status.OK, Status.OK]
    assert torch.isfinite(found).all()
    assert state.score[1] > 0
    assert np.isnan(state.curve[len(CONTRASTS) :, 0]).all(), "it is left alone from then on"


class Saturated(nn.Module):
    """Units behind ReLUs at rest: what feeds them is far below zero in all noise, the last one's can be no higher."""

    def forward(self, x):
        mean = x.mean((1, 2, 3))
        return F.relu(torch.stack([mean - 0.5, 3 - mean, mean.clamp(max=0.1) - 2], 1))


@pytest.mark.parametrize("moves", [{}, {"jitter": 0.1}], ids=["still", "moved"])
def test_a_unit_that_no_noise_excites_is_reached_past_its_relu(model_store, moves):
    card = add(model_store, Saturated())
    params = with_settings(learning_rate=0.1, **moves)
    _, early = climbed(model_store, card, params, targets=(0, 1), until=2)
    assert early.status.tolist() == [Status.NO_SIGNAL, Status.OK]
    _, state = climbed(model_store, card, params, targets=(0, 1), until=40)
    assert state.status.tolist() == [Status.OK, Status.OK]
    assert state.curve[0, 0] == 0
    assert state.score[0] > 0.5, "it climbs on by its own gradient"
    _, half = climbed(model_store, card, params, targets=(0, 1), until=4)
    _, resumed = climbed(model_store, card, params, targets=(0, 1), until=40, start=half)
    assert same(resumed, state)


def test_a_way_that_leads_nowhere_is_given_up_after_every_start(model_store):
    card = add(model_store, Saturated())
    _, state = climbed(model_store, card, HONEST, targets=(2,), until=1000)
    assert state.status.tolist() == [Status.DEAD]
    assert state.step <= len(CONTRASTS) * REDIRECTED_STEPS


class Fading(nn.Module):
    """Loses its gradient above a height."""

    def forward(self, x):
        mean = x.mean((1, 2, 3))
        return torch.stack([mean.clamp(max=0.1), mean], 1)


class Island(nn.Module):
    """Answers only between two heights, which long steps leave."""

    def forward(self, x):
        mean = x.mean((1, 2, 3))
        inside = (mean > -0.5) & (mean < 0.3)
        return torch.stack([torch.where(inside, mean + 1, 0 * mean), mean], 1)


def test_a_step_out_of_the_targets_reach_is_taken_back_and_shortened(model_store):
    card = add(model_store, Island())
    _, state = climbed(model_store, card, with_settings(learning_rate=0.5), targets=(0, 1), until=200)
    assert state.score[0] > 1.2, "it comes near the edge that it had jumped over"
    assert state.rate[0] < 0.5
    assert state.status[1] == Status.OK


def test_a_target_whose_gradient_fades_keeps_its_best(model_store):
    card = add(model_store, Fading())
    _, state = climbed(model_store, card, with_settings(learning_rate=0.1), until=120)
    assert state.status.tolist() == [Status.ZERO_GRADIENT]
    assert state.score[0] == pytest.approx(0.1)


class Cliff(nn.Module):
    """No number above a height, which only long steps reach."""

    def __init__(self, height):
        super().__init__()
        self.height = height

    def forward(self, x):
        mean = x.mean((1, 2, 3))
        lost = torch.where(mean > self.height, torch.nan, mean)
        return torch.stack([lost, mean], 1)


def test_no_number_costs_one_step_back_at_a_lower_rate_then_the_end(model_store):
    card = add(model_store, Cliff(0.5))
    found, state = climbed(model_store, card, with_settings(learning_rate=0.2), targets=(0, 1), until=400)
    assert state.status.tolist() == [Status.NOT_FINITE, Status.OK], "the other is not drawn into it"
    assert torch.isfinite(found).all()
    assert 0.3 < state.score[0] <= 0.5, "the best picture is kept"
    ends = np.flatnonzero(np.isnan(state.curve[:, 0]))
    assert state.curve[ends[0] + 1, 0] == pytest.approx(float(np.nanmax(state.curve[: ends[0], 0])))
    _, lowered = climbed(model_store, card, with_settings(learning_rate=0.2), targets=(0,), until=int(ends[0]) + 2)
    assert lowered.status.tolist() == [Status.LOWERED_RATE]
    assert lowered.rate.item() == pytest.approx(0.05)


def test_the_net_is_given_back_as_it_was_after_an_error(model_store, monkeypatch):
    module = seeded(NETS["plain"])
    card = add(model_store, module)
    before = state_of(module)

    def broken(self, maps):
        raise RuntimeError("out of order")

    with model_store.borrow(card) as model:
        ascent = Ascent(model, Output("unit", "4"), [0], MOVED)
        steps = ascent.climb(ascent.new(), 10)
        next(steps)
        monkeypatch.setattr(torch.Tensor, "mean", broken)  # inside the objective, where all modes and hooks are on
        with pytest.raises(RuntimeError, match="out of order"):
            next(steps)
        monkeypatch.undo()
    with pytest.raises(InputError), model_store.borrow(card) as model:
        Ascent(model, Output("unit", "4"), [99], MOVED)
    assert state_of(module) == before


def test_a_unit_out_of_range_gets_one_line(model_store, tiny_card):
    with model_store.borrow(tiny_card) as model, one_line("0 to 5", "6"):
        Ascent(model, Output("unit", "3"), [6], MOVED)


def test_when_memory_runs_out_fewer_pictures_are_taken_at_once(model_store, tiny_card, monkeypatch):
    expected, _ = climbed(model_store, tiny_card, HONEST, targets=(0, 1, 2), until=3)
    reached = Ascent._reached
    sizes = []

    def narrow(self, inputs, targets):
        sizes.append(len(inputs))
        if len(inputs) > 1:
            raise torch.OutOfMemoryError("too many")
        return reached(self, inputs, targets)

    monkeypatch.setattr(Ascent, "_reached", narrow)
    found, _ = climbed(model_store, tiny_card, HONEST, targets=(0, 1, 2), until=3)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert sizes[-1] == 1
