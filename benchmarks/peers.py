"""The libraries that people know, called as their own documentation does: what Parallax is timed against.

Each function here answers for one library: by method name, a call that explains `inputs` (N, 3, H, W), contiguous in
memory, towards `targets` (N,) with the same settings as ours; batching is the library's own default.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import captum.attr as captum
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn
from zennit.attribution import Gradient
from zennit.composites import EpsilonAlpha2Beta1, EpsilonGammaBox, EpsilonPlusFlat, LayerMapComposite, layer_map_base
from zennit.core import Composite
from zennit.rules import AlphaBeta, Epsilon, Gamma, ZPlus
from zennit.torchvision import ResNetCanonizer
from zennit.types import Convolution, Linear

from models.card import TOKENS, ModelCard

Call = Callable[[], Any]


@dataclass(frozen=True)
class Task:
    """What every library is asked: a plain model (contiguous memory), pictures, targets, and our settings.

    `baseline` (N, 3, H, W) stands for no evidence; `segments` (N, H, W) int64 are superpixels.
    """

    card: ModelCard
    module: nn.Module
    inputs: Tensor
    targets: Tensor
    params: Any
    baseline: Tensor
    segments: Tensor


def peers(name: str, task: Task) -> dict[str, Call]:
    """By library: a call that does what our method `name` does. Empty where no library has it for this model."""
    found = {
        "captum": captum_call(name, task),
        "pytorch-grad-cam": grad_cam_call(name, task),
        "zennit": zennit_call(name, task),
    }
    return {library: call for library, call in found.items() if call is not None}


def captum_call(name: str, task: Task) -> Call | None:
    """captum 0.9, with its defaults for batching."""
    module, inputs, targets, params = task.module, task.inputs, task.targets, task.params
    noise = {"smoothgrad": "smoothgrad", "smoothgrad-squared": "smoothgrad_sq", "vargrad": "vargrad"}
    layer = module.get_submodule(str(task.card.default_layer))
    is_vit = task.card.layer().layout == TOKENS
    leaf = inputs.clone().requires_grad_()
    makers: dict[str, Callable[[], Call]] = {
        "saliency": lambda: lambda: captum.Saliency(module).attribute(leaf, targets),
        "input-x-gradient": lambda: lambda: captum.InputXGradient(module).attribute(leaf, targets),
        "integrated-gradients": lambda: (
            lambda: captum.IntegratedGradients(module).attribute(inputs, task.baseline, targets, n_steps=params.steps)
        ),
        "gradient-shap": lambda: (
            lambda: captum.GradientShap(module).attribute(
                inputs, task.baseline, n_samples=params.samples, stdevs=0.0, target=targets
            )
        ),
        "deeplift": lambda: lambda: captum.DeepLift(module).attribute(inputs, task.baseline, targets),
        "guided-backprop": lambda: lambda: captum.GuidedBackprop(module).attribute(leaf, targets),
        "deconvolution": lambda: lambda: captum.Deconvolution(module).attribute(leaf, targets),
        "guided-grad-cam": lambda: lambda: captum.GuidedGradCam(module, layer).attribute(leaf, targets),
        "occlusion": lambda: lambda: captum.Occlusion(module).attribute(inputs, *windows(task), 0, targets),
        "lime": lambda: (
            lambda: [
                captum.Lime(module).attribute(x[None], target=t, feature_mask=s[None, None], n_samples=params.samples)
                for x, t, s in zip(inputs, targets, task.segments, strict=True)
            ]
        ),
        "kernel-shap": lambda: (
            lambda: [
                captum.KernelShap(module).attribute(
                    x[None], target=t, feature_mask=s[None, None], n_samples=params.samples
                )
                for x, t, s in zip(inputs, targets, task.segments, strict=True)
            ]
        ),
        "shapley-sampling": lambda: (
            lambda: [
                captum.ShapleyValueSampling(module).attribute(
                    x[None], target=t, feature_mask=s[None, None], n_samples=params.permutations
                )
                for x, t, s in zip(inputs, targets, task.segments, strict=True)
            ]
        ),
    }
    if name == "grad-cam" and not is_vit:
        return lambda: captum.LayerGradCam(module, layer).attribute(inputs, targets, relu_attributions=True)
    if name in noise:
        sigma = float(params.sigma * (inputs.max() - inputs.min()))
        return lambda: captum.NoiseTunnel(captum.Saliency(module)).attribute(
            leaf, noise[name], params.samples, stdevs=sigma, target=targets, abs=False
        )
    return makers[name]() if name in makers else None


def windows(task: Task) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Window and stride of an occlusion in pixels, as captum takes them."""
    length = round(task.params.window * task.inputs.shape[-1])
    step = round(task.params.stride * length)
    return (3, length, length), (3, step, step)


