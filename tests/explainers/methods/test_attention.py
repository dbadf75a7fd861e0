"""Attention methods against their formulas, and the weights that they catch against those that the model computes."""

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
import torchvision.models
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from common.errors import InputError
from explainers.engines.attention_weights import AttentionWeights, attended
from explainers.output import Output
from explainers.registry import METHODS
from tests.explainers.nets import NETS, TARGETS, add, maps_of, normalised, pictures, seeded, silent, state_of

NAMES = ["attention-rollout", "gradient-rollout", "legrad"]


def small(**options):
    defaults = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2, "num_classes": 4}
    return lambda: VisionTransformer(**(defaults | options))


VITS = {
    "timm": small(),
    "torchvision": NETS["torchvision vit"],
    "registers": small(reg_tokens=4),
    "pooled": small(class_token=False, global_pool="avg"),
    "pooled beside a class token": small(global_pool="avg"),
    "pooled by attention": small(class_token=False, global_pool="map"),
    "distilled": lambda: timm.create_model(
        "deit_tiny_distilled_patch16_224", img_size=64, embed_dim=24, depth=2, num_heads=2, num_classes=4
    ),
    "relative positions": lambda: timm.create_model(
        "beit_base_patch16_224", img_size=64, embed_dim=24, depth=2, num_heads=2, num_classes=4
    ),
    "rotary positions": lambda: timm.create_model(
        "eva02_tiny_patch14_224", img_size=56, embed_dim=24, depth=2, num_heads=2, num_classes=4
    ),
}
SIZES = {"distilled": 64, "relative positions": 64, "rotary positions": 56}


def unfused(module):
    """The model, computing its attention in the open."""
    for child in module.modules():
        if hasattr(child, "fused_attn"):
            child.fused_attn = False
    return module


def weights_of(module, inputs):
    """What timm's own softmax gives to each block's attention dropout (N, heads, L, L); the graph is kept."""
    seen = []
    handles = [
        block.attn.attn_drop.register_forward_hook(lambda _m, _i, output: seen.append(output))
        for block in unfused(module).blocks
    ]
    logits = module(inputs.clone().requires_grad_())
    for handle in handles:
        handle.remove()
    return seen, logits


def caught(model_store, module, inputs):
    """The weights that `AttentionWeights` shows, and the logits that come out under it."""
    card = add(model_store, module, px=inputs.shape[-1])
    seen = []

    def meet(weights):
        seen.append(weights)
        return weights

    with torch.no_grad(), AttentionWeights(card, len(inputs), attended(card), meet) as attention:
        logits = module(inputs)
    attention.check()
    return seen, logits


@pytest.mark.parametrize("net", VITS)
def test_a_model_answers_the_same_with_its_attention_in_the_open(model_store, net):
    module, inputs = seeded(VITS[net]), normalised(px=SIZES.get(net, 32))
    seen, logits = caught(model_store, module, inputs)
    with torch.no_grad():
        np.testing.assert_allclose(logits, module(inputs), atol=1e-5)
    assert len(seen) == 2
    for weights in seen:
        assert weights.shape[:2] == (2, 2)
        np.testing.assert_allclose(weights.sum(3), 1, atol=1e-5)


@pytest.mark.parametrize("net", ["timm", "registers", "distilled", "relative positions", "rotary positions"])
def test_caught_weights_are_those_that_timm_computes(model_store, net):
    module, inputs = seeded(VITS[net]), normalised(px=SIZES.get(net, 32))
    seen, _ = caught(model_store, module, inputs)
    with torch.no_grad():
        expected, _ = weights_of(module, inputs)
    for one, other in zip(seen, expected, strict=True):
        assert one.std() > 0
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_caught_weights_are_those_that_torch_gives_back(model_store):
    module, inputs = seeded(VITS["torchvision"]), normalised()
    seen, _ = caught(model_store, module, inputs)
    with torch.no_grad():
        tokens = torch.cat([module.class_token.expand(2, -1, -1), module._process_input(inputs)], 1)
        tokens = tokens + module.encoder.pos_embedding
        for block, weights in zip(module.encoder.layers, seen, strict=True):
            x = block.ln_1(tokens)
            _, expected = block.self_attention(x, x, x, need_weights=True, average_attn_weights=False)
            np.testing.assert_allclose(weights, expected, atol=1e-6)
            tokens = block(tokens)


@pytest.mark.parametrize("mask", [None, "bool", "float", "causal"])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_open_attention_is_torchs_own(model_store, mask, scale):
    card = add(model_store, seeded(VITS["timm"]))
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 2, 17, 5, generator=generator) for _ in range(3))
    bias = torch.randn(17, 17, generator=generator)
    options = {
        "attn_mask": {"bool": (bias > 0) | torch.eye(17).bool(), "float": bias}.get(mask),
        "is_causal": mask == "causal",
        "scale": scale,
    }
    with AttentionWeights(card, 2, attended(card), lambda weights: weights) as attention:
        found = F.scaled_dot_product_attention(query, key, value, **options)
    assert attention.n_met == 1
    np.testing.assert_allclose(found, F.scaled_dot_product_attention(query, key, value, **options), atol=1e-6)


