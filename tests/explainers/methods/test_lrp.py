"""Relevance is conserved: what a map sums to is the logit that it explains, but for what biases take."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.models
from torch import nn

from explainers.engines.lrp_mode import LRPMode
from explainers.registry import METHODS
from tests.explainers.nets import NETS, TARGETS, add, attribute, normalised, seeded
from tests.explainers.relevance import RULES, best, relevance_and_logit, without_bias


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
    **NETS,
    "dense": Dense,
    "shortcut": Shortcut,
    "resnet-d": downsampling,
    "torchvision mobilenet": lambda: torchvision.models.MobileNetV2(num_classes=4, width_mult=0.25),
    "torchvision shufflenet": lambda: torchvision.models.ShuffleNetV2([1, 1, 1], [8, 16, 32, 64, 64], 4),
}


@pytest.mark.parametrize("net", BIAS_FREE)
@pytest.mark.parametrize("name", ["lrp-epsilon", "lrp-gamma"])
def test_relevance_sums_to_the_logit_of_a_net_without_biases(model_store, name, net):
    relevance, logits = relevance_and_logit(model_store, without_bias(BIAS_FREE[net]), name)
    assert logits.abs().min() > 1e-3  # else there is nothing to conserve
    torch.testing.assert_close(relevance, logits, rtol=2e-3, atol=0)


@pytest.mark.parametrize("net", ["plain", "reused", "functional", "dense", "shortcut", "branching"])
@pytest.mark.parametrize("name", RULES)
def test_every_rule_conserves_relevance_where_every_unit_is_excited(model_store, name, net):
    module = without_bias(BIAS_FREE[net])
    relevance, logits = relevance_and_logit(model_store, module, name, best(module))
    assert logits.min() > 1e-3
    torch.testing.assert_close(relevance, logits, rtol=1e-3, atol=0)


@pytest.mark.parametrize("net", ["reused", "functional"])
def test_z_plus_gives_biases_of_convolutions_nothing(model_store, net):
    module = seeded(NETS[net])
    relevance, logits = relevance_and_logit(model_store, module, "lrp-epsilon-plus-flat")
    torch.testing.assert_close(relevance, logits - module.head.bias[TARGETS], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "net"), [*((name, "reused") for name in RULES), *(("lrp-epsilon-gamma-box", net) for net in NETS)]
)
def test_rules_leave_the_answer_as_it_is(model_store, name, net):
    method, module, inputs = METHODS[name], seeded(NETS[net]), normalised()
    with model_store.borrow(add(model_store, module)) as model:
        expected = module(inputs)
        inputs = inputs.requires_grad_()
        with LRPMode(method.rules(model, inputs.detach(), method.Params())) as mode:
            torch.testing.assert_close(module(mode.picture(inputs)).detach(), expected, rtol=1e-5, atol=1e-6)


def share(contributions, relevance):
    """Relevance (M,) handed to K inputs by contributions (M, K); the stabiliser is 1e-6."""
    total = contributions.sum(1, keepdims=True)
    return (contributions / (total + np.copysign(1e-6, total)) * relevance[:, None]).sum(0)


def plus(values):
    return np.maximum(values, 0)


def alpha_beta(contributions, relevance):
    return 2 * share(plus(contributions), relevance) - share(-plus(-contributions), relevance)


def gamma(contributions, relevance):
    mirrored = np.where(contributions.sum(1, keepdims=True) > 0, contributions, -contributions)
    return share(mirrored + 0.25 * plus(mirrored), relevance)


BY_HAND = {
    "lrp-epsilon": (share, share),
    "lrp-gamma": (gamma, gamma),
    "lrp-z-plus": (lambda z, r: share(plus(z), r),) * 2,
    "lrp-alpha-beta": (alpha_beta, alpha_beta),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_rules_by_hand(model_store, name):
    module = seeded(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 9, bias=False), nn.ReLU(), nn.Linear(9, 3, bias=False))
    )
    inputs = normalised(px=2)
    first, last = (module[i].weight.detach().numpy().astype(float) for i in (1, 3))
    maps = attribute(model_store, module, name, inputs, torch.tensor([0, 2]))
    for x, target, found in zip(inputs.flatten(1).numpy().astype(float), (0, 2), maps, strict=True):
        hidden = plus(first @ x)
        lower, upper = BY_HAND[name]
        relevance = upper(last[[target]] * hidden, last[[target]] @ hidden)
        alive = hidden > 0
        expected = lower(first[alive] * x, relevance[alive]).reshape(3, 2, 2).sum(0)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_deep_taylor_by_hand(model_store):
    """z+ above, the box rule below, with (0 - 0.5) / 0.25 = -2 the lowest value of a pixel and 2 the highest."""
    module = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 3)))
    inputs = normalised(px=2, seed=3).clamp(-2, 2)
    targets = best(module, inputs)
    first, bias, last = (
        values.detach().numpy().astype(float) for values in (*module[1].parameters(), module[3].weight)
    )
    scores = module(inputs).detach().numpy().astype(float)
    maps = attribute(model_store, module, "deep-taylor", inputs, targets)
    for x, target, score, found in zip(inputs.flatten(1).numpy().astype(float), targets, scores, maps, strict=True):
        assert score[target] > 0
        hidden = plus(first @ x + bias)
        relevance = share(plus(last[[target]] * hidden), score[[target]])
        alive = hidden > 0
        weight = first[alive]
        box = weight * x + 2 * plus(weight) + 2 * plus(-weight)
        expected = share(box, relevance[alive]).reshape(3, 2, 2).sum(0)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3)
        assert found.sum() == pytest.approx(score[target], rel=1e-3)


def test_deep_taylor_shows_nothing_for_a_negative_score(model_store):
    module = seeded(NETS["plain"])
    inputs = normalised()
    worst = module(inputs).argmin(1)
    assert (module(inputs).amin(1) < 0).all()
    assert not attribute(model_store, module, "deep-taylor", inputs, worst).any()


class Frozen(nn.Module):
    """A net in which something depends on the picture that relevance must take as given; `frozen`, it is given."""

    def __init__(self, weigh):
        super().__init__()
        self.weigh, self.frozen = weigh, False
        self.embed, self.value = nn.Linear(48, 8, bias=False), nn.Linear(8, 8, bias=False)
        self.head = nn.Linear(8, 4, bias=False)
        self.many = nn.MultiheadAttention(8, 2, bias=False, batch_first=True)

    def given(self, x):
        return x.detach() if self.frozen else x

    def forward(self, x):
        tokens = self.embed(F.unfold(x, 4, stride=4).transpose(1, 2))
        return self.head(self.weigh(self, tokens).mean(1))


def explicit_attention(net, x):
    return net.given((x @ x.transpose(1, 2) / 8**0.5).softmax(2)) @ net.value(x)


def fused_attention(net, x):
    return F.scaled_dot_product_attention(net.given(x), net.given(x), net.value(x))


def multi_head_attention(net, x):
    return net.many(net.given(x), net.given(x), x, need_weights=False)[0]


def gate(net, x):
    x = net.value(x)
    return x * net.given(net.value(x.mean(1, keepdim=True).relu()).sigmoid()).expand_as(x)


def response_norm(net, x):
    """ConvNeXt V2's."""
    size = x.norm(dim=1, keepdim=True)
    return x + torch.addcmul(
        torch.zeros(8), torch.arange(8.0), x * net.given(size / (size.mean(2, keepdim=True) + 1e-6))
    )


