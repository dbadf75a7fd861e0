"""Networks that were built and trained on the Playground: a stack of layers, and weights in a safetensors file."""

from __future__ import annotations

import json
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import asdict
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor, nn

from common import sealed
from common.class_names_file import check_names
from common.errors import InputError, first_line
from common.plain_json import parse_json
from models import stack as stacks
from models.card import Recipe
from models.loaders.base import FILE_TAB, Loaded, Loader
from models.preprocessing import Preprocessing
from models.stack import FullyConnected, Shape, Stack

#: The entry of the file's metadata that says what it holds.
_FACTS = "parallax_playground"

#: Three times what the largest network of the Playground takes.
_MOST_BYTES = 64 * 1024**2


class ResidualBlock(nn.Module):
    """Two 3 × 3 convolutions whose result is added to what came in; `models.stack.RESIDUAL_BLOCK` is the same."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1, bias=False)
        self.relu2 = nn.ReLU()

    def forward(self, maps: Tensor) -> Tensor:
        """(N, n_in, h, w) -> (N, n_out, h, w)."""
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(maps)))))
        return self.relu2(residual + self.shortcut(maps))


class SeededDropout(nn.Dropout):
    """Dropout that draws from a generator of its own, where it has one: torch's is everybody's."""

    generator: torch.Generator | None = None

    def forward(self, values: Tensor) -> Tensor:
        """Any shape, unchanged in eval mode."""
        if not self.training or self.generator is None:
            return super().forward(values)
        kept = torch.empty_like(values).bernoulli_(1 - self.p, generator=self.generator)
        return values * kept.div_(1 - self.p)


_SHORT = {"convolution": "conv", "max_pool": "pool", "batch_norm": "bn", "fully_connected": "fc"}


def layer_names(stack: Stack) -> list[str]:
    """The modules' names of the layers, in order: `conv1`, `relu1`, `pool1`, `conv2`, …"""
    counts: Counter[str] = Counter()
    names = []
    for layer in stack:
        short = _SHORT.get(layer.kind, layer.kind)
        counts[short] += 1
        names.append(f"{short}{counts[short]}")
    return names


def build(stack: Stack, shape: Shape, n_classes: int) -> nn.Sequential:
    """The stack as a module: images (N, C, H, W) of `shape` (C, H, W) -> (N, n_classes) logits.

    Weights are drawn from torch's generator. Raises `InputError` for a stack that breaks.
    """
    stacks.check(stack, shape, n_classes)
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    every = zip((*layer_names(stack), "classifier"), (*stack, FullyConnected(n_classes)), strict=True)
    for (name, layer), row in zip(every, stacks.trace(stack, shape, n_classes), strict=False):
        if isinstance(layer, FullyConnected) and len(row.shape) == 3:
            modules["flatten"] = nn.Flatten()
        modules[name] = _module(layer, row.shape)
    return nn.Sequential(modules)


def _module(layer: stacks.StackLayer, shape: Shape) -> nn.Module:
    """One layer, for an input of `shape`."""
    match layer:
        case stacks.Convolution():
            return nn.Conv2d(shape[0], layer.filters, layer.kernel_size, layer.stride, layer.padding)
        case stacks.ReLU():
            return nn.ReLU()
        case stacks.MaxPool():
            return nn.MaxPool2d(layer.kernel_size, layer.stride)
        case stacks.Dropout():
            return SeededDropout(layer.probability)
        case stacks.BatchNorm():
            return nn.BatchNorm2d(shape[0]) if len(shape) == 3 else nn.BatchNorm1d(shape[0])
        case stacks.Residual():
            return ResidualBlock(shape[0], layer.filters)
        case stacks.FullyConnected():
            return nn.Linear(prod(shape), layer.units)
    raise TypeError(layer)


def save(
    path: Path, module: nn.Module, stack: Stack, class_names: Sequence[str], preprocessing: Preprocessing, note: str
) -> None:
    """Write a network as one sealed file; within it, safetensors that say all that `load` needs."""
    facts = {
        "stack": stacks.to_json(stack), "class_names": list(class_names), "preprocessing": asdict(preprocessing),
        "note": note,
    }  # fmt: skip
    weights = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    sealed.write(path, safetensors.save(weights, {_FACTS: json.dumps(facts)}))


def load(path: str, name: str = "") -> Loaded:
    """The network in a file that `save` wrote, or that was downloaded.

    Raises `InputError` where the file has gone, is none of those, or holds weights of another network.
    """
    expected = "a network that the Playground saved"
    cure = "Press Send to comparison on the Playground, or download the network there, again."
    try:
        if Path(path).stat().st_size > _MOST_BYTES:
            raise InputError(f"at most {_MOST_BYTES // 1024**2} MB", f"{Path(path).stat().st_size:,} bytes", cure)
        content = sealed.read(Path(path))
        if content is None:
            raise FileNotFoundError("it is not there, or was damaged")
        weights = safetensors.load(content)
        facts = parse_json(_header(content)["__metadata__"][_FACTS], expected, cure)
        if len(facts["stack"]) > stacks.MOST_LAYERS:
            raise InputError(f"at most {stacks.MOST_LAYERS} layers", f"{len(facts['stack']):,}", cure)
        stack, class_names = stacks.stack_of(facts["stack"]), tuple(map(str, facts["class_names"]))
        image: dict[str, Any] = {
            key: tuple(v) if isinstance(v, list) else v for key, v in facts["preprocessing"].items()
        }
        preprocessing, note = Preprocessing(**image), str(facts["note"])
        check_names(class_names)
        module = build(stack, (preprocessing.channels, *preprocessing.input_size), len(class_names))
        module.load_state_dict(weights)
    except (OSError, SafetensorError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(expected, f"{Path(path).name} ({first_line(error)})", cure) from error
    return Loaded(
        name=name or Path(path).stem,
        source="playground",
        family="Playground",
        architecture="playground/" + "-".join(layer.title for layer in stack),
        module=module.eval(),
        preprocessing=preprocessing,
        class_names=class_names,
        recipe=Recipe("playground", {"path": path, "name": name}),
        notes=(note,) if note else (),
        flags=json.dumps(facts["stack"]),  # strides and windows show in no weight
    )


def _header(content: bytes) -> dict[str, Any]:
    """What safetensors say before the weights: its length in 8 bytes, then JSON."""
    return dict(json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")]))


def _read(text: str, _class_names: str | None) -> list[Loaded]:
    return [load(text.removeprefix("playground/"))]


#: A network from the Playground comes by its button; `playground/FILE` names one that was downloaded.
LOADER = Loader(
    "playground",
    load,
    FILE_TAB,
    _read,
    prefixes=("playground",),
    forms={"playground/FILE": "a network that was built, trained and downloaded on the Playground"},
)
