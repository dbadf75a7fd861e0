"""Convolutions that tile a picture: the same answer and the same gradient as torch's own."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from explainers.tiles import TiledConvolutions


class Seen(TorchDispatchMode):
    """Names of the operations that ran."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.name())
        return func(*args, **(kwargs or {}))


def answer_and_gradient(net, inputs):
    inputs = inputs.clone().requires_grad_()
    answer = net(inputs)
    return answer.detach(), torch.autograd.grad(answer.square().sum(), inputs)[0]


@pytest.mark.parametrize("kernel", [(4, 4), (2, 6)])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_a_patch_embedding_gives_the_same_answer_and_gradient_without_a_convolution(kernel, memory):
    torch.manual_seed(0)
    net = nn.Conv2d(3, 5, kernel, kernel).to(memory_format=memory)
    inputs = torch.randn(2, 3, 12, 12).contiguous(memory_format=memory)
    expected = answer_and_gradient(net, inputs)
    with TiledConvolutions(), Seen() as seen:
        found = answer_and_gradient(net, inputs)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert "aten::convolution" not in seen.names


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((2, 3, 12, 12), {"stride": 2}),  # windows overlap
        ((2, 3, 13, 12), {"stride": 4}),  # a row is left over
        ((2, 3, 12, 12), {"stride": 4, "padding": 2}),
        ((2, 3, 12, 12), {"stride": 4, "dilation": 2}),
        ((3, 12, 12), {"stride": 4}),  # no batch
    ],
)
def test_other_convolutions_stay_torchs_own(shape, settings):
    torch.manual_seed(0)
    inputs, weight = torch.randn(shape), torch.randn(5, 3, 4, 4)
    expected = F.conv2d(inputs, weight, **settings)
    with TiledConvolutions(), Seen() as seen:
        found = F.conv2d(inputs, weight, **settings)
    assert torch.equal(found, expected)
    assert "aten::convolution" in seen.names
