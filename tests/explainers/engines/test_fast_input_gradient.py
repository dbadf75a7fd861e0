"""The faster gradient at the input is PyTorch's own, for the layers that have one; others are left alone."""

from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn

from explainers.engines import fast_input_gradient
from explainers.engines.fast_input_gradient import FastInputGradient


def _gradient(net: nn.Module, inputs: Tensor, fast: bool) -> tuple[Tensor, Tensor]:
    seen = inputs.clone().requires_grad_()
    with FastInputGradient() if fast else nullcontext():
        output = net(seen)
    return output.detach(), torch.autograd.grad(output.square().sum(), seen)[0]


def _is_faster(layer: nn.Module, inputs: Tensor) -> bool:
    """Whether the layer's backward pass is replaced."""
    with FastInputGradient():
        output = layer(inputs.clone().requires_grad_())
    return output.grad_fn.name() == "_BackwardBackward"


def _net(kernel: int, stride: int, padding: int, channels: int = 3, bias: bool = True) -> nn.Module:
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, 5, kernel, stride, padding, bias=bias)
    return nn.Sequential(conv, nn.ReLU(inplace=True)).requires_grad_(False)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (19, 23)])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [(7, 2, 3), (3, 2, 1), (3, 2, 0), (8, 8, 0), (4, 3, 5), (3, 1, 1), (5, 1, 0), (1, 1, 0)],
)
def test_the_gradient_is_the_librarys(
    kernel: int, stride: int, padding: int, size: tuple[int, int], channels: int
) -> None:
    net = _net(kernel, stride, padding, channels)
    inputs = torch.rand(2, channels, *size)
    assert _is_faster(net[0], inputs)
    plain_output, plain = _gradient(net, inputs, fast=False)
    output, fast = _gradient(net, inputs, fast=True)
    torch.testing.assert_close(output, plain_output, rtol=0, atol=0)
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("affine", [True, False])
def test_a_batchnorm_only_scales_the_gradient(affine: bool) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, affine=affine)
    norm(3 * torch.randn(8, 4, 5, 5) + 1)  # for statistics of its own
    for weight in norm.parameters():
        nn.init.normal_(weight)
    net = nn.Sequential(norm, nn.ReLU(inplace=True)).eval().requires_grad_(False)
    inputs = torch.randn(2, 4, 6, 7)
    assert _is_faster(net[0], inputs)
    plain_output, plain = _gradient(net, inputs, fast=False)
    output, fast = _gradient(net, inputs, fast=True)
    torch.testing.assert_close(output, plain_output, rtol=0, atol=0)
    torch.testing.assert_close(fast, plain, rtol=1e-5, atol=1e-6)


def test_batchnorms_of_the_batch_or_in_training_are_left_alone() -> None:
    layers = [
        nn.BatchNorm2d(3, track_running_stats=False).eval().requires_grad_(False),
        nn.BatchNorm2d(3).requires_grad_(False),
        nn.BatchNorm2d(3).eval(),
    ]
    assert not any(_is_faster(layer, torch.randn(2, 3, 4, 4)) for layer in layers)


def test_without_a_gradient_a_stem_runs_as_ever() -> None:
    net = _net(3, 2, 1)
    inputs = torch.rand(1, 3, 8, 8)
    with torch.no_grad(), FastInputGradient():
        output = net(inputs)
    assert not output.requires_grad
    torch.testing.assert_close(output, net(inputs), rtol=0, atol=0)


def test_other_convolutions_are_left_alone() -> None:
    def conv(*shape: int, **options: object) -> nn.Module:
        return nn.Conv2d(*shape, **options).requires_grad_(False)  # type: ignore[arg-type]

    layers = [
        conv(8, 4, 3, 2),
        conv(3, 3, 3, 2, groups=3),
        conv(3, 4, 3, 2, dilation=2),
        conv(3, 4, 3, 1, padding="same"),
        conv(3, 4, (3, 5), 2),
        nn.Conv2d(3, 4, 3, 2),
    ]
    assert not any(_is_faster(layer, torch.randn(2, layer.in_channels, 8, 8)) for layer in layers)


def test_the_kernel_is_made_once_and_again_when_the_weights_change(monkeypatch: pytest.MonkeyPatch) -> None:
    net, inputs, made = _net(3, 2, 1), torch.rand(1, 3, 8, 8), []
    make = fast_input_gradient._new_block_kernel
    monkeypatch.setattr(fast_input_gradient, "_new_block_kernel", lambda *args: made.append(args) or make(*args))
    _gradient(net, inputs, fast=True)
    _gradient(net, inputs, fast=True)
    assert len(made) == 1
    for change in (lambda: net[0].weight.mul_(-2), lambda: net.to(torch.float64)):
        change()
        inputs = inputs.to(net[0].weight.dtype)
        torch.testing.assert_close(_gradient(net, inputs, fast=True)[1], _gradient(net, inputs, fast=False)[1])
    assert len(made) == 3
