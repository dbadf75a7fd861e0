"""What windows are drawn from: its mean, its spread, and pairs that share the work."""

import numpy as np
import pytest
import torch

from common.errors import InputError
from explainers.prediction_difference.samplers import Conditional, Gaussian, Marginal, normal_pairs, shrinkage
from tests.explainers.prediction_difference.small import PLACES, PX, SIDE, SIZE, gaussian, given_rim, picture


def pictures(n=40, seed=0):
    """(n, 3, 20, 20) in [0, 1]: soft noise, the channels alike."""
    random = np.random.default_rng(seed)
    coarse = torch.from_numpy(random.uniform(size=(n, 3, 6, 6)).astype(np.float32))
    return torch.nn.functional.interpolate(coarse, (20, 20), mode="bilinear").numpy()


def test_conditional_samples_have_the_conditional_mean_and_covariance():
    known = gaussian()
    for row, column in PLACES:
        drawn = Conditional(known).draw(picture(), np.array([(row, column)]), SIZE, range(20_000), 3)[0]
        mean, covariance = given_rim(known, picture(), row, column)
        values = drawn.flatten(1).double().numpy()
        np.testing.assert_allclose(values.mean(0), mean, atol=2e-5)
        assert np.abs(np.cov(values.T) - covariance).max() < 0.06 * np.abs(covariance).max()


def test_a_picture_smaller_than_window_and_rim_is_refused():
    with pytest.raises(InputError, match="at least 7 × 7"):
        Conditional(gaussian()).draw(torch.rand(3, 6, 20), np.array([(0, 0)]), SIZE, range(2), 0)


def test_samples_depend_on_seed_place_and_the_draw_alone():
    places = np.array(PLACES)
    references = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 3, PX, PX), dtype=np.uint8))
    for sampler in (Conditional(gaussian()), Marginal(references)):
        all_at_once = sampler.draw(picture(), places, SIZE, range(4, 8), 1)
        one = sampler.draw(picture(), places[3:4], SIZE, range(4, 8), 1)
        torch.testing.assert_close(all_at_once[3:4], one)
        for others in (range(4, 8), 2), (range(4), 1):
            assert not torch.allclose(all_at_once, sampler.draw(picture(), places, SIZE, *others))
        assert not torch.allclose(all_at_once[0], all_at_once[1])


@pytest.mark.parametrize("n_pairs", [1, 3, 9])
def test_each_half_of_a_pair_is_normal_by_itself(n_pairs):
    places = np.argwhere(np.ones((100, 100), dtype=bool))
    drawn = normal_pairs(places, range(2 * n_pairs), 1, 5, seed=0)[0].double()
    for one in (drawn[:, 0], drawn[:, -1]):
        torch.testing.assert_close(one.mean(0), torch.zeros(5).double(), atol=0.04, rtol=0)
        torch.testing.assert_close(one.T @ one / len(one), torch.eye(5).double(), atol=0.05, rtol=0)
        torch.testing.assert_close((one**4).mean(0), torch.full((5,), 3.0).double(), atol=0.3, rtol=0)


def test_pairs_of_one_draw_stand_at_right_angles_and_share_out_the_lengths():
    drawn = normal_pairs(np.array(PLACES), range(8), 2, 9, seed=0)[..., :4].double()
    products = drawn @ drawn.mT
    lengths = products.diagonal(dim1=-2, dim2=-1)
    torch.testing.assert_close(products, torch.diag_embed(lengths), atol=1e-5, rtol=0)
    quarters = torch.special.gammainc(torch.tensor(2.0).double(), lengths / 2).mul(4).long().sort().values
    assert torch.equal(quarters, torch.arange(4).expand_as(quarters))


def test_pairs_at_right_angles_average_squares_better_than_independent_ones():
    places = np.argwhere(np.ones((20, 20), dtype=bool))
    together = normal_pairs(places, range(8), 1, 4, seed=0)[0]
    apart = torch.cat([normal_pairs(places, range(2 * n, 2 * n + 2), 1, 4, seed=0)[0] for n in range(4)], 1)
    errors = [(pairs[..., 0] + pairs[..., 1]).square().mean(1).sub(2).square().mean() for pairs in (together, apart)]
    assert errors[0] < 0.5 * errors[1]


