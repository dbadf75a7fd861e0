"""What the lens shows: the numbers of one map of a convolution or a pooling layer, checked, and few enough to send."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from common.errors import InputError

#: Cells of a side, and channels, that are shown at most.
MAX_CELLS, MAX_CHANNELS = 64, 32

#: How far a sum may be from what the output holds, as a share of the largest value there (or of 1).
_TOLERANCE = 1e-3


@dataclass(frozen=True)
class LensView:
    """What the script draws: `facts` as JSON, `values` as float32 (maps, then the kernel, then the output)."""

    facts: dict[str, Any]
    values: np.ndarray


@dataclass(frozen=True)
class _Axis:
    """The part of an axis that is shown: cells `first` to `end` of the output, and `low` to `high` of the input."""

    first: int
    end: int
    low: int
    high: int


def convolution_view(
    inputs: np.ndarray, kernel: np.ndarray, bias: float, output: np.ndarray, stride: int, padding: int
) -> LensView:
    """One feature map (h2, w2) of a convolution with inputs (C, h, w) and the map's own kernel (C, k, k).

    Channels come in the order of how much they add, the strongest first. Raises `InputError` where shapes do not fit,
    and where the output is not what inputs, kernel and bias give.
    """
    if inputs.ndim != 3 or kernel.ndim != 3 or len(kernel) != len(inputs) or kernel.shape[1] != kernel.shape[2]:
        raise InputError(
            "inputs (C, h, w) and a kernel (C, k, k) of as many channels",
            f"{inputs.shape} and {kernel.shape}",
            "Take the weights of one filter.",
        )
    size = kernel.shape[1]
    padded = np.pad(inputs.astype(np.float64), ((0, 0), (padding, padding), (padding, padding)))
    windows = _windows(padded, size, stride, output)
    parts = np.zeros(windows.shape[:3])
    for row in range(size):
        for column in range(size):
            parts += windows[..., row, column] * kernel[:, row, column, None, None]
    _check(parts.sum(0) + bias, output, "inputs, kernel and bias")
    order = np.argsort(-np.abs(parts).sum((1, 2)), kind="stable")[:MAX_CHANNELS]
    facts = {"mode": "convolution", "bias": float(bias), "channels": order.tolist(), "of_channels": len(inputs)}
    return _view(facts, inputs[order], kernel[order], output, size, stride, padding)


def max_pool_view(inputs: np.ndarray, output: np.ndarray, kernel_size: int, stride: int, padding: int = 0) -> LensView:
    """One channel of a max-pooling layer: inputs (h, w), output (h2, w2).

    Raises `InputError` where shapes do not fit, and where the output does not hold the windows' maxima.
    """
    if inputs.ndim != 2:
        raise InputError("inputs (h, w) of one channel", f"{inputs.shape}", "Take one channel.")
    padded = np.pad(inputs.astype(np.float64), padding, constant_values=-np.inf)[None]
    _check(_windows(padded, kernel_size, stride, output).max((0, 3, 4)), output, "the maxima of the inputs")
    facts = {"mode": "max_pool", "bias": 0.0, "channels": [0], "of_channels": 1}
    return _view(facts, inputs[None], np.zeros((0,)), output, kernel_size, stride, padding)


def _windows(padded: np.ndarray, size: int, stride: int, output: np.ndarray) -> np.ndarray:
    """The windows (C, h2, w2, k, k) of padded inputs, which must be as many as the output has cells."""
    sides = [(length - size) // stride + 1 for length in padded.shape[1:]]
    if output.shape != tuple(sides) or min(sides) < 1:
        raise InputError(
            f"an output {tuple(sides)} of windows {size} × {size} in steps of {stride}",
            f"{output.shape}",
            "Take stride, padding and output of the same layer.",
        )
    return sliding_window_view(padded, (size, size), axis=(1, 2))[:, ::stride, ::stride]


def _check(wanted: np.ndarray, output: np.ndarray, source: str) -> None:
    if not (np.isfinite(wanted).all() and np.isfinite(output).all()):
        raise InputError("finite numbers", "NaN or infinity", "The network has diverged: take an earlier epoch.")
    off = float(np.abs(wanted - output).max())
    if off > _TOLERANCE * max(1.0, float(np.abs(output).max())):
        raise InputError(
            f"the output that {source} give", f"one that is off by {off:.3g}", "Take all from one layer and one image."
        )


def _view(
    facts: dict[str, Any],
    maps: np.ndarray,
    kernel: np.ndarray,
    output: np.ndarray,
    size: int,
    stride: int,
    padding: int,
) -> LensView:
    strongest = [int(place) for place in np.unravel_index(int(np.abs(output).argmax()), output.shape)]
    axes = [
        _shown(whole, len_out, place, size, stride, padding)
        for whole, len_out, place in zip(maps.shape[1:], output.shape, strongest, strict=True)
    ]
    (rows, columns), whole = axes, (maps.shape[1:], output.shape)
    maps = maps[:, rows.low : rows.high, columns.low : columns.high]
    output = output[rows.first : rows.end, columns.first : columns.end]
    facts = facts | {
        "size": size,
        "stride": stride,
        "padding": padding,
        "input": {"first": [axis.low for axis in axes], "shape": maps.shape[1:], "whole": whole[0]},
        "output": {"first": [axis.first for axis in axes], "shape": output.shape, "whole": whole[1]},
        "strongest": strongest,
    }
    return LensView(facts, np.concatenate([part.ravel() for part in (maps, kernel, output)]).astype("<f4"))


def _shown(n_in: int, n_out: int, middle: int, size: int, stride: int, padding: int) -> _Axis:
    """All of an axis where it is short enough; else the cells around `middle`, and what their windows see."""
    if max(n_in, n_out) <= MAX_CELLS:
        return _Axis(0, n_out, 0, n_in)
    n_shown = max(1, min(n_out, (MAX_CELLS - size) // stride + 1))
    first = min(max(middle - n_shown // 2, 0), n_out - n_shown)
    low = first * stride - padding
    return _Axis(first, first + n_shown, max(low, 0), min(low + (n_shown - 1) * stride + size, n_in))
