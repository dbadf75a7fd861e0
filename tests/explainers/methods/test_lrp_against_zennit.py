"""Our relevance against zennit's rules, composites and canonizers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision.models
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet
from zennit import rules
from zennit.attribution import Gradient
from zennit.composites import (
    EpsilonAlpha2Beta1,
    EpsilonGammaBox,
    EpsilonPlusFlat,
    LayerMapComposite,
    layer_map_base,
)
from zennit.torchvision import ResNetCanonizer, VGGCanonizer
from zennit.types import Convolution, Linear

from explainers.engines.lrp_rules import AlphaBeta, Epsilon, Rules
from explainers.methods.lrp import LRPZPlus
from explainers.registry import METHODS
from models.store import ModelHandle
from tests.explainers.nets import add, normalised, seeded, silent

TARGETS = torch.tensor([1, 3])
#: The papers' z+ and alpha-beta give biases nothing; zennit's do unless told.
BIASES = {"zero_params": ["bias"]}


class EpsilonAlphaBeta(LRPZPlus):
    """zennit's composite of this name, which is not among our methods."""

    def rules(self, model, inputs, params):
        return Rules(AlphaBeta(2), Epsilon())


#: Sums and pools: zennit's stabiliser is of the size of what flows through a deep random net, unless made smaller.
SUMS = layer_map_base(1e-12)


def everywhere(rule):
    return lambda canonizers, low, high: LayerMapComposite([*SUMS, (Linear, rule)], canonizers=canonizers)


CASES = {
    "lrp-epsilon": everywhere(rules.Epsilon()),
    "lrp-gamma": everywhere(rules.Gamma()),
    "lrp-z-plus": everywhere(rules.ZPlus(**BIASES)),
    "lrp-alpha-beta": everywhere(rules.AlphaBeta(**BIASES)),
    "lrp-epsilon-gamma-box": lambda canonizers, low, high: EpsilonGammaBox(
        low, high, layer_map=SUMS, canonizers=canonizers
    ),
    "lrp-epsilon-plus-flat": lambda canonizers, low, high: EpsilonPlusFlat(
        layer_map=[*SUMS, (Convolution, rules.ZPlus(**BIASES))], canonizers=canonizers
    ),
    "epsilon-alpha2-beta1": lambda canonizers, low, high: EpsilonAlpha2Beta1(
        layer_map=[*SUMS, (Convolution, rules.AlphaBeta(**BIASES))], canonizers=canonizers
    ),
}


def vgg():
    """torchvision's VGG in small, under a head that is not 500 MB."""
    features = torchvision.models.vgg.make_layers([16, "M", 24, 24, "M", 32, "M"], batch_norm=True)
    return nn.Sequential(
        features, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(512, 32), nn.ReLU(), nn.Dropout(), nn.Linear(32, 10)
    )


NETS = {
    "resnet": (lambda: ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10), ResNetCanonizer),
    "vgg": (vgg, VGGCanonizer),
}


def zennit(module, canonizer, case, inputs):
    low, high = torch.full_like(inputs, -2), torch.full_like(inputs, 2)  # (0 - 0.5) / 0.25, (1 - 0.5) / 0.25
    one_hot = F.one_hot(TARGETS, 10)
    with Gradient(model=module, composite=CASES[case]([canonizer()], low, high)) as attributor:
        _, relevance = attributor(inputs.clone(), lambda logits: (logits * one_hot).detach())
    return relevance.sum(1).numpy()


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("case", CASES)
def test_relevance_equals_zennit(model_store, case, net):
    """In double precision, so that it is the rules that are compared, and with norms that zennit folds exactly.

    (Its folded norms go on dividing by sqrt(1 + eps).)
    """
    build, canonizer = NETS[net]
    module, inputs = seeded(build), normalised(px=32).double()
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.eps = 0.0
            child.weight.data[::3] *= -1  # the rules for positive and negative contributions change places
    card = add(model_store, module, px=32)
    model = ModelHandle(card, module.double(), torch.device("cpu"))
    method = METHODS[case] if case in METHODS else EpsilonAlphaBeta()
    maps = method.attribute(model, inputs, TARGETS, method.Params(), silent).numpy()
    expected = zennit(module, canonizer, case, inputs)
    np.testing.assert_allclose(maps, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_a_large_epsilon_swallows_what_zennit_swallows(model_store, epsilon):
    module, inputs = seeded(vgg), normalised(px=32)
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.eps = 0.0
    method, card = METHODS["lrp-epsilon"], add(model_store, module, px=32)
    with model_store.borrow(card) as model:
        maps = method.attribute(model, inputs, TARGETS, method.Params(epsilon=epsilon), silent).numpy()
    composite = everywhere(rules.Epsilon(epsilon=epsilon))([VGGCanonizer()], None, None)
    with Gradient(model=module, composite=composite) as attributor:
        _, relevance = attributor(inputs.clone(), lambda logits: (logits * F.one_hot(TARGETS, 10)).detach())
    expected = relevance.sum(1).numpy()
    np.testing.assert_allclose(maps, expected, atol=1e-4 * np.abs(expected).max())
