"""The attention weights of each head and block, read or replaced while a vision transformer runs."""

import inspect
import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from common.errors import InputError
from explainers.engines.interception import FunctionCall, Interception
from models.card import TOKENS, Layer, ModelCard

_MULTI_HEAD = inspect.signature(F.multi_head_attention_forward)


def attended(card: ModelCard) -> Layer | None:
    """The last layer of tokens that attention joins over the whole picture; `None` where there is none.

    Nets with windows have none, even where the last grid is so small that one window holds it.
    """
    if windowed(card):
        return None
    hidden = "MultiheadAttention" in card.facts  # torch's own gives back two things, and has no place on a card either
    layers = [layer for layer in card.layers if layer.layout == TOKENS and layer.spatial]
    return next((layer for layer in reversed(layers) if hidden or "Attention" in layer.kind), None)


def windowed(card: ModelCard) -> bool:
    """Whether attention works within windows of the picture, as in a Swin."""
    return any("Window" in fact for fact in card.facts)


class AttentionWeights(Interception):
    """Inside the block, the weights of self-attention over `grid`'s tokens go through `change`.

    softmax(Q K^T / sqrt(d) + mask) (N, heads, L, L), a query in each row, is worked out as such, also where the model
    would have run a fused kernel, and what `change` gives back goes on through the model: the same weights, or a leaf
    that cuts the graph. `n_met` counts the blocks.
    """

    def __init__(self, card: ModelCard, n_images: int, grid: Layer, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.card = card
        self.shape = (n_images, grid.shape[0])
        self.change = change
        self.n_met = 0
        self._others = False

    def check(self) -> None:
        """Raise `InputError` when attention ran unseen, or over other tokens than the grid's."""
        expected = f"attention over all {self.shape[1]} tokens in every block of {self.card.name}"
        cure = "Take Grad-CAM instead."
        if self._others:
            raise InputError(expected, "some over other tokens", cure)
        if not self.n_met:
            raise InputError(expected, "none that could be read", cure)

    def _show(self, weights: Tensor) -> Tensor:
        n_images, n_tokens = self.shape
        if weights.shape[0] != n_images or weights.shape[3] != n_tokens:
            self._others = True
            return weights
        if weights.shape[2] != n_tokens:
            return weights  # a single query that pools the tokens at the end
        self.n_met += 1
        return self.change(weights)

    def _attend(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
        is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
    ) -> Tensor:  # fmt: skip
        """`scaled_dot_product_attention` as its documentation defines it; models in eval mode drop nothing."""
        if query.ndim != 4:
            self._others = True
            return F.scaled_dot_product_attention(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        if enable_gqa:
            key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
        scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.transpose(2, 3)
        if is_causal:
            attn_mask = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).tril()
        if attn_mask is not None:
            masked = attn_mask.dtype == torch.bool
            scores = scores.masked_fill(~attn_mask, -math.inf) if masked else scores + attn_mask
        return self._show(scores.softmax(3)) @ value

    def _softmax(self, call: FunctionCall) -> Tensor:
        weights = call.run()
        joins = weights.ndim == 4 and weights.shape[2] == weights.shape[3]
        return self._show(weights) if joins else weights

    def _multi_head(self, call: FunctionCall) -> Any:
        """torch's multi-head attention in its parts, since inside it no function is met.

        Queries, keys and values come from one tensor (L, N, C), as in every vision transformer; other uses run unseen.
        """
        given = _MULTI_HEAD.bind(*call.args, **call.kwargs).arguments
        tokens, n_heads, weight = given["query"], given["num_heads"], given["in_proj_weight"]
        special = ("key_padding_mask", "attn_mask", "bias_k", "static_k", "static_v", "add_zero_attn", "is_causal")
        alone = given["key"] is tokens and given["value"] is tokens and weight is not None and tokens.ndim == 3
        if (
            not alone
            or given.get("need_weights", True)
            or any(given.get(name) not in (None, False) for name in special)
        ):
            self._others = True
            return NotImplemented
        projected = F.linear(tokens, weight, given["in_proj_bias"])
        query, key, value = projected.unflatten(2, (3, n_heads, -1)).permute(2, 1, 3, 0, 4)  # (N, heads, L, d) each
        joined = self._attend(query, key, value).permute(2, 0, 1, 3).flatten(2)
        return F.linear(joined, given["out_proj_weight"], given["out_proj_bias"]), None

    rules: ClassVar = {
        "scaled_dot_product_attention": lambda mode, call: mode._attend(*call.args, **call.kwargs),
        "multi_head_attention_forward": _multi_head,
        "softmax": _softmax,
    }
