"""The libraries that people know: what Parallax is timed against.

Each function here answers for one library: by method name, a call that explains `inputs` (N, 3, H, W) towards `targets`
(N,) with the same settings as ours. `documented` calls it as its own documentation does, `tuned` as well as it can be.
"""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
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
    """What every library is asked: a plain model, images, targets, and our settings.

    `baseline` (N, 3, H, W) stands for no evidence; `segments` (N, H, W) int64 are superpixels. `at_once`: inputs for
    each pass of the model; the library's own default for `None`.
    """

    card: ModelCard
    module: nn.Module
    inputs: Tensor
    targets: Tensor
    params: Any
    baseline: Tensor
    segments: Tensor
    at_once: int | None = None

    def parts(self) -> list[Task]:
        """The same for `at_once` images each."""
        n = self.at_once or len(self.inputs)
        tensors = [part.split(n) for part in (self.inputs, self.targets, self.baseline, self.segments)]
        return [replace(self, inputs=x, targets=t, baseline=b, segments=s) for x, t, b, s in zip(*tensors, strict=True)]


#: One library's method on one part of a task.
Explain = Callable[[Task], Any]

#: Passes that a tuned library may take.
SIZES = (4, 8, 16, 32, 64)


def tuned(name: str, task: Task) -> dict[str, list[Call]]:
    """By library: its calls at each of `SIZES`, in channels-last memory, for weights that want no gradient.

    The fastest of them is the library at its best.
    """
    module = copy.deepcopy(task.module).to(memory_format=torch.channels_last).requires_grad_(False)
    inputs = task.inputs.contiguous(memory_format=torch.channels_last)
    found: dict[str, list[Call]] = {}
    for size in SIZES:
        for library, call in documented(name, replace(task, module=module, inputs=inputs, at_once=size)).items():
            found.setdefault(library, []).append(call)
    return found


def documented(name: str, task: Task) -> dict[str, Call]:
    """By library: a call that does what our method `name` does. Empty where no library has it for this model."""
    found = {
        "captum": captum_call(name, task),
        "pytorch-grad-cam": grad_cam_call(name, task),
        "zennit": zennit_call(name, task),
    }
    return {library: call for library, call in found.items() if call is not None}


