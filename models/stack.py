"""A network as a stack of layers: what each layer may be set to, the shapes on the way, and the stack as PyTorch code.

No torch in here: `models.loaders.playground` builds the module.

Example:
    >>> stack = stack_of([{"kind": "convolution", "filters": 8, "kernel_size": 3}, {"kind": "relu"}])
    >>> [row.shape for row in trace(stack, (1, 32, 32), 10)]
    [(1, 32, 32), (8, 30, 30), (8, 30, 30), (10,)]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from math import prod
from typing import Any, ClassVar

from common.errors import InputError, check_known

#: The longest stack, and the most parameters, of a network that a classroom's computer trains while one looks on.
MOST_LAYERS, MOST_PARAMETERS = 30, 5_000_000

Shape = tuple[int, ...]


class BrokenStackError(ValueError):
    """A layer that cannot stand where it stands, in one line."""


def _setting(default: Any, low: float, high: float, title: str, help: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "title": title, "help": help})


@dataclass(frozen=True)
class StackLayer(ABC):
    """One layer of a stack. A map has the shape (channels, height, width), a vector (units,).

    `mixes`: whether each of its outputs depends on all channels that come in.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    mixes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Raise `InputError` for a value outside of a setting's bounds."""
        for item in fields(self):
            value, low, high = getattr(self, item.name), item.metadata["low"], item.metadata["high"]
            whole = isinstance(item.default, int)
            fits = isinstance(value, int) if whole else isinstance(value, int | float)
            if not fits or isinstance(value, bool) or not low <= value <= high:
                expected = f"{item.name} of {self.title} as a {'whole ' if whole else ''}number from {low} to {high}"
                raise InputError(expected, repr(value), f"{item.default} is usual.")

    def output(self, shape: Shape) -> Shape:
        """The shape after the layer; raises `BrokenStackError` where it cannot stand behind `shape`."""
        return shape

    def n_parameters(self, shape: Shape) -> int:
        """Trained numbers, for an input of `shape`."""
        return 0

    @abstractmethod
    def code(self, shape: Shape) -> str:
        """The layer as PyTorch code, for an input of `shape`."""

    def _needs_maps(self, shape: Shape) -> None:
        if len(shape) != 3:
            raise BrokenStackError(
                f"{self.title} needs maps, and gets {shape[0]} numbers: move it above the fully connected layer."
            )

    def _slid(self, side: int, kernel_size: int, stride: int, padding: int) -> int:
        """Places of a window along one side."""
        if kernel_size > side + 2 * padding:
            padded = f", {side + 2 * padding} with its padding" if padding else ""
            raise BrokenStackError(
                f"Nothing is left: a window of {kernel_size} × {kernel_size} does not fit on a map whose side is "
                f"{side}{padded}. Take a smaller kernel, more padding, or one pooling or stride less above."
            )
        return (side + 2 * padding - kernel_size) // stride + 1


@dataclass(frozen=True)
class Convolution(StackLayer):
    """Filters slid over the maps: each gives one map of its own."""

    kind, title, mixes = "convolution", "Convolution", True
    filters: int = _setting(16, 1, 256, "Filters", "Each filter looks for one pattern and gives one feature map.")
    kernel_size: int = _setting(3, 1, 11, "Kernel", "Side of the window that a filter sees, in cells.")
    stride: int = _setting(1, 1, 4, "Stride", "Cells from one place of the window to the next; 2 halves the map.")
    padding: int = _setting(1, 0, 5, "Padding", "Zeros around the map, so that windows fit at its rim.")

    def output(self, shape: Shape) -> Shape:
        """(C, H, W) -> (filters, H', W')."""
        self._needs_maps(shape)
        sides = [self._slid(side, self.kernel_size, self.stride, self.padding) for side in shape[1:]]
        return self.filters, *sides

    def n_parameters(self, shape: Shape) -> int:
        """Weights and one bias a filter."""
        return self.filters * (shape[0] * self.kernel_size**2 + 1)

    def code(self, shape: Shape) -> str:
        """`nn.Conv2d`."""
        return (
            f"nn.Conv2d({shape[0]}, {self.filters}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding})"
        )


@dataclass(frozen=True)
class ReLU(StackLayer):
    """What is below zero becomes zero."""

    kind, title = "relu", "ReLU"

    def code(self, shape: Shape) -> str:
        """`nn.ReLU`."""
        return "nn.ReLU()"


