"""Folded BatchNorm: equal answers, and left alone wherever somebody else sees what it sees."""

import pytest
import timm
import torch
from torch import nn
from torchvision import models as zoo

from models.folding import folded

SIDE = 64


def settled(net):
    """At rest, with statistics that change what passes."""
    random = torch.Generator().manual_seed(0)
    for child in net.modules():
        if getattr(child, "running_mean", None) is not None:
            child.running_mean.normal_(0, 0.3, generator=random)
            child.running_var.uniform_(0.5, 2, generator=random)
            if child.weight is not None:
                nn.init.uniform_(child.weight, 0.5, 1.5, generator=random)
                nn.init.normal_(child.bias, 0, 0.2, generator=random)
    return net.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def images(n=3):
    return torch.randn(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))


def n_norms(net):
    return sum("BatchNorm" in type(child).__name__ for child in net.modules())


def same(net, copy):
    with torch.inference_mode():
        torch.testing.assert_close(copy(images()), net(images()), rtol=1e-4, atol=1e-5)


NETS = {
    "timm resnet": lambda: timm.create_model("resnet18"),
    "timm mobilenet": lambda: timm.create_model("mobilenetv3_small_050"),
    "timm efficientnet": lambda: timm.create_model("efficientnet_lite0"),
    "resnet": zoo.resnet18,
    "mobilenet": zoo.mobilenet_v2,
    "no bias, no affine": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8, affine=False), nn.ReLU(), nn.Flatten(1)
    ),
    "groups, stride, reflected edge": lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3, 2, padding=1, groups=3, padding_mode="reflect"), nn.BatchNorm2d(6, eps=0.1), nn.Flatten(1)
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_folded_models_give_equal_answers_without_any_norm(name):
    net = settled(NETS[name]())
    before = {key: value.clone() for key, value in net.state_dict().items()}
    copy = folded(net, images(1))
    assert n_norms(net) > 0
    assert n_norms(copy) == 0
    same(net, copy)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


class Two(nn.Module):
    """A convolution and BatchNorm, joined in different ways that do not allow to fold them."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.convolution, self.norm, self.other = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        if how == "weight tied":
            self.twin = nn.Conv2d(3, 3, 3, padding=1)
            self.twin.weight = self.convolution.weight

    def forward(self, x):
        seen = self.convolution(x)
        ways = {
            "seen by another": lambda: self.norm(seen) + seen,
            "a view is seen": lambda: self.norm(seen) + seen[:, :, :1],
            "convolution runs twice": lambda: self.norm(seen) + self.convolution(x + 1),
            "norm runs twice": lambda: self.norm(seen) + self.norm(x),
            "two norms": lambda: self.norm(seen) + self.other(seen),
            "something between": lambda: self.norm(seen.relu()),
            "norm before": lambda: self.convolution(self.norm(x)),
            "weight tied": lambda: self.norm(seen) + self.twin(x.relu()),
            "weight used elsewhere": lambda: self.norm(seen) * self.convolution.weight.sum(),
        }
        return ways[self.how]().flatten(1)


@pytest.mark.parametrize(
    "how",
    [
        "seen by another",
        "a view is seen",
        "convolution runs twice",
        "norm runs twice",
        "two norms",
        "something between",
        "norm before",
        "weight tied",
        "weight used elsewhere",
    ],
)
def test_what_somebody_else_sees_is_not_folded(how):
    net = settled(Two(how))
    assert folded(net, images(1)) is None


def test_models_without_batchnorm_have_no_copy():
    assert folded(settled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.Flatten(1))), images(1)) is None


def test_a_part_that_cannot_be_folded_stays_beside_one_that_can():
    net = settled(zoo.densenet121())
    copy = folded(net, images(1))
    assert 0 < n_norms(copy) < n_norms(net)
    same(net, copy)
