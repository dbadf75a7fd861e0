"""Control variates from gradients: exact where the trapezoid rule is and windows leave each other alone."""

import numpy as np
import pytest
import torch
from torch import nn

from explainers.prediction_difference.estimate import Effort, Estimate, advance
from explainers.prediction_difference.evidence import Measure, WeightOfEvidence
from explainers.prediction_difference.samplers import Conditional
from explainers.prediction_difference.windows import Grid
from tests.explainers.nets import add, seeded
from tests.explainers.prediction_difference.small import SIZE, gaussian

PX, N = 24, 22  # the picture's side, and the windows along it
GRID = Grid(PX, PX, SIZE, 1)
SHORT, PLAIN = Effort(samples=6), Effort(samples=2, converged=0, jackknife=False)
LOGIT = Measure(1)


class Square(nn.Module):
    """Logits that are quadratic in the pixels, each by itself, after nothing that windows are followed through."""

    def __init__(self, px=PX, n_classes=2):
        super().__init__()
        self.linear = nn.Linear(3 * px**2, n_classes)

    def forward(self, x):
        return self.linear(x.flatten(1) ** 2 + x.flatten(1))


def pixels():
    return torch.from_numpy(0.5 + 0.03 * np.random.default_rng(0).normal(size=(3, PX, PX))).float()


def steps(model, estimate, effort=SHORT, measure=LOGIT, grid=GRID):
    """As `nets.add` normalises."""
    return advance(model, (pixels() - 0.5) / 0.25, grid, Conditional(gaussian()), [measure], effort, [estimate])


def estimate_of(model_store, module, effort=SHORT, measure=LOGIT, grid=GRID, until=None):
    estimate = Estimate.new(grid)
    with model_store.borrow(add(model_store, module, px=PX)) as model:
        for _ in steps(model, estimate, effort, measure, grid):
            if until is not None and until(estimate):
                break
    return estimate


def controlled(estimate):
    return len(estimate.controls) > 1 and bool(np.isfinite(estimate.controls).all())


@pytest.mark.parametrize("target", [0, 1])
def test_the_control_variate_of_a_quadratic_model_is_what_its_windows_are_worth(model_store, target):
    module, measure = seeded(Square), Measure(target)
    first = estimate_of(model_store, module, Effort(4), measure, until=controlled)
    exact = estimate_of(model_store, module, PLAIN, measure)
    assert first.controls.shape == (2, N, N)
    assert not first.samples.any()
    np.testing.assert_allclose(first.controls[0], exact.values, atol=1e-4 * np.ptp(exact.values))


def test_a_map_is_known_from_control_variates_alone_and_says_that_its_error_is_not(model_store):
    seen = []

    def look(estimate):
        seen.append((estimate.stride(GRID), estimate.map(SIZE), estimate.n_done(GRID, SHORT)))
        return controlled(estimate)

    estimate = estimate_of(model_store, seeded(Square), until=look)
    strides = [stride for stride, _, _ in seen if stride is not None]
    assert strides == sorted(strides, reverse=True)
    assert {1, 2} <= set(strides)
    assert all(np.isnan(errors).all() for _, (_, errors), _ in seen)
    assert np.isfinite(seen[-1][1][0]).all()
    counts = [count for _, _, count in seen]
    assert counts == sorted(counts)
    assert 0 < counts[-1] < GRID.n_windows()
    assert estimate.stride(GRID) == 1


def test_of_three_estimates_and_more_the_lowest_and_the_highest_are_left_out():
    estimate = Estimate.new(Grid(5, 6, SIZE, 1))
    estimate.make_room(4)
    estimate.controls[:, 0, 0] = [3, 100, -50, 4]
    estimate.controls[:3, 0, 1] = [1, 2, 9]
    estimate.controls[:2, 1, 0] = [1, 2]
    expected = np.full((3, 4), np.nan)
    expected[0, 0], expected[0, 1], expected[1, 0] = 3.5, 2, 1.5
    np.testing.assert_array_equal(estimate.control(), expected)


