"""A model's layer tree, found by a probe forward, and the one way to look inside a running model."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from common.errors import InputError
from models.card import MAPS, OTHER, TOKENS, VECTOR, Layer
from models.grids import PLACES, Reading, Sight, choose, look, readings, spotted

log = logging.getLogger(__name__)

#: Modules that move or drop values without finding anything: Grad-CAM looks before them.
_POOLING = (nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd)
_PASSING = (nn.Identity, nn.modules.dropout._DropoutNd, nn.Flatten)

#: First normalisation of a transformer block (timm, torchvision): behind it, only the class token gets a gradient.
_BLOCK_NORM = re.compile(r"(norm1|ln_1)$")

#: A normalisation with more of the net behind it belongs to the stem.
_MOST_BEHIND_NORM = 0.9

#: Candidates for the default layer that are looked at.
_MOST_TRIED = 32


@contextmanager
def hooks(handles: Iterable[RemovableHandle]) -> Iterator[None]:
    """Remove the hooks of `handles` when the block ends, error or not."""
    with ExitStack() as stack:
        for handle in handles:
            stack.enter_context(handle)
        yield


@contextmanager
def capture(*layers: nn.Module, leaf: bool = False) -> Iterator[dict[nn.Module, Tensor]]:
    """Outputs of `layers` during the block, the last call of each.

    A copy goes on through the model, so that an in-place ReLU behind a layer cannot change what was captured. With
    `leaf`, the graph is cut in front of each layer and its output becomes a leaf that gradients reach, so that a
    backward pass costs only the part behind it.
    """
    outputs: dict[nn.Module, Tensor] = {}

    def keep(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        outputs[module] = output.detach().requires_grad_() if leaf else output
        return outputs[module].clone()

    with hooks(layer.register_forward_hook(keep) for layer in layers):
        yield outputs


class _Reached(Exception):  # noqa: N818 - it is no error
    """Ends a forward pass that has gone far enough."""


def n_calls(module: nn.Module, layer: nn.Module, inputs: Tensor) -> int:
    """How often `layer` runs in one forward pass: careless models use one ReLU for many places."""
    count = 0

    def met(_module: nn.Module, _inputs: object, _output: object) -> None:
        nonlocal count
        count += 1

    with layer.register_forward_hook(met), torch.no_grad():
        module(inputs)
    return count


def run_to(module: nn.Module, layer: nn.Module, inputs: Tensor, calls: int = 1) -> Tensor:
    """The output of `layer` in its call number `calls`; nothing behind it is computed.

    Raises `InputError` when the layer does not run so often.
    """
    found: list[Tensor] = []

    def leave(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal calls
        calls -= 1
        if calls == 0:
            found.append(output)
            raise _Reached

    with layer.register_forward_hook(leave):
        try:
            module(inputs)
        except _Reached:
            return found[0]
    raise InputError("a layer that takes part in the model's answer", "one that does not run", "Pick another layer.")


def as_maps(output: Tensor, layer: Layer) -> Tensor:
    """Feature maps (N, C, h, w) of a layer's output, whatever its layout; class and register tokens are dropped.

    Raises `InputError` for a layer without spatial extent.
    """
    if layer.spatial is None:
        received = f"{layer.name!r} of shape {layer.shape}, in which no grid over the image was found"
        raise InputError("a layer with spatial extent", received, "Pick a layer with a grid.")
    assert layer.grid is not None
    return Reading(layer.layout, layer.grid, layer.n_prefix_tokens).cells(output)


def as_units(output: Tensor, layer: Layer) -> Tensor:
    """Mean activation of each unit (N, C): over space for maps and tokens, as it is for vectors."""
    if layer.spatial is not None:
        return as_maps(output, layer).mean(dim=(2, 3))
    return output.flatten(2).mean(2) if layer.layout == MAPS else output.reshape(len(output), -1, layer.n_units).mean(1)


def layer_tree(module: nn.Module, probe: Tensor) -> tuple[tuple[Layer, ...], str | None]:
    """Every module that ran in a forward pass of `probe` (N, C, H, W), in the order in which they finished.

    Returns the layers and the name of the default one: the last with spatial extent that is not a pooling, or in
    transformers the first normalisation of the last block. A layer has a grid where its cells answer to bright spots
    in the first image at their places (see `models.grids`); on the meta device, where nothing can be seen, its shape
    must do. Layers that work on pieces of an image (the windows of a Swin) are seen to do so by their batch axis, and
    left out.
    """
    met = _look(module, probe)
    names = {child: name for name, child in module.named_modules() if name}
    confirmed = _confirmed(met)
    layers = []
    for order, (child, one) in enumerate(met.items()):
        reading, placed = choose(one.looked, confirmed)
        layout = reading.layout if reading else VECTOR if len(one.shape) == 1 else OTHER
        n_parameters = sum(p.numel() for p in child.parameters())
        grid = reading.grid if reading and placed else None
        n_prefix = reading.n_prefix if reading else 0
        layers.append(Layer(names[child], type(child).__name__, one.shape, layout, n_parameters, order, n_prefix, grid))
    wanted = _default(layers, list(met.items()))
    return tuple(layers), _reached(module, probe, wanted) if wanted else None


def _confirmed(met: dict[nn.Module, _Met]) -> set[tuple[int, int]]:
    """Grids that some layer is known to have: it saw the spots there, or cannot see them elsewhere.

    In nets with random weights, layers may answer everywhere alike. Then a convolution over neighbours stands for its
    own grid, and tokens for theirs where no tokens of the model come in another order.
    """
    chosen = [(child, one, *choose(one.looked)) for child, one in met.items()]
    confirmed = {reading.grid for _, _, reading, seen in chosen if reading and seen}
    for child, _, reading, _ in chosen:
        if isinstance(child, nn.Conv2d) and max(child.kernel_size) > 1 and reading and reading.layout == MAPS:
            confirmed.add(reading.grid)
    tokens = [(one, reading) for _, one, reading, _ in chosen if any(way.layout == TOKENS for way in one.looked)]
    if all(reading is not None for _, reading in tokens):
        everywhere = [reading for one, reading in tokens if reading and one.looked[reading].fair == len(PLACES)]
        confirmed.update(reading.grid for reading in everywhere)
    return confirmed


@dataclass(frozen=True)
class _Met:
    """What is kept of a module's output: its shape without the batch axis, whether a pooling gave it, and `looked`."""

    shape: tuple[int, ...]
    pooled: bool
    looked: dict[Reading, Sight]


