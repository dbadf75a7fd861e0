"""Relevance is conserved: what a map sums to is the logit that it explains, but for what biases take."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.models
from torch import nn

from bank.errors import InputError
from bank.preprocess import Preprocessing
from explainers.output import Output
from explainers.registry import METHODS
from explainers.relevance_flow import RelevanceFlow
from tests.explainers.nets import NETS, ReusedReLU, add, normalised, pictures, seeded, silent

RULES = [name for name, method in METHODS.items() if method.family == "relevance"]
ANY_NET = [name for name in RULES if name != "deep-taylor"]
TARGETS = torch.tensor([1, 3])


def without_bias(build):
    """The same net with all biases, running means and embeddings at zero; batch norms keep activations near one."""
    module = seeded(build)
    norms = [child for child in module.modules() if isinstance(child, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        module.train()(normalised(16))
    for norm in norms:
        norm.running_mean.zero_()
    for name, parameter in module.named_parameters():
        if name.endswith(("bias", "pos_embed", "cls_token", "pos_embedding", "class_token")):
            nn.init.zeros_(parameter)
    return module.eval()


def attribute(bank, module, name, inputs, targets=TARGETS, **params):
    """Maps (N, H, W) of a net that sees `inputs`."""
    method = METHODS[name]
    card = add(bank, module, px=inputs.shape[-1], channels=inputs.shape[1])
    with bank.lend(card) as loan:
        return method.attribute(loan, inputs, targets, method.Params(**params), silent)


def relevance_and_logit(bank, module, name, targets=TARGETS):
    inputs = normalised()
    maps = attribute(bank, module, name, inputs, targets)
    with torch.no_grad():
        return maps.sum((1, 2)), module(inputs).gather(1, targets[:, None]).squeeze(1)


def best(module, inputs=None):
    """The class of the highest score."""
    with torch.no_grad():
        return module(normalised() if inputs is None else inputs).argmax(1)


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
def test_relevance_sums_to_the_logit_of_a_net_without_biases(bank, name, net):
    relevance, logits = relevance_and_logit(bank, without_bias(BIAS_FREE[net]), name)
    assert logits.abs().min() > 1e-3  # else there is nothing to conserve
    torch.testing.assert_close(relevance, logits, rtol=2e-3, atol=0)


@pytest.mark.parametrize("net", ["plain", "reused", "functional", "dense", "shortcut", "branching"])
@pytest.mark.parametrize("name", RULES)
def test_every_rule_conserves_relevance_where_every_unit_is_excited(bank, name, net):
    module = without_bias(BIAS_FREE[net])
    relevance, logits = relevance_and_logit(bank, module, name, best(module))
    assert logits.min() > 1e-3
    torch.testing.assert_close(relevance, logits, rtol=1e-3, atol=0)


@pytest.mark.parametrize("net", ["reused", "functional"])
def test_z_plus_gives_biases_of_convolutions_nothing(bank, net):
    module = seeded(NETS[net])
    relevance, logits = relevance_and_logit(bank, module, "lrp-epsilon-plus-flat")
    torch.testing.assert_close(relevance, logits - module.head.bias[TARGETS], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("name", RULES)
def test_rules_leave_the_answer_as_it_is(bank, name, net):
    method, module, inputs = METHODS[name], seeded(NETS[net]), normalised()
    with bank.lend(add(bank, module)) as loan:
        expected = module(inputs)
        inputs = inputs.requires_grad_()
        with RelevanceFlow(method.rules(loan, inputs.detach(), method.Params())) as flow:
            torch.testing.assert_close(module(flow.picture(inputs)).detach(), expected, rtol=1e-5, atol=1e-6)


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
def test_rules_by_hand(bank, name):
    module = seeded(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 9, bias=False), nn.ReLU(), nn.Linear(9, 3, bias=False))
    )
    inputs = normalised(px=2)
    first, last = (module[i].weight.detach().numpy().astype(float) for i in (1, 3))
    maps = attribute(bank, module, name, inputs, torch.tensor([0, 2]))
    for x, target, found in zip(inputs.flatten(1).numpy().astype(float), (0, 2), maps, strict=True):
        hidden = plus(first @ x)
        lower, upper = BY_HAND[name]
        relevance = upper(last[[target]] * hidden, last[[target]] @ hidden)
        alive = hidden > 0
        expected = lower(first[alive] * x, relevance[alive]).reshape(3, 2, 2).sum(0)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_deep_taylor_by_hand(bank):
    """z+ above, the box rule below, with (0 - 0.5) / 0.25 = -2 the lowest value of a pixel and 2 the highest."""
    module = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 3)))
    inputs = normalised(px=2, seed=3).clamp(-2, 2)
    targets = best(module, inputs)
    first, bias, last = (
        values.detach().numpy().astype(float) for values in (*module[1].parameters(), module[3].weight)
    )
    scores = module(inputs).detach().numpy().astype(float)
    maps = attribute(bank, module, "deep-taylor", inputs, targets)
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


def test_deep_taylor_shows_nothing_for_a_negative_score(bank):
    module = seeded(NETS["plain"])
    inputs = normalised()
    worst = module(inputs).argmin(1)
    assert (module(inputs).amin(1) < 0).all()
    assert not attribute(bank, module, "deep-taylor", inputs, worst).any()


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
    return net.value(x) * net.given(net.value(x.mean(1, keepdim=True).relu()).sigmoid())


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
    explicit_attention, fused_attention, multi_head_attention, gate, gated_linear_unit, layer_norm, group_norm,
    rms_norm_by_hand, normalise, gelu, gelu_by_hand, silu, hardswish,
]  # fmt: skip


@pytest.mark.parametrize("weigh", CONSTANTS, ids=lambda weigh: weigh.__name__)
def test_attention_gates_and_denominators_are_constants(bank, weigh):
    """Without biases LRP-0 is input times gradient of the net in which they are given."""
    module = seeded(lambda: Frozen(weigh))
    inputs = normalised(px=8)
    maps = attribute(bank, module, "lrp-epsilon", inputs, epsilon=1e-9)
    module.frozen = True
    x = inputs.clone().requires_grad_()
    scores = module(x).gather(1, TARGETS[:, None])
    (gradient,) = torch.autograd.grad(scores.sum(), x)
    torch.testing.assert_close(maps, (x * gradient).detach().sum(1), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(maps.sum((1, 2)), scores.detach()[:, 0], rtol=1e-3, atol=1e-6)


class Careless(nn.Module):
    """Everything that can be done in place, or out of it."""

    def __init__(self, in_place, activation):
        super().__init__()
        self.in_place, self.activation = in_place, activation
        self.first, self.second = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(6), nn.Linear(6, 4)

    def forward(self, x):
        if not self.in_place:
            x = self.activation(self.first((x - 0.1) * 2), inplace=False)
            x = self.norm(self.second(x)) + x
            return self.head((self.activation(x, inplace=False) * 3).mean((2, 3)))
        x = x.clone().sub_(0.1).mul_(2)
        x = self.activation(self.first(x), inplace=True)
        y = self.norm(self.second(x))
        y += x
        self.activation(y, inplace=True)
        y *= 3
        return self.head(y.mean((2, 3)))


@pytest.mark.parametrize("activation", [F.relu, F.relu6, F.hardswish, F.silu, F.leaky_relu, F.elu])
@pytest.mark.parametrize("name", RULES)
def test_working_in_place_changes_no_map(bank, name, activation):
    apart, in_place = (seeded(lambda flag=flag: Careless(flag, activation)) for flag in (False, True))
    inputs = normalised(px=8)
    targets = best(apart, inputs)
    expected = attribute(bank, apart, name, inputs, targets)
    assert expected.any()
    torch.testing.assert_close(attribute(bank, in_place, name, inputs, targets), expected)


class Padded(nn.Module):
    """A first layer with its padding in front of it instead of inside, as TensorFlow's nets have it."""

    def __init__(self, inside):
        super().__init__()
        self.inside = inside
        self.first, self.head = nn.Conv2d(3, 6, 3, padding=1 if inside else 0), nn.Linear(6, 4)
        nn.init.ones_(self.head.bias)  # so that there is a positive score

    def forward(self, x):
        return self.head(self.first(x if self.inside else F.pad(x, (1, 1, 1, 1))).relu().mean((2, 3)))


