"""Random weights of a seed, whatever other threads draw meanwhile: torch's own generator belongs to everybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class SeededDraws(TorchDispatchMode):
    """Within the block, what this thread draws on the CPU comes from a generator of its own, seeded with `seed`.

    The numbers are those that torch's own generator would give after `torch.manual_seed(seed)`, which is neither read
    nor moved; other threads are not concerned.

    Example:
        >>> with SeededDraws(0):
        ...     layer = nn.Linear(2, 3)
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call `func`, with our generator where it draws and is given none."""
        given = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded in func.tags and _on_cpu(args, given):
            func, given = _with_generator(func, given, self._generator)
        return func(*args, **given)


def _on_cpu(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether the numbers are drawn there: on the meta device none are, and accelerators have generators of theirs."""
    devices = [value.device for value in args if isinstance(value, torch.Tensor)]
    devices += [torch.device(kwargs["device"])] if kwargs.get("device") is not None else []
    return all(device.type == "cpu" for device in devices)


def _with_generator(
    func: Any, kwargs: dict[str, Any], generator: torch.Generator
) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The overload of `func` that takes a generator, and its arguments with one; raises `RuntimeError` for none."""
    if kwargs.get("generator") is not None:
        return func, kwargs
    for overload in (func, *(getattr(func.overloadpacket, f"{name}") for name in _overloads_of(func))):
        if any(argument.name == "generator" for argument in overload._schema.arguments):
            return overload, {**kwargs, "generator": generator}
    raise RuntimeError(f"{func} draws numbers of its own: they would not be those of the seed.")


def _overloads_of(func: Any) -> list[str]:
    """Names of the overloads with the same arguments as `func`, and a generator."""
    own = [argument.name for argument in func._schema.arguments]
    packet = func.overloadpacket
    return [
        name
        for name in packet.overloads()
        if [a.name for a in getattr(packet, name)._schema.arguments if a.name != "generator"] == own
    ]
