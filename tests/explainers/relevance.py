"""What the tests of relevance share: the rules by name, nets without biases, a map and what it should sum to."""

import torch
from torch import nn

from explainers.registry import METHODS
from tests.explainers.nets import TARGETS, attribute, normalised, seeded

RULES = [name for name, method in METHODS.items() if method.family == "relevance"]
ANY_NET = [name for name in RULES if name != "deep-taylor"]


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


def relevance_and_logit(model_store, module, name, targets=TARGETS):
    inputs = normalised()
    maps = attribute(model_store, module, name, inputs, targets)
    with torch.no_grad():
        return maps.sum((1, 2)), module(inputs).gather(1, targets[:, None]).squeeze(1)


def best(module, inputs=None):
    """The class of the highest score."""
    with torch.no_grad():
        return module(normalised() if inputs is None else inputs).argmax(1)