@pytest.mark.parametrize("name", RULES)
def test_it_does_not_matter_who_pads(bank, name):
    inside, outside = (seeded(lambda flag=flag: Padded(flag)) for flag in (True, False))
    inputs = normalised(px=6)
    expected = attribute(bank, inside, name, inputs, best(inside, inputs))
    assert expected.any()
    torch.testing.assert_close(attribute(bank, outside, name, inputs, best(inside, inputs)), expected)


class Normalising(nn.Module):
    """A net that takes pixels in [0, 1] and normalises them itself."""

    def __init__(self):
        super().__init__()
        self.net = NETS["plain"]()

    def forward(self, x):
        return self.net((x - 0.5) / 0.25)


@pytest.mark.parametrize("name", ["lrp-epsilon-gamma-box", "lrp-epsilon-plus-flat", "deep-taylor"])
def test_rules_for_pixels_hold_behind_a_normalisation_inside_the_net(bank, name):
    method, outer, inner = METHODS[name], seeded(NETS["plain"]), seeded(Normalising)
    inner.net.load_state_dict(outer.state_dict())
    crops = np.stack(pictures())
    maps = []
    for module, mean, std in ((outer, 0.5, 0.25), (inner, 0.0, 1.0)):
        card = add(bank, module)
        preprocessing = Preprocessing((32, 32), (mean,) * 3, (std,) * 3, (32, 32), mode="squash")
        object.__setattr__(card, "preprocessing", preprocessing)
        with bank.lend(card) as loan:
            inputs = loan.normalise(crops)
            maps.append(method.attribute(loan, inputs, best(module, inputs), method.Params(), silent))
    assert maps[0].any()
    torch.testing.assert_close(*maps, rtol=1e-3, atol=1e-4 * float(maps[0].abs().max()))