def _look(module: nn.Module, probe: Tensor) -> dict[nn.Module, _Met]:
    """Every module inside `module` as it ran for `probe`; one that runs twice stands where it ran last."""
    met: dict[nn.Module, _Met] = {}
    pooled: list[Tensor] = []  # kept alive, so that no other output gets the id of one
    known: set[tuple[int, int]] = set()
    before: tuple[Tensor, dict[Reading, Sight]] | None = None
    told: list[Any] = [child.num_prefix_tokens for child in module.modules() if hasattr(child, "num_prefix_tokens")]
    n_prefix = int(told[0]) if told else 1
    size = probe.shape[2], probe.shape[3]
    images = probe if probe.is_meta else spotted(probe)

    def keep(child: nn.Module, _inputs: tuple[Tensor, ...], output: object) -> None:
        nonlocal before
        met.pop(child, None)
        if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != len(images):
            return
        if isinstance(child, _POOLING):
            pooled.append(output)
        ways = readings(tuple(output.shape), size, n_prefix, known)
        known.update(way.grid for way in ways[:1] if output.ndim == 4)
        if before is None or output is not before[0]:  # blocks often hand on what their last layer gave
            before = output, look(output, ways)
        met[child] = _Met(tuple(output.shape[1:]), any(output is one for one in pooled), before[1])

    with hooks(child.register_forward_hook(keep) for child in module.modules() if child is not module), torch.no_grad():
        module(images)
    return met


def runs_in_sequence(module: nn.Module, probe: Tensor) -> bool:
    """Whether each innermost module runs once, on just what the one before it gave, in a forward pass of `probe`."""
    leaves = [child for child in module.modules() if not list(child.children())]
    met: set[nn.Module] = set()
    before = probe
    in_sequence = True

    def arrive(child: nn.Module, inputs: tuple[object, ...]) -> None:
        nonlocal in_sequence
        given = inputs[0] if len(inputs) == 1 else None
        same = isinstance(given, Tensor) and torch.equal(given.flatten(1), before.flatten(1))
        in_sequence = in_sequence and same and child not in met
        met.add(child)

    def leave(child: nn.Module, _inputs: tuple[object, ...], output: object) -> None:
        nonlocal before, in_sequence
        if isinstance(output, Tensor):
            before = output.clone()  # what comes next may work in place
        else:
            in_sequence = False

    before_each = hooks(leaf.register_forward_pre_hook(arrive) for leaf in leaves)
    with before_each, hooks(leaf.register_forward_hook(leave) for leaf in leaves), torch.no_grad():
        answer = module(probe)
    return in_sequence and torch.equal(answer, before)


def _default(layers: list[Layer], met: list[tuple[nn.Module, _Met]]) -> list[Layer]:
    """Where Grad-CAM looks unless told otherwise: candidates, the best first."""
    suited = [
        layer
        for layer, (child, one) in zip(layers, met, strict=True)
        if layer.spatial and not isinstance(child, _PASSING) and not one.pooled
    ]
    leaves = [
        layer for layer, (child, _) in zip(layers, met, strict=True) if layer.spatial and not list(child.children())
    ]

    def share_behind(layer: Layer) -> float:
        return sum(other.order > layer.order for other in leaves) / max(1, len(leaves))

    norms = [layer for layer in suited if layer.layout != MAPS and _BLOCK_NORM.search(layer.name)]
    if norms and share_behind(norms[-1]) <= _MOST_BEHIND_NORM:
        return norms[::-1]
    maps = [layer for layer in suited if layer.layout != TOKENS]
    if maps and share_behind(maps[-1]) <= 0.5:
        return maps[::-1]
    attention = tuple(f"{layer.name}." for layer in layers if "Attention" in layer.kind)  # queries, keys and values
    tokens = [layer for layer in suited if layer.kind != "Linear" and not layer.name.startswith(attention)]
    return (tokens or suited)[::-1]


def _reached(module: nn.Module, probe: Tensor, wanted: list[Layer]) -> str:
    """The first of the `wanted` layers whose cells the answer depends on; the first of all where none is known to."""
    if probe.is_meta:
        return wanted[0].name
    try:
        modules = [module.get_submodule(layer.name) for layer in wanted[:_MOST_TRIED]]
        with torch.enable_grad(), capture(*modules) as outputs:
            answer = module(probe[:1].detach().requires_grad_().clone())
        weights = torch.linspace(-1, 1, answer.numel(), device=answer.device).view_as(answer)
        if answer.requires_grad:
            found = torch.autograd.grad(answer, [outputs[one] for one in modules], weights, allow_unused=True)
            for layer, gradient in zip(wanted, found, strict=False):
                if gradient is not None and as_maps(gradient, layer).any():
                    return layer.name
    except RuntimeError as error:  # a model that changes in place what its gradient needs
        log.info("No gradient reaches the layers: %s", error)
    return wanted[0].name
