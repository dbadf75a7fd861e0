"""Reason: Grad-CAM over any set of layers, each on its own grid, and all of them together."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from common.errors import InputError
from explainers.base import Explainer, ExplainerParams, Need, Progress, setting, target_scores
from explainers.methods.guided import GuidedBackprop
from models.card import Layer, ModelCard
from models.layers import as_maps, capture
from models.store import ModelHandle

MEAN, MAX = "mean", "max"
AGGREGATES = (MEAN, MAX)

#: How layers of different strength come together: by what they found, or each by its own maximum.
BY_EVIDENCE, ALIKE = "evidence", "alike"
WEIGHTS = (BY_EVIDENCE, ALIKE)

#: Layers that get guided backpropagation: the paper's "ultimate and penultimate".
N_GUIDED = 2

#: A layer that found less than this share of what the strongest one found has found next to nothing: dividing it by
#: its own maximum would blow rounding errors up to full strength.
NEGLIGIBLE = 1e-3

_FEW, _MANY = 4, 5


class LayerMap(NamedTuple):
    """What one layer found: `maps` (N, h, w) float32 >= 0 on its own grid, the raw Grad-CAM.

    `guided` (N, H, W) float32, signed, is guided backpropagation times Grad-CAM at the size of the input.
    """

    layer: str
    maps: Tensor
    guided: Tensor | None = None


class Found(NamedTuple):
    """What all layers found, in the model's order, and the `scores` (N,) float32 that they explain."""

    layers: list[LayerMap]
    scores: Tensor


def spatial_layers(card: ModelCard) -> list[Layer]:
    """Layers whose grid lies over the picture; attention heads of a transformer have a grid of another kind."""
    height, width = card.input_size
    return [
        layer
        for layer in card.layers
        if layer.spatial and abs(layer.spatial[0] * width - layer.spatial[1] * height) <= max(height, width)
    ]


def default_layers(card: ModelCard) -> tuple[str, ...]:
    """At most five layers spread over the model's depth, the last one being its default layer.

    The last layer of each resolution; where there are few resolutions (a ViT has one), also those that are to other
    blocks what the default layer is to its own. Raises `InputError` for a model without spatial layers.
    """
    last = card.layer()
    before: list[Layer] = []
    for layer in spatial_layers(card):
        if layer.order > last.order:
            break
        if not before or _n_cells(layer) <= _n_cells(before[-1]):  # what grows is attention between patches
            before.append(layer)
    names = {layer.spatial: layer.name for layer in before}.values()
    chosen = [layer for layer in before if layer.name in names]
    if len(chosen) < _FEW:
        place = _place(last)
        chosen = [layer for layer in before if layer.name in names or _place(layer) == place]
    spread = np.linspace(0, len(chosen) - 1, min(_MANY, len(chosen))).round().astype(int)
    return tuple(chosen[index].name for index in spread)


def _n_cells(layer: Layer) -> int:
    return math.prod(layer.spatial or ())


def _place(layer: Layer) -> tuple[str, str]:
    """What a layer is to its block: `blocks.3.norm1` and `blocks.7.norm1` are the same, `blocks.3.norm2` is another."""
    return re.sub(r"\d+(?=.*\.)|^\d+$|(?<=\.)\d+$", "#", layer.name), layer.kind


def reason(
    model: ModelHandle,
    inputs: Tensor,
    targets: Tensor,
    layers: Sequence[str] | None = None,
    guided: bool = False,
    progress: Progress = lambda done, total: None,
) -> Found:
    """Grad-CAM of every one of `layers` from one forward and one backward pass.

    `inputs` (N, C, H, W) float32, normalised; `targets` (N,) int64 columns of `model.scores(inputs)`. With `guided`,
    the last two layers also get theirs times guided backpropagation, which takes a second pass. `None` stands for
    `default_layers`, of which those that the score does not depend on are left out; of named layers, such a one is
    refused with an `InputError`.
    """
    if guided and (in_the_way := guided_reason(model.card)):
        raise InputError("a model that suits guided backprop", model.card.name, in_the_way)
    names = set(default_layers(model.card) if layers is None else layers)
    if not names:
        raise InputError("at least one layer", "none", "Choose a layer with spatial extent.")
    specs = sorted((model.card.layer(name) for name in names), key=lambda layer: layer.order)
    modules = [model.layer(spec.name) for spec in specs]
    with torch.enable_grad(), capture(*modules) as outputs:
        scores = target_scores(model.scores(inputs.detach().requires_grad_()), targets)
    found = []
    for spec, (output, gradient) in zip(specs, _gradients(scores, modules, outputs), strict=True):
        if output is not None and gradient is not None:
            weights = as_maps(gradient, spec).mean((2, 3))
            maps = torch.einsum("nk,nkhw->nhw", weights, as_maps(output.detach(), spec)).relu()
            found.append(LayerMap(spec.name, maps))
        elif layers is not None:
            raise InputError("layers that the score depends on", repr(spec.name), "Leave it out.")
    if not found:
        raise InputError("layers that the score depends on", ", ".join(sorted(names)), "Name other layers.")
    if guided:
        progress(1, 2)
        fine = GuidedBackprop().attribute(model, inputs, targets, ExplainerParams(), progress)
        found[-N_GUIDED:] = [
            layer._replace(guided=fine * _resize(layer.maps, tuple(fine.shape[1:]))) for layer in found[-N_GUIDED:]
        ]
    return Found(found, scores.detach())


