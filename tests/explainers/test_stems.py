"""The cheap gradient through a strided first convolution is the library's own, and nothing of it stays behind."""

import pytest
import torch
from torch import Tensor, nn

from explainers.stems import cheap_gradients, stems_of


def _gradient(net: nn.Module, inputs: Tensor, cheap: bool) -> tuple[Tensor, Tensor]:
    seen = inputs.clone().requires_grad_()
    with cheap_gradients(stems_of(net) if cheap else {}):
        output = net(seen)
    return output.detach(), torch.autograd.grad(output.square().sum(), seen)[0]


def _net(kernel: int, stride: int, padding: int, channels: int = 3, bias: bool = True) -> nn.Module:
    torch.manual_seed(0)
    conv = nn.Conv2d(channels, 5, kernel, stride, padding, bias=bias)
    return nn.Sequential(conv, nn.ReLU(inplace=True)).requires_grad_(False)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (19, 23)])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(7, 2, 3), (3, 2, 1), (3, 2, 0), (8, 8, 0), (4, 3, 5)])
def test_the_gradient_is_the_librarys(
    kernel: int, stride: int, padding: int, size: tuple[int, int], channels: int
) -> None:
    net = _net(kernel, stride, padding, channels)
    inputs = torch.rand(2, channels, *size)
    assert len(stems_of(net)) == 1
    plain_output, plain = _gradient(net, inputs, cheap=False)
    output, cheap = _gradient(net, inputs, cheap=True)
    torch.testing.assert_close(output, plain_output, rtol=0, atol=0)
    torch.testing.assert_close(cheap, plain, rtol=1e-4, atol=1e-5)


def test_without_a_gradient_a_stem_runs_as_ever() -> None:
    net = _net(3, 2, 1)
    inputs = torch.rand(1, 3, 8, 8)
    with torch.no_grad(), cheap_gradients(stems_of(net)):
        output = net(inputs)
    assert not output.requires_grad
    torch.testing.assert_close(output, net(inputs), rtol=0, atol=0)


def test_other_convolutions_are_left_alone() -> None:
    def conv(*shape: int, **options: object) -> nn.Module:
        return nn.Conv2d(*shape, **options).requires_grad_(False)  # type: ignore[arg-type]

    others = [
        conv(3, 4, 3, padding=1),
        conv(8, 4, 3, 2),
        conv(3, 3, 3, 2, groups=3),
        conv(3, 4, 3, 2, dilation=2),
        conv(3, 4, 3, 2, padding=1, padding_mode="reflect"),
        conv(3, 4, (3, 5), 2),
        nn.Conv2d(3, 4, 3, 2),
    ]
    assert not stems_of(nn.ModuleList(others))


def test_no_hook_is_left_after_an_error() -> None:
    net = _net(3, 2, 1)
    with pytest.raises(RuntimeError), cheap_gradients(stems_of(net)):
        net(torch.rand(1, 4, 8, 8, requires_grad=True))
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in net.modules())
