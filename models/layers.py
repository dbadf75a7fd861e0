"""A model's layer tree, found by a probe forward, and the one way to look inside a running model."""

import math
import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from common.errors import InputError
from models.card import MAPS, MAPS_LAST, OTHER, TOKENS, VECTOR, Layer

#: Modules that move or drop values without finding anything: Grad-CAM looks before them.
_POOLING = (nn.modules.pooling._MaxPoolNd, nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd)
_PASSING = (nn.Identity, nn.modules.dropout._DropoutNd, nn.Flatten)

#: First normalisation of a transformer block (timm, torchvision): behind it, only the class token gets a gradient.
_BLOCK_NORM = re.compile(r"(norm1|ln_1)$")


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
        raise InputError(
            "a layer with spatial extent", f"{layer.name!r} of shape {layer.shape}", "Pick a layer with a grid."
        )
    if layer.layout == MAPS_LAST:
        return output.permute(0, 3, 1, 2)
    if layer.layout == TOKENS:
        patches = output[:, layer.n_prefix_tokens :]
        return patches.transpose(1, 2).unflatten(2, layer.spatial)
    return output


def as_units(output: Tensor, layer: Layer) -> Tensor:
    """Mean activation of each unit (N, C): over space for maps and tokens, as it is for vectors."""
    if layer.spatial is not None:
        return as_maps(output, layer).mean(dim=(2, 3))
    return output.flatten(2).mean(2) if layer.layout == MAPS else output.reshape(len(output), -1, layer.n_units).mean(1)


def layer_tree(module: nn.Module, probe: Tensor) -> tuple[tuple[Layer, ...], str | None]:
    """Every module that ran in a forward pass of `probe` (N, C, H, W), in the order in which they finished.

    Returns the layers and the name of the default one: the last with spatial extent that is not a pooling, or in
    transformers the first normalisation of the last block. With N > 1, layers that work on pieces of an image (the
    windows of a Swin) are seen to do so by their batch axis, and left out.
    """
    outputs = _outputs(module, probe)
    names = {child: name for name, child in module.named_modules() if name}
    n_prefix = getattr(module, "num_prefix_tokens", 1)
    layers = []
    for order, (child, output) in enumerate(outputs.items()):
        layout, prefix = _layout(output, probe, n_prefix)
        n_parameters = sum(p.numel() for p in child.parameters())
        shape = tuple(output.shape[1:])
        layers.append(Layer(names[child], type(child).__name__, shape, layout, n_parameters, order, prefix))
    return tuple(layers), _default(layers, list(outputs.items()))


def _outputs(module: nn.Module, probe: Tensor) -> dict[nn.Module, Tensor]:
    """Output of every module inside `module` for `probe`; a module that runs twice stands where it ran last."""
    outputs: dict[nn.Module, Tensor] = {}

    def keep(child: nn.Module, _inputs: tuple[Tensor, ...], output: object) -> None:
        outputs.pop(child, None)
        if isinstance(output, Tensor) and output.ndim > 1 and len(output) == len(probe):
            outputs[child] = output

    with hooks(child.register_forward_hook(keep) for child in module.modules() if child is not module), torch.no_grad():
        module(probe)
    return outputs


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


def _default(layers: list[Layer], outputs: list[tuple[nn.Module, Tensor]]) -> str | None:
    """Where Grad-CAM looks unless told otherwise."""
    norms = [layer for layer in layers if layer.spatial and layer.layout != MAPS and _BLOCK_NORM.search(layer.name)]
    if norms:
        return norms[-1].name
    pooled = {id(output) for child, output in outputs if isinstance(child, _POOLING)}
    maps = [
        layer
        for layer, (child, output) in zip(layers, outputs, strict=True)
        if layer.spatial and layer.layout != TOKENS and not isinstance(child, _PASSING) and id(output) not in pooled
    ]
    return maps[-1].name if maps else None


def _layout(output: Tensor, probe: Tensor, n_prefix: int) -> tuple[str, int]:
    """Layout of a layer's output, and how many class or register tokens lead it."""
    shape = output.shape
    if len(shape) == 2:
        return VECTOR, 0
    if len(shape) == 3:
        for prefix in dict.fromkeys((n_prefix, 0)):  # in front of a ViT's class token, there are patches alone
            if shape[1] > prefix and math.isqrt(shape[1] - prefix) ** 2 == shape[1] - prefix:
                return TOKENS, prefix
        return OTHER, 0
    if len(shape) == 4:
        aspect = probe.shape[2] / probe.shape[3]
        first, last = abs(shape[2] / shape[3] - aspect), abs(shape[1] / shape[2] - aspect)
        return (MAPS, 0) if first <= last else (MAPS_LAST, 0)
    return OTHER, 0
