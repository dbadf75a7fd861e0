"""What making a model, or running it once, would take: asked on tensors without content, refused before it is taken."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from common.bounds import MAX_ACTIVATION_BYTES, MAX_CONSTRUCTION_STEPS
from common.errors import InputError, first_line
from common.settings import settings

log = logging.getLogger(__name__)

#: Operations that make a tensor of the size they are told, those of the size of another, and ranges.
_SIZED = frozenset((
    "empty", "empty_strided", "zeros", "ones", "full", "rand", "randn", "randint", "normal", "new_empty",
    "new_empty_strided", "new_zeros", "new_ones", "new_full", "expand_copy", "repeat",
))  # fmt: skip
_ALIKE = frozenset((
    "clone", "empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like", "randint_like",
))  # fmt: skip

#: Steps of attention, which the meta device does one by one, and others at once, without all pairs of tokens.
_FUSED = frozenset(("bmm", "baddbmm", "_softmax", "_safe_softmax", "mul", "add", "expand", "clone", "dropout"))

#: Below so many pixels and parameters a model is run without asking: nothing that it makes could be large.
_SMALL_PIXELS, _SMALL_PARAMETERS = 512 * 512, 100_000_000


class ConstructionBudget(TorchDispatchMode):
    """Within the block, making tensors raises `InputError` before they take more than the models of a server may.

    `title` names what is made. Endless making of small ones ends there too, after `seconds` of computing where they are
    given. Concerns this thread alone.
    """

    def __init__(self, title: str, seconds: float = math.inf) -> None:
        super().__init__()
        self._title, self._bytes, self._steps = title, 0.0, 0
        self._most = settings().max_models_gigabytes * 1e9
        self._until = time.thread_time() + seconds

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Count what `func` makes, and call it."""
        given = dict(kwargs or {})
        self._steps += 1
        self._bytes += _made_by(func.overloadpacket.__name__, args, given)
        if self._bytes > self._most:
            size = "more" if self._bytes < 1.05 * self._most else f"{self._bytes / 1e9:,.1f} GB or more"
            cure = "Take a smaller architecture, or smaller creation arguments, or raise max_models_gigabytes."
            expected = f"a model whose weights take at most {self._most / 1e9:g} GB"
            raise InputError(expected, f"{self._title} with {size}", cure)
        if self._steps > MAX_CONSTRUCTION_STEPS or time.thread_time() > self._until:
            cure = "Give it fewer layers."
            raise InputError("a model that can be made in seconds", f"{self._title} of endless layers", cure)
        return func(*args, **given)


def check_activations(module: nn.Module, probe: Tensor, name: str) -> None:
    """Raise `InputError` where a tensor on the way of `probe` (N, C, h, w) through a model is too large.

    Found without computing, also where both are on the meta device. A model that cannot be followed so is let through.
    """
    if probe[0, 0].numel() <= _SMALL_PIXELS and sum(p.numel() for p in module.parameters()) <= _SMALL_PARAMETERS:
        return
    from torch._subclasses.fake_tensor import FakeTensorMode  # slow to import

    largest = _Largest()
    mode = nullcontext() if probe.is_meta else FakeTensorMode(allow_non_fake_inputs=True)
    try:
        with mode as fake, largest, torch.no_grad():
            module(probe if fake is None else fake.from_tensor(probe))
    except Exception as error:  # it looks at values: what it takes shows when it runs
        log.info("What %s takes could not be asked beforehand: %s", name, first_line(error))
    if largest.n_bytes > MAX_ACTIVATION_BYTES:
        height, width = probe.shape[-2:]
        raise InputError(
            f"a model whose largest layer takes at most {MAX_ACTIVATION_BYTES / 1e6:,.0f} MB for {len(probe)} images",
            f"{name} with {largest.n_bytes / 1e6:,.0f} MB at {width} × {height} pixels",
            "Choose a smaller input size.",
        )


class _Largest(TorchDispatchMode):
    """Bytes of the largest tensor that was made within the block."""

    n_bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if not func.is_view and func.overloadpacket.__name__ not in _FUSED:
            sizes = [leaf.numel() * leaf.itemsize for leaf in tree_leaves(made) if isinstance(leaf, Tensor)]
            self.n_bytes = max(self.n_bytes, *sizes, 0)
        return made


def _made_by(operation: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> float:
    """Bytes that an operation is about to make, by its arguments alone; 0 where these do not tell."""
    itemsize = getattr(kwargs.get("dtype"), "itemsize", 4)
    if operation in _SIZED:
        size = kwargs.get("size", next((value for value in args if isinstance(value, list | tuple)), ()))
        return float(math.prod(map(float, size))) * itemsize
    if operation in _ALIKE:
        return float(args[0].numel()) * args[0].itemsize
    numbers = [float(value) for value in args if isinstance(value, int | float)]
    if operation == "arange" and numbers:
        start, stop, step = (0.0, *numbers, 1.0) if len(numbers) == 1 else (*numbers, 1.0)[:3]
        return abs(stop - start) / max(abs(step), 1e-9) * itemsize
    if operation in ("linspace", "logspace", "randperm", "eye") and numbers:
        return (numbers[0] * numbers[-1] if operation == "eye" else numbers[-1]) * itemsize
    return 0.0
