"""What torch functions make of window patches: local ones hand on what the window reaches, others get whole pictures.

A rule gets the `CallRecord` of this call, the call, and its arguments as the function's own signature has them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from explainers.engines.interception import FunctionCall
from explainers.engines.window_patch import CallRecord, FlatPatch, Span, Window, WindowPatch, holds_patches, source_of


def _finished(
    record: CallRecord,
    call: FunctionCall,
    x: WindowPatch,
    values: Tensor,
    rows: Span | None = None,
    columns: Span | None = None,
) -> WindowPatch:
    """A new patch, or, when the model wrote into `x`, `x` itself with what it is now."""
    if values is x.content or call.in_place:
        x.content, x.clean, x.rows, x.columns = values, record.clean, rows or x.rows, columns or x.columns
        return x
    return WindowPatch.of(values, record.clean, rows or x.rows, columns or x.columns, x.forward_pass)


def _pointwise(record: CallRecord, call: FunctionCall, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Each value on its own; in place where the model says so."""
    if not isinstance(x, WindowPatch) or holds_patches((args, kwargs)):
        return NotImplemented
    if record.clean is None:
        record.clean = call.func(x.clean.clone(), *args, **kwargs)
    return _finished(record, call, x, call.func(x.content, *args, **kwargs))


def _pair(number: int | Sequence[int]) -> tuple[int, int]:
    if isinstance(number, int):
        return number, number
    return (number[0], number[-1])


def _reach(kernel: Sequence[int], dilation: Any = 1) -> tuple[int, int]:
    (height, width), (down, right) = kernel, _pair(dilation)
    return down * (height - 1), right * (width - 1)


def _slide(
    record: CallRecord,
    x: WindowPatch,
    layer: Callable[[Tensor], Tensor],
    reach: tuple[int, int],
    stride: Any,
    padding: Any,
    fill: float = 0.0,
) -> WindowPatch:
    """What a sliding layer makes of the part that the window reaches; `layer` itself pads nothing."""
    windows = [Window(*item) for item in zip(reach, _pair(stride), _pair(padding), strict=True)]
    sizes = record.clean.shape[2:]
    rows, columns = (
        span.reached(window, size) for span, window, size in zip((x.rows, x.columns), windows, sizes, strict=True)
    )
    if 0 not in record.sources:
        pads: list[int] = []
        for window, size, found in zip(windows, sizes, x.clean.shape[2:], strict=True):
            after = (size - 1) * window.stride + window.reach + 1 - window.padding - found
            pads = [window.padding, max(0, after), *pads]
        record.sources[0] = source_of(F.pad(x.clean, pads, value=fill) if any(pads) else x.clean)
    margin = (windows[0].padding, windows[1].padding)
    pictures = x.crop(rows.needed(windows[0]), columns.needed(windows[1]), record.sources[0], margin)
    return WindowPatch.of(layer(pictures), record.clean, rows, columns, x.forward_pass)


