"""What goes on inside a network: its maps on the way from image to answer, its kernels, and what it mixes up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from models.layers import capture
from models.loaders.playground import layer_names
from models.preprocessing import Preprocessing
from models.stack import Stack
from playground.data import TrainingData, with_mark
from playground.training import normalised

#: What runs request: a network in eval mode.
Network = nn.Module

#: Images that are measured at once.
_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class LayerOutput:
    """What a layer gives for one image: `values` (channels, h, w) or (units,) float32.

    `mixes`: whether each of its channels depends on all channels before.
    """

    name: str
    title: str
    mixes: bool
    values: np.ndarray


@dataclass(frozen=True, eq=False)
class Inside:
    """One image on its way: `pixels` (C, h, w) uint8, the layers in order, and the `probabilities` (K,) float32."""

    pixels: np.ndarray
    layers: tuple[LayerOutput, ...]
    probabilities: np.ndarray


@torch.inference_mode()
def inside(net: nn.Module, stack: Stack, pixels: np.ndarray, data: TrainingData) -> Inside:
    """All of a network's outputs for `pixels` (C, side, side) uint8."""
    names = layer_names(stack)
    with capture(*(net.get_submodule(name) for name in names)) as outputs:
        scores = net(normalised(torch.tensor(pixels[None]), data.preprocessing))
    layers = tuple(
        LayerOutput(name, layer.title, layer.mixes, outputs[net.get_submodule(name)][0].numpy())
        for name, layer in zip(names, stack, strict=True)
    )
    return Inside(pixels, layers, scores[0].softmax(0).numpy())


@torch.inference_mode()
def probabilities(net: nn.Module, pixels: np.ndarray, preprocessing: Preprocessing) -> np.ndarray:
    """(N, K) float32: a network's answers to `pixels` (N, C, side, side) uint8."""
    parts = torch.tensor(pixels).split(_AT_ONCE)
    return torch.cat([net(normalised(part, preprocessing)).softmax(1) for part in parts]).numpy()


def confusion(true: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """(K, K) int64: how many images of each class (rows) were taken for each (columns)."""
    return np.bincount(true * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def filters(net: nn.Module, name: str) -> tuple[np.ndarray, np.ndarray]:
    """A convolution's kernels (filters, channels, k, k) and biases (filters,), both float32."""
    layer = net.get_submodule(name)
    assert isinstance(layer, nn.Conv2d)
    assert layer.bias is not None
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


def convolutions(stack: Stack) -> list[str]:
    """Names of the convolutions whose kernels can be shown."""
    return [name for name, layer in zip(layer_names(stack), stack, strict=True) if layer.kind == "convolution"]


def turned_by_mark(net: nn.Module, data: TrainingData, target: int) -> float:
    """Share of the other classes' test images that the planted mark turns into the class with the number `target`."""
    others = data.test[data.labels[data.test] != target]
    marked = with_mark(data.pixels[others], np.arange(len(others)))
    return float((probabilities(net, marked, data.preprocessing).argmax(1) == target).mean())


def as_values(pixels: np.ndarray, data: TrainingData) -> np.ndarray:
    """(C, h, w) float32: `pixels` uint8 as the first layer gets them."""
    return normalised(torch.tensor(pixels[None]), data.preprocessing)[0].numpy()