def _gradients(
    scores: Tensor, modules: Sequence[torch.nn.Module], outputs: dict[torch.nn.Module, Tensor]
) -> list[tuple[Tensor | None, Tensor | None]]:
    """Output and gradient of each layer; no gradient where the scores do not depend on it."""
    on_the_way = [module for module in modules if module in outputs and outputs[module].requires_grad]
    gradients: dict[torch.nn.Module, Tensor | None] = {}
    if on_the_way and scores.requires_grad:
        wanted = [outputs[module] for module in on_the_way]
        values = torch.autograd.grad(scores.sum(), wanted, allow_unused=True)
        gradients = dict(zip(on_the_way, values, strict=True))
    return [(outputs.get(module), gradients.get(module)) for module in modules]


def guided_reason(card: ModelCard) -> str | None:
    """Why the last layers cannot be guided, `None` where they can."""
    return GuidedBackprop().applies(card)


def aggregate(
    layers: Sequence[LayerMap],
    size: tuple[int, int],
    how: str = MEAN,
    weigh: str = BY_EVIDENCE,
    smoothing: float = 0.0,
) -> Tensor:
    """All layers in one map (N, height, width) float32 >= 0 of `size`, by their mean or their maximum.

    By evidence, layers come together as they are, each as a `density`. Weighed alike, each is first divided by its own
    maximum over the picture, unless it found next to nothing beside the strongest layer. Both ways a layer that found
    nothing adds nothing, and still counts in the mean. `smoothing` is the standard deviation of a Gaussian, as a share
    of each side.
    """
    shares = torch.stack([_blur(_resize(density(layer), size), smoothing) for layer in layers])
    if weigh == ALIKE:
        evidence = shares.mean((2, 3), keepdim=True)
        peaks = shares.amax((2, 3), keepdim=True)
        shares = torch.where(evidence > NEGLIGIBLE * evidence.amax(0), shares / peaks, 0.0)
    return shares.mean(0) if how == MEAN else shares.amax(0)


def density(layer: LayerMap) -> Tensor:
    """What makes layers comparable: maps (N, h, w) float32 >= 0 whose mean is what the layer found.

    The cells of a Grad-CAM map are shares of the score, whatever the grid, so that their sum is what the layer found,
    in the score's own units (all of the score, but for its bias, in front of an average pool and a linear layer). A
    map times its number of cells has that sum as its mean over the picture. Guided backpropagation gives it another
    shape (N, H, W), but not another mean.
    """
    found = layer.maps * layer.maps[0].numel()
    if layer.guided is None:
        return found
    fine = layer.guided.abs()
    means = fine.mean((1, 2), keepdim=True)
    return torch.where(means > 0, fine * found.mean((1, 2), keepdim=True) / means, 0.0)


def _resize(maps: Tensor, size: Sequence[int]) -> Tensor:
    """(N, h, w) -> (N, height, width), bilinear."""
    return F.interpolate(maps[:, None], tuple(size), mode="bilinear").squeeze(1)


def _blur(maps: Tensor, share: float) -> Tensor:
    """(N, h, w) under a Gaussian whose standard deviation is a share of each side; the picture's edges mirror it."""
    from torchvision.transforms.functional import gaussian_blur  # late: see models.libraries

    for axis in (1, 2):
        sigma = share * maps.shape[axis]
        radius = min(round(3 * sigma), maps.shape[axis] - 1)
        if radius >= 1:
            length = 2 * radius + 1
            maps = gaussian_blur(maps, [1, length] if axis == 1 else [length, 1], [sigma, sigma])
    return maps


class MultiLayerGradCAM(Explainer):
    """Grad-CAM over a set of layers, put together (Strezoski and Worring 2017, section 4.2).

    M = mean or max over layers l of h_l w_l · M_l, with M_l = ReLU(sum_k alpha_k A^k) the Grad-CAM of layer l on its
    h_l × w_l grid (Selvaraju et al. 2017, eq. 1-2), resized bilinearly. All M_l come from one backward pass. The
    factor h_l w_l makes grids comparable, see `density`; it is our choice, the paper names none.
    """

    name, title, family, signed = "multi-layer-grad-cam", "Multi-layer Grad-CAM", "class activation", False
    tried_as = ("multi-layer-grad-cam",)
    needs = frozenset({Need.SPATIAL_LAYER})
    question = "Where did the layers together, from early to late, find what speaks for this class?"
    recipe = (
        "It makes the Grad-CAM map of several layers in one go, resizes them to the image and takes their mean or "
        "their maximum. What each layer found alone is on the Reason page."
    )
    reference = "Strezoski and Worring 2017, Plug-and-Play Interactive Deep Network Visualization"
    caution = (
        "Early layers respond to contours all over the image, so that their part in the map is less about the class."
    )
    chunk = 16

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """Which layers, and how their maps become one."""

        layers: tuple[str, ...] | str | None = setting(
            None,
            help="Names of layers, separated by commas; by default the last one of each resolution.",
            kind="layers",
        )
        aggregate: str = setting(
            MEAN, choices=AGGREGATES, help="Mean: what many layers found. Max: what any layer found."
        )
        weigh: str = setting(
            BY_EVIDENCE,
            choices=WEIGHTS,
            help="By evidence: a layer counts for as much as it found. Alike: each layer's maximum becomes one.",
        )
        guided: bool = setting(False, help="Sharpen the last two layers by guided backpropagation (ReLU networks).")
        smoothing: float = setting(
            0.0, low=0.0, high=0.2, help="Blur of the layers' maps: standard deviation as a share of the side."
        )

        def __post_init__(self) -> None:
            super().__post_init__()
            if isinstance(self.layers, str):  # as a text field or a command line has them
                names = tuple(name.strip() for name in self.layers.split(",") if name.strip())
                object.__setattr__(self, "layers", names or None)

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, H, W) float32 >= 0; its mean is in the units of the score."""
        layers = reason(model, inputs, targets, params.layers, params.guided, progress).layers
        size = (inputs.shape[2], inputs.shape[3])
        return aggregate(layers, size, params.aggregate, params.weigh, params.smoothing)
