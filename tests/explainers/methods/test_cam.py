"""Class activation maps against their formulas, and the layers at which they look."""

import numpy as np
import pytest
import timm
import torch
import torchvision.models
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from explainers.registry import METHODS
from models.layers import layer_tree
from tests.explainers.nets import NETS, TARGETS, add, maps_of, normalised, seeded, silent


def two_layers(px=6, units=5):
    """Features behind a ReLU, then one linear layer: every gradient is a weight."""
    return seeded(lambda: nn.Sequential(nn.Conv2d(3, units, 1), nn.ReLU(), nn.Flatten(), nn.Linear(units * px**2, 3)))


def features_and_weights(module, inputs):
    """A and G, each (N, K, h, w) float64."""
    with torch.no_grad():
        features = module[1](module[0](inputs)).double().numpy()
    weights = module[3].weight.detach().double().numpy()[TARGETS].reshape(features.shape)
    return features, weights


def test_hirescam_sums_to_the_logit_without_its_bias(model_store):
    module, inputs = two_layers(), normalised(px=6)
    maps = maps_of(model_store, module, "hirescam", inputs, layer="1")
    with torch.no_grad():
        logits = module(inputs).gather(1, TARGETS[:, None])[:, 0] - module[3].bias[TARGETS]
    assert maps.min() < 0 < maps.max()
    np.testing.assert_allclose(maps.sum((1, 2)), logits.numpy(), rtol=1e-4)


def test_layercam_weighs_each_place_by_its_own_positive_gradient(model_store):
    module, inputs = two_layers(), normalised(px=6)
    features, weights = features_and_weights(module, inputs)
    maps = maps_of(model_store, module, "layercam", inputs, layer="1")
    np.testing.assert_allclose(maps, (np.maximum(weights, 0) * features).sum(1), atol=1e-5)


def test_layercam_and_grad_cam_differ_where_gradients_differ_over_space(model_store):
    module, inputs = two_layers(), normalised(px=6)
    one, other = (maps_of(model_store, module, name, inputs, layer="1") for name in ("layercam", "grad-cam"))
    assert np.abs(one - other).max() > 0.1 * np.abs(other).max()


def test_grad_cam_plus_plus_takes_the_derivatives_of_the_exponential_score(model_store):
    """alpha = Y'' / (2 Y'' + sum(A) Y'''), Y = exp(logit), each derivative by autograd, one number after the other."""
    module, inputs = two_layers(px=3, units=2), normalised(px=3)
    maps = maps_of(model_store, module, "grad-cam-plus-plus", inputs, layer="1")
    features, _ = features_and_weights(module, inputs)
    tail = module[2:].double()
    for image, target in enumerate(TARGETS):
        a = torch.tensor(features[image])
        weights = torch.zeros(len(a), dtype=torch.float64)
        for k, i, j in np.ndindex(*a.shape):
            x = a[k, i, j].clone().requires_grad_()
            placed = a.clone()
            placed[k, i, j] = x
            first = score = tail(placed[None])[0, target].exp()
            derivatives = []
            for _ in range(3):
                (first,) = torch.autograd.grad(first, x, create_graph=True)
                derivatives.append(first.item())
            one, two, three = derivatives
            weights[k] += two / (2 * two + a[k].sum() * three) * max(one, 0) / score.detach()
        expected = torch.einsum("k,khw->hw", weights, a).relu()
        assert expected.max() > 0
        np.testing.assert_allclose(maps[image], expected.numpy(), atol=1e-5)
    module.float()


@pytest.mark.parametrize("units", [5, 60])
def test_eigen_cam_is_the_first_component_and_points_up(model_store, units):
    """More places than features, and fewer."""
    module, inputs = two_layers(units=units), normalised(px=6)
    maps = maps_of(model_store, module, "eigen-cam", inputs, layer="0")
    with torch.no_grad():
        features = module[0](inputs).flatten(2).transpose(1, 2).double().numpy()
    for found, matrix in zip(maps, features, strict=True):
        projected = matrix @ np.linalg.svd(matrix)[2][0]
        projected *= np.sign(projected.sum())
        np.testing.assert_allclose(found, np.maximum(projected, 0).reshape(6, 6), atol=1e-4)


def test_eigen_cam_is_the_same_for_every_target(model_store):
    card = add(model_store, seeded(NETS["plain"]))
    method = METHODS["eigen-cam"]
    with model_store.borrow(card) as model:
        one, other = (
            method.attribute(model, normalised(), torch.tensor(targets), method.Params(), silent)
            for targets in ([0, 1], [2, 3])
        )
    assert torch.equal(one, other)