def test_rollout_of_two_blocks_by_hand(model_store):
    module, inputs = seeded(small()), normalised()
    maps = maps_of(model_store, module, "attention-rollout", inputs)
    with torch.no_grad():
        (first, second), _ = weights_of(module, inputs)
    eye = torch.eye(17)
    rolled = (0.5 * second.mean(1) + 0.5 * eye) @ (0.5 * first.mean(1) + 0.5 * eye)
    np.testing.assert_allclose(rolled.sum(2), 1, atol=1e-5)
    np.testing.assert_allclose(maps, rolled[:, 0, 1:].reshape(2, 4, 4), atol=1e-6)


def test_rollout_of_a_net_that_pools_its_patches_is_the_mean_of_their_rows(model_store):
    module, inputs = seeded(VITS["pooled beside a class token"]), normalised()
    maps = maps_of(model_store, module, "attention-rollout", inputs)
    with torch.no_grad():
        (first, second), _ = weights_of(module, inputs)
    eye = torch.eye(17)
    rolled = (0.5 * second.mean(1) + 0.5 * eye) @ (0.5 * first.mean(1) + 0.5 * eye)
    np.testing.assert_allclose(maps, rolled[:, 1:, 1:].mean(1).reshape(2, 4, 4), atol=1e-6)


def test_rollout_is_the_same_for_every_target(model_store):
    module, inputs = seeded(small()), normalised()
    one, other = (maps_of(model_store, module, "attention-rollout", inputs, torch.tensor(t)) for t in ([0, 1], [2, 3]))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("depth", [1, 3])
