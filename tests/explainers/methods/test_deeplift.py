"""DeepLIFT: its rules by hand, against captum where captum can, and complete wherever it says that it applies."""

import warnings
from dataclasses import replace

import captum.attr
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.errors import InputError
from explainers.engines.baselines import BASELINES, baseline
from explainers.engines.deeplift_mode import DeepLIFTMode
from explainers.methods.deeplift import contributions
from explainers.output import Output
from explainers.registry import METHODS
from tests.explainers.nets import (
    N_CLASSES,
    NETS,
    TARGETS,
    Own,
    ReusedReLU,
    add,
    maps_of,
    normalised,
    pictures,
    seeded,
    silent,
)


def captum_map(module, inputs, start):
    inputs = inputs.clone().requires_grad_()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting forward, backward hooks", category=UserWarning)
        return captum.attr.DeepLift(module).attribute(inputs, start.clone(), TARGETS).sum(1).detach().numpy()


def with_pool(pool):
    """No two modules with a rule side by side: there captum takes one's multiplier for the other's."""
    return lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), pool,
        nn.Conv2d(8, 12, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Linear(12 * 16 * 16, 10), nn.ReLU(),
        nn.Linear(10, N_CLASSES),
    )  # fmt: skip


@pytest.mark.parametrize(("pool", "kind"), [("avg", "black"), ("avg", "blurred"), ("avg", "noise"), ("max", "noise")])
def test_deeplift_equals_captum_on_a_net_of_modules(model_store, pool, kind):
    """Max pooling of a flat baseline is left out: where all pixels tie, captum lets rounding choose."""
    module = seeded(with_pool(nn.AvgPool2d(2) if pool == "avg" else nn.MaxPool2d(2)))
    inputs = normalised()
    maps = maps_of(model_store, module, "deeplift", inputs, baseline=kind, seed=3)
    card = model_store.cards()[0]
    expected = captum_map(module, inputs, baseline(kind, inputs, card.preprocessing, 3))
    np.testing.assert_allclose(maps, expected, atol=1e-5 * np.abs(expected).max())


def test_deeplift_shap_equals_captum_given_the_same_baselines(model_store):
    module, inputs = seeded(with_pool(nn.AvgPool2d(2))), normalised()
    maps = maps_of(model_store, module, "deeplift-shap", inputs, draws=2, seed=5)
    card = model_store.cards()[0]
    for i, (image, target) in enumerate(zip(inputs[:, None], TARGETS, strict=True)):
        kinds = [("black", 0), ("mean", 0), ("blurred", 0), ("noise", 5), ("noise", 6)]
        starts = torch.cat([baseline(kind, image, card.preprocessing, seed) for kind, seed in kinds])
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Setting forward, backward hooks", category=UserWarning)
            expected = captum.attr.DeepLiftShap(module).attribute(image.clone().requires_grad_(), starts, target)[0]
        expected = expected.sum(0).detach().numpy()
        np.testing.assert_allclose(maps[i], expected, atol=1e-5 * np.abs(expected).max())


class Separate(nn.Module):
    """`ReusedReLU`, written with a module for every step."""

    def __init__(self, net):
        super().__init__()
        self.stem, self.first, self.norm, self.second, self.head = net.stem, net.first, net.norm, net.second, net.head
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(5))
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        x = self.relus[0](self.stem(x))
        y = self.second(self.relus[1](self.norm(self.first(x))))
        x = self.pool(self.relus[2](y + x))
        x = self.relus[3](x).mean((2, 3))
        return self.head(self.relus[4](x))


