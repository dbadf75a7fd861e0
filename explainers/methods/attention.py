"""Attention of vision transformers: which patches the answer is drawn from, block by block."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from common.errors import InputError
from explainers.base import Explainer, ExplainerParams, Need, Progress, setting, target_scores
from explainers.engines.attention_weights import AttentionWeights, attended, windowed
from explainers.output import LOGIT, PROBABILITY
from models.card import Layer, ModelCard
from models.layers import capture
from models.store import ModelHandle


class _AttentionMethod(Explainer):
    """What the methods share: vision transformers whose attention joins the whole picture, and their grid of patches.

    Windows (Swin) and cells (most hybrids) join parts of a picture only: there, weights of one block say nothing about
    the tokens of another.
    """

    family, signed = "attention", False
    needs = frozenset({Need.ATTENTION})
    outputs = (LOGIT, PROBABILITY)
    chunk = 16

    def applies(self, card: ModelCard) -> str | None:
        """`None` for vision transformers whose attention joined the whole picture when tried, else why not."""
        if attended(card) is not None:
            return super().applies(card)
        if windowed(card):
            return f"{card.name} attends within windows, not over the whole image."
        if kinds := [fact for fact in card.facts if "attention" in fact.lower() or "attn" in fact.lower()]:
            return f"{card.name} has attention ({kinds[0]}), but not among all patches of one grid."
        return f"{card.name} has no attention over the whole image."


class AttentionRollout(_AttentionMethod):
    """Attention followed from the last block back to the patches (Abnar & Zuidema 2020, eq. 1).

    R = Â_L · … · Â_1 with Â_l = 0.5 A_l + 0.5 I, where A_l is block l's attention, averaged over its heads, and I
    stands for the skip connection. The map is the class token's row of R; in nets that pool patches, the mean of
    their rows.
    """

    name, title, uses_target = "attention-rollout", "Attention rollout", False
    tried_as = ("attention-rollout",)
    question = "From which patches does information flow to the answer, if attention is all that moves it?"
    recipe = "Average the heads of each block, count half for the skip connection, and multiply block after block."
    reference = "Abnar & Zuidema 2020, Quantifying Attention Flow in Transformers"
    caution = "It knows no class, and neither what the values carry nor what the other layers do with them."

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: ExplainerParams, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, h, w) float32 >= 0 on the grid of patches, shares of 1."""
        grid = _grid(model.card)
        blocks: list[Tensor] = []

        def meet(weights: Tensor) -> Tensor:
            blocks.append(weights.mean(1))
            return weights

        with torch.no_grad(), AttentionWeights(model.card, len(inputs), grid, meet) as attention:
            model.logits(inputs)
        attention.check()
        row = _answer_row(model, grid, inputs)
        for block in reversed(blocks):
            row = 0.5 * row @ block + 0.5 * row
        return _patches(row, grid)