def test_gradient_rollout_by_formula(model_store, depth):
    """R <- R + Ā R as matrices, with gradients through the whole of the model."""
    module, inputs = seeded(small(depth=depth)), normalised()
    maps = maps_of(model_store, module, "gradient-rollout", inputs)
    weights, logits = weights_of(module, inputs)
    gradients = torch.autograd.grad(logits.gather(1, TARGETS[:, None]).sum(), weights)
    relevance = torch.eye(17).expand(2, 17, 17)
    for block, gradient in zip(weights, gradients, strict=True):
        relevance = relevance + (block * gradient).clamp(min=0).mean(1) @ relevance
    expected = relevance[:, 0, 1:].reshape(2, 4, 4).detach()
    assert expected.max() > 0
    np.testing.assert_allclose(maps, expected, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("blocks", [1, 2, 4, 100])
def test_legrad_by_formula(model_store, blocks):
    """Each block's score by its own tokens, each gradient from a pass of its own."""
    module, inputs = seeded(small(depth=5)), normalised()
    maps = maps_of(model_store, module, "legrad", inputs, blocks=blocks)
    n_looked_at = min(blocks, 5)
    total = torch.zeros(2, 16)
    for last in range(5 - n_looked_at, 5):
        tokens = {}
        handle = module.blocks[last].register_forward_hook(lambda _m, _i, output, kept=tokens: kept.update(x=output))
        weights, _ = weights_of(module, inputs)
        handle.remove()
        scores = module.head(module.norm(tokens["x"])[:, 0]).gather(1, TARGETS[:, None])
        (gradient,) = torch.autograd.grad(scores.sum(), weights[last])
        total += gradient.clamp(min=0).mean((1, 2))[:, 1:] / n_looked_at
    assert total.max() > 0
    np.testing.assert_allclose(maps, total.reshape(2, 4, 4), atol=1e-7, rtol=1e-4)


def test_legrad_of_a_probability_reads_a_probability_off_each_block(model_store):
    """d softmax_c = p_c (d logit_c - sum_j p_j d logit_j), block by block: only the last block's p is the model's."""
    module, inputs = seeded(small()), normalised()
    method = METHODS["legrad"]
    card = add(model_store, module)
    with model_store.borrow(card) as model:
        found = method.attribute(Output("probability").of(model), inputs, TARGETS, method.Params(blocks=1), silent)
    weights, logits = weights_of(module, inputs)
    (gradient,) = torch.autograd.grad(logits.softmax(1).gather(1, TARGETS[:, None]).sum(), weights[-1])
    expected = gradient.clamp(min=0).mean((1, 2))[:, 1:].reshape(2, 4, 4)
    np.testing.assert_allclose(found, expected, atol=1e-7, rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_fused_and_unfused_attention_give_the_same_map(model_store, name):
    inputs = normalised()
    fused, opened = seeded(small()), unfused(seeded(small()))
    assert fused.blocks[0].attn.fused_attn
    np.testing.assert_allclose(
        maps_of(model_store, fused, name, inputs), maps_of(model_store, opened, name, inputs), atol=1e-7, rtol=1e-4
    )


@pytest.mark.parametrize("net", VITS)
@pytest.mark.parametrize("name", NAMES)
def test_every_vision_transformer_gets_its_map(model_store, name, net):
    module, px = seeded(VITS[net]), SIZES.get(net, 32)
    method, card = METHODS[name], add(model_store, module, net, px=px)
    before = state_of(module)
    assert method.applies(card) is None
    with model_store.borrow(card) as model:
        maps = method.explain(model, pictures(px=px), ["a", "b"], [0, 3]).maps
    assert maps.shape == (2, 4, 4)
    assert maps.min() >= 0
    assert np.ptp(maps) > 0
    assert state_of(module) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_net_without_gradients_to_its_weights_stays_without(model_store, name):
    """Neither the model nor the caller's picture is drawn into a graph."""
    module, inputs = seeded(small()), normalised()
    maps_of(model_store, module, name, inputs)
    assert not inputs.requires_grad
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_behind_by_a_vit_that_fails(model_store, monkeypatch, name):
    method, module = METHODS[name], seeded(small())
    card = add(model_store, module)
    before = state_of(module)

    def fail(*_args):
        raise RuntimeError("out of order")

    with model_store.borrow(card) as model:
        with monkeypatch.context() as patch:
            patch.setattr(module.norm, "forward", fail)
            with pytest.raises(RuntimeError, match="out of order"):
                method.attribute(model, normalised(), TARGETS, method.Params(), silent)
        if method.uses_target:
            with pytest.raises((RuntimeError, IndexError)):
                method.attribute(model, normalised(), torch.tensor([0, 99]), method.Params(), silent)
    assert state_of(module) == before
    assert not torch.overrides._get_current_function_mode_stack()


class OtherTail(nn.Module):
    """A vision transformer that does not read its answer off its tokens as timm's do."""

    def __init__(self):
        super().__init__()
        inner = small()()
        self.patch_embed, self.blocks, self.norm, self.head = inner.patch_embed, inner.blocks, inner.norm, inner.head

    def forward_head(self, tokens):
        return self.head(tokens.mean(1))

    def forward(self, x):
        return self.head(self.norm(self.blocks(self.patch_embed(x))).amax(1))


def test_legrad_notices_a_tail_that_is_not_the_models(model_store):
    inputs = normalised()
    with pytest.raises(InputError, match="norm and head") as caught:
        maps_of(model_store, seeded(OtherTail), "legrad", inputs)
    assert "\n" not in str(caught.value)
    assert np.ptp(maps_of(model_store, seeded(OtherTail), "gradient-rollout", inputs)) > 0


class Renamed(nn.Module):
    """A vision transformer whose parts go by other names."""

    def __init__(self):
        super().__init__()
        inner = small()()
        self.patches, self.trunk, self.head = inner.patch_embed, inner.blocks, inner.head

    def forward(self, x):
        return self.head(self.trunk(self.patches(x)).mean(1))


def test_legrad_turns_down_a_net_whose_tail_is_unknown(model_store):
    card = add(model_store, seeded(Renamed), "renamed")
    assert "renamed" in METHODS["legrad"].applies(card)
    assert METHODS["gradient-rollout"].applies(card) is None


class InStages(nn.Module):
    """Attention over the patches, then over fewer of them."""

    def __init__(self):
        super().__init__()
        inner = small(class_token=False, global_pool="avg")()
        self.patch_embed, self.blocks, self.head = inner.patch_embed, inner.blocks, inner.head

    def forward(self, x):
        tokens = self.blocks[0](self.patch_embed(x))
        tokens = tokens.unflatten(1, (4, 4))[:, ::2, ::2].flatten(1, 2)
        return self.head(self.blocks[1](tokens).mean(1))


@pytest.mark.parametrize("name", ["attention-rollout", "gradient-rollout"])
def test_attention_over_other_tokens_is_noticed(model_store, name):
    with pytest.raises(InputError, match="other tokens") as caught:
        maps_of(model_store, seeded(InStages), name, normalised())
    assert "\n" not in str(caught.value)


SWINS = {
    "swin": NETS["swin"],  # its last grid is one window
    "torchvision swin": lambda: torchvision.models.SwinTransformer([4, 4], 12, [2, 2], [2, 2], [2, 2], num_classes=4),
}


@pytest.mark.parametrize("name", NAMES)
def test_windows_and_convolutions_are_told_apart(model_store, name):
    for net in ("swin", "torchvision swin"):
        assert f"{net} attends within windows" in METHODS[name].applies(add(model_store, seeded(SWINS[net]), net))
    assert METHODS[name].applies(add(model_store, seeded(NETS["plain"]), "net")) == (
        "net has no attention over the whole image."
    )
