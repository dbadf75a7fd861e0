"""DeepLIFT's rules: how a difference between the run of a picture and that of its baseline passes one operation.

The multiplier m of an operation says what becomes of a difference, Δout = sum m · Δin (Shrikumar et al. 2017, eq. 1).
Each rule puts it where the backward pass expects the operation's derivative, and works out the operation's value in
the baseline's run beside it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from explainers.engines.interception import FunctionCall, Interception, mapped, tensors_in

#: Below this difference a quotient of differences is rounding error, and the derivative is taken.
_TINY = 1e-6

#: Pixels tie for a maximum when they differ by no more than this share of the values.
_TIE = 1e-5

#: The attribute of a followed tensor: its value in the baseline's run, or the name of an operation without a rule.
_MARK = "value_at_baseline"


def mark_of(part: Tensor) -> Tensor | str | None:
    """What is known of a tensor: its value in the baseline's run, what stands in the way, or that it is a constant."""
    mark = getattr(part, _MARK, None)
    if mark is None and part.requires_grad and not part.is_leaf:  # made by something that torch functions do not show
        return type(part.grad_fn).__name__.removesuffix("Backward")
    return mark


def marked(part: Tensor, mark: Tensor | str) -> Tensor:
    """`part`, with what is now known of it."""
    setattr(part, _MARK, mark)
    return part


def at_baseline(part: Tensor) -> Tensor:
    """The value of a followed tensor in the baseline's run, same shape."""
    return cast(Tensor, mark_of(part))


class DeepLIFTCall(FunctionCall):
    """One call of a torch function in the two runs that `mode` follows."""

    def __init__(self, mode: Interception, call: FunctionCall) -> None:
        super().__init__(call.func, call.args, call.kwargs)
        self.mode = mode
        self.value: Any = None  # in the baseline's run, where an autograd function leaves it

    def followed(self) -> list[Tensor]:
        """Those of its tensors that may differ between the two runs, as often as they occur."""
        return [part for part in self.tensors() if mark_of(part) is not None]

    def run_at_baseline(self) -> Any:
        """The same call in the baseline's run."""
        with torch.no_grad():
            return self.run_with(lambda part: part if mark_of(part) is None else mark_of(part))


def linear(call: DeepLIFTCall) -> Any:
    """Linear or affine in what is followed: its derivative is its multiplier."""
    subject = call.args[0] if call.args else None
    constant = isinstance(subject, Tensor) and mark_of(subject) is None
    if call.in_place and constant:  # a buffer that begins to differ
        marked(call.args[0], call.args[0].detach().clone())
    output = call.run()
    for part, value in zip(tensors_in(output), tensors_in(call.run_at_baseline()), strict=True):
        if part.requires_grad or not constant:  # else made in the image of what is followed: its type or shape alone
            marked(part, value if part.requires_grad else call.name)
    return output


def elementwise(call: DeepLIFTCall) -> Any:
    """One number in, one number out: Δout / Δin, the rescale rule (Shrikumar et al. 2017, section 3.5)."""
    x, *others = call.tensors()
    fits = all(torch.broadcast_shapes(x.shape, other.shape) == x.shape for other in others if call.name != "prelu")
    if not fits or mark_of(x) is None or len(call.followed()) > 1:
        return NotImplemented
    in_place = call.in_place or any(argument is True for argument in call.args[1:])
    return marked(_Rescale.apply(x, call, in_place), call.value)


class _Rescale(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, call: DeepLIFTCall, in_place: bool) -> Tensor:
        x_0 = at_baseline(x)
        before, before_0 = (x.clone(), x_0.clone()) if in_place else (x, x_0)
        output, call.value = call.run(), call.run_at_baseline()
        ctx.save_for_backward(_slope(call, before, before_0, output, call.value))
        if in_place:
            ctx.mark_dirty(x)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (slope,) = ctx.saved_tensors
        return gradients[0] * slope, None, None


#: Elementwise functions whose Δy / Δx can be written without a difference: of (x, x', y, y').
_EXACT: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "square": lambda x, x_0, y, y_0: x + x_0,
    "pow": lambda x, x_0, y, y_0: x + x_0,  # to the power of two
    "sqrt": lambda x, x_0, y, y_0: 1 / (y + y_0).clamp(min=_TINY),
    "reciprocal": lambda x, x_0, y, y_0: -y * y_0,
    "rsqrt": lambda x, x_0, y, y_0: -((y * y_0) ** 2) / (y + y_0),
}


