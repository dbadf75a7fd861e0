"""Whether a method that a card offers also runs, and says beforehand why where it does not."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.errors import InputError
from explainers.registry import METHODS
from models.card import ModelCard
from models.store import ModelStore
from tests.explainers.nets import NETS, Own, add, pictures, seeded

RELEVANCE = {name for name, method in METHODS.items() if method.family == "relevance"}
GUIDED = {"guided-backprop", "guided-grad-cam", "deconvolution"}
DEEPLIFT = {"deeplift", "deeplift-shap"}
GRADIENTS = {name for name, method in METHODS.items() if "saliency" in method.tried_as}
CAMS = {name for name, method in METHODS.items() if {"grad-cam", "multi-layer-grad-cam"} & {*method.tried_as}}
ROLLOUTS = {"attention-rollout", "gradient-rollout"}


class Through(nn.Module):
    """Two convolutions with any function of their maps (N, 6, 16, 16) between them."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.first, self.second, self.head = nn.Conv2d(3, 6, 2, 2), nn.Conv2d(6, 6, 3, padding=1), nn.Linear(6, 4)

    def forward(self, x):
        return self.head(self.second(self.function(self.first(x))).relu().mean((2, 3)))


class OfChannels(nn.Module):
    """Attention of channels to each other, behind which stands a token for each patch."""

    class ChannelAttention(nn.Module):
        def forward(self, x):
            weights = (x.transpose(1, 2) @ x / 16).softmax(2)
            return x @ weights

    def __init__(self):
        super().__init__()
        self.patch, self.attn, self.head = nn.Conv2d(3, 24, 8, 8), self.ChannelAttention(), nn.Linear(24, 4)

    def forward(self, x):
        tokens = self.patch(x).flatten(2).transpose(1, 2)
        return self.head((tokens + self.attn(tokens)).mean(1))


class WrittenOver(nn.Module):
    """Changes in place what its gradient needs."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 6, 3), nn.Linear(6, 4)

    def forward(self, x):
        x = self.first(x).sigmoid()
        y = x * 2
        x += 1
        return self.head((x * y).mean((2, 3)))


FAILING = {
    "cumulative product": (lambda: Through(lambda x: x.cumprod(3)), RELEVANCE | DEEPLIFT, "cumprod"),
    "spectrum": (lambda: Through(lambda x: torch.fft.fft2(x).abs()), RELEVANCE | DEEPLIFT, "fft"),
    "sorted": (lambda: Through(lambda x: x.sort(3)[0]), DEEPLIFT, "sort"),
    "function of its own": (lambda: Through(Own.apply), DEEPLIFT, "Own"),
    "functional gelu": (lambda: Through(F.gelu), GUIDED, "gelu"),
    "functional tanh": (lambda: Through(torch.tanh), GUIDED, "tanh"),
    "cut": (lambda: Through(torch.Tensor.detach), GRADIENTS, ""),
    "written over": (WrittenOver, GRADIENTS, ""),
    "channel attention": (OfChannels, ROLLOUTS, "attention"),
}


@pytest.mark.parametrize("net", FAILING)
def test_what_would_fail_is_not_offered_and_the_reason_given(model_store, net):
    build, failing, word = FAILING[net]
    card = add(model_store, seeded(build), "odd net")
    for name in failing:
        reason = METHODS[name].applies(card)
        assert reason is not None, name
        assert word in reason
        assert "odd net" in reason
        assert METHODS[name].title in reason or "odd net has" in reason
        assert "\n" not in reason
    with model_store.borrow(card) as model:
        for name in sorted(failing):
            with pytest.raises(InputError, match="odd net"):
                METHODS[name].explain(model, pictures(1), ["a"], [0])


@pytest.mark.parametrize("net", [*FAILING, "instance norm", "softplus", "rrelu", "largest", "gates"])
def test_what_is_offered_runs(model_store, net):
    more = {
        "instance norm": lambda: Through(nn.InstanceNorm2d(6)),
        "softplus": lambda: Through(F.softplus),
        "rrelu": lambda: Through(F.rrelu),
        "largest": lambda: Through(lambda x: x.amax(1, keepdim=True) * x),
        "gates": lambda: Through(lambda x: F.silu(x) * x.flip(1)),
    }
    card = add(model_store, seeded(FAILING[net][0] if net in FAILING else more[net]), "odd net")
    with model_store.borrow(card) as model:
        for name in sorted(RELEVANCE | DEEPLIFT | GUIDED | CAMS | ROLLOUTS | {"saliency", "input-x-gradient"}):
            if METHODS[name].applies(card) is None:
                assert METHODS[name].explain(model, pictures(1), ["a"], [0]).maps.shape[0] == 1, name


def test_relevance_and_deeplift_are_offered_where_their_rules_reach(model_store):
    for function in (F.softplus, nn.InstanceNorm2d(6), lambda x: F.silu(x) * x.flip(1)):
        card = add(model_store, seeded(lambda function=function: Through(function)))
        assert METHODS["lrp-epsilon"].applies(card) is None
    for function in (F.rrelu, lambda x: x.amax(1, keepdim=True) * x, nn.InstanceNorm2d(6)):
        card = add(model_store, seeded(lambda function=function: Through(function)))
        assert METHODS["deeplift"].applies(card) is None


def test_what_was_found_out_is_kept_with_the_card(model_store):
    card = add(model_store, seeded(FAILING["cumulative product"][0]), "odd net")
    again = ModelCard.from_json(json.loads(json.dumps(card.to_json())))
    assert again.refusals == card.refusals
    assert set(card.refusals) == {"lrp-epsilon", "deeplift"}


def test_a_model_comes_out_of_it_as_it_went_in(model_store):
    module = seeded(NETS["vit"])
    before = {name: value.clone() for name, value in module.state_dict().items()}
    add(model_store, module)
    assert not any(child._forward_hooks or child._backward_hooks for child in module.modules())
    assert all(parameter.grad is None for parameter in module.parameters())
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_without_methods_a_store_tries_none(model_store, monkeypatch):
    monkeypatch.setattr(ModelStore, "dry_run", None)
    assert add(model_store, seeded(FAILING["cumulative product"][0])).refusals == {}


class OverItsMean(nn.Module):
    """Divides by what is zero where the normalised image is: at the mean baseline, and at no other."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Conv2d(3, 6, 4, 4, bias=False), nn.Linear(6, 4)

    def forward(self, x):
        x = self.first(x)
        return self.head((x / x.abs().mean((1, 2, 3), keepdim=True)).relu().mean((2, 3)))


def test_a_model_that_breaks_at_one_baseline_is_offered_deeplift_but_not_its_average(model_store):
    card = add(model_store, seeded(OverItsMean))
    assert card.refusals.keys() == {"deeplift-shap"}
    assert METHODS["deeplift"].applies(card) is None
    assert METHODS["deeplift-shap"].applies(card) == f"DeepLIFT-SHAP gives NaN or infinity on {card.name}."