@pytest.mark.parametrize("channels", [2, 64])
def test_score_cam_by_hand(model_store, channels):
    """One masked picture after the other, through the feature maps that vary most."""
    module, inputs = seeded(NETS["plain"]), normalised()
    maps = maps_of(model_store, module, "score-cam", inputs, channels=channels)
    with torch.no_grad():
        features = module[:6](inputs)
        for image, found in enumerate(maps):
            order = features[image].var((1, 2)).argsort(descending=True)[:channels]
            scores = []
            for feature in features[image][order]:
                mask = nn.functional.interpolate(feature[None, None], (32, 32), mode="bilinear")
                span = (mask.amax() - mask.amin()).clamp(min=1e-8)
                masked = inputs[image] * ((mask - mask.amin()) / span)[0]
                scores.append(module(masked[None])[0, TARGETS[image]])
            weights = torch.stack(scores).softmax(0)
            expected = torch.einsum("k,khw->hw", weights, features[image][order]).relu()
            np.testing.assert_allclose(found, expected.numpy(), atol=1e-5)


def test_score_cam_reports_each_batch_of_passes(model_store):
    method, steps = METHODS["score-cam"], []
    card = add(model_store, seeded(NETS["plain"]))
    with model_store.borrow(card) as model:
        method.attribute(model, normalised(8), torch.zeros(8).long(), method.Params(), lambda *step: steps.append(step))
    assert steps == [(64, 96), (96, 96)]  # 8 pictures, 12 feature maps, 64 pictures to a pass


def registers():
    return VisionTransformer(32, 8, embed_dim=24, depth=2, num_heads=2, num_classes=4, reg_tokens=4)


def pooled():
    return VisionTransformer(
        32, 8, embed_dim=24, depth=2, num_heads=2, num_classes=4, class_token=False, global_pool="avg"
    )


LAYERS = {
    "timm vit": (NETS["vit"], "blocks.1.norm1", (4, 4), 1),
    "timm vit with registers": (registers, "blocks.1.norm1", (4, 4), 5),
    "timm vit without class token": (pooled, "blocks.1.norm1", (4, 4), 0),
    "torchvision vit": (NETS["torchvision vit"], "encoder.layers.encoder_layer_1.ln_1", (4, 4), 1),
    "timm swin": (NETS["swin"], "layers.1.blocks.1.norm1", (4, 4), 0),
    "torchvision swin": (
        lambda: torchvision.models.SwinTransformer([4, 4], 12, [2, 2], [2, 2], [2, 2], num_classes=4),
        "features.3.1.norm1",
        (4, 4),
        0,
    ),
    "torchvision resnet18": (lambda: torchvision.models.resnet18(num_classes=4), "layer4", None, 0),
    "timm resnet": (NETS["resnet"], "layer4", None, 0),
}


@pytest.mark.parametrize("net", LAYERS)
def test_grad_cam_looks_at_the_fields_own_layer(model_store, net):
    build, name, grid, n_prefix = LAYERS[net]
    card = add(model_store, seeded(build), px=32 if grid else 64)
    layer = card.layer()
    assert layer.name.startswith(name)
    assert layer.n_prefix_tokens == n_prefix
    if grid:
        assert layer.name == name
        assert layer.spatial == grid


@pytest.mark.parametrize("net", ["timm vit with registers", "torchvision vit", "timm swin", "torchvision swin"])
@pytest.mark.parametrize("name", ["grad-cam", "hirescam", "layercam", "grad-cam-plus-plus", "eigen-cam", "score-cam"])
def test_maps_of_transformers_lie_on_the_grid_of_patches(model_store, net, name):
    module = seeded(LAYERS[net][0])
    inputs = normalised()
    maps = maps_of(model_store, module, name, inputs)
    assert maps.shape == (2, 4, 4)
    assert np.ptp(maps) > 0


def test_prefix_tokens_are_dropped_before_the_grid_is_made(model_store):
    module, inputs = seeded(registers), normalised()
    maps = maps_of(model_store, module, "activation", inputs)
    tokens = {}
    handle = module.blocks[1].norm1.register_forward_hook(lambda _m, _i, output: tokens.update(norm=output))
    with torch.no_grad():
        module(inputs)
    handle.remove()
    np.testing.assert_allclose(maps, tokens["norm"][:, 5:].mean(2).view(2, 4, 4).numpy(), atol=1e-6)


def test_default_layers_of_published_architectures():
    """The spec's: norm1 of the last block for ViT and Swin."""
    for name, expected in {
        "vit_tiny_patch16_224": "blocks.11.norm1",
        "swin_tiny_patch4_window7_224": "layers.3.blocks.1.norm1",
        "resnet18": "layer4",
    }.items():
        _, default = layer_tree(timm.create_model(name).eval(), torch.zeros(2, 3, 224, 224))
        assert default == expected
