"""The constrained search against answers that are known: closed forms, and quadratic programs that scipy solves."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from explainers.contrastive.lbfgs import minimise
from explainers.contrastive.method import ContrastParams
from explainers.contrastive.search import search

EXACT = ContrastParams(tolerance=1e-7, rounds=30, iterations=60)


def linear(n, n_classes, k=6, n_pixels=12, seed=0):
    """A linear generator and model: z -> logits, its matrix (classes, k) and offset, and points to start from."""
    random = np.random.default_rng(seed)
    generator, model = random.normal(size=(n_pixels, k)), random.normal(size=(n_classes, n_pixels))
    matrix, offset = model @ generator / 4, random.normal(size=n_classes)
    start = torch.from_numpy(random.normal(size=(n, k)))
    weights, bias = torch.from_numpy(matrix), torch.from_numpy(offset)
    return lambda z, rows: z @ weights.T + bias, matrix, offset, start


def columns(answers, start, first=0, second=1):
    """The likeliest class of each row and the runner-up, as most people ask."""
    order = answers(start, torch.arange(len(start))).argsort(dim=1, descending=True)
    return order[:, first], order[:, second]


def test_a_linear_generator_and_model_are_projected_on_their_boundary():
    answers, matrix, _, start = linear(8, 5)
    true, probe = columns(answers, start)
    found = search(answers, start, true, probe, ContrastParams(**{**vars(EXACT), "constraints": False}))
    v = torch.from_numpy(matrix)[true] - torch.from_numpy(matrix)[probe]
    logits = answers(start, None)
    h = (logits.gather(1, true[:, None]) - logits.gather(1, probe[:, None]))[:, 0]
    expected = start - (h / v.square().sum(1))[:, None] * v
    assert found.feasible.all()
    torch.testing.assert_close(found.z, expected, rtol=0, atol=1e-6)


def test_active_limits_lead_where_a_quadratic_program_does():
    answers, matrix, offset, start = linear(6, 6, seed=3)
    true, probe = columns(answers, start, 0, 3)  # classes in between are in the way
    found = search(answers, start, true, probe, EXACT)
    n_active = 0
    for row in range(len(start)):
        t, p, z0 = int(true[row]), int(probe[row]), start[row].numpy()
        others = [i for i in range(len(offset)) if i not in (t, p)]

        def ahead(z, t=t, p=p, others=others):
            logits = matrix @ z + offset
            return np.concatenate([logits[t] - logits[others], logits[p] - logits[others]]) - EXACT.margin

        known = minimize(
            lambda z, z0=z0: ((z - z0) ** 2).sum(),
            z0,
            jac=lambda z, z0=z0: 2 * (z - z0),
            constraints=[
                {"type": "eq", "fun": lambda z, t=t, p=p: (matrix[t] - matrix[p]) @ z + offset[t] - offset[p]},
                {"type": "ineq", "fun": ahead},
            ],
            method="SLSQP",
            options={"ftol": 1e-13, "maxiter": 500},
        )
        assert known.success
        n_active += bool((ahead(known.x) < 1e-6).any())
        np.testing.assert_allclose(found.z[row].numpy(), known.x, atol=2e-6)
    assert n_active >= 3, "the case must have limits that bind"
    assert found.feasible.all()


def test_without_limits_a_third_class_gets_ahead_and_with_them_none():
    answers, _, _, start = linear(64, 6, seed=1)
    true, probe = columns(answers, start, 0, 4)
    rows = torch.arange(len(start))

    def third_wins(constraints):
        params = ContrastParams(constraints=constraints)
        found = search(answers, start, true, probe, params)
        logits = answers(found.z, rows)
        both = torch.minimum(logits.gather(1, true[:, None]), logits.gather(1, probe[:, None]))[:, 0]
        logits = logits.scatter(1, torch.stack([true, probe], 1), -torch.inf)
        return (logits.amax(1) > both)[torch.from_numpy(found.feasible)]

    assert third_wins(False).float().mean() > 0.2
    assert not third_wins(True).any()


def test_a_batch_finds_what_each_finds_alone():
    answers, _, _, start = linear(5, 4, seed=2)
    true, probe = columns(answers, start)
    together = search(answers, start, true, probe, EXACT)
    for row in range(5):
        part = slice(row, row + 1)
        alone = search(answers, start[part], true[part], probe[part], EXACT)
        torch.testing.assert_close(alone.z[0], together.z[row], rtol=0, atol=1e-7)


def test_where_no_point_fits_the_nearest_miss_is_told():
    def apart(z, rows):
        """The two logits are three apart, wherever one looks."""
        return torch.stack([3 + z[:, 0], z[:, 0], -z[:, 0].square()], 1)

    found = search(apart, torch.zeros(2, 4), torch.tensor([0, 0]), torch.tensor([1, 1]), ContrastParams(rounds=4))
    assert not found.feasible.any()
    np.testing.assert_allclose(found.violation, 3, atol=1e-3)
    assert torch.isfinite(found.z).all()


def test_an_answer_that_is_no_number_is_no_answer():
    def broken(z, rows):
        return torch.stack([z[:, 0] / 0 * 0, z[:, 0], z[:, 1]], 1)

    found = search(broken, torch.ones(1, 2), torch.tensor([0]), torch.tensor([1]), ContrastParams(rounds=2))
    assert not found.feasible[0]
    assert found.violation[0] == np.inf


def test_two_classes_have_no_limits_and_their_path_no_third():
    answers, _, _, start = linear(3, 2)
    true, probe = columns(answers, start)
    found = search(answers, start, true, probe, ContrastParams())
    assert found.feasible.all()
    for path in found.paths:
        assert path.shape[1] == 3
        assert (path[:, 2] == 0).all()
        np.testing.assert_allclose(path[-1, :2], 0.5, atol=1e-3)


def test_a_path_begins_at_the_beginning_and_ends_at_the_end():
    answers, _, _, start = linear(2, 4)
    true, probe = columns(answers, start)
    found = search(answers, start, true, probe, EXACT)
    at = answers(start, None).softmax(1).gather(1, torch.stack([true, probe], 1))
    for row, path in enumerate(found.paths):
        np.testing.assert_allclose(path[0, :2], at[row].numpy(), rtol=1e-5)
        assert path[-1, 0] == pytest.approx(path[-1, 1], abs=1e-6)
        assert len(path) == found.iterations[row] + 1


def test_the_batched_descent_finds_the_bottom_of_bent_valleys():
    def rosenbrock(points, rows):
        with torch.enable_grad():
            z = points.detach().requires_grad_()
            value = (1 - z[:, 0]).square() + 100 * (rows + 1) / 2 * (z[:, 1] - z[:, 0].square()).square()
            (slope,) = torch.autograd.grad(value.sum(), z)
        return value.detach(), slope, points

    start = torch.tensor([[-1.2, 1.0], [2.0, -1.0], [0.0, 0.0]], dtype=torch.float64)
    points, taken = minimise(rosenbrock, start, torch.arange(3), 200, 1e-9)
    torch.testing.assert_close(points, torch.ones_like(points), rtol=0, atol=1e-8)
    assert (taken < 100).all()
    assert (taken > 5).all()
