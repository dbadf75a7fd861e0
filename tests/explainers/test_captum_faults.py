"""Why some methods are ours though Captum has one of the same name: each fault, so that we notice when it is mended.

docs/methods.md quotes these tests.
"""

import warnings

import captum.attr
import numpy as np
import pytest
import torch
from torch import nn

from tests.explainers.nets import NETS, TARGETS, normalised, seeded


def quietly(method, *args, **options):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting (backward|forward)", category=UserWarning)
        return method.attribute(*args, **options)


def score(module, inputs):
    with torch.no_grad():
        return module(inputs).gather(1, TARGETS[:, None]).squeeze(1)


@pytest.mark.parametrize(("net", "layer"), [("vit", "blocks.1.norm1"), ("swin", "layers.1.blocks.1.norm1")])
def test_grad_cam_of_tokens_is_no_map_of_their_grid(net, layer):
    """It takes the axis of tokens, or of rows, for channels."""
    module = seeded(NETS[net])
    maps = captum.attr.LayerGradCam(module, module.get_submodule(layer)).attribute(normalised(), TARGETS)
    side = {"vit": 4, "swin": 4}[net]
    assert maps.shape != (2, 1, side, side)


@pytest.mark.parametrize("method", [captum.attr.GuidedBackprop, captum.attr.Deconvolution], ids=lambda m: m.__name__)
def test_functional_relus_keep_their_plain_gradient(method):
    module, inputs = seeded(NETS["functional"]), normalised().requires_grad_()
    found = quietly(method(module), inputs, TARGETS)
    assert torch.equal(found, captum.attr.Saliency(module).attribute(inputs, TARGETS, abs=False))


def test_a_capped_relu_keeps_its_plain_gradient():
    module = seeded(lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU6(), nn.Flatten(), nn.Linear(8 * 30 * 30, 4)))
    inputs = normalised().requires_grad_()
    found = quietly(captum.attr.GuidedBackprop(module), inputs, TARGETS)
    assert torch.equal(found, captum.attr.Saliency(module).attribute(inputs, TARGETS, abs=False))


def test_deeplift_cannot_follow_a_relu_that_runs_twice():
    with pytest.raises(RuntimeError):
        quietly(captum.attr.DeepLift(seeded(NETS["reused"])), normalised().requires_grad_(), None, TARGETS)


def gap(module):
    """What is missing of score(x) - score(baseline) in DeepLIFT's maps, as a share of it, at most."""
    inputs, baseline = normalised(), normalised(seed=3)
    maps = quietly(captum.attr.DeepLift(module), inputs.clone().requires_grad_(), baseline, TARGETS).detach()
    promised = score(module, inputs) - score(module, baseline)
    return float(((maps.sum((1, 2, 3)) - promised) / promised).abs().max())


def test_deeplift_is_complete_behind_a_relu_and_an_average_pool_and_not_behind_a_max_pool():
    def net(pool):
        return seeded(
            lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), pool, nn.Flatten(), nn.Linear(8 * 15 * 15, 4)), seed=1
        )

    assert gap(net(nn.AvgPool2d(2))) < 1e-4
    assert gap(net(nn.MaxPool2d(2))) > 0.05


def test_deeplift_of_a_transformer_is_not_complete():
    assert gap(seeded(NETS["vit"])) > 0.05


FEATURES = (torch.arange(32)[:, None] // 16 * 2 + torch.arange(32) // 16)[None, None]

#: Methods that draw random numbers, as calls on a module and images.
DRAWING = {
    "NoiseTunnel": lambda module, x: captum.attr.NoiseTunnel(captum.attr.Saliency(module)).attribute(
        x.requires_grad_(), nt_samples=3, target=TARGETS
    ),
    "GradientShap": lambda module, x: captum.attr.GradientShap(module).attribute(
        x, torch.zeros_like(x), n_samples=3, stdevs=0.1, target=TARGETS
    ),
    "Lime": lambda module, x: captum.attr.Lime(module).attribute(x[:1], target=2, feature_mask=FEATURES, n_samples=20),
    "KernelShap": lambda module, x: captum.attr.KernelShap(module).attribute(
        x[:1], target=2, feature_mask=FEATURES, n_samples=20
    ),
    "ShapleyValueSampling": lambda module, x: captum.attr.ShapleyValueSampling(module).attribute(
        x, target=TARGETS, feature_mask=FEATURES, n_samples=1
    ),
}


@pytest.mark.parametrize("name", DRAWING)
def test_what_is_drawn_comes_from_generators_that_all_visitors_share(name):
    """There is no seed of one's own: what another thread draws in between changes the map."""
    module = seeded(NETS["plain"])

    def run(seed):
        torch.manual_seed(seed)
        np.random.seed(seed)
        return DRAWING[name](module, normalised()).detach()

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))


def test_lrp_knows_no_layers_of_a_transformer():
    with pytest.raises(TypeError, match="no rule"):
        captum.attr.LRP(seeded(NETS["vit"])).attribute(normalised().requires_grad_(), TARGETS)


@pytest.mark.parametrize(
    "name",
    ["GradCAMPlusPlus", "HiResCAM", "LayerCAM", "ScoreCAM", "EigenCAM", "RISE", "AttentionRollout", "PatternNet"],
)
def test_captum_has_none_of_these(name):
    known = {known.lower().replace("_", "") for known in dir(captum.attr)}
    assert not any(name.lower() in one for one in known)