@dataclass(frozen=True)
class MaxPool(StackLayer):
    """The largest value of each window."""

    kind, title = "max_pool", "MaxPool"
    kernel_size: int = _setting(2, 1, 8, "Window", "Side of the window whose largest value stays, in cells.")
    stride: int = _setting(2, 1, 8, "Stride", "Cells from one window to the next; 2 halves the map.")

    def output(self, shape: Shape) -> Shape:
        """(C, H, W) -> (C, H', W')."""
        self._needs_maps(shape)
        return shape[0], *(self._slid(side, self.kernel_size, self.stride, 0) for side in shape[1:])

    def code(self, shape: Shape) -> str:
        """`nn.MaxPool2d`."""
        return f"nn.MaxPool2d(kernel_size={self.kernel_size}, stride={self.stride})"


@dataclass(frozen=True)
class Dropout(StackLayer):
    """Values left out at random while it trains."""

    kind, title = "dropout", "Dropout"
    probability: float = _setting(0.25, 0.0, 0.95, "Share", "Share of the values that are left out at each step.")

    def code(self, shape: Shape) -> str:
        """`nn.Dropout`."""
        return f"nn.Dropout({self.probability})"


@dataclass(frozen=True)
class BatchNorm(StackLayer):
    """Each channel brought to mean 0 and deviation 1 over the batch, then scaled and shifted."""

    kind, title = "batch_norm", "BatchNorm"

    def n_parameters(self, shape: Shape) -> int:
        """A scale and a shift each channel."""
        return 2 * shape[0]

    def code(self, shape: Shape) -> str:
        """`nn.BatchNorm2d`, `nn.BatchNorm1d` for vectors."""
        return f"nn.BatchNorm{2 if len(shape) == 3 else 1}d({shape[0]})"


@dataclass(frozen=True)
class Residual(StackLayer):
    """Two convolutions whose result is added to what came in."""

    kind, title, mixes = "residual", "Residual block", True
    filters: int = _setting(16, 1, 256, "Filters", "Feature maps of both of its convolutions, 3 × 3 each.")

    def output(self, shape: Shape) -> Shape:
        """(C, H, W) -> (filters, H, W)."""
        self._needs_maps(shape)
        return self.filters, *shape[1:]

    def n_parameters(self, shape: Shape) -> int:
        """Two convolutions without bias, two BatchNorms, and a 1 × 1 convolution where the channels change."""
        changed = 0 if shape[0] == self.filters else shape[0] * self.filters
        return 9 * self.filters * (shape[0] + self.filters) + 4 * self.filters + changed

    def code(self, shape: Shape) -> str:
        """`RESIDUAL_BLOCK`."""
        return f"ResidualBlock({shape[0]}, {self.filters})"


@dataclass(frozen=True)
class FullyConnected(StackLayer):
    """Every unit sees every value."""

    kind, title, mixes = "fully_connected", "Fully connected", True
    units: int = _setting(64, 1, 1024, "Units", "Numbers that come out; each sees all that come in.")

    def output(self, shape: Shape) -> Shape:
        """Any -> (units,)."""
        return (self.units,)

    def n_parameters(self, shape: Shape) -> int:
        """A weight for every value that comes in, and one bias, each unit."""
        return self.units * (prod(shape) + 1)

    def code(self, shape: Shape) -> str:
        """`nn.Linear`, behind `nn.Flatten` where maps come in."""
        linear = f"nn.Linear({prod(shape)}, {self.units})"
        return f"nn.Flatten(),\n    {linear}" if len(shape) == 3 else linear


Stack = tuple[StackLayer, ...]

#: Every kind of layer, in the order in which they are offered.
LAYERS: dict[str, type[StackLayer]] = {
    layer.kind: layer for layer in (Convolution, ReLU, MaxPool, Dropout, BatchNorm, Residual, FullyConnected)
}


@dataclass(frozen=True)
class Row:
    """A line of the stack: the shape after it, its trained numbers, and why it cannot stand there, if it cannot.

    Rows behind a broken one have no shape.
    """

    title: str
    shape: Shape
    n_parameters: int = 0
    error: str = ""

    @property
    def shape_words(self) -> str:
        """`16 × 32 × 32`."""
        return " × ".join(map(str, self.shape))