def captum_call(name: str, task: Task) -> Call | None:
    """captum 0.9."""
    module, params, n = task.module, task.params, task.at_once
    layer = module.get_submodule(str(task.card.default_layer))
    is_vit = task.card.layer().layout == TOKENS
    per_eval = {"perturbations_per_eval": n} if n else {}

    def samples(part: Task, name: str) -> dict[str, int]:
        return {name: max(1, n // len(part.inputs))} if n else {}

    def gradient(method: Any, **options: Any) -> Explain:
        return lambda part: method.attribute(part.inputs.clone().requires_grad_(), target=part.targets, **options)

    def noise(kind: str) -> Explain:
        method = captum.NoiseTunnel(captum.Saliency(module))
        return lambda part: method.attribute(
            part.inputs.clone().requires_grad_(),
            kind,
            params.samples,
            stdevs=float(params.sigma * (part.inputs.max() - part.inputs.min())),
            target=part.targets,
            abs=False,
            **samples(part, "nt_samples_batch_size"),
        )

    def path() -> Explain:
        method = captum.IntegratedGradients(module)
        batch = {"internal_batch_size": n} if n else {}
        return lambda part: method.attribute(part.inputs, part.baseline, part.targets, n_steps=params.steps, **batch)

    def gradient_shap() -> Explain:
        method = captum.GradientShap(module)
        options = {"n_samples": params.samples, "stdevs": 0.0}
        return lambda part: method.attribute(part.inputs, part.baseline, target=part.targets, **options)

    def deeplift() -> Explain:
        method = captum.DeepLift(module)
        return lambda part: method.attribute(part.inputs, part.baseline, part.targets)

    def occlusion() -> Explain:
        method, (window, stride) = captum.Occlusion(module), windows(task)
        return lambda part: method.attribute(part.inputs, window, stride, 0, part.targets, **per_eval)

    def surrogate(method: Any, n_samples: int) -> Explain:
        return lambda part: [
            method.attribute(x[None], target=t, feature_mask=s[None, None], n_samples=n_samples, **per_eval)
            for x, t, s in zip(part.inputs, part.targets, part.segments, strict=True)
        ]

    makers: dict[str, Callable[[], Explain]] = {
        "saliency": lambda: gradient(captum.Saliency(module)),
        "input-x-gradient": lambda: gradient(captum.InputXGradient(module)),
        "smoothgrad": lambda: noise("smoothgrad"),
        "smoothgrad-squared": lambda: noise("smoothgrad_sq"),
        "vargrad": lambda: noise("vargrad"),
        "integrated-gradients": path,
        "gradient-shap": gradient_shap,
        "deeplift": deeplift,
        "guided-backprop": lambda: gradient(captum.GuidedBackprop(module)),
        "deconvolution": lambda: gradient(captum.Deconvolution(module)),
        "guided-grad-cam": lambda: gradient(captum.GuidedGradCam(module, layer)),
        "occlusion": occlusion,
        "lime": lambda: surrogate(captum.Lime(module), params.samples),
        "kernel-shap": lambda: surrogate(captum.KernelShap(module), params.samples),
        "shapley-sampling": lambda: surrogate(captum.ShapleyValueSampling(module), params.permutations),
    }
    if not is_vit:
        makers["grad-cam"] = lambda: gradient(captum.LayerGradCam(module, layer), relu_attributions=True)
    return in_parts(task, makers[name]()) if name in makers else None


def in_parts(task: Task, explain: Explain) -> Call:
    """Explain the images of a task, `at_once` at a time."""
    parts = task.parts()
    return lambda: [explain(part) for part in parts]


def windows(task: Task) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Window and stride of an occlusion in pixels, as captum takes them."""
    length = round(task.params.window * task.inputs.shape[-1])
    step = round(task.params.stride * length)
    return (3, length, length), (3, step, step)


def grad_cam_call(name: str, task: Task) -> Call | None:
    """pytorch-grad-cam 1.5."""
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
    layer = task.module.get_submodule(spec.name)
    if task.at_once is not None:
        layer.requires_grad_()  # the library hooks the layer's gradient: there is one from here on

    def to_maps(tokens: Tensor) -> Tensor:
        return tokens[:, spec.n_prefix_tokens :].transpose(1, 2).unflatten(2, spec.spatial)

    def explain(part: Task) -> None:
        reshape = to_maps if spec.layout == TOKENS else None
        with (
            contextlib.redirect_stderr(io.StringIO()),  # its progress bars
            kinds[name](model=task.module, target_layers=[layer], reshape_transform=reshape) as library,
        ):
            if task.at_once is not None:
                library.batch_size = task.at_once  # Score-CAM alone reads it
            library(input_tensor=part.inputs, targets=[ClassifierOutputTarget(int(target)) for target in part.targets])

    return in_parts(task, explain)


def zennit_call(name: str, task: Task) -> Call | None:
    """zennit 0.5 with its canonizer for torchvision's ResNets; it has no rules for transformers."""
    if task.card.layer().layout == TOKENS:
        return None
    low, high = (torch.full_like(task.inputs[:1], value) for value in (-3.0, 3.0))

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

    composite = composites[name]()

    def explain(part: Task) -> None:
        one_hot = torch.eye(task.card.n_classes)[part.targets]
        with Gradient(model=task.module, composite=composite) as attributor:
            attributor(part.inputs.clone(), lambda logits: (logits * one_hot).detach())

    return in_parts(task, explain)


def quiet() -> None:
    """Leave out what the libraries warn of at every call."""
    for message in ("Setting backward hooks", "Setting forward, backward hooks", "Input Tensor"):
        warnings.filterwarnings("ignore", message=message)