class Product(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3072, 4)

    def forward(self, x):
        x = self.layer(x.flatten(1))
        return x * x.relu()


class Softmax(Product):
    def forward(self, x):
        return self.layer(x.flatten(1)).softmax(1)


class Exponential(Product):
    def forward(self, x):
        return self.layer(x.flatten(1)).exp_() + 1


class DeadEnds(Product):
    """Looks at the picture in ways that have no rule, and keeps none of what it saw."""

    def forward(self, x):
        score = self.layer(x.flatten(1))
        assert score.exp().max() > 0
        assert float(x.std()) > 0
        return torch.where(score.exp() > 0, score, score.cos())


class Bare(Product):
    """A layer that is no module, and runs twice."""

    def forward(self, x):
        x = F.linear(x.flatten(1), 2 * self.layer.weight)
        return F.linear(x, self.layer.weight[:, :4])


@pytest.mark.parametrize(("build", "message"), [(Product, "mul"), (Softmax, "softmax"), (Exponential, "exp")])
@pytest.mark.parametrize("name", ANY_NET)
def test_what_has_no_rule_is_refused_rather_than_explained_wrongly(bank, name, build, message):
    with pytest.raises(InputError, match=message) as caught:
        relevance_and_logit(bank, seeded(build), name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("build", [DeadEnds, Bare])
@pytest.mark.parametrize("name", ["lrp-epsilon", "lrp-gamma"])
def test_what_does_not_reach_the_score_needs_no_rule_and_no_module_is_needed(bank, name, build):
    module = seeded(build)
    nn.init.zeros_(module.layer.bias)
    relevance, scores = relevance_and_logit(bank, module, name)
    torch.testing.assert_close(relevance, scores, rtol=1e-3, atol=1e-4)


def test_the_score_is_promised_and_what_is_missing_is_told(bank):
    module = seeded(NETS["plain"])
    method, card = METHODS["lrp-epsilon"], add(bank, module)
    for output in (Output(), Output("unit", "4")):
        with bank.lend(card) as loan:
            found = method.explain(loan, pictures(), ["a", "b"], [1, 3], output=output)
            inputs = loan.normalise(np.stack(pictures()))
            with torch.no_grad():
                scores = output.of(loan).scores(inputs)[[0, 1], [1, 3]].numpy()
        expected = np.abs(found.maps.sum((1, 2)) - scores) / np.abs(scores)
        np.testing.assert_allclose(found.gaps, expected, rtol=1e-3)
    assert max(found.gaps) > 0


def test_result_of_an_ignored_in_place_relu_is_followed(bank):
    module = seeded(ReusedReLU)
    inputs = normalised()
    expected = attribute(bank, module, "lrp-z-plus", inputs)

    class Ignoring(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = module

        def forward(self, x):
            net = self.net
            x = net.stem(x)
            F.relu_(x)
            y = net.norm(net.first(x))
            y.relu_()
            y = net.second(y).add_(x)
            return net.head(F.max_pool2d(y.relu(), 2).mean((2, 3)).relu())

    torch.testing.assert_close(attribute(bank, Ignoring().eval(), "lrp-z-plus", inputs), expected)
