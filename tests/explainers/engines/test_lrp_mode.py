"""Relevance finds its way however a net is written, and stops with a reason where there is none."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.errors import InputError
from explainers.output import Output
from explainers.registry import METHODS
from models.preprocessing import Preprocessing
from tests.explainers.nets import NETS, TARGETS, ReusedReLU, add, attribute, normalised, pictures, seeded, silent
from tests.explainers.relevance import ANY_NET, RULES, best, relevance_and_logit


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
def test_working_in_place_changes_no_map(model_store, name, activation):
    apart, in_place = (seeded(lambda flag=flag: Careless(flag, activation)) for flag in (False, True))
    inputs = normalised(px=8)
    targets = best(apart, inputs)
    expected = attribute(model_store, apart, name, inputs, targets)
    assert expected.any()
    torch.testing.assert_close(attribute(model_store, in_place, name, inputs, targets), expected)


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
def test_it_does_not_matter_who_pads(model_store, name):
    inside, outside = (seeded(lambda flag=flag: Padded(flag)) for flag in (True, False))
    inputs = normalised(px=6)
    expected = attribute(model_store, inside, name, inputs, best(inside, inputs))
    assert expected.any()
    torch.testing.assert_close(attribute(model_store, outside, name, inputs, best(inside, inputs)), expected)


class Normalising(nn.Module):
    """A net that takes pixels in [0, 1] and normalises them itself."""

    def __init__(self):
        super().__init__()
        self.net = NETS["plain"]()

    def forward(self, x):
        return self.net((x - 0.5) / 0.25)


@pytest.mark.parametrize("name", ["lrp-epsilon-gamma-box", "lrp-epsilon-plus-flat", "deep-taylor"])
def test_rules_for_pixels_hold_behind_a_normalisation_inside_the_net(model_store, name):
    method, outer, inner = METHODS[name], seeded(NETS["plain"]), seeded(Normalising)
    inner.net.load_state_dict(outer.state_dict())
    crops = np.stack(pictures())
    maps = []
    for module, mean, std in ((outer, 0.5, 0.25), (inner, 0.0, 1.0)):
        card = add(model_store, module)
        preprocessing = Preprocessing((32, 32), (mean,) * 3, (std,) * 3, (32, 32), mode="squash")
        object.__setattr__(card, "preprocessing", preprocessing)
        with model_store.borrow(card) as model:
            inputs = model.normalise(crops)
            maps.append(method.attribute(model, inputs, best(module, inputs), method.Params(), silent))
    assert maps[0].any()
    torch.testing.assert_close(*maps, rtol=1e-3, atol=1e-4 * float(maps[0].abs().max()))


class Dense(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3072, 4)

    def forward(self, x):
        return self.layer(x.flatten(1)).cumprod(1)


class Softmax(Dense):
    def forward(self, x):
        return self.layer(x.flatten(1)).softmax(1)


class Exponential(Dense):
    def forward(self, x):
        return self.layer(x.flatten(1)).exp_() + 1


class DeadEnds(Dense):
    """Looks at the picture in ways that have no rule, and keeps none of what it saw."""

    def forward(self, x):
        score = self.layer(x.flatten(1))
        assert score.exp().max() > 0
        assert float(x.std()) > 0
        return torch.where(score.exp() > 0, score, score.cos())


class Bare(Dense):
    """A layer that is no module, and runs twice."""

    def forward(self, x):
        x = F.linear(x.flatten(1), 2 * self.layer.weight)
        return F.linear(x, self.layer.weight[:, :4])


@pytest.mark.parametrize(("build", "message"), [(Dense, "cumprod"), (Softmax, "softmax"), (Exponential, "exp")])
@pytest.mark.parametrize("name", ANY_NET)
def test_what_has_no_rule_is_refused_rather_than_explained_wrongly(model_store, name, build, message):
    with pytest.raises(InputError, match=message) as caught:
        relevance_and_logit(model_store, seeded(build), name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("build", [DeadEnds, Bare])
@pytest.mark.parametrize("name", ["lrp-epsilon", "lrp-gamma"])
def test_what_does_not_reach_the_score_needs_no_rule_and_no_module_is_needed(model_store, name, build):
    module = seeded(build)
    nn.init.zeros_(module.layer.bias)
    relevance, scores = relevance_and_logit(model_store, module, name)
    torch.testing.assert_close(relevance, scores, rtol=1e-3, atol=1e-4)


def test_the_score_is_promised_and_what_is_missing_is_told(model_store):
    module = seeded(NETS["plain"])
    method, card = METHODS["lrp-epsilon"], add(model_store, module)
    for output in (Output(), Output("unit", "4")):
        with model_store.borrow(card) as model:
            found = method.explain(model, pictures(), ["a", "b"], [1, 3], output=output)
            inputs = model.normalise(np.stack(pictures()))
            with torch.no_grad():
                scores = output.of(model).scores(inputs)[[0, 1], [1, 3]].numpy()
        expected = np.abs(found.maps.sum((1, 2)) - scores) / np.abs(scores)
        np.testing.assert_allclose(found.gaps, expected, rtol=1e-3)
    assert max(found.gaps) > 0


def test_result_of_an_ignored_in_place_relu_is_followed(model_store):
    module = seeded(ReusedReLU)
    inputs = normalised()
    expected = attribute(model_store, module, "lrp-z-plus", inputs)

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

    torch.testing.assert_close(attribute(model_store, Ignoring().eval(), "lrp-z-plus", inputs), expected)


class Fused(Dense):
    """Two layers whose outputs meet in `meet`, an operation on values that both depend on the image."""

    def __init__(self, meet):
        super().__init__()
        self.meet, self.other = meet, nn.Linear(3072, 4)

    def forward(self, x):
        return self.meet(self.layer(x.flatten(1)), self.other(x.flatten(1)))


MEETINGS = {
    "product": lambda a, b: a * b,
    "swish gate": lambda a, b: F.silu(a) * b,
    "square": lambda a, b: a * a,
    "matrix product": lambda a, b: (a[:, :, None] @ b[:, None]).sum(2),
    "einsum": lambda a, b: torch.einsum("ni,nj->ni", a, b),
    "batched": lambda a, b: torch.bmm(a[:, :, None], b[:, None]).mean(1),
    "tanh of a softplus": lambda a, b: a * torch.tanh(F.softplus(a)) + b,
}


@pytest.mark.parametrize("name", ["lrp-epsilon", "lrp-gamma"])
@pytest.mark.parametrize("meet", MEETINGS)
def test_factors_that_both_depend_on_the_image_share_the_relevance(model_store, meet, name):
    module = seeded(lambda: Fused(MEETINGS[meet]))
    nn.init.zeros_(module.layer.bias)
    nn.init.zeros_(module.other.bias)
    relevance, scores = relevance_and_logit(model_store, module, name)
    torch.testing.assert_close(relevance, scores, rtol=1e-3, atol=1e-4)


def test_each_factor_gets_half(model_store):
    module = seeded(lambda: Fused(lambda a, b: a * b))
    nn.init.zeros_(module.layer.bias)
    nn.init.zeros_(module.other.bias)
    inputs = normalised(1)
    found = attribute(model_store, module, "lrp-epsilon", inputs, targets=torch.tensor([2]))
    flat = inputs.flatten(1)
    a, b = (flat * layer.weight[2] for layer in (module.layer, module.other))
    expected = (a * b.sum() + b * a.sum()) / 2
    torch.testing.assert_close(found, expected.view_as(inputs).sum(1).detach(), rtol=1e-3, atol=1e-5)


ACTIVATIONS = {
    "softplus": nn.Softplus(), "softplus of another slope": nn.Softplus(beta=3.0), "sigmoid": nn.Sigmoid(),
    "hardsigmoid": nn.Hardsigmoid(), "rrelu": nn.RReLU(),
}  # fmt: skip


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_what_an_activation_gives_at_zero_counts_as_its_bias(model_store, activation):
    """With f(x) - f(0) in place of f(x), nothing is lost on the way back."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Flatten(), nn.Linear(3072, 6, bias=False), ACTIVATIONS[activation], nn.Linear(6, 4, bias=False)
    ).eval()
    relevance, scores = relevance_and_logit(model_store, module, "lrp-epsilon")
    with torch.no_grad():
        constant = module[3](module[2](torch.zeros(1, 6)))
    torch.testing.assert_close(relevance, scores - constant[0, TARGETS], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("running", [False, True])
def test_instance_norm_hands_relevance_on_as_the_norm_that_it_is(model_store, affine, running):
    def build(norm):
        return nn.Sequential(nn.Conv2d(3, 6, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(5400, 4))

    instance = seeded(lambda: build(nn.InstanceNorm2d(6, affine=affine, track_running_stats=running)))
    twin = build(nn.BatchNorm2d(6, affine=affine) if running else nn.GroupNorm(6, 6, affine=affine)).eval()
    twin.load_state_dict(instance.state_dict())
    inputs = normalised()
    maps = [attribute(model_store, module, "lrp-epsilon", inputs) for module in (instance, twin)]
    assert maps[0].any()
    torch.testing.assert_close(*maps, rtol=1e-3, atol=1e-4)
