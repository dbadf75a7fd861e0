"""Windows cover every pixel, in an order that gives a whole map early."""

import numpy as np
import pytest

from common.errors import InputError
from explainers.prediction_difference.windows import Grid, between_known, mean_over_windows, sum_over_windows

PX = 12


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (3, 1), (3, 2), (5, 5), (4, 3), (PX, 1), (7, 4)])
def test_windows_cover_every_pixel(size, stride):
    grid = Grid(PX, PX + 3, size, stride)
    counts = np.zeros((PX, PX + 3), dtype=int)
    places = np.concatenate(list(grid.rounds(0)))
    for row, column in places:
        counts[row : row + size, column : column + size] += 1
    assert counts.min() >= 1
    assert len(places) == len({tuple(place) for place in places}) == grid.n_windows()
    if stride == 1 and size <= PX // 2:
        assert counts[0, 0] == counts[-1, -1] == 1
        assert counts[size : PX - size, size : PX - size].min() == size**2 == counts.max()
    began = np.zeros((PX - size + 1, PX + 3 - size + 1))
    began[places[:, 0], places[:, 1]] = 1
    assert np.array_equal(sum_over_windows(began, size).round(), counts)


def test_each_round_halves_the_stride_and_the_first_is_a_whole_map():
    grid = Grid(40, 40, 10, 1)
    assert grid.strides == [8, 4, 2, 1]
    first = next(grid.rounds(0))
    began = np.full((31, 31), np.nan)
    began[first[:, 0], first[:, 1]] = 1
    assert np.isfinite(mean_over_windows(began, 10)).all()
    assert len(first) < 31 * 31 / 30


@pytest.mark.parametrize(("settings", "words"), [((PX, PX, 13, 1), "smaller window"), ((PX, PX, 3, 4), "gaps")])
def test_windows_that_cannot_be_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        Grid(*settings)


def test_what_nobody_asked_about_lies_between_its_neighbours():
    rows, columns = np.mgrid[:9, :7]
    plane = 2.0 * rows - columns
    values = np.full(plane.shape, np.nan)
    values[::4, ::3] = plane[::4, ::3]
    np.testing.assert_allclose(between_known(values), plane, atol=1e-12)
    values[8, 6] = np.nan
    assert between_known(values)[8, 6] in (plane[8, 3], plane[4, 6]), "beyond the known places, the nearest counts"
    line = np.array([[np.nan, 1.0, np.nan, np.nan, 3.0]])
    np.testing.assert_array_equal(between_known(line), [[1, 1, 1, 3, 3]])
    assert np.isnan(between_known(np.full((2, 2), np.nan))).all()
