"""Batches of pictures that differ from one only in a window each, held as that clean picture and the windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from explainers.engines.interception import FunctionCall, tensors_in


class Span(NamedTuple):
    """Where along one axis each of B patches lies: it begins at `first` (B,) int64, all are `length` long."""

    first: np.ndarray
    length: int

    @classmethod
    def over(cls, low: np.ndarray, high: np.ndarray, size: int) -> Span:
        """The shortest of equal length that hold `low` to `high` (inclusive), within an axis of `size`."""
        low, high = low.clip(0, size - 1), high.clip(0, size - 1)
        length = max(1, int((high - low).max()) + 1)
        return cls(np.minimum(low, size - length), length)

    @property
    def last(self) -> np.ndarray:
        """Where each ends, inclusive."""
        return self.first + self.length - 1

    def same(self, other: Span) -> bool:
        """Whether this is the same place."""
        return self.length == other.length and bool((self.first == other.first).all())

    def reached(self, window: Window, size: int) -> Span:
        """The places of an output of `size` into which this part of the input goes."""
        low = -(-(self.first + window.padding - window.reach) // window.stride)
        return Span.over(low, (self.last + window.padding) // window.stride, size)

    def needed(self, window: Window) -> Span:
        """The part of the input from which this part of the output is made; it may stick out."""
        return Span(self.first * window.stride - window.padding, (self.length - 1) * window.stride + window.reach + 1)

    def joined(self, other: Span, size: int) -> Span:
        """What holds both, within an axis of `size`."""
        return Span.over(np.minimum(self.first, other.first), np.maximum(self.last, other.last), size)


class Window(NamedTuple):
    """How a layer slides along one axis: it looks at places 0 to `reach`, `stride` apart, after `padding`."""

    reach: int
    stride: int
    padding: int


@dataclass
class CallRecord:
    """What is kept of one call of a function from batch to batch.

    Its clean output, clean inputs as `WindowPatch.crop` has them, and whether it gets the whole pictures. That is
    decided once, by a batch of two: in a batch of one, what was made of the picture looks like what is the same for
    all.
    """

    clean: Any = None
    whole: bool = False
    sources: dict[int, Tensor] = field(default_factory=dict)


class ForwardPass:
    """One forward pass of a batch: the records of its calls in turn, and the most numbers that a picture needs at once.

    `rules` say by a function's name what it makes of patches; see `window_rules`.
    """

    def __init__(self, records: list[CallRecord], rules: Mapping[str, Callable[..., Any]]) -> None:
        self._records, self._next, self.largest, self.rules = records, 0, 0, rules

    def next_record(self) -> CallRecord:
        """What is kept of the next call; the first batch fills it, the later ones read it."""
        if self._next == len(self._records):
            self._records.append(CallRecord())
        self._next += 1
        return self._records[self._next - 1]

    def needs(self, pictures: Tensor) -> None:
        """Take note of the memory for `pictures` (B, ...)."""
        self.largest = max(self.largest, pictures.numel() // len(pictures))


class LazyBatch(Tensor):
    """Many pictures, or rows made of them: a tensor in shape, dtype and device alone, whose values are made on demand.

    Torch functions follow the rule of their name; those without one get the whole pictures.
    """

    forward_pass: ForwardPass
    whole: Callable[[], Tensor]  # makes the values themselves; each kind of batch has its own

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            call = FunctionCall(func, args, kwargs)
            if call.asks_a_fact:
                return call.run()
            forward_pass = next(part.forward_pass for part in call.tensors() if isinstance(part, LazyBatch))
            rule, record = forward_pass.rules.get(call.name), forward_pass.next_record()
            if rule is not None and not record.whole:
                output = rule(record, call, *call.args, **call.kwargs)
                if output is not NotImplemented:
                    return output
            record.whole = True
            return call.run_with(lambda batch: batch.whole(), LazyBatch)


class WindowPatch(LazyBatch):
    """B pictures (B, C, H, W) that equal `clean` (1, C, H, W) except in `content` (B, C, h, w) at `rows`, `columns`."""

    content: Tensor
    clean: Tensor
    rows: Span
    columns: Span

    @classmethod
    def of(cls, content: Tensor, clean: Tensor, rows: Span, columns: Span, forward_pass: ForwardPass) -> WindowPatch:
        """See the class."""
        patch = content.new_empty(1).expand(len(content), *clean.shape[1:]).as_subclass(cls)
        patch.content, patch.clean, patch.rows, patch.columns, patch.forward_pass = (
            content,
            clean,
            rows,
            columns,
            forward_pass,
        )
        forward_pass.needs(content)
        return patch

    def crop(self, rows: Span, columns: Span, source: Tensor, margin: tuple[int, int] = (0, 0)) -> Tensor:
        """The pictures' values at `rows` and `columns`: (B, C, h, w), in channels-last memory.

        `source` (H, W, C) are the clean ones, with `margin` more rows above and columns to the left.
        """
        found = _cut(source, rows, columns, margin)
        self.forward_pass.needs(found)
        self._paste(found, self.rows.first - rows.first, self.columns.first - columns.first)
        return found.permute(0, 3, 1, 2)

    def _paste(self, target: Tensor, down: np.ndarray, right: np.ndarray) -> None:
        """Write the values into `target` (B, h, w, C), each so far `down` and `right`; what sticks out is left out."""
        values = self.content.permute(0, 2, 3, 1)
        (n, height, width, _), (_, rows, columns, _) = target.shape, values.shape
        at = ((np.arange(n) * height + down) * width + right)[:, None] + np.arange(rows) * width
        inside = (down >= 0) & (down + rows <= height) & (right >= 0) & (right + columns <= width)
        if inside.all():
            places = torch.from_numpy(at).to(target.device)
            _lines(target, columns).index_put_((places,), values.reshape(n, rows, -1))
            return
        at_row, at_column = down[:, None] + np.arange(rows), right[:, None] + np.arange(columns)
        within = ((at_row >= 0) & (at_row < height))[:, :, None] & ((at_column >= 0) & (at_column < width))[:, None]
        places = torch.from_numpy((at[:, :, None] + np.arange(columns))[within]).to(target.device)
        target.view(-1, target.shape[3]).index_copy_(0, places, values[torch.from_numpy(within).to(target.device)])

    def whole(self) -> Tensor:
        """The pictures themselves, (B, C, H, W)."""
        every = [Span(np.zeros(len(self.content), dtype=np.int64), size) for size in self.clean.shape[2:]]
        return self.crop(every[0], every[1], source_of(self.clean))

    def change(self, source: Tensor) -> Tensor:
        """How the content differs from the clean picture, whose `source_of` is `source`: (B, C, h, w)."""
        return self.content - _cut(source, self.rows, self.columns).permute(0, 3, 1, 2)


class FlatPatch(LazyBatch):
    """The pictures of a patch as rows, (B, C · H · W)."""

    patch: WindowPatch

    @classmethod
    def of(cls, patch: WindowPatch) -> FlatPatch:
        """See the class."""
        flat = patch.content.new_empty(1).expand(len(patch.content), patch.clean[0].numel()).as_subclass(cls)
        flat.patch, flat.forward_pass = patch, patch.forward_pass
        return flat

    def whole(self) -> Tensor:
        """The rows themselves."""
        return self.patch.whole().flatten(1)


def source_of(clean: Tensor) -> Tensor:
    """(1, C, H, W) -> (H, W, C)."""
    return clean[0].permute(1, 2, 0).contiguous()


def _cut(source: Tensor, rows: Span, columns: Span, margin: tuple[int, int] = (0, 0)) -> Tensor:
    """What `source` (H, W, C) holds at `rows` and `columns`, `margin` further down and right: (B, h, w, C)."""
    width = source.shape[1]
    corners = (rows.first + margin[0]) * width + columns.first + margin[1]
    at = torch.from_numpy((corners[:, None] + np.arange(rows.length) * width).ravel()).to(source.device)
    return _lines(source, columns.length).index_select(0, at).view(-1, rows.length, columns.length, source.shape[2])


def _lines(values: Tensor, length: int) -> Tensor:
    """Contiguous (..., H, W, C) -> a view (places, length * C): what begins at each place and goes on to the right."""
    n_channels = values.shape[-1]
    n_places = max(0, values.numel() // n_channels - length + 1)
    return values.as_strided((n_places, length * n_channels), (n_channels, 1))


def holds_patches(value: Any) -> bool:
    """Whether there is a lazy batch among nested arguments."""
    return any(isinstance(part, LazyBatch) for part in tensors_in(value))