def _conv2d(
    record: CallRecord,
    call: FunctionCall,
    input: WindowPatch,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Any:
    if record.clean is None:
        record.clean = call.func(input.clean, weight, bias, stride, padding, dilation, groups)
    reach = _reach(weight.shape[2:], dilation)
    if isinstance(padding, str):
        padding = tuple(n // 2 for n in reach) if padding == "same" else 0
    layer = partial(F.conv2d, weight=weight, bias=bias, stride=stride, dilation=dilation, groups=groups)
    return _slide(record, input, layer, reach, stride, padding)


def _max_pool2d(
    record: CallRecord,
    call: FunctionCall,
    input: WindowPatch,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    if return_indices:
        return NotImplemented
    if record.clean is None:
        record.clean = call.func(input.clean, kernel_size, stride, padding, dilation, ceil_mode)
    stride = kernel_size if stride is None or stride == [] else stride
    layer = partial(F.max_pool2d, kernel_size=kernel_size, stride=stride, dilation=dilation)
    return _slide(record, input, layer, _reach(_pair(kernel_size), dilation), stride, padding, fill=-torch.inf)


def _avg_pool2d(
    record: CallRecord,
    call: FunctionCall,
    input: WindowPatch,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    if ceil_mode or (any(_pair(padding)) and not count_include_pad):
        return NotImplemented
    if record.clean is None:
        record.clean = call.func(input.clean, kernel_size, stride, padding, False, True, divisor_override)
    stride = kernel_size if stride is None or stride == [] else stride
    layer = partial(F.avg_pool2d, kernel_size=kernel_size, stride=stride, divisor_override=divisor_override)
    return _slide(record, input, layer, _reach(_pair(kernel_size)), stride, padding)


def _pad(
    record: CallRecord,
    call: FunctionCall,
    input: WindowPatch,
    pad: Sequence[int],
    mode: str = "constant",
    value: float | None = None,
) -> Any:
    if mode != "constant" or len(pad) > 4 or min(pad) < 0:
        return NotImplemented
    if record.clean is None:
        record.clean = call.func(input.clean, list(pad), mode, value)
    left, _, top, _ = (*pad, 0, 0)[:4]
    rows, columns = (
        Span(input.rows.first + top, input.rows.length),
        Span(input.columns.first + left, input.columns.length),
    )
    return WindowPatch.of(input.content, record.clean, rows, columns, input.forward_pass)


def _together(record: CallRecord, patches: Sequence[WindowPatch]) -> tuple[list[Tensor], Span, Span]:
    """Values of several patches at the places where any of them lies."""
    height, width = patches[0].clean.shape[2:]
    rows, columns = patches[0].rows, patches[0].columns
    for patch in patches[1:]:
        rows, columns = rows.joined(patch.rows, height), columns.joined(patch.columns, width)
    found = []
    for number, patch in enumerate(patches):
        if patch.rows.same(rows) and patch.columns.same(columns):
            found.append(patch.content)
            continue
        if number not in record.sources:
            record.sources[number] = source_of(patch.clean)
        found.append(patch.crop(rows, columns, record.sources[number]))
    return found, rows, columns


def _binary(record: CallRecord, call: FunctionCall, x: Any, y: Any, *args: Any, **kwargs: Any) -> Any:
    """x + y, x · y, … of two patches of one shape, or of one and what is the same at every place."""
    both = isinstance(x, WindowPatch) and isinstance(y, WindowPatch)
    if both and x.clean.shape != y.clean.shape:
        return NotImplemented
    patch, other = (x, y) if isinstance(x, WindowPatch) else (y, x)
    if not isinstance(patch, WindowPatch):
        return NotImplemented
    if not both and isinstance(other, Tensor) and other.numel() > 1:
        shape = (1,) * (4 - other.ndim) + tuple(other.shape)
        if len(shape) != 4 or shape[0] != 1 or shape[2:] != (1, 1):
            return NotImplemented
    if record.clean is None:
        clean = (part.clean.clone() if isinstance(part, WindowPatch) else part for part in (x, y))
        record.clean = call.func(*clean, *args, **kwargs)
    if not both:
        values = (part.content if isinstance(part, WindowPatch) else part for part in (x, y))
        return _finished(record, call, patch, call.func(*values, *args, **kwargs))
    (a, b), rows, columns = _together(record, (x, y))
    return _finished(record, call, x, call.func(a, b, *args, **kwargs), rows, columns)


def _cat(record: CallRecord, call: FunctionCall, tensors: Sequence[Any], dim: int = 0) -> Any:
    if dim not in (1, -3) or not all(isinstance(part, WindowPatch) for part in tensors):
        return NotImplemented
    if record.clean is None:
        record.clean = call.func([patch.clean for patch in tensors], dim)
    parts, rows, columns = _together(record, tensors)
    return WindowPatch.of(call.func(parts, dim), record.clean, rows, columns, tensors[0].forward_pass)


def _batch_norm(
    record: CallRecord,
    call: FunctionCall,
    input: WindowPatch,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *rest: Any,
) -> Any:
    if training:
        return NotImplemented
    return _pointwise(record, call, input, running_mean, running_var, weight, bias, training, momentum, eps, *rest)


def _dropout(
    record: CallRecord,
    call: FunctionCall,
    input: WindowPatch,
    p: float = 0.5,
    training: bool = True,
    inplace: bool = False,
) -> Any:
    return NotImplemented if training else input


def _mean(
    record: CallRecord, call: FunctionCall, input: WindowPatch, dim: Any = None, keepdim: bool = False, **kwargs: Any
) -> Any:
    """The clean mean, and what the patch adds to it."""
    if (
        dim is None
        or isinstance(dim, int)
        or sorted(d % 4 for d in dim) != [2, 3]
        or kwargs.get("dtype")
        or input.ndim != 4
    ):
        return NotImplemented
    if record.clean is None:
        record.clean, record.sources[0] = input.clean.mean((2, 3)), source_of(input.clean)
    height, width = input.clean.shape[2:]
    means = record.clean + input.change(record.sources[0]).sum((2, 3)) / (height * width)
    return means[:, :, None, None] if keepdim else means


def _adaptive_avg_pool2d(record: CallRecord, call: FunctionCall, input: WindowPatch, output_size: Any) -> Any:
    size = tuple(
        have if want is None else want for want, have in zip(_pair(output_size), input.clean.shape[2:], strict=True)
    )
    if size == tuple(input.clean.shape[2:]):
        return input
    return _mean(record, call, input, (2, 3), keepdim=True) if size == (1, 1) else NotImplemented


def _flatten(record: CallRecord, call: FunctionCall, input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    return _in_rows(input) if (start_dim, end_dim % 4) == (1, 3) else NotImplemented


def _view(record: CallRecord, call: FunctionCall, input: Any, *shape: Any) -> Any:
    sizes = shape[0] if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    rows = (len(input), input[0].numel())
    wanted = tuple(row if size == -1 else size for size, row in zip(sizes, rows, strict=False))
    return _in_rows(input) if len(sizes) == 2 and wanted == rows else NotImplemented


def _in_rows(input: Any) -> Any:
    """Rows of patches that leave most of the picture as it is; else they save nothing."""
    if not isinstance(input, WindowPatch) or 2 * input.rows.length * input.columns.length > input.clean[0, 0].numel():
        return NotImplemented
    return FlatPatch.of(input)


def _linear(record: CallRecord, call: FunctionCall, input: Any, weight: Tensor, bias: Tensor | None = None) -> Any:
    """The clean row's answer, and what the patch adds to it by its own columns of the weight."""
    if not isinstance(input, FlatPatch):
        return NotImplemented
    patch = input.patch
    if record.clean is None:
        record.clean = call.func(patch.clean.flatten(1), weight, bias)
        record.sources[0] = source_of(patch.clean)
        record.sources[1] = weight.unflatten(1, patch.clean.shape[1:]).permute(2, 3, 1, 0).contiguous()  # (H, W, C, O)
    at = np.stack([patch.rows.first, patch.columns.first], 1)
    places, which, counts = np.unique(at, axis=0, return_inverse=True, return_counts=True)
    order = torch.from_numpy(which.ravel().argsort(kind="stable")).to(patch.content.device)
    changes = patch.change(record.sources[0]).permute(0, 2, 3, 1).flatten(1)[order].split(counts.tolist())
    found = []
    for (row, column), change in zip(places, changes, strict=True):
        part = record.sources[1][row : row + patch.rows.length, column : column + patch.columns.length]
        found.append(change @ part.flatten(0, 2))
    answers = record.clean.repeat(len(at), 1)
    answers[order] += torch.cat(found)
    return answers


#: Rules by the functions' names; `NotImplemented` where a call needs the whole pictures.
RULES: dict[str, Callable[..., Any]] = {
    **dict.fromkeys(("celu", "clamp", "clone", "contiguous", "detach", "elu", "gelu", "hardsigmoid",
                     "hardswish", "hardtanh", "leaky_relu", "mish", "neg", "relu", "relu6", "selu", "sigmoid", "silu",
                     "softplus", "square", "tanh", "threshold", "to"), _pointwise),
    **dict.fromkeys(("add", "sub", "mul", "div"), _binary),
    "adaptive_avg_pool2d": _adaptive_avg_pool2d,
    "avg_pool2d": _avg_pool2d,
    "batch_norm": _batch_norm,
    "cat": _cat,
    "conv2d": _conv2d,
    "flatten": _flatten,
    "linear": _linear,
    "dropout": _dropout,
    "max_pool2d": _max_pool2d,
    "mean": _mean,
    "pad": _pad,
    "reshape": _view,
    "view": _view,
}  # fmt: skip