class GradientRollout(_AttentionMethod):
    """Attention that helps the class, followed through the blocks (Chefer et al. 2021 ICCV, eq. 5-6).

    R <- R + Ā_l R from block to block, R = I at first, with Ā_l = mean over heads of ReLU(A_l ⊙ d logit / d A_l). The
    map is the class token's row of R - I; in nets that pool patches, the mean of their rows. The graph starts at the
    first block's weights.
    """

    name, title = "gradient-rollout", "Gradient rollout"
    tried_as = ("gradient-rollout",)
    question = "From which patches does information flow that helps this class?"
    recipe = (
        "As attention rollout, but each weight counts by how much the class gains from it; "
        "weights from which it loses count nothing."
    )
    reference = "Chefer et al. 2021, Generic Attention-model Explainability for Interpreting Bi-Modal Transformers"
    caution = "Blind to evidence against the class, and to what other layers than attention do."

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: ExplainerParams, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, h, w) float32 >= 0 on the grid of patches."""
        grid = _grid(model.card)
        blocks: list[Tensor] = []

        def meet(weights: Tensor) -> Tensor:
            blocks.append(weights if blocks else weights.detach().requires_grad_())
            return blocks[-1]

        with torch.enable_grad(), AttentionWeights(model.card, len(inputs), grid, meet) as attention:
            scores = target_scores(model.scores(inputs), targets)
        attention.check()
        gradients = torch.autograd.grad(scores.sum(), blocks)
        start = _answer_row(model, grid, inputs)
        gained = torch.zeros_like(
            start
        )  # the row of R - I, apart from I's, beside which small gains would be rounded off
        for block, gradient in zip(reversed(blocks), reversed(gradients), strict=True):
            gained = gained + (start + gained) @ (block.detach() * gradient).relu_().mean(1)
        return _patches(gained, grid)


class LeGrad(_AttentionMethod):
    """Gradients with respect to the attention of several blocks (Bousselham et al. 2024, section 3).

    For each of the last blocks: s^l = the score, read off that block's own tokens by the model's last norm and head;
    E^l = mean over heads and queries of ReLU(d s^l / d A_l). M = mean over the blocks. The weights themselves do not
    enter, and each gradient runs through its own block alone.
    """

    name, title = "legrad", "LeGrad"
    tried_as = ("legrad",)
    question = "To which patches should the last blocks attend more, so that the class gains?"
    recipe = (
        "Read the class off the tokens of each of the last blocks, and see how its score would grow with the attention "
        "that this block pays to each patch."
    )
    reference = "Bousselham et al. 2024, LeGrad: An Explainability Method for Vision Transformers"
    caution = "Tokens of earlier blocks were not made to be read off; blind to evidence against the class."

    @dataclass(frozen=True)
    class Params(ExplainerParams):
        """How many blocks are looked at."""

        blocks: int = setting(4, low=1, high=100, help="Blocks to average over, counted from the last.")

    def applies(self, card: ModelCard) -> str | None:
        """`None` for vision transformers whose last norm and head are known, else what is in the way."""
        names = {layer.name for layer in card.layers}
        known = {"blocks.0", "norm"} <= names or {"encoder.layers", "encoder.ln"} <= names
        reason = None if known else f"How {card.name} reads its answer off its tokens is not known: no norm and head."
        return super().applies(card) or reason

    def attribute(
        self, model: ModelHandle, inputs: Tensor, targets: Tensor, params: Params, progress: Progress
    ) -> Tensor:
        """(N, C, H, W) float32, normalised -> (N, h, w) float32 >= 0 on the grid of patches."""
        grid = _grid(model.card)
        blocks, tail = _blocks_and_tail(model)
        first = max(0, len(blocks) - params.blocks)
        met: list[Tensor] = []

        def meet(weights: Tensor) -> Tensor:
            if attention.n_met <= first:
                return weights
            met.append(weights.detach().requires_grad_())
            return met[-1]

        with (
            torch.enable_grad(),
            capture(*blocks[first:]) as tokens,
            AttentionWeights(model.card, len(inputs), grid, meet) as attention,
        ):
            answer = model.scores(inputs).detach()
        attention.check()
        if attention.n_met != len(blocks):
            expected = f"one attention in each of the {len(blocks)} blocks of {model.card.name}"
            raise InputError(expected, str(attention.n_met), "Take gradient rollout instead.")
        total = torch.zeros(inputs.shape[0], grid.shape[0], device=inputs.device)
        for block, weights in zip(blocks[first:], met, strict=True):
            with torch.enable_grad():
                scores = replace(model, module=tail).scores(tokens[block])
            if block is blocks[-1] and not torch.allclose(scores, answer, rtol=1e-3, atol=1e-4):
                expected = f"the answer of {model.card.name} by its last norm and head"
                raise InputError(expected, "another one", "Take gradient rollout instead.")
            (gradient,) = torch.autograd.grad(target_scores(scores, targets).sum(), weights)
            total += gradient.relu_().mean((1, 2))
        return _patches(total[:, None] / len(met), grid)


class _Tail(nn.Module):
    """The part of a model behind its blocks: tokens (N, L, C) -> logits (N, classes)."""

    def __init__(self, read: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.read = read

    def forward(self, tokens: Tensor) -> Tensor:
        return self.read(tokens)


def _blocks_and_tail(model: ModelHandle) -> tuple[list[nn.Module], nn.Module]:
    """A vision transformer's blocks, and what reads the answer off their tokens: timm's, then torchvision's way."""
    module: Any = model.module
    if hasattr(module, "forward_head") and hasattr(module, "blocks"):
        return list(module.blocks), _Tail(lambda tokens: module.forward_head(module.norm(tokens)))
    if hasattr(module, "heads") and hasattr(module, "encoder"):
        return list(module.encoder.layers), _Tail(lambda tokens: module.heads(module.encoder.ln(tokens)[:, 0]))
    cure = "Take gradient rollout instead."
    raise InputError("a vision transformer as timm or torchvision build it", model.card.architecture, cure)


def _grid(card: ModelCard) -> Layer:
    grid = attended(card)
    if grid is None:
        raise InputError("a model with attention over the whole image", card.name, "Take Grad-CAM instead.")
    return grid


def _answer_row(model: ModelHandle, grid: Layer, inputs: Tensor) -> Tensor:
    """Which tokens the head reads (N, 1, L), shares of 1: the class token, or all patches where the net pools them.

    A distilled net has two heads, with a token for each.
    """
    row = inputs.new_zeros(len(inputs), 1, grid.shape[0])
    if grid.n_prefix_tokens and getattr(model.module, "global_pool", "token") == "token":
        n_heads = 2 if hasattr(model.module, "head_dist") else 1
        row[:, :, :n_heads] = 1 / n_heads
    else:
        row[:, :, grid.n_prefix_tokens :] = 1 / (grid.shape[0] - grid.n_prefix_tokens)
    return row


def _patches(row: Tensor, grid: Layer) -> Tensor:
    """Values of all tokens (N, 1, L) -> those of the patches (N, h, w)."""
    assert grid.spatial is not None
    return row[:, 0, grid.n_prefix_tokens :].unflatten(1, grid.spatial)
