"""Relevance is conserved: what a map sums to is the logit that it explains, but for what biases take."""

import pytest
import torch
import torchvision.models
from torch import nn
from zennit.core import Composite

from bank.errors import InputError
from explainers.canonizers import batch_norm_merger
from explainers.registry import METHODS
from tests.explainers.nets import NETS, add, normalised, seeded, silent

RULES = ["lrp-z", "lrp-epsilon-plus-flat"]
TARGETS = torch.tensor([1, 3])


def without_bias(build):
    """The same net with all biases and running means at zero; batch norms keep activations near one."""
    module = seeded(build)
    norms = [child for child in module.modules() if isinstance(child, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        module.train()(normalised(16))
    for norm in norms:
        norm.running_mean.zero_()
    for child in module.modules():
        if getattr(child, "bias", None) is not None:
            nn.init.zeros_(child.bias)
    return module.eval()


def relevance_and_logit(bank, module, name, px=32):
    method, inputs = METHODS[name], normalised(px=px)
    card = add(bank, module, px=px)
    with bank.lend(card) as loan:
        maps = method.attribute(loan, inputs, TARGETS, method.Params(), silent)
        with torch.no_grad():
            logits = loan.logits(inputs).gather(1, TARGETS[:, None]).squeeze(1)
    return maps.sum((1, 2)), logits


class Dense(nn.Module):
    """Concatenation, an average pool, a scaled sum, a batch norm that follows no convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(3, 6, 3, padding=1, bias=False) for _ in range(2))
        self.norm, self.head = nn.BatchNorm2d(12), nn.Linear(12, 4, bias=False)

    def forward(self, x):
        both = torch.cat([self.first(x).relu(), self.second(x).relu() * 2], 1)
        both = nn.functional.avg_pool2d(self.norm(both), 2)
        return self.head(0.5 * both.mean((2, 3)))


def downsampling():
    """timm's ResNet-D: an average pool in the skip connection, bottlenecks."""
    from timm.models.resnet import Bottleneck, ResNet

    return ResNet(Bottleneck, (1, 1, 1, 1), num_classes=4, channels=(8, 8, 8, 8), stem_type="deep", avg_down=True)


class Shortcut(nn.Module):
    """A CIFAR ResNet's skip connection without weights: every second pixel, channels padded with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Conv2d(8, 16, 3, 2, 1, bias=False)
        self.head = nn.Linear(16, 4, bias=False)

    def forward(self, x):
        x = nn.functional.relu(self.first(x))
        x = self.second(x) + nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4))
        x = nn.functional.relu_(x.view(len(x), 16, -1)).view_as(x)
        return self.head(nn.functional.avg_pool2d(x, x.shape[2:]).view(len(x), -1))


BIAS_FREE = {
    **{name: NETS[name] for name in ("plain", "resnet", "reused", "functional", "mobile")},
    "dense": Dense,
    "shortcut": Shortcut,
    "resnet-d": downsampling,
    "torchvision mobilenet": lambda: torchvision.models.MobileNetV2(num_classes=4, width_mult=0.25),
    "torchvision shufflenet": lambda: torchvision.models.ShuffleNetV2([1, 1, 1], [8, 16, 32, 64, 64], 4),
}


@pytest.mark.parametrize("net", BIAS_FREE)
def test_relevance_sums_to_the_logit_of_a_net_without_biases(bank, net):
    relevance, logits = relevance_and_logit(bank, without_bias(BIAS_FREE[net]), "lrp-z")
    assert logits.abs().min() > 1e-3  # else there is nothing to conserve
    torch.testing.assert_close(relevance, logits, rtol=1e-3, atol=0)


@pytest.mark.parametrize("net", ["plain", "reused", "functional", "dense", "shortcut"])
def test_z_plus_conserves_relevance_where_every_unit_is_excited(bank, net):
    relevance, logits = relevance_and_logit(bank, without_bias(BIAS_FREE[net]), "lrp-epsilon-plus-flat")
    torch.testing.assert_close(relevance, logits, rtol=1e-3, atol=0)


@pytest.mark.parametrize("net", ["reused", "functional"])
def test_z_plus_gives_biases_of_convolutions_nothing(bank, net):
    module = seeded(NETS[net])
    relevance, logits = relevance_and_logit(bank, module, "lrp-epsilon-plus-flat")
    torch.testing.assert_close(relevance, logits - module.head.bias[TARGETS], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("net", ["plain", "resnet", "mobile"])
def test_folding_batch_norms_changes_neither_answer_nor_model(net):
    module, inputs = seeded(NETS[net]).requires_grad_(False), normalised()
    weights = {key: value.clone() for key, value in module.state_dict().items()}
    expected = module(inputs)
    norms = sum(isinstance(child, nn.BatchNorm2d) for child in module.modules())
    merger = batch_norm_merger(module, inputs[:1])
    assert len(merger.name_map) == norms
    composite = Composite(canonizers=[merger])
    with composite.context(module):
        torch.testing.assert_close(module(inputs), expected, rtol=1e-3, atol=1e-4)
    assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())
    assert torch.equal(module(inputs), expected)


class Product(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(12, 4)

    def forward(self, x):
        x = self.layer(x.flatten(1))
        return x * x.relu()


class Bare(Product):
    def forward(self, x):
        return nn.functional.linear(x.flatten(1), 2 * self.layer.weight)


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.head = nn.Conv2d(3, 3, 1), nn.Linear(12, 4)

    def forward(self, x):
        return self.head(self.layer(self.layer(x)).flatten(1))


@pytest.mark.parametrize(("build", "message"), [(Product, "mul"), (Bare, "linear"), (Twice, "twice|2 times")])
@pytest.mark.parametrize("name", RULES)
def test_what_has_no_rule_is_refused_rather_than_explained_wrongly(bank, name, build, message):
    with pytest.raises(InputError, match=message) as caught:
        relevance_and_logit(bank, seeded(build), name, px=2)
    assert "\n" not in str(caught.value)
