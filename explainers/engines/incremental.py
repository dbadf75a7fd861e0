"""Incremental inference: pictures that differ from one only in a window cost what the window reaches, no more.

A `WindowPatch` stands for B such pictures and goes through the model's own forward in their place. A convolution or
pooling hands on the part of its output that the window reaches, made from the clean picture's values around it; what
sees the whole picture (a linear layer, attention, squeeze-and-excitation) gets the whole pictures, and all behind it
runs in full. Exact but for rounding, for any model; it pays where local layers come first.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from explainers.engines.window_patch import CallRecord, ForwardPass, LazyBatch, Span, WindowPatch
from explainers.engines.window_rules import RULES
from models.store import ModelHandle, batch_for

#: Numbers (float32) in the largest tensor of a batch that suits a CPU (32 MiB), and an accelerator (512 MiB).
_AT_ONCE_CPU, _AT_ONCE = 8 * 2**20, 128 * 2**20

#: Pictures of a batch, at most, however small.
_LARGEST = 4096


class Incremental:
    """One model and one clean picture, of which windows are changed.

    `saves` says whether windows cost clearly less than whole pictures; `batch` is the number of pictures that suits one
    call of `scores`.
    """

    def __init__(self, model: ModelHandle, picture: Tensor, window: tuple[int, int]) -> None:
        """`picture` (C, H, W) float32, normalised; windows are about `window` (height, width) pixels."""
        self._model, self._picture = model, picture[None]
        self._records: list[CallRecord] = []
        (top, height), (left, width) = (
            ((side - size) // 2, size) for side, size in zip(picture.shape[1:], window, strict=True)
        )
        self._middle = np.array([top]), np.array([left])
        self._window = self._picture[:, :, top : top + height, left : left + width]
        twice = self._window.repeat(2, 1, 1, 1), np.array([top, top]), np.array([left, left])
        with _Flops() as first:  # the picture itself goes through its local layers, this once
            largest = self._pass(*twice)[1].largest
        with _Flops() as later:
            self._pass(*twice)
        n_saved, n_left = first.total - later.total, later.total / 2
        self.batch, self.saves = model.batch, n_saved > n_left / 2
        if self.saves:  # else pictures are whole nearly all the way, and large batches slow
            at_once = _AT_ONCE_CPU if model.device.type == "cpu" else _AT_ONCE
            share = model.batch / batch_for(model.card.input_size, model.device)  # below 1 where memory ran out before
            self.batch = max(model.batch, min(_LARGEST, round(share * at_once / largest)))

    def scores(self, values: Tensor, rows: np.ndarray, columns: np.ndarray) -> Tensor:
        """Scores (B, K) of B pictures that hold `values` (B, C, h, w) at `rows` and `columns` (B,) int64."""
        return self._pass(values, rows, columns)[0]

    def saving(self) -> float:
        """How many times fewer floating-point operations a window in the middle takes than a whole picture."""
        with torch.no_grad(), _Flops() as whole:
            self._model.scores(self._picture)
        with _Flops() as part:
            self.scores(self._window, *self._middle)
        return whole.total / max(1, part.total)

    def _pass(self, values: Tensor, rows: np.ndarray, columns: np.ndarray) -> tuple[Tensor, ForwardPass]:
        forward_pass = ForwardPass(self._records, RULES)
        values = values.clone(memory_format=torch.channels_last)  # a model may write into its input
        x = WindowPatch.of(
            values, self._picture, Span(rows, values.shape[2]), Span(columns, values.shape[3]), forward_pass
        )
        with torch.no_grad():
            found = self._model.scores(x)
        return (found.whole() if isinstance(found, LazyBatch) else found), forward_pass


class _Flops(TorchDispatchMode):
    """Floating-point operations of what runs in this thread, as PyTorch's formulas have them, in `total`.

    PyTorch's own counter also puts hooks on every module of the process, which others' passes then meet.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        count = flop_registry.get(func._overloadpacket)
        if count is None:
            with self:
                found = func.decompose(*args, **kwargs)
            return func(*args, **kwargs) if found is NotImplemented else found
        found = func(*args, **kwargs)
        self.total += count(*args, **kwargs, out_val=found)
        return found
