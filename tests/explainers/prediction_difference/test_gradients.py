"""Guides from gradients: exact where the trapezoid rule is and windows leave each other alone; kept like the rest."""

import numpy as np
import pytest
import torch
from torch import nn

from explainers.prediction_difference.evidence import ActivationDifference, WeightOfEvidence
from explainers.prediction_difference.samplers import Conditional
from explainers.prediction_difference.survey import Effort, Survey, advance, n_asked
from explainers.prediction_difference.windows import Grid
from tests.explainers.nets import add, seeded
from tests.explainers.prediction_difference.small import SIZE, gaussian

PX, N = 24, 22  # the picture's side, and the windows along it
GRID = Grid(PX, PX, SIZE, 1)
SHORT, PLAIN = Effort(samples=6), Effort(samples=2, settled=0, jackknife=False)
LOGIT = [ActivationDifference((1,))]


class Square(nn.Module):
    """Logits that are quadratic in the pixels, each by itself, after nothing that windows are followed through."""

    def __init__(self, px=PX, n_classes=2):
        super().__init__()
        self.linear = nn.Linear(3 * px**2, n_classes)

    def forward(self, x):
        return self.linear(x.flatten(1) ** 2 + x.flatten(1))


def pixels():
    return torch.from_numpy(0.5 + 0.03 * np.random.default_rng(0).normal(size=(3, PX, PX))).float()


def steps(model, survey, effort=SHORT, measures=LOGIT, grid=GRID):
    """As `nets.add` normalises."""
    return advance(model, (pixels() - 0.5) / 0.25, grid, Conditional(gaussian()), measures, effort, survey)


def survey_of(model_store, module, effort=SHORT, measures=LOGIT, grid=GRID, until=None):
    survey = Survey.new(grid, sum(len(measure.targets) for measure in measures))
    with model_store.borrow(add(model_store, module, px=PX)) as model:
        for _ in steps(model, survey, effort, measures, grid):
            if until is not None and until(survey):
                break
    return survey


def guided(survey):
    return len(survey.guides) > 1 and bool(np.isfinite(survey.guides).all())


def test_the_guide_of_a_quadratic_model_is_what_its_windows_are_worth(model_store):
    module = seeded(Square)
    measures = [ActivationDifference((1, 0))]
    first, exact = (
        survey_of(model_store, module, Effort(4), measures, until=guided),
        survey_of(model_store, module, PLAIN, measures),
    )
    assert first.guides.shape == (2, 2, N, N)
    assert not first.samples.any()
    np.testing.assert_allclose(first.guides[0], exact.values, atol=1e-4 * np.ptp(exact.values))


def test_a_map_is_known_from_guides_alone_and_says_that_its_error_is_not(model_store):
    seen = []

    def look(survey):
        seen.append((survey.stride(GRID), survey.maps(SIZE), n_asked(survey, GRID, SHORT)))
        return guided(survey)

    survey = survey_of(model_store, seeded(Square), until=look)
    strides = [stride for stride, _, _ in seen if stride is not None]
    assert strides == sorted(strides, reverse=True)
    assert {1, 2} <= set(strides)
    assert all(np.isnan(errors).all() for _, (_, errors), _ in seen)
    assert np.isfinite(seen[-1][1][0]).all()
    counts = [count for _, _, count in seen]
    assert counts == sorted(counts)
    assert 0 < counts[-1] < GRID.n_windows()
    assert survey.stride(GRID) == 1


def test_of_three_estimates_and_more_the_lowest_and_the_highest_are_left_out():
    survey = Survey.new(Grid(5, 6, SIZE, 1), 1)
    survey.make_room(4)
    survey.guides[:, 0, 0, 0] = [3, 100, -50, 4]
    survey.guides[:3, 0, 0, 1] = [1, 2, 9]
    survey.guides[:2, 0, 1, 0] = [1, 2]
    expected = np.full((1, 3, 4), np.nan)
    expected[0, 0, 0], expected[0, 0, 1], expected[0, 1, 0] = 3.5, 2, 1.5
    np.testing.assert_array_equal(survey.guide(), expected)


def test_a_survey_that_was_stopped_among_its_guides_ends_as_one_that_was_not(model_store):
    module, evidence = seeded(Square), [WeightOfEvidence((1,), 1e5, 2)]
    whole = survey_of(model_store, module, measures=evidence)
    survey = Survey.new(GRID, 1)
    with model_store.borrow(add(model_store, module, px=PX)) as model:
        for grid, n_steps in ((Grid(PX, PX, SIZE, 2), 3), (Grid(PX, PX, SIZE, 2), 10**6), (GRID, 10**6)):
            for _, _ in zip(range(n_steps), steps(model, survey, measures=evidence, grid=grid), strict=False):
                pass
    assert guided(whole)
    np.testing.assert_allclose(survey.guides, whole.guides, atol=1e-6)
    assert np.array_equal(survey.samples, whole.samples)
    np.testing.assert_allclose(survey.values, whole.values, atol=1e-6)


def test_where_windows_feel_each_other_guides_come_closer_than_as_many_passes_without(model_store):
    class Mixing(nn.Module):
        """Every pixel is weighed by what the whole picture says, as attention does."""

        def __init__(self):
            super().__init__()
            self.look, self.answer = nn.Linear(3, 8), nn.Linear(8, 2)

        def forward(self, x):
            seen = self.look(x.flatten(2).mT)
            weights = (seen.mean(1, keepdim=True) * seen * 20).softmax(1)
            return 8 * self.answer((weights * seen.tanh()).sum(1))

    module, evidence = seeded(Mixing), [WeightOfEvidence((1,), 1e5, 2)]
    exact = survey_of(model_store, module, Effort(60, settled=0), evidence).maps(SIZE, shared=False)[0]
    first = survey_of(model_store, module, measures=evidence, until=lambda survey: np.isfinite(survey.guides[0]).all())
    passes = 3 * 2 * 8**2  # there and back, a pair, windows 8 places apart
    plain = survey_of(model_store, module, PLAIN, evidence, until=lambda survey: survey.samples.sum() >= passes)
    assert not first.samples.any()
    ours, theirs = (np.corrcoef(one.maps(SIZE)[0].ravel(), exact.ravel())[0, 1] for one in (first, plain))
    assert ours > theirs
    assert ours > 0.9


def test_models_that_can_be_followed_or_have_no_gradient_get_their_guides_with_their_samples(model_store):
    class Rounded(Square):
        def forward(self, x):
            return super().forward(x.detach())

    def followed():
        body = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1, groups=3) for _ in range(3)))
        return nn.Sequential(body, nn.Flatten(), nn.Linear(3 * PX * PX, 2))

    for module in (seeded(Rounded), seeded(followed)):
        survey = survey_of(model_store, module)
        assert survey.guides.shape == (1, 1, N, N)
        assert np.isfinite(survey.guides).all()
        assert np.isfinite(survey.errors).all()


@pytest.mark.parametrize(("px", "n_targets", "n"), [(PX, 1, 3), (PX, 3, 1), (12, 1, 1)])
def test_fewer_pairs_are_asked_for_where_they_cost_more(model_store, px, n_targets, n):
    module = seeded(lambda: Square(px, n_classes=3))
    grid, measures = Grid(px, px, SIZE, 1), [ActivationDifference(tuple(range(n_targets)))]
    survey, inputs = Survey.new(grid, n_targets), (pixels()[:, :px, :px] - 0.5) / 0.25
    with model_store.borrow(add(model_store, module, px=px)) as model:
        for _ in advance(model, inputs, grid, Conditional(gaussian()), measures, SHORT, survey):
            pass
    assert len(survey.guides) == n
