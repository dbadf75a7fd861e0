"""Prediction difference against answers known by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from explainers.prediction_difference.estimate import Effort, Estimate, advance
from explainers.prediction_difference.evidence import Measure, WeightOfEvidence, difference
from explainers.prediction_difference.samplers import (
    Conditional,
    Marginal,
    Sampler,
)
from explainers.prediction_difference.windows import Grid
from models.store import ModelStore
from tests.explainers.nets import NETS, add, seeded
from tests.explainers.prediction_difference.small import PLACES, PX, RIM, SIDE, SIZE, D, gaussian, given_rim, picture

#: Every window, all samples, no correction.
PLAIN = Effort(samples=2, converged=0, jackknife=False)


def normalised(pixels):
    """As `nets.add` has it."""
    return (pixels - 0.5) / 0.25


def linear(n_classes=3):
    return seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * PX * PX, n_classes)))


def weight_of(module, target):
    """Of each pixel in [0, 1], (3, PX, PX)."""
    return module[1].weight[target].detach().view(3, PX, PX) / 0.25


def estimates_of(model_store, module, sampler, measures, effort=PLAIN, stride=1, pixels=None, size=SIZE):
    card = add(model_store, module, px=PX)
    pixels = picture() if pixels is None else pixels
    grid = Grid(PX, PX, size, stride)
    estimates = [Estimate.new(grid) for _ in measures]
    with model_store.borrow(card) as model:
        for _ in advance(model, normalised(pixels), grid, sampler, measures, effort, estimates):
            pass
    return estimates


def estimate_of(model_store, module, sampler, measure, *rest, **more):
    (estimate,) = estimates_of(model_store, module, sampler, [measure], *rest, **more)
    return estimate


def test_a_linear_models_activation_difference_is_exact_with_one_antithetic_pair(model_store):
    known, module = gaussian(), linear()
    estimates = estimates_of(model_store, module, Conditional(known), list(map(Measure, (2, 0))))
    for estimate, target in zip(estimates, (2, 0), strict=True):
        weight = weight_of(module, target)
        for row, column in PLACES:
            mean, _ = given_rim(known, picture(), row, column)
            here = (slice(None), slice(row, row + SIZE), slice(column, column + SIZE))
            expected = weight[here].ravel().double().numpy() @ (picture()[here].ravel().double().numpy() - mean)
            assert estimate.values[row, column] == pytest.approx(expected, abs=2e-5)


def test_a_logistic_models_weight_of_evidence_is_the_one_dimensional_integral(model_store):
    known, module = gaussian(spread=0.06), linear(2)
    with torch.no_grad():
        module[1].weight.mul_(3)
    n = 1e7
    effort = Effort(samples=4000, converged=0, jackknife=False)
    evidence = WeightOfEvidence(0, n, 2)
    estimate = estimate_of(model_store, module, Conditional(known), evidence, effort, stride=SIZE)
    weight = weight_of(module, 0) - weight_of(module, 1)
    bias = float(module[1].bias[0] - module[1].bias[1])
    logit = float((weight * (picture() - 0.5)).sum()) + bias
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)

    def bits(p):
        return np.log2((p * n + 1) / ((1 - p) * n + 1))

    moved = []
    for row, column in [(0, 0), (3, 6), (9, 3)]:
        mean, covariance = given_rim(known, picture(), row, column)
        here = (slice(None), slice(row, row + SIZE), slice(column, column + SIZE))
        w, x = weight[here].ravel().double().numpy(), picture()[here].ravel().double().numpy()
        centre, scale = logit + w @ (mean - x), np.sqrt(w @ covariance @ w)
        unknown = weights @ (1 / (1 + np.exp(-(centre + scale * nodes)))) / weights.sum()
        expected = bits(1 / (1 + np.exp(-logit))) - bits(unknown)
        error = float(estimate.errors[row, column])
        assert estimate.values[row, column] == pytest.approx(expected, abs=4 * error + 1e-4)
        moved.append(abs(expected) / error)
    assert max(moved) > 20  # so that the tolerance could not hide a wrong answer


@pytest.mark.parametrize("net", ["plain", "resnet", "mobile", "densenet", "vit"])
@pytest.mark.parametrize("evidence", [Measure(1), WeightOfEvidence(1, 1e5, 4)])
def test_what_the_model_ignores_gets_exactly_nothing(model_store, net, evidence):
    class Ignoring(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = NETS[net]()
            self.register_buffer("mask", (torch.arange(32) < 16).float())

        def forward(self, x):
            return self.net(x * self.mask)

    card = add(model_store, seeded(Ignoring))
    references = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (9, 3, 32, 32), dtype=np.uint8))
    grid = Grid(32, 32, 4, 2)
    estimate = Estimate.new(grid)
    pixels = torch.from_numpy(np.random.default_rng(1).uniform(size=(3, 32, 32))).float()
    with model_store.borrow(card) as model:
        for _ in advance(model, normalised(pixels), grid, Marginal(references), [evidence], Effort(5), [estimate]):
            pass
    relevance, _ = estimate.map(grid.size)
    assert np.abs(relevance[:, :12]).max() > 0
    assert np.abs(relevance[:, 20:]).max() == 0


def test_independent_pixels_make_conditional_sampling_the_gaussians_own(model_store):
    known = gaussian()
    diagonal = replace(known, covariance=np.eye(D) * known.covariance)
    drawn = Conditional(diagonal).draw(picture(), np.array([(4, 5)]), SIZE, range(4000), 0)[0]
    inside = np.zeros((3, SIDE, SIDE), dtype=bool)
    inside[:, RIM : RIM + SIZE, RIM : RIM + SIZE] = True
    mean = diagonal.mean[0][inside.ravel()]
    deviation = np.sqrt(np.diag(diagonal.covariance[0])[inside.ravel()])
    values = drawn.flatten(1).numpy()
    np.testing.assert_allclose(values.mean(0), mean, atol=1e-5)  # pairs lie about it
    np.testing.assert_allclose(values.std(0), deviation, rtol=0.06)
    other = Conditional(diagonal).draw(1 - picture(), np.array([(4, 5)]), SIZE, range(4000), 0)[0]
    torch.testing.assert_close(drawn, other)  # whatever the rim shows


class Independent(Sampler):
    """The same Gaussian, each sample by itself: without pairs, and at no angle to the others."""

    def __init__(self, known):
        self._pairs = Conditional(known)

    def draw(self, picture, places, size, numbers, seed):
        drawn = picture.new_empty(len(places), len(numbers), len(picture), size, size)
        generator = torch.Generator().manual_seed(seed * 1000 + int(places[0] @ (PX, 1)))
        for here, mean, factor in self._pairs._given_rims(picture, places, size):
            noise = torch.randn(len(mean), len(here), len(numbers), mean.shape[2], generator=generator)
            samples = mean[:, :, None] + noise @ factor.mT[:, None]
            drawn[here] = samples.permute(1, 2, 0, 3).reshape(-1, *drawn.shape[1:])
        return drawn

    def centre(self, picture, places, size):
        return self._pairs.centre(picture, places, size)


EVIDENCE = WeightOfEvidence(0, 1e6, 2)


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """The answer of many samples for windows side by side."""
    model_store = ModelStore(tmp_path_factory.mktemp("exact"), device="cpu")
    effort = Effort(1000, converged=0, jackknife=False)
    return estimate_of(model_store, linear(2), Conditional(gaussian(spread=0.1)), EVIDENCE, effort, stride=3)


def errors_of(model_store, exact, sampler, n_samples, n_seeds=6):
    """Root mean square over windows and seeds of what is left to the answer of many samples."""
    found = []
    for seed in range(n_seeds):
        effort = Effort(n_samples, converged=0, jackknife=False, seed=100 + seed)
        estimate = estimate_of(model_store, linear(2), sampler, EVIDENCE, effort, stride=3)
        found.append((estimate.values - exact.values)[exact.samples > 0])
    return float(np.sqrt(np.square(found).mean()))


def test_the_error_of_independent_samples_falls_with_the_root_of_their_number(model_store, exact):
    sampler = Independent(gaussian(spread=0.1))
    few, many = (errors_of(model_store, exact, sampler, n) for n in (8, 128))
    assert few / many == pytest.approx(4, rel=0.2)


def test_four_antithetic_samples_are_about_as_good_as_twenty_independent_ones(model_store, exact):
    known = gaussian(spread=0.1)
    antithetic = errors_of(model_store, exact, Conditional(known), 4)
    assert antithetic < 1.2 * errors_of(model_store, exact, Independent(known), 20)


def test_the_stated_error_is_the_error(model_store, exact):
    sampler, asked = Independent(gaussian(spread=0.1)), exact.samples > 0
    found = [
        estimate_of(model_store, linear(2), sampler, EVIDENCE, Effort(40, converged=0, seed=seed), stride=3)
        for seed in range(20, 120)
    ]
    actual = np.sqrt(np.mean([np.square(one.values - exact.values)[asked] for one in found], 0))
    stated = np.sqrt(np.mean([np.square(one.errors)[asked] for one in found], 0))
    assert (stated / actual).mean() == pytest.approx(1, abs=0.2)


def test_the_stated_error_of_a_map_is_a_bound_where_neighbours_share_what_they_know(model_store):
    known, module = gaussian(spread=0.1), linear(2)
    exact, _ = estimate_of(model_store, module, Conditional(known), EVIDENCE, Effort(200, converged=0)).map(SIZE)
    efforts = [Effort(8, first=8, converged=1, seed=seed, first_pass=False) for seed in range(6)]
    found = [estimate_of(model_store, module, Independent(known), EVIDENCE, effort) for effort in efforts]
    assert not np.array_equal(found[0].with_neighbours()[0], found[0].values)
    maps, errors = zip(*(one.map(SIZE) for one in found), strict=True)
    actual, stated = (np.sqrt(np.mean(np.square(part))) for part in (np.array(maps) - exact, errors))
    assert 0.9 < stated / actual < 4


def test_the_jackknife_takes_the_bias_of_few_samples_away():
    random = np.random.default_rng(0)
    logits = torch.from_numpy(random.normal((1, 0), 1, (40_000, 6, 2))).float()
    measure = WeightOfEvidence(0, 1e9, 2)
    biased, corrected = (
        difference(measure, torch.zeros(2), logits, False, jackknife)[0].mean().item() for jackknife in (False, True)
    )
    p = logits.double().softmax(-1)[..., 0].mean()
    exact = -float((p / (1 - p)).log2())
    assert abs(corrected - exact) < 0.4 * abs(biased - exact)
    assert abs(biased - exact) > 0.02


def test_evidence_stays_finite_where_the_model_is_certain():
    measure = WeightOfEvidence(0, 1e5, 1000)
    certain, impossible = torch.zeros(1000), torch.zeros(1000)
    certain[0], impossible[0] = 200, -200
    found, _ = difference(measure, certain, impossible.expand(1, 4, 1000), False, True)
    assert found.item() == pytest.approx(np.log2(100_001 / 999) - np.log2(1 / 100_999), rel=1e-3)


def test_a_mark_that_decides_the_class_is_where_the_map_peaks(model_store):
    class Marked(nn.Module):
        def forward(self, x):
            mark = x[:, :, 3:9, 5:11].mean((1, 2, 3))
            return torch.stack([4 * mark, -4 * mark], 1)

    pixels = picture() * 0.5
    pixels[:, 3:9, 5:11] = 1
    references = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 3, PX, PX), dtype=np.uint8))
    for measure in (Measure(0), WeightOfEvidence(0, 1e5, 2)):
        estimate = estimate_of(model_store, Marked(), Marginal(references), measure, Effort(8), pixels=pixels)
        relevance, _ = estimate.map(SIZE)
        row, column = np.unravel_index(relevance.argmax(), relevance.shape)
        assert 3 <= row < 9
        assert 5 <= column < 11


def test_converged_windows_get_no_more_samples_and_a_survey_goes_on_where_it_stopped(model_store):
    module = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * PX * PX, 3)))
    references = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 3, PX, PX), dtype=np.uint8))
    effort = Effort(samples=20, first=4, converged=0.2)
    evidence = WeightOfEvidence(0, 1e5, 3)
    card = add(model_store, module, px=PX)
    coarse, fine = Grid(PX, PX, SIZE, 2), Grid(PX, PX, SIZE, 1)
    with model_store.borrow(card) as model:
        whole = Estimate.new(fine)
        for _ in advance(model, normalised(picture()), fine, Marginal(references), [evidence], effort, [whole]):
            pass
        parts = Estimate.new(fine)
        steps = advance(model, normalised(picture()), coarse, Marginal(references), [evidence], effort, [parts])
        next(steps)
        steps.close()
        assert 0 < (parts.samples > 0).sum() < coarse.n_windows() or parts.stride(coarse) is not None
        for grid in (coarse, fine):
            for _ in advance(model, normalised(picture()), grid, Marginal(references), [evidence], effort, [parts]):
                pass
            assert parts.stride(grid) == grid.stride
    assert set(np.unique(whole.samples)) == {4, 20}
    np.testing.assert_allclose(parts.values, whole.values, atol=1e-6)
    assert np.array_equal(parts.samples, whole.samples)


def test_unconverged_windows_get_all_samples_when_one_round_is_all_there_is(model_store):
    references = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (40, 3, PX, PX), dtype=np.uint8))
    evidence = WeightOfEvidence(0, 1e5, 3)
    first, estimate = (
        estimate_of(model_store, linear(), Marginal(references), evidence, effort, stride=SIZE)
        for effort in (Effort(4, converged=0), Effort(20, first=4, converged=0.4))
    )
    asked = first.samples > 0
    typical = np.sqrt(np.square(first.values[asked], dtype=np.float64).mean())
    expected = np.where(first.errors[asked] > 0.4 * typical, 20, 4)
    assert set(expected) == {4, 20}
    assert np.array_equal(estimate.samples[asked], expected)


def test_a_whole_map_comes_early_by_one_pair_a_window_and_says_that_its_error_is_not_known(model_store):
    module, grid, effort = linear(), Grid(PX, PX, SIZE, 1), Effort(8, first=4, converged=0.1)
    with model_store.borrow(add(model_store, module, px=PX)) as model:
        estimate = Estimate.new(grid)
        evidence, seen = WeightOfEvidence(0, 1e5, 3), []
        for _ in advance(model, normalised(picture()), grid, Conditional(gaussian()), [evidence], effort, [estimate]):
            seen.append((estimate.samples.copy(), estimate.stride(grid), estimate.map(SIZE)))
    first_pass = [maps for samples, _, maps in seen if samples.max() == 2]
    assert seen[len(first_pass) - 1][1] == 1, "all windows are in the first pass before any gets more samples"
    assert all(np.isnan(errors).all() and np.isfinite(values).all() for values, errors in first_pass)
    assert estimate.samples.min() >= 4
    assert np.isfinite(estimate.map(SIZE)[1]).all()
    np.testing.assert_allclose(first_pass[-1][0], estimate.map(SIZE)[0], atol=0.1 * np.ptp(estimate.map(SIZE)[0]))