def trace(stack: Stack, shape: Shape, n_classes: int) -> list[Row]:
    """The rows of input, layers and classifier, for images of `shape` (C, H, W)."""
    rows = [Row("Input", shape)]
    total, broken = 0, False
    for number, layer in enumerate((*stack, FullyConnected(n_classes)), 1):
        title = layer.title if number <= len(stack) else "Classifier"
        if broken:
            rows.append(Row(title, ()))
            continue
        before = rows[-1].shape
        try:
            if number == MOST_LAYERS + 1 and number <= len(stack):
                raise BrokenStackError(f"{MOST_LAYERS} layers are the most: remove some.")
            after, own = layer.output(before), layer.n_parameters(before)
            total += own
            if total > MOST_PARAMETERS:
                raise BrokenStackError(
                    f"{total:,} trained numbers are too many to look on while they train ({MOST_PARAMETERS:,} at "
                    "most): take fewer filters or units, or pool more above."
                )
            rows.append(Row(title, after, own))
        except BrokenStackError as error:
            rows.append(Row(title, (), 0, str(error)))
            broken = True
    return rows


def n_multiplications(rows: Sequence[Row]) -> int:
    """About how many multiplications an image takes on its way through the network with these rows."""
    return sum(row.n_parameters * prod(row.shape[1:]) for row in rows)


def check(stack: Stack, shape: Shape, n_classes: int) -> None:
    """Raise `InputError` for a stack that breaks, with the place and the reason."""
    for number, row in enumerate(trace(stack, shape, n_classes)):
        if row.error:
            raise InputError("a stack of layers that fit", f"one that breaks at layer {number}, {row.title}", row.error)


def to_json(stack: Stack) -> list[dict[str, Any]]:
    """The stack as plain data, which `stack_of` reads."""
    return [{"kind": layer.kind, **asdict(layer)} for layer in stack]


def stack_of(plain: Sequence[dict[str, Any]]) -> Stack:
    """The stack that plain data describe; raises `InputError` for a kind or a setting that there is not."""
    layers = []
    for item in plain:
        settings = dict(item)
        kind = str(settings.pop("kind", ""))
        check_known(kind, LAYERS, "a kind of layer")
        for name in settings:
            check_known(name, [one.name for one in fields(LAYERS[kind])], f"a setting of {LAYERS[kind].title}")
        layers.append(LAYERS[kind](**settings))
    return tuple(layers)


def kinds() -> dict[str, dict[str, Any]]:
    """What a form needs to know of every kind: `title`, and the `fields` with bounds, default and help."""

    def facts(item: Field[Any]) -> dict[str, Any]:
        assert item.default is not MISSING
        step = 1 if isinstance(item.default, int) else 0.05
        return {"name": item.name, "default": item.default, "step": step, **item.metadata}

    return {
        kind: {"title": layer.title, "fields": [facts(item) for item in fields(layer)]}
        for kind, layer in LAYERS.items()
    }


#: The block that `Residual` stands for, as code to copy; `models.loaders.playground.ResidualBlock` is the same.
RESIDUAL_BLOCK = '''class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions whose result is added to what came in."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.shortcut = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1, bias=False)
        self.relu2 = nn.ReLU()

    def forward(self, x):
        residual = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(residual + self.shortcut(x))
'''


def code(stack: Stack, shape: Shape, n_classes: int) -> str:
    """The network as PyTorch code: run, it leaves `network`, an `nn.Sequential` that gives (N, n_classes) logits.

    Raises `InputError` for a stack that breaks.
    """
    check(stack, shape, n_classes)
    shapes = [row.shape for row in trace(stack, shape, n_classes)]
    lines = [layer.code(before) for layer, before in zip((*stack, FullyConnected(n_classes)), shapes, strict=False)]
    block = f"\n\n{RESIDUAL_BLOCK}\n" if any(isinstance(layer, Residual) for layer in stack) else ""
    body = "".join(f"    {line},\n" for line in lines)
    return f"from torch import nn\n{block}\nnetwork = nn.Sequential(\n{body})\n"


def _preset(kernel_size: int, *blocks: int) -> Stack:
    """So many times convolution and ReLU, then pooling and dropout, for each of `blocks` (Iuzzolino et al., 3.1)."""
    layers: list[StackLayer] = []
    for n_convolutions in blocks:
        for _ in range(n_convolutions):
            layers += [Convolution(kernel_size=kernel_size, padding=kernel_size // 2), ReLU()]
        layers += [MaxPool(), Dropout()]
    return tuple(layers)


#: The six networks of the paper (Iuzzolino et al., section 3.1), by name; a Dropout follows each MaxPool.
PRESETS: dict[str, Stack] = {
    f"{name}, {kernel_size} × {kernel_size}": _preset(kernel_size, *blocks)
    for name, blocks in (
        ("Conv-ReLU-Pool", (1,)),
        ("Conv-ReLU-Conv-ReLU-Pool", (2,)),
        ("Conv-ReLU-Pool-Conv-ReLU-Pool", (1, 1)),
    )
    for kernel_size in (3, 5)
}