def gated_linear_unit(net, x):
    return (
        F.glu(net.value(x)).repeat(1, 1, 2)
        if not net.frozen
        else ((lambda a, b: a * b.detach().sigmoid())(*net.value(x).chunk(2, -1)).repeat(1, 1, 2))
    )


def layer_norm(net, x):
    if not net.frozen:
        return F.layer_norm(x, (8,))
    return (x - x.mean(2, keepdim=True)) / (x.var(2, correction=0, keepdim=True) + 1e-5).sqrt().detach()


def group_norm(net, x):
    x = x.transpose(1, 2)
    if not net.frozen:
        return F.group_norm(x, 2, torch.arange(1.0, 9)).transpose(1, 2)
    groups = x.reshape(len(x), 2, -1)
    normed = (groups - groups.mean(2, keepdim=True)) / (
        groups.var(2, correction=0, keepdim=True) + 1e-5
    ).sqrt().detach()
    return (normed.view_as(x) * torch.arange(1.0, 9)[:, None]).transpose(1, 2)


def rms_norm_by_hand(net, x):
    return x * net.given(torch.rsqrt(x.pow(2).mean(2, keepdim=True) + 1e-5))


def normalise(net, x):
    return F.normalize(x, dim=2) if not net.frozen else x / x.norm(dim=2, keepdim=True).detach()


def gelu(net, x):
    x = net.value(x)
    return F.gelu(x) if not net.frozen else x * (0.5 + 0.5 * torch.erf(x / 2**0.5)).detach()


def gelu_by_hand(net, x):
    x = net.value(x)
    return x * net.given(torch.sigmoid(1.702 * x))


def silu(net, x):
    x = net.value(x)
    return F.silu(x, inplace=True) if not net.frozen else x * x.sigmoid().detach()


def hardswish(net, x):
    x = net.value(x)
    return F.hardswish(x) if not net.frozen else x * (F.relu6(x + 3) / 6).detach()


CONSTANTS = [
    explicit_attention, fused_attention, multi_head_attention, gate, response_norm, gated_linear_unit, layer_norm,
    group_norm, rms_norm_by_hand, normalise, gelu, gelu_by_hand, silu, hardswish,
]  # fmt: skip


@pytest.mark.parametrize("weigh", CONSTANTS, ids=lambda weigh: weigh.__name__)
def test_attention_gates_and_denominators_are_constants(model_store, weigh):
    """Without biases LRP-0 is input times gradient of the net in which they are given."""
    module = seeded(lambda: Frozen(weigh))
    inputs = normalised(px=8)
    maps = attribute(model_store, module, "lrp-epsilon", inputs, epsilon=1e-9)
    module.frozen = True
    x = inputs.clone().requires_grad_()
    scores = module(x).gather(1, TARGETS[:, None])
    (gradient,) = torch.autograd.grad(scores.sum(), x)
    torch.testing.assert_close(maps, (x * gradient).detach().sum(1), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(maps.sum((1, 2)), scores.detach()[:, 0], rtol=1e-3, atol=1e-6)
