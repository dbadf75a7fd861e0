"""How methods follow what a model does: calls of torch functions, met one by one while the model runs.

Modules, functions, methods and operators, in place or not, all end in the same few torch functions. A mode that meets
these needs no hook, touches no module, and holds for any model, however it was written.
"""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map_only

#: Other names of the same functions, without underscores in front and behind.
_ALIASES = {
    "H": "transpose", "T": "transpose", "clip": "clamp", "concat": "cat", "concatenate": "cat", "divide": "div",
    "double": "to", "float": "to", "half": "to", "iadd": "add", "idiv": "div", "imul": "mul", "isub": "sub",
    "itruediv": "div", "mH": "transpose", "mT": "transpose", "moveaxis": "movedim", "multiply": "mul",
    "negative": "neg", "radd": "add", "rmul": "mul", "rtruediv": "rdiv", "subtract": "sub",
    "swapaxes": "transpose", "swapdims": "transpose", "to_copy": "to", "true_divide": "div", "truediv": "div",
}  # fmt: skip

_WRITING_OPERATORS = frozenset(("__iadd__", "__idiv__", "__imul__", "__isub__", "__itruediv__", "__setitem__"))

#: Linear (or affine) in all tensors together: they move values, choose among them by place, add or average them.
LINEAR = frozenset((
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "add", "alias", "as_strided", "avg_pool1d",
    "avg_pool2d", "avg_pool3d", "broadcast_to", "cat", "channel_shuffle", "chunk", "clone", "constant_pad_nd",
    "contiguous", "copy", "cumsum", "diagonal", "diff", "dsplit", "dstack", "expand", "expand_as", "flatten", "flip",
    "fold", "gather", "getitem", "hsplit", "hstack", "identity", "index", "index_select", "interpolate", "masked_fill",
    "mean", "movedim", "narrow", "neg", "pad", "permute", "pixel_shuffle", "pixel_unshuffle", "positive", "ravel",
    "repeat", "repeat_interleave", "reshape", "reshape_as", "roll", "rot90", "rsub", "select", "setitem", "slice",
    "split", "split_with_sizes", "squeeze", "stack", "sub", "sum", "t", "take_along_dim", "tensor_split", "tile", "to",
    "transpose", "tril", "triu", "type_as", "unbind", "unflatten", "unfold", "unsqueeze", "upsample",
    "upsample_bilinear2d", "upsample_nearest2d", "view", "view_as", "vsplit", "vstack", "where",
))  # fmt: skip

#: Elementwise functions f with f(0) = 0 that are linear on either side of zero (or of a threshold).
PIECEWISE = frozenset(("abs", "leaky_relu", "prelu", "relu", "rrelu", "threshold"))

#: Other elementwise functions f with f(0) = 0.
ZERO_PRESERVING = frozenset((
    "celu", "elu", "gelu", "hardshrink", "hardswish", "hardtanh", "mish", "relu6", "selu", "silu", "softshrink",
    "softsign", "tanh", "tanhshrink",
))  # fmt: skip

#: One number in, one number out.
ELEMENTWISE = (PIECEWISE - {"rrelu"}) | ZERO_PRESERVING | {
    "atan", "clamp", "clamp_max", "clamp_min", "cos", "erf", "exp", "expm1", "hardsigmoid", "log", "log1p",
    "logsigmoid", "pow", "reciprocal", "rsqrt", "sigmoid", "sin", "softplus", "sqrt", "square",
}  # fmt: skip

#: Linear in each of several tensors.
PRODUCTS = frozenset(("addcmul", "baddbmm", "bilinear", "bmm", "einsum", "matmul", "mm", "mul", "tensordot"))

