"""What the lens shows adds up to what torch computes, and what does not is refused."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from common.errors import InputError
from pages.playground.lens.values import MAX_CELLS, MAX_CHANNELS, convolution_view, max_pool_view

SIZES = [(7, 9), (12, 12), (100, 30)]


def parts(view):
    """Maps (C, h, w), kernel (C, k, k) and output (h2, w2) as the script takes them apart."""
    facts, values = view.facts, view.values.astype(np.float64)
    n_channels, size = len(facts["channels"]), facts["size"]
    shape_in, shape_out = tuple(facts["input"]["shape"]), tuple(facts["output"]["shape"])
    n_maps, n_out = n_channels * int(np.prod(shape_in)), int(np.prod(shape_out))
    return (
        values[:n_maps].reshape(n_channels, *shape_in),
        values[n_maps : len(values) - n_out].reshape(-1, size, size),
        values[len(values) - n_out :].reshape(shape_out),
    )


def window(view, row, column, outside):
    """What lies under the kernel (C, k, k) at a cell of the shown output, `outside` where the image ends."""
    facts, maps = view.facts, parts(view)[0]
    size, stride, padding = facts["size"], facts["stride"], facts["padding"]
    seen = np.full((len(maps), size, size), outside)
    for i, j in np.ndindex(size, size):
        place = [
            (first_out + cell) * stride - padding + step - first_in
            for first_out, cell, step, first_in in zip(
                facts["output"]["first"], (row, column), (i, j), facts["input"]["first"], strict=True
            )
        ]
        if all(0 <= p < n for p, n in zip(place, facts["input"]["shape"], strict=True)):
            seen[:, i, j] = maps[:, place[0], place[1]]
    return seen


@pytest.mark.parametrize("n_channels", [1, 4])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_window_times_kernel_and_bias_add_up_to_torch_s_convolution(n_channels, padding, stride):
    generator = torch.Generator().manual_seed(stride)
    for size, (height, width) in zip((3, 5, 3), SIZES, strict=True):
        inputs = torch.rand(1, n_channels, height, width, generator=generator)
        kernel = torch.randn(1, n_channels, size, size, generator=generator)
        output = F.conv2d(inputs, kernel, torch.tensor([-0.3]), stride, padding)[0, 0].numpy()
        view = convolution_view(inputs[0].numpy(), kernel[0].numpy(), -0.3, output, stride, padding)
        _, weights, shown = parts(view)
        first = view.facts["output"]["first"]
        assert np.array_equal(output[first[0] :, first[1] :][: shown.shape[0], : shown.shape[1]], shown)
        assert max(*view.facts["input"]["shape"], *shown.shape) <= MAX_CELLS
        for row, column in {(0, 0), (shown.shape[0] - 1, shown.shape[1] - 1), (shown.shape[0] // 2, 1)}:
            total = (window(view, row, column, 0.0) * weights).sum() - 0.3
            assert total == pytest.approx(shown[row, column], abs=1e-4)


@pytest.mark.parametrize(("size", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 1, 1)])
def test_the_largest_of_a_window_is_torch_s_max_pool(size, stride, padding):
    for height, width in SIZES:
        inputs = torch.randn(1, 1, height, width, generator=torch.Generator().manual_seed(0)) - 3
        output = F.max_pool2d(inputs, size, stride, padding)[0, 0].numpy()
        view = max_pool_view(inputs[0, 0].numpy(), output, size, stride, padding)
        _, weights, shown = parts(view)
        assert len(weights) == 0
        for row, column in np.ndindex(*shown.shape):
            assert window(view, row, column, -np.inf).max() == shown[row, column]


def test_of_a_large_map_the_part_around_its_strongest_answer_is_shown():
    inputs = np.zeros((1, 200, 40), np.float32)
    inputs[0, 150, 20] = 1
    kernel = np.ones((1, 3, 3), np.float32)
    output = F.conv2d(torch.tensor(inputs)[None], torch.tensor(kernel)[None], padding=1)[0, 0].numpy()
    view = convolution_view(inputs, kernel, 0.0, output, 1, 1)
    maps, _, shown = parts(view)
    assert maps.sum() == 1
    assert shown.sum() == 9
    assert view.facts["output"]["whole"] == (200, 40)


def test_channels_come_by_what_they_add_and_only_the_strongest_of_many():
    inputs = np.ones((40, 4, 4), np.float32)
    kernel = np.arange(-20, 20, dtype=np.float32)[:, None, None] * np.ones((1, 2, 2), np.float32)
    output = F.conv2d(torch.tensor(inputs)[None], torch.tensor(kernel)[None])[0, 0].numpy()
    facts = convolution_view(inputs, kernel, 0.0, output, 1, 0).facts
    assert facts["channels"][:3] == [0, 1, 39]
    assert (len(facts["channels"]), facts["of_channels"]) == (MAX_CHANNELS, 40)


IMAGE, KERNEL = np.ones((2, 5, 5), np.float32), np.ones((2, 3, 3), np.float32)
RIGHT = np.full((3, 3), 18.0)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"output": RIGHT + 0.5}, "off by 0.5"),
        ({"bias": 1.0}, "off by 1"),
        ({"stride": 2}, "output \\(2, 2\\)"),
        ({"padding": 1}, "output \\(5, 5\\)"),
        ({"kernel": KERNEL[:1]}, "as many channels"),
        ({"inputs": IMAGE[0]}, "as many channels"),
        ({"output": RIGHT * np.nan}, "earlier epoch"),
        ({"inputs": IMAGE[:, :2], "output": np.zeros((0, 3))}, "output \\(0, 3\\)"),
    ],
)
def test_what_does_not_belong_together_is_refused(change, match):
    right = {"inputs": IMAGE, "kernel": KERNEL, "bias": 0.0, "output": RIGHT, "stride": 1, "padding": 0}
    convolution_view(**right)
    with pytest.raises(InputError, match=match):
        convolution_view(**(right | change))


def test_pooling_that_does_not_hold_the_maxima_is_refused():
    with pytest.raises(InputError, match="off by 1"):
        max_pool_view(np.ones((4, 4)), np.full((2, 2), 2.0), 2, 2)
    with pytest.raises(InputError, match="one channel"):
        max_pool_view(np.ones((1, 4, 4)), np.ones((2, 2)), 2, 2)