@pytest.mark.parametrize("n_pairs", [1, 2])
def test_windows_beside_each_other_spread_few_pairs_together(n_pairs):
    block = np.stack(np.mgrid[3:6, 6:9], -1).reshape(-1, 2)
    places = np.random.default_rng(0).permutation(np.concatenate([block, [(2, 6), (6, 9)]]))
    inside = ((places >= (3, 6)) & (places <= (5, 8))).all(1)
    n = 9 * n_pairs
    pairs = normal_pairs(places, range(2 * n_pairs), 2, n + 5, seed=0)
    for group in pairs:
        rows = group[torch.from_numpy(inside)].flatten(0, 1)[:, :n].double()
        products = rows @ rows.T
        torch.testing.assert_close(products, torch.diag(products.diag()), atol=1e-4, rtol=0)
    alone = normal_pairs(places[3:4], range(2 * n_pairs), 2, n + 5, seed=0)
    assert torch.equal(alone[:, 0], pairs[:, 3])


def test_marginal_sampling_leaves_the_picture_itself_out_and_counts_what_is_left():
    references = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, 3, PX, PX), dtype=np.uint8))
    sampler = Marginal.without(references, references[2].float() / 255)
    drawn = sampler.draw(picture(), np.array([(2, 3)]), SIZE, range(3), 0)
    here = (slice(None), slice(None), slice(2, 2 + SIZE), slice(3, 3 + SIZE))
    expected = {tuple(part) for part in references[[0, 1, 3]][here].flatten(1).tolist()}
    assert {tuple(part) for part in (drawn[0] * 255).round().int().flatten(1).tolist()} == expected
    with pytest.raises(InputError, match="Expected 4 other images, one for each sample, got 3"):
        sampler.draw(picture(), np.array([(2, 3)]), SIZE, range(4), 0)


def test_a_gaussian_is_that_of_the_data_sets_patches():
    found = Gaussian.fit([pictures()[:30], pictures()[30:]], 4, per_channel=False)
    patches = np.lib.stride_tricks.sliding_window_view(pictures(), (4, 4), (2, 3))
    every = patches.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 48).astype(np.float64)
    np.testing.assert_allclose(found.mean[0], every.mean(0), atol=0.02)
    np.testing.assert_allclose(found.covariance[0], np.cov(every.T), atol=0.01)
    alone = Gaussian.fit([pictures()], 4, per_channel=True)
    assert alone.covariance.shape == (3, 16, 16)
    np.testing.assert_allclose(alone.covariance[1], np.cov(every[:, 16:32].T), atol=0.01)


def test_patches_too_large_for_a_covariance_are_refused():
    with pytest.raises(InputError, match="at most 5,000 values, got 5,043"):
        Gaussian.fit([np.zeros((2, 3, 64, 64), dtype=np.float32)], 41, per_channel=False)
    assert Gaussian.fit([np.zeros((2, 3, 64, 64), dtype=np.float32)], 41, per_channel=True).mean.shape == (3, 41**2)


def test_few_patches_are_shrunk_towards_the_diagonal():
    assert shrinkage(25_000, 588) == 0
    few = Gaussian.fit([pictures(1)], 8, per_channel=False)
    assert 0 < shrinkage(few.n_patches, 192) < 1
    assert np.linalg.eigvalsh(few.covariance[0]).min() > 0


@pytest.mark.parametrize("per_channel", [False, True])
def test_borders_that_never_change_leave_a_gaussian_that_can_be_drawn_from(per_channel):
    """As the black rim of handwritten digits: a singular covariance."""
    digits = pictures() * 1.0
    digits[:, :, :9] = 0
    digits[:, 1:] = digits[:, :1]  # grey: the channels are copies
    known = Gaussian.fit([digits], SIDE, per_channel)
    places = np.array([(0, 0), (4, 5), (17, 17), (12, 3)])
    drawn = Conditional(known).draw(torch.from_numpy(digits[0]), places, SIZE, range(8), 0)
    assert torch.isfinite(drawn).all()
    assert drawn[0].mean() < 0.1 * drawn[2].mean()  # black stays black
    assert drawn[2].std() > 0.01