def _slope(call: DeepLIFTCall, x: Tensor, x_0: Tensor, y: Tensor, y_0: Tensor) -> Tensor:
    """Δy / Δx; the derivative where Δx is next to nothing."""
    if call.name in _EXACT and (call.name != "pow" or call.argument(1, "exponent") == 2):
        return _EXACT[call.name](x, x_0, y, y_0)
    difference = x - x_0
    slope = (y - y_0).div_(difference)
    tiny = (difference.abs_() >= _TINY).logical_not_()  # also where both are infinite
    if call.name == "relu":
        return torch.where(tiny, (x > 0).to(x.dtype), slope)
    order = sorted(range(x.ndim), key=slope.stride, reverse=True)  # as it lies in memory, for a view to write to
    places = tiny.permute(order).flatten().nonzero().squeeze(1)
    if len(places):
        if len(call.tensors()) == 1:
            derivative = _derivative(call, x.permute(order).flatten()[places])
        else:  # a parameter may differ from place to place
            derivative = _derivative(call, x).permute(order).flatten()[places]
        slope.permute(order).view(-1)[places] = derivative
    return slope


def _derivative(call: DeepLIFTCall, x: Tensor) -> Tensor:
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        subject = call.tensors()[0]
        output = call.run_with(lambda part: x.clone() if part is subject else part)  # a copy may be changed in place
        return torch.autograd.grad(output.sum(), x)[0]


def product(call: DeepLIFTCall) -> Any:
    """Of degree two in what is followed: xy - x'y' = (y + y')/2 Δx + (x + x')/2 Δy, the gradient at the midpoint."""
    followed = call.followed()
    if len(followed) == 1:
        return linear(call)
    if (call.name == "einsum" and len(followed) > 2) or (call.in_place and mark_of(call.args[0]) is None):
        return NotImplemented
    return marked(_Midpoint.apply(call, *{id(part): part for part in followed}.values()), call.value)


@dataclass(frozen=True)
class _Place:
    """Where one of the followed tensors was among a call's arguments."""

    number: int


class _Midpoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: DeepLIFTCall, *parts: Tensor) -> Tensor:
        # the call itself must not be kept, since it holds what autograd has to free: places stand in for its tensors
        places = {id(part): _Place(number) for number, part in enumerate(parts)}
        args, kwargs = mapped((call.args, call.kwargs), lambda part: places.get(id(part), part))
        ctx.again, ctx.in_place = FunctionCall(call.func, args, kwargs), call.in_place
        ctx.save_for_backward(*(torch.lerp(part, at_baseline(part), 0.5) for part in parts))
        output, call.value = call.run(), call.run_at_baseline()
        if call.in_place:
            ctx.mark_dirty(call.args[0])
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        middles = [middle.detach().requires_grad_() for middle in ctx.saved_tensors]
        with torch.enable_grad():
            parts = [middle.clone() if ctx.in_place else middle for middle in middles]
            output = ctx.again.run_with(lambda place: parts[place.number], _Place)
        return None, *torch.autograd.grad(output, middles, gradients[0])


def quotient(call: DeepLIFTCall) -> Any:
    """y = a / b, so that Δa = (b + b')/2 Δy + (y + y')/2 Δb; solved for Δy, which stays small where one b is."""
    a, b = call.args[:2]
    if call.kwargs.get("rounding_mode"):
        return NotImplemented
    if not isinstance(b, Tensor) or mark_of(b) is None:
        return linear(call)
    if not isinstance(a, Tensor) or mark_of(a) is None:
        with call.mode:
            return b.reciprocal() * a
    return marked(_Quotient.apply(a, b, call), call.value)


class _Quotient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, call: DeepLIFTCall) -> Tensor:
        ctx.shapes = a.shape, b.shape
        middle = torch.lerp(b, at_baseline(b), 0.5)
        output, call.value = call.run(), call.run_at_baseline()
        ctx.save_for_backward(torch.lerp(output, call.value, 0.5), middle)
        if call.in_place:
            ctx.mark_dirty(a)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        middle, divisor = ctx.saved_tensors
        to_a = gradients[0] / divisor
        return to_a.sum_to_size(ctx.shapes[0]), -(to_a * middle).sum_to_size(ctx.shapes[1]), None


def softmax(call: DeepLIFTCall) -> Any:
    """p = softmax(z), or log p: its Jacobian, with mean probabilities in place of p.

    log p_i - log p'_i = Δz_i - Δlse, and Δp_i = l_i (log p_i - log p'_i) with the logarithmic mean l_i of p_i and
    p'_i. The Δp_i sum to zero, hence Δlse = sum_j l_j Δz_j / sum_j l_j: exact, and blind to what all z have more.
    """
    z, dim = call.argument(0, "input"), call.argument(1, "dim")
    return NotImplemented if dim is None else marked(_Softmax.apply(z, call, dim, "log" in call.name), call.value)


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, call: DeepLIFTCall, dim: int, log: bool) -> Tensor:
        log_p, log_p_0 = z.log_softmax(dim), at_baseline(z).log_softmax(dim)
        p, p_0 = log_p.exp(), log_p_0.exp()
        step = log_p - log_p_0
        near = (step.abs() >= 1e-2).logical_not_()  # where the plain mean is as exact; also where both are masked
        ctx.save_for_backward(torch.where(near, (p + p_0) / 2, (p - p_0) / step))
        ctx.dim, ctx.log = dim, log
        call.value = log_p_0 if log else p_0
        return log_p if log else p

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (mean,) = ctx.saved_tensors
        share = mean / mean.sum(ctx.dim, keepdim=True)
        direct = gradients[0] if ctx.log else mean * gradients[0]
        return direct - share * direct.sum(ctx.dim, keepdim=True), None, None, None