def grad_cam_call(name: str, task: Task) -> Call | None:
    """pytorch-grad-cam 1.5, the whole batch at once."""
    kinds = {
        "grad-cam": pytorch_grad_cam.GradCAM,
        "hirescam": pytorch_grad_cam.HiResCAM,
        "layercam": pytorch_grad_cam.LayerCAM,
        "grad-cam-plus-plus": pytorch_grad_cam.GradCAMPlusPlus,
        "eigen-cam": pytorch_grad_cam.EigenCAM,
        "score-cam": pytorch_grad_cam.ScoreCAM,
    }
    if name not in kinds:
        return None
    spec = task.card.layer()
    wanted = [ClassifierOutputTarget(int(target)) for target in task.targets]

    def to_maps(tokens: Tensor) -> Tensor:
        return tokens[:, spec.n_prefix_tokens :].transpose(1, 2).unflatten(2, spec.spatial)

    def call() -> None:
        layers = [task.module.get_submodule(spec.name)]
        reshape = to_maps if spec.layout == TOKENS else None
        with (
            contextlib.redirect_stderr(io.StringIO()),  # its progress bars
            kinds[name](model=task.module, target_layers=layers, reshape_transform=reshape) as library,
        ):
            library(input_tensor=task.inputs, targets=wanted)

    return call


def zennit_call(name: str, task: Task) -> Call | None:
    """zennit 0.5 with its canonizer for torchvision's ResNets; it has no rules for transformers."""
    if task.card.layer().layout == TOKENS:
        return None
    low, high = (torch.full_like(task.inputs, value) for value in (-3.0, 3.0))

    def per_layer(rule: Callable[[], Any]) -> Composite:
        return LayerMapComposite([*layer_map_base(), (Linear, rule())], canonizers=[ResNetCanonizer()])

    composites: dict[str, Callable[[], Composite]] = {
        "lrp-epsilon": lambda: per_layer(Epsilon),
        "lrp-gamma": lambda: per_layer(Gamma),
        "lrp-z-plus": lambda: per_layer(ZPlus),
        "lrp-alpha-beta": lambda: per_layer(AlphaBeta),
        "lrp-epsilon-plus-flat": lambda: EpsilonPlusFlat(canonizers=[ResNetCanonizer()]),
        "lrp-epsilon-gamma-box": lambda: EpsilonGammaBox(low, high, canonizers=[ResNetCanonizer()]),
        "lrp-epsilon-alpha2-beta1": lambda: EpsilonAlpha2Beta1(canonizers=[ResNetCanonizer()]),
        "deep-taylor": lambda: LayerMapComposite(
            [*layer_map_base(), (Convolution, ZPlus()), (Linear, ZPlus())], canonizers=[ResNetCanonizer()]
        ),
    }
    if name not in composites:
        return None

    def call() -> None:
        one_hot = torch.eye(task.card.n_classes)[task.targets]
        with Gradient(model=task.module, composite=composites[name]()) as attributor:
            attributor(task.inputs.clone(), lambda logits: (logits * one_hot).detach())

    return call


def quiet() -> None:
    """Leave out what the libraries warn of at every call."""
    for message in ("Setting backward hooks", "Setting forward, backward hooks", "Input Tensor"):
        warnings.filterwarnings("ignore", message=message)
