import numpy as np
import pytest

from explainers.prediction_difference.neighbours import pooled

SIDE = 40


def smooth():
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return np.sin(rows / 6) + np.cos(columns / 9)


def noisy(truth, error, seed=0):
    return truth + np.random.default_rng(seed).normal(0, error, truth.shape), np.full(truth.shape, float(error))


def rms(values):
    return float(np.sqrt(np.nanmean(np.square(values))))


def test_neighbours_take_noise_away_where_the_truth_is_smooth_and_the_stated_error_is_true():
    values, errors = noisy(smooth(), 0.2)
    found, stated = pooled(values, errors)
    assert rms(found - smooth()) < 0.4 * 0.2
    assert rms(stated) == pytest.approx(rms(found - smooth()), rel=0.3)


def test_where_neighbours_know_no_better_values_stay():
    truth = np.random.default_rng(1).normal(0, 1, (SIDE, SIDE))
    values, errors = noisy(truth, 0.05)
    found, stated = pooled(values, errors)
    assert rms(found - truth) < 1.05 * 0.05
    assert rms(stated) == pytest.approx(0.05, rel=0.05)


def test_what_is_certain_is_left_alone():
    values, errors = noisy(smooth(), 0.2)
    values[5:9, 5:9], errors[5:9, 5:9] = 0, 0
    found, stated = pooled(values, errors)
    assert (found[5:9, 5:9] == 0).all()
    assert (stated[5:9, 5:9] == 0).all()


def test_what_is_not_known_stays_so_and_is_no_neighbour():
    values, errors = noisy(smooth(), 0.2)
    values[::2], errors[1::4] = np.nan, np.nan
    known = np.isfinite(values) & np.isfinite(errors)
    found, stated = pooled(values, errors)
    assert np.array_equal(np.isfinite(found), known)
    assert np.array_equal(np.isfinite(stated), known)
    assert rms(found - smooth()) < 0.7 * 0.2


def test_one_window_alone_has_no_neighbours():
    values, errors = np.full((3, 3), np.nan), np.full((3, 3), np.nan)
    values[1, 1], errors[1, 1] = 1.5, 0.1
    found, stated = pooled(values, errors)
    assert found[1, 1] == 1.5
    assert stated[1, 1] == 0.1