CONVOLUTIONS = frozenset(("conv1d", "conv2d", "conv3d", "convolution"))
TRANSPOSED = frozenset(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"))

#: Dropout and its like, which hand a model's values on unchanged once it is in evaluation mode.
DROPOUTS = frozenset((
    "alpha_dropout", "dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout", "feature_dropout",
))  # fmt: skip

#: Questions about a tensor that look at none of its values, beside its properties.
_FACTS = frozenset((
    "data_ptr", "dim", "get_device", "is_contiguous", "is_floating_point", "len", "ndimension", "nelement", "numel",
    "set", "size", "storage_offset", "stride",
))  # fmt: skip


#: Ways to read a number off a tensor.
_READS = frozenset(("__bool__", "__float__", "__index__", "__int__", "item", "tolist"))


class FunctionCall:
    """One call of a torch function.

    `name` is the function's plain name whichever way the call was written: `add` for `torch.add(x, y)`, `x += y`,
    `y.__radd__(x)` and `aten.add.Tensor`; that of the property where one is read. `in_place`: whether it writes into
    its first argument; `reads_a_number`: whether it makes a Python number of a tensor. An `input` given by name moves
    to the first place.
    """

    def __init__(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any] | None) -> None:
        self.func, self.args, self.kwargs = func, args, dict(kwargs or {})
        if not args and "input" in self.kwargs and "condition" not in self.kwargs:
            self.args = (self.kwargs.pop("input"),)
        name = getattr(func, "__name__", type(func).__name__).split(".")[0]
        self._reads_property = name == "__get__"
        if self._reads_property:
            name = func.__self__.__name__  # type: ignore[attr-defined]
        self.reads_a_number = name in _READS
        plain = name if self.reads_a_number else name.strip("_")
        self.name = _ALIASES.get(plain, plain)
        writes = name.endswith("_") and not name.endswith("__")
        self.in_place = writes or name in _WRITING_OPERATORS or self.kwargs.get("inplace") is True

    @property
    def asks_a_fact(self) -> bool:
        """Whether this is a question about a tensor, not about its values: its shape, device, and so on."""
        return self.name in _FACTS or (self._reads_property and self.name not in ("transpose", "data"))

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """An argument, whether it came by place or by name."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)

    def tensors(self) -> list[Tensor]:
        """All tensors among the arguments, nested ones too, as often as they occur."""
        return tensors_in((self.args, self.kwargs))

    def run(self) -> Any:
        """The call itself."""
        return self.func(*self.args, **self.kwargs)

    def applied_to(self, x: Tensor) -> Any:
        """The call with `x` for its first argument."""
        return self.func(x, *self.args[1:], **self.kwargs)

    def run_with(self, change: Callable[[Any], Any], kind: type | tuple[type, ...] = Tensor) -> Any:
        """The call with `change(part)` in place of each part of `kind` among its arguments."""
        args, kwargs = mapped((self.args, self.kwargs), change, kind)
        return self.func(*args, **kwargs)


def tensors_in(value: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dicts, as often as they occur."""
    return [part for part in tree_leaves(value) if isinstance(part, Tensor)]


def mapped(value: Any, change: Callable[[Any], Any], kind: type | tuple[type, ...] = Tensor) -> Any:
    """Nested tuples, lists and dicts with `change(part)` in place of each part of `kind`."""
    return tree_map_only(kind, change, value)


def batch_norm_arguments(call: FunctionCall) -> tuple[Any, ...]:
    """x, mean, var, weight, bias, training, momentum and eps of a call of `batch_norm`: torch has it in two orders."""
    if call.func is F.batch_norm:
        names = (
            ("input", None), ("running_mean", None), ("running_var", None), ("weight", None), ("bias", None),
            ("training", False), ("momentum", 0.1), ("eps", 1e-5),
        )  # fmt: skip
        return tuple(call.argument(place, name, default) for place, (name, default) in enumerate(names))
    x, weight, bias, mean, var, training, momentum, eps, *_ = call.args
    return x, mean, var, weight, bias, training, momentum, eps


class Interception(TorchFunctionMode):
    """Inside the block, torch functions that run in this thread and have a rule in `rules` are replaced by it.

    A rule gets the `FunctionCall` and answers in its place; with `NotImplemented`, and without a rule, the function
    runs as ever. Blocks may be nested: the innermost meets a call first. A rule runs outside its own block, so that
    the functions it uses itself are not met again; where they should be, it opens the block anew (`with self`).

        class Doubled(Interception):
            rules = {"relu": lambda call: 2 * call.run()}

        with Doubled():
            model(x)
    """

    #: Rules by the plain names of functions, `FunctionCall.name`.
    rules: ClassVar[Mapping[str, Callable[..., Any]]] = {}

    def meet(self, call: FunctionCall) -> Any:
        """The answer to one call, or `NotImplemented`."""
        rule = self.rules.get(call.name)
        return NotImplemented if rule is None else rule(self, call)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        call = FunctionCall(func, args, kwargs)
        output = self.meet(call)
        return call.run() if output is NotImplemented else output