def test_an_estimate_that_was_stopped_among_its_control_variates_ends_as_one_that_was_not(model_store):
    module, evidence = seeded(Square), WeightOfEvidence(1, 1e5, 2)
    whole = estimate_of(model_store, module, measure=evidence)
    estimate = Estimate.new(GRID)
    with model_store.borrow(add(model_store, module, px=PX)) as model:
        for grid, n_steps in ((Grid(PX, PX, SIZE, 2), 3), (Grid(PX, PX, SIZE, 2), 10**6), (GRID, 10**6)):
            for _, _ in zip(range(n_steps), steps(model, estimate, measure=evidence, grid=grid), strict=False):
                pass
    assert controlled(whole)
    np.testing.assert_allclose(estimate.controls, whole.controls, atol=1e-6)
    assert np.array_equal(estimate.samples, whole.samples)
    np.testing.assert_allclose(estimate.values, whole.values, atol=1e-6)


def test_where_windows_feel_each_other_control_variates_come_closer_than_as_many_passes_without(model_store):
    class Mixing(nn.Module):
        """Every pixel is weighed by what the whole picture says, as attention does."""

        def __init__(self):
            super().__init__()
            self.look, self.answer = nn.Linear(3, 8), nn.Linear(8, 2)

        def forward(self, x):
            seen = self.look(x.flatten(2).mT)
            weights = (seen.mean(1, keepdim=True) * seen * 20).softmax(1)
            return 8 * self.answer((weights * seen.tanh()).sum(1))

    module, evidence = seeded(Mixing), WeightOfEvidence(1, 1e5, 2)
    exact = estimate_of(model_store, module, Effort(10, converged=0), evidence).map(SIZE, shared=False)[0]
    first = estimate_of(
        model_store, module, measure=evidence, until=lambda estimate: np.isfinite(estimate.controls[0]).all()
    )
    passes = 3 * 2 * 8**2  # there and back, a pair, windows 8 places apart
    plain = estimate_of(model_store, module, PLAIN, evidence, until=lambda estimate: estimate.samples.sum() >= passes)
    assert not first.samples.any()
    ours, theirs = (np.corrcoef(one.map(SIZE)[0].ravel(), exact.ravel())[0, 1] for one in (first, plain))
    assert ours > theirs
    assert ours > 0.9


def test_models_that_can_be_followed_or_have_no_gradient_get_their_control_variates_with_their_samples(model_store):
    class Rounded(Square):
        def forward(self, x):
            return super().forward(x.detach())

    def followed():
        body = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1, groups=3) for _ in range(3)))
        return nn.Sequential(body, nn.Flatten(), nn.Linear(3 * PX * PX, 2))

    for module in (seeded(Rounded), seeded(followed)):
        estimate = estimate_of(model_store, module)
        assert estimate.controls.shape == (1, N, N)
        assert np.isfinite(estimate.controls).all()
        assert np.isfinite(estimate.errors).all()


@pytest.mark.parametrize(("px", "n"), [(PX, 3), (12, 1)])
def test_small_images_get_fewer_pairs_and_targets_get_what_each_gets_alone(model_store, px, n):
    module, grid = seeded(lambda: Square(px, n_classes=3)), Grid(px, px, SIZE, 2)
    measures = [WeightOfEvidence(target, 1e5, 3) for target in range(3)]
    inputs = (pixels()[:, :px, :px] - 0.5) / 0.25

    def estimates(measures):
        found = [Estimate.new(grid) for _ in measures]
        with model_store.borrow(add(model_store, module, px=px)) as model:
            for _ in advance(model, inputs, grid, Conditional(gaussian()), measures, SHORT, found):
                pass
        return found

    together = estimates(measures)
    for measure, one in zip(measures, together, strict=True):
        (alone,) = estimates([measure])
        assert len(one.controls) == n
        assert np.array_equal(one.samples, alone.samples)
        np.testing.assert_allclose(one.controls, alone.controls, atol=1e-5)
        np.testing.assert_allclose(one.values, alone.values, atol=1e-5)
