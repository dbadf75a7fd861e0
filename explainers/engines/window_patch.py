"""Patches: many pictures that differ from one only in a window each, kept as that one and the windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from explainers.engines.relu import called


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
class Call:
    """What is kept of one call of a function from batch to batch.

    Its clean output, clean inputs as `Patch.crop` has them, and whether it gets the whole pictures. That is decided
    once, by a batch of two: in a batch of one, what was made of the picture looks like what is the same for all.
    """

    clean: Any = None
    whole: bool = False
    sources: dict[int, Tensor] = field(default_factory=dict)


class Run:
    """One pass of a batch: the model's calls in turn, and the most numbers that one picture needs at once."""

    def __init__(self, kept: list[Call], rules: Mapping[str, Callable[..., Any]]) -> None:
        """`rules` say by name what a function makes of patches, from its `Call` and arguments; see `patch_rules`."""
        self._kept, self._next, self.largest, self.rules = kept, 0, 0, rules

    def call(self) -> Call:
        """What is kept of the next call; the first batch writes it down, the next ones find it."""
        if self._next == len(self._kept):
            self._kept.append(Call())
        self._next += 1
        return self._kept[self._next - 1]

    def needs(self, pictures: Tensor) -> None:
        """Take note of the memory for `pictures` (B, ...)."""
        self.largest = max(self.largest, pictures.numel() // len(pictures))


class Hollow(Tensor):
    """Many pictures, or rows made of them, in shape, kind and device alone: there is no memory for them.

    Torch functions without a rule get the whole pictures.
    """

    run: Run

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        with torch._C.DisableTorchFunctionSubclass():
            name = called(func)
            if name in _FACTS or (name == "__get__" and func.__self__.__name__ not in _VIEWS):  # type: ignore[attr-defined]
                return func(*args, **kwargs)
            patches = list(patches_in((args, kwargs)))
            rule = patches[0].run.rules.get(name.strip("_"))
            call = patches[0].run.call()
            if rule is not None and not call.whole:
                output = rule(call, func, *args, **kwargs)
                if output is not NotImplemented:
                    return output
            call.whole = True
            return func(*with_whole_pictures(args), **with_whole_pictures(kwargs))


class Patch(Hollow):
    """B pictures (B, C, H, W) that equal `clean` (1, C, H, W) except in `content` (B, C, h, w) at `rows`, `columns`."""

    content: Tensor
    clean: Tensor
    rows: Span
    columns: Span

    @classmethod
    def of(cls, content: Tensor, clean: Tensor, rows: Span, columns: Span, run: Run) -> Patch:
        """See the class."""
        patch = content.new_empty(1).expand(len(content), *clean.shape[1:]).as_subclass(cls)
        patch.content, patch.clean, patch.rows, patch.columns, patch.run = content, clean, rows, columns, run
        run.needs(content)
        return patch

    def like(self, values: Tensor, clean: Tensor) -> Patch:
        """Other values at the same place."""
        return Patch.of(values, clean, self.rows, self.columns, self.run)

    def crop(self, rows: Span, columns: Span, source: Tensor, margin: tuple[int, int] = (0, 0)) -> Tensor:
        """The pictures' values at `rows` and `columns`: (B, C, h, w), in channels-last memory.

        `source` (H, W, C) are the clean ones, with `margin` more rows above and columns to the left.
        """
        found = _cut(source, rows, columns, margin)
        self.run.needs(found)
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


class Flat(Hollow):
    """The pictures of a patch as rows, (B, C · H · W)."""

    patch: Patch

    @classmethod
    def of(cls, patch: Patch) -> Flat:
        """See the class."""
        flat = patch.content.new_empty(1).expand(len(patch.content), patch.clean[0].numel()).as_subclass(cls)
        flat.patch, flat.run = patch, patch.run
        return flat

    def whole(self) -> Tensor:
        """The rows themselves."""
        return self.patch.whole().flatten(1)


#: What may be asked about the pictures without looking at them.
_FACTS = frozenset(("__len__", "dim", "get_device", "is_contiguous", "is_floating_point", "ndimension", "nelement",
                    "numel", "size", "stride", "__set__"))  # fmt: skip
_VIEWS = frozenset(("T", "mT", "H", "mH", "data"))


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


def patches_in(part: Any) -> Iterator[Patch | Flat]:
    """All patches in nested arguments, flat ones too."""
    if isinstance(part, Patch | Flat):
        yield part
    elif isinstance(part, tuple | list):
        for one in part:
            yield from patches_in(one)
    elif isinstance(part, dict):
        yield from patches_in(list(part.values()))


def with_whole_pictures(part: Any) -> Any:
    """The same, with whole pictures for patches."""
    if isinstance(part, Patch | Flat):
        return part.whole()
    if isinstance(part, tuple | list):
        return type(part)(with_whole_pictures(one) for one in part)
    return {name: with_whole_pictures(one) for name, one in part.items()} if isinstance(part, dict) else part