def test_relus_used_again_and_in_place_give_the_map_of_separate_modules(model_store):
    careless, inputs = seeded(ReusedReLU), normalised()
    maps = maps_of(model_store, careless, "deeplift", inputs)
    expected = maps_of(model_store, Separate(careless).eval(), "deeplift", inputs)
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(maps, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("kind", BASELINES)
def test_deeplift_of_a_linear_net_is_weight_times_difference(model_store, kind):
    torch.manual_seed(0)
    module, inputs = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4)), normalised(px=16)
    maps = maps_of(model_store, module, "deeplift", inputs, baseline=kind, seed=3)
    card = model_store.cards()[0]
    weight = module[1].weight.detach().view(-1, 3, 16, 16)[TARGETS]
    expected = (weight * (inputs - baseline(kind, inputs, card.preprocessing, 3))).sum(1)
    np.testing.assert_allclose(maps, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", BASELINES)
@pytest.mark.parametrize("net", NETS)
def test_deeplift_is_complete_on_every_net(model_store, net, kind):
    """The mean baseline switches the tiny ConvNeXt, which has no biases, off altogether: that costs two digits."""
    method, card = METHODS["deeplift"], add(model_store, seeded(NETS[net]), net)
    with model_store.borrow(card) as model:
        found = method.explain(model, pictures(4), list("abcd"), [0, 1, 2, 3], method.Params(baseline=kind))
    assert max(found.gaps) < 1e-3


@pytest.mark.parametrize("net", NETS)
def test_deeplift_shap_is_complete_on_every_net(model_store, net):
    method, card = METHODS["deeplift-shap"], add(model_store, seeded(NETS[net]), net)
    with model_store.borrow(card) as model:
        found = method.explain(model, pictures(2), list("ab"), [0, 1], method.Params(draws=2))
    assert max(found.gaps) < 1e-3


@pytest.mark.parametrize("output", [Output("probability"), Output("unit", "4"), Output("unit", "4", (3, 5))], ids=str)
def test_deeplift_is_complete_for_probabilities_and_units(model_store, output):
    method, card = METHODS["deeplift"], add(model_store, seeded(NETS["plain"]))
    with model_store.borrow(card) as model:
        assert max(method.explain(model, pictures(), list("ab"), [0, 1], output=output).gaps) < 1e-3


def differences(function, x, x_0):
    """The map m · (x - x') of one function, and score(x) - score(x')."""
    x = x.clone().requires_grad_()
    with DeepLIFTMode() as rules:
        rules.follow(x, x_0.clone())
        output = function(x)
    rules.check(output)
    direction = torch.randn(output.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    (multipliers,) = torch.autograd.grad((output * direction).sum(), x)
    with torch.no_grad():
        promised = ((function(x.clone()) - function(x_0.clone())) * direction).sum()
    return multipliers * (x.detach() - x_0), promised


def filled(x):
    buffer = x.new_zeros(x.shape)
    buffer[:, :2] = x[:, 2:]
    return buffer * x


def scaled_in_place(x):
    y = x * 2
    y *= x.sigmoid()
    y /= x.exp() + 1
    return y


def relu_of_a_view(x):
    y = x + 0
    y[:, 1:].relu_()
    return y


def length_first(x):
    """The batch on the second axis."""
    y = x.flatten(2).permute(2, 0, 1)
    return F.gelu(F.layer_norm(y, (4,))) * y


def own_softmax(x):
    powers = (x - x.amax().detach()).exp()
    return powers / powers.sum(1, keepdim=True)


def unpacked(x):
    a, b, c, d = x.transpose(0, 1)
    return a * b + c / (d.square() + 1)


WEIGHT = torch.linspace(-1, 1, 48).view(12, 4)
OPERATIONS = {
    "gelu": F.gelu,
    "silu in place": lambda x: F.silu(x + 0, inplace=True),
    "hardtanh by place": lambda x: F.hardtanh(x + 0, -1.0, 1.0, True),
    "clamp": lambda x: x.clamp(-0.5, 0.7),
    "leaky relu": lambda x: F.leaky_relu(x, 0.1),
    "elu": F.elu,
    "softplus": F.softplus,
    "hardswish": F.hardswish,
    "prelu": lambda x: F.prelu(x, torch.linspace(0.1, 0.4, 4, dtype=x.dtype)),
    "power": lambda x: x**2 + x.abs() ** 1.5,
    "root": lambda x: (x.square() + 1).sqrt() + (x.square() + 1).rsqrt(),
    "one over": lambda x: 1 / (x.square() + 1),
    "constant minus": lambda x: 1 - x,
    "quotient": lambda x: x / (x.square() + 1),
    "quotient and products in place": scaled_in_place,
    "square as a product": lambda x: x * x,
    "matmul": lambda x: x @ x.transpose(-1, -2),
    "einsum": lambda x: torch.einsum("nchw,nchv->ncwv", x, x.sin()),
    "softmax": lambda x: (3 * x).softmax(1),
    "log softmax": lambda x: x.log_softmax(-1),
    "softmax by hand": own_softmax,
    "attention": lambda x: F.scaled_dot_product_attention(x, x.tanh(), x.sin()),
    "causal attention": lambda x: F.scaled_dot_product_attention(x, x.tanh(), x.sin(), is_causal=True),
    "layer norm": lambda x: F.layer_norm(x, (5,), torch.arange(5).to(x), torch.ones(5).to(x)),
    "group norm": lambda x: F.group_norm(x, 2, torch.arange(4).to(x), torch.ones(4).to(x)),
    "rms norm": lambda x: F.rms_norm(x, (5,)),
    "normalize": lambda x: F.normalize(x, dim=1),
    "response norm": lambda x: x * (x.norm(p=2, dim=(2, 3), keepdim=True) + 1),
    "gated linear unit": lambda x: F.glu(x, dim=1),
    "max pool": lambda x: F.max_pool2d(x, 2),
    "overlapping max pool": lambda x: F.max_pool2d(x, 3, 1, 1),
    "max pool of infinite padding": lambda x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 2),
    "adaptive max pool": lambda x: F.adaptive_max_pool2d(x, 2),
    "randomised leaky relu at rest": lambda x: F.rrelu(x),
    "instance norm": lambda x: F.instance_norm(x, weight=torch.arange(4).to(x), bias=torch.ones(4).to(x)),
    "instance norm by running statistics": lambda x: (
        F.instance_norm(x, torch.arange(4).to(x), 1 + torch.arange(4).to(x), use_input_stats=False) * x
    ),
    "largest along an axis": lambda x: x.amax(1),
    "largest along two axes": lambda x: x * x.amax((2, 3), keepdim=True),
    "largest of all": lambda x: x.amax() * x.max(),
    "largest with its place": lambda x: x.max(1, True)[0] + x.max(dim=2, keepdim=True).values,
    "smallest": lambda x: x.amin((1, 2)) + x.min(1)[0].sum(1),
    "larger of two": lambda x: torch.maximum(x, x.roll(1, 1)) + torch.max(x, x.square()),
    "smaller of two": lambda x: torch.minimum(x, x.roll(1, 1)) + torch.min(x, x.square()),
    "buffer": filled,
    "view changed in place": relu_of_a_view,
    "batch second": length_first,
    "unpacked": unpacked,
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_rule_is_exact(name):
    x, x_0 = normalised(2, 5, 4).double(), normalised(2, 5, 4, seed=7).double()
    x[:, :, 2] = x_0[:, :, 2]  # where nothing differs, the derivative stands in
    maps, promised = differences(OPERATIONS[name], x, x_0)
    assert maps[:, :, 2].abs().max() == 0
    assert abs(promised) > 0.01
    torch.testing.assert_close(maps.sum(), promised, rtol=1e-4, atol=0)


def test_products_share_at_the_midpoint():
    """xy with y = w x': the part of x is (y + y')/2 Δx, that of y the rest."""
    x, x_0 = normalised(1, 4, 2), normalised(1, 4, 2, seed=3)
    maps, _ = differences(lambda x: x[:, 0] * x[:, 1], x, x_0)
    direction = torch.randn((1, 4, 4), generator=torch.Generator().manual_seed(1))
    middle, step = (x + x_0) / 2, x - x_0
    torch.testing.assert_close(maps[:, 0], direction * middle[:, 1] * step[:, 0])
    torch.testing.assert_close(maps[:, 1], direction * middle[:, 0] * step[:, 1])


def test_softmax_does_not_care_what_all_its_scores_have_more():
    x = normalised(1, 4, 2)
    x_0 = x + torch.tensor([0.0, 1.0])[:, None, None]
    alike, _ = differences(lambda x: x.softmax(-1), x, x_0)
    assert alike[:, 1].abs().max() > 0.01  # each score has its part
    assert alike.sum(-1).abs().max() < 1e-6  # and they cancel


def test_where_nothing_differs_the_multiplier_is_the_derivative():
    x = normalised(1, 4, 2).requires_grad_()
    with DeepLIFTMode() as rules:
        rules.follow(x, x.detach().clone())
        output = (F.gelu(F.layer_norm(x, (4,))) * x.sigmoid()).softmax(-1)
    (multipliers,) = torch.autograd.grad(output.square().sum(), x)
    (gradient,) = torch.autograd.grad((F.gelu(F.layer_norm(x, (4,))) * x.sigmoid()).softmax(-1).square().sum(), x)
    torch.testing.assert_close(multipliers, gradient, rtol=1e-3, atol=1e-5)


UNKNOWN = {
    "sort": lambda x: x.sort(-1)[0],
    "median": lambda x: x / x.median(),
    "cumprod": lambda x: x.cumprod(-1).relu(),
    "gt": lambda x: torch.where(x > 0, x, 0),
    "dropout": lambda x: F.dropout(x, 0.5),
    "Own": lambda x: Own.apply(x) + 1,
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_operation_without_a_rule_is_refused_by_its_name(name):
    with pytest.raises(InputError, match=rf"\b{name}\b") as caught:
        differences(UNKNOWN[name], normalised(), normalised(seed=1))
    assert "\n" not in str(caught.value)


def test_an_operation_without_a_rule_that_the_answer_does_not_need_does_no_harm():
    maps, promised = differences(
        lambda x: x.relu() if x.sort()[0][0, 0, 0, 0] > 9 else x * 2, normalised(), normalised(seed=1)
    )
    torch.testing.assert_close(maps.sum(), promised, rtol=1e-4, atol=0)


def test_a_flat_baseline_leaves_the_choice_in_max_pooling_to_the_picture():
    x, x_0 = normalised(1, 8, 2), torch.full((1, 2, 8, 8), 5.0) + 1e-6 * torch.rand(1, 2, 8, 8)
    maps, _ = differences(lambda x: F.max_pool2d(x, 2), x, x_0)
    largest = F.max_pool2d(x, 2).repeat_interleave(2, 2).repeat_interleave(2, 3) == x
    assert torch.equal(maps != 0, largest)


@pytest.mark.parametrize("name", ["deeplift", "deeplift-shap"])
def test_small_batches_give_the_same_map_and_are_kept(model_store, name):
    method, module = METHODS[name], seeded(NETS["plain"])
    card, inputs, seen = add(model_store, module), normalised(3), []
    with model_store.borrow(card) as model:
        handle = module.register_forward_pre_hook(lambda _module, args: seen.append(len(args[0])))
        targets = torch.tensor([0, 1, 2])
        maps = method.attribute(model, inputs, targets, method.Params(), silent)
        whole = len(seen)
        small = method.attribute(replace(model, batch=4), inputs, targets, method.Params(), silent)
        handle.remove()
    assert 1 < max(seen[:whole]) <= model.batch // 4
    assert set(seen[whole:]) == {1}
    torch.testing.assert_close(small, maps, rtol=0, atol=1e-5 * float(maps.abs().max()))


def test_deeplift_shap_is_the_mean_of_deeplift(model_store):
    card, inputs = add(model_store, seeded(NETS["resnet"])), normalised()
    with model_store.borrow(card) as model:
        kinds = [("black", 0), ("mean", 0), ("blurred", 0), ("noise", 4), ("noise", 5), ("noise", 6)]
        starts = [baseline(kind, inputs, card.preprocessing, seed) for kind, seed in kinds]
        expected = torch.stack([contributions(model, inputs, start, TARGETS) for start in starts]).mean(0)
        method = METHODS["deeplift-shap"]
        maps = method.attribute(model, inputs, TARGETS, method.Params(draws=3, seed=4), silent)
    torch.testing.assert_close(maps, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