def max_pool(call: DeepLIFTCall) -> Any:
    """Δout of a window goes to the pixel that is the larger of the two runs' maxima.

    That pixel's Δin has the sign of Δout and is at least as large, so that the multiplier Δout / Δin is in [0, 1].
    Where pixels tie in one run, up to rounding (a flat baseline ties everywhere), the other run's maximum is preferred,
    else the first of them.
    """
    x, rest = call.argument(0, "input"), call.args[1:]
    n_dims = int(call.name[-2])
    kwargs = {key: value for key, value in call.kwargs.items() if key not in ("input", "return_indices")}
    if call.kwargs.get("return_indices") or len(rest) > (1 if "adaptive" in call.name else 5):
        return NotImplemented
    function = getattr(F, f"{call.name}_with_indices")
    return marked(_MaxPool.apply(x, call, lambda x: function(x, *rest, **kwargs), n_dims), call.value)


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, call: DeepLIFTCall, pool: Callable[..., tuple[Tensor, Tensor]], n_dims: int
    ) -> Tensor:
        x_0 = at_baseline(x)
        y, y_0 = pool(x)[0], pool(x_0)[0]
        place, place_0 = pool(_coarse(x, n_dims))[1], pool(_coarse(x_0, n_dims))[1]
        step = y - y_0
        own, other = (
            (x.flatten(-n_dims).gather(-1, i) - x_0.flatten(-n_dims).gather(-1, i)).view_as(y)
            for i in (place.flatten(-n_dims), place_0.flatten(-n_dims))
        )
        rises, small = step >= 0, torch.minimum(_TIE * (y.abs() + y_0.abs()), 0.01 * step.abs())
        takes = rises ^ ((torch.where(rises, other, own) - step).abs() <= small)  # the the maximum is the picture's
        place, difference = torch.where(takes, place, place_0), torch.where(takes, own, other)
        slope = (step / difference).clamp_(0, 1)  # rounding may leave a tie just beyond
        ctx.save_for_backward(torch.where(difference.abs() < _TINY, 1.0, slope), place)
        ctx.shape, ctx.n_dims = x.shape, n_dims
        call.value = y_0
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        slope, place = ctx.saved_tensors
        passed = (gradients[0] * slope).flatten(-ctx.n_dims)
        blank = passed.new_zeros((*ctx.shape[: -ctx.n_dims], math.prod(ctx.shape[-ctx.n_dims :])))
        return blank.scatter_add_(-1, place.flatten(-ctx.n_dims), passed).view(ctx.shape), None, None, None


def _coarse(x: Tensor, n_dims: int) -> Tensor:
    """`x` in steps of a small share of its largest value: what differs by rounding alone becomes the same."""
    finite = x.abs().nan_to_num_(posinf=0.0)  # padding may be infinite
    size = finite.amax(tuple(range(-n_dims - 1, 0)), keepdim=True).clamp(min=_TINY)
    return (x * (1 / (_TIE * size))).round_()


def normalised(x: Tensor, call: DeepLIFTCall, shape: Sequence[int], eps: float) -> Tensor:
    """y = c / s over the last dimensions, of this `shape`: c = x - mean, s² = mean of c² + eps.

    Δs = mean of (c + c')/2 Δc / ((s + s')/2) exactly, and then Δy as `quotient` has it.
    """
    return marked(_Normalise.apply(x, call, shape, eps), call.value)


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, call: DeepLIFTCall, shape: Sequence[int], eps: float) -> Tensor:
        y, _, rate = torch.native_layer_norm(x, shape, None, None, eps)
        y_0, _, rate_0 = torch.native_layer_norm(at_baseline(x), shape, None, None, eps)
        ctx.save_for_backward(y, y_0, rate.reciprocal(), rate_0.reciprocal())
        ctx.dims = tuple(range(-len(shape), 0))
        call.value = y_0
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        y, y_0, s, s_0 = ctx.saved_tensors
        size, middle, centred = torch.lerp(s, s_0, 0.5), torch.lerp(y, y_0, 0.5), torch.lerp(y * s, y_0 * s_0, 0.5)
        to_c = gradients[0] / size
        to_c -= (to_c * middle).mean(ctx.dims, keepdim=True) / size * centred
        return to_c - to_c.mean(ctx.dims, keepdim=True), None, None, None
