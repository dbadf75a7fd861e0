"""Our maps against those of the libraries that people know: pytorch-grad-cam and captum."""

import warnings

import captum.attr
import numpy as np
import pytest
import pytorch_grad_cam
import timm
import torch
import torchvision.models
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from timm.models import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torchvision.models.resnet import BasicBlock, ResNet

from explainers.engines.baselines import baseline
from tests.explainers.nets import NETS, TARGETS, maps_of, normalised, seeded


def small_vit():
    return VisionTransformer(img_size=64, patch_size=8, embed_dim=48, depth=3, num_heads=3, num_classes=10)


def small_swin():
    return SwinTransformer(
        img_size=64, patch_size=4, embed_dim=12, depths=(2, 2), num_heads=(2, 2), window_size=4, num_classes=10
    )


def vgg11():
    """The features of a VGG under a head that is not 500 MB."""
    features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["A"])
    for layer in features:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    return torch.nn.Sequential(features, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(512, 10))


def patches(tokens):
    return tokens[:, 1:].transpose(1, 2).unflatten(2, (8, 8))


REFERENCES = {
    "resnet": (lambda: ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10), None),
    "vgg11": (vgg11, None),
    "mobilenetv3": (lambda: timm.create_model("mobilenetv3_small_050", num_classes=10), None),
    "vit": (small_vit, patches),
    "swin": (small_swin, lambda output: output.permute(0, 3, 1, 2)),
}


@pytest.mark.parametrize("net", REFERENCES)
def test_grad_cam_equals_pytorch_grad_cam(model_store, net):
    build, reshape = REFERENCES[net]
    module = seeded(build)
    inputs = normalised(px=64)
    maps = maps_of(model_store, module, "grad-cam", inputs)
    card = model_store.cards()[0]
    layer = module.get_submodule(card.default_layer)
    expected = reference(pytorch_grad_cam.GradCAM, module, layer, inputs, reshape)
    assert np.ptp(maps) > 0
    np.testing.assert_allclose(as_drawn(maps), expected, atol=1e-4)


def reference(method, module, layer, inputs, reshape=None):
    """The library's maps, each scaled to [0, 1] over the picture."""
    with method(model=module, target_layers=[layer], reshape_transform=reshape) as cam:
        return cam(inputs.clone().requires_grad_(), [ClassifierOutputTarget(int(target)) for target in TARGETS])


def as_drawn(maps):
    """Our raw maps, scaled as the library scales its own."""
    return scale_cam_image(scale_cam_image(np.maximum(maps, 0), (64, 64)))


#: Where pytorch-grad-cam follows another convention, the comparison is of like with like:
#: - HiResCAM is clipped at zero there: so is our signed map, before comparing.
#: - Grad-CAM++ adds 1e-6 to a divisor that is itself of this size (squared gradients of a mean over space): a head
#:   a thousand times as large makes it vanish, for both. Behind no ReLU, as in a Swin, there is no such factor.
#: - Eigen-CAM centres the features first, whose sign is then open: see below.
#: - Score-CAM upsamples with aligned corners; the authors do not, nor do we: the library is given our interpolation.
MORE = {
    "hirescam": (pytorch_grad_cam.HiResCAM, {}),
    "layercam": (pytorch_grad_cam.LayerCAM, {}),
    "grad-cam-plus-plus": (pytorch_grad_cam.GradCAMPlusPlus, {}),
    "score-cam": (pytorch_grad_cam.ScoreCAM, {"channels": 512}),
}
PLUS_PLUS_ON_SWIN = ("grad-cam-plus-plus", "swin")


@pytest.mark.parametrize(
    ("name", "net"), [(name, net) for name in MORE for net in ("resnet", "swin") if (name, net) != PLUS_PLUS_ON_SWIN]
)
def test_class_activation_maps_equal_pytorch_grad_cam(model_store, monkeypatch, name, net):
    build, reshape = REFERENCES[net]
    module, inputs = seeded(build), normalised(px=64)
    method, params = MORE[name]
    if name == "grad-cam-plus-plus":
        module.fc.weight.data *= 1000
    bilinear = torch.nn.Upsample
    monkeypatch.setattr(torch.nn, "UpsamplingBilinear2d", lambda size: bilinear(size=size, mode="bilinear"))
    # the last layer of a ResNet has four cells for a picture of this size: an earlier one has more to compare
    maps = maps_of(model_store, module, name, inputs, **params, layer="layer2" if net == "resnet" else None)
    card = model_store.cards()[0]
    layer = module.layer2 if net == "resnet" else module.get_submodule(card.default_layer)
    expected = reference(method, module, layer, inputs, reshape)
    assert np.maximum(maps, 0).max((1, 2)).min() > 0
    np.testing.assert_allclose(as_drawn(maps), expected, atol=1e-4)


def test_eigen_cam_equals_pytorch_grad_cam_on_centred_features(model_store):
    """The library takes each feature's mean away first; on features without a mean both do the same, up to the sign."""
    module, inputs = seeded(REFERENCES["resnet"][0]), normalised(px=64)

    class Centred(torch.nn.Module):
        def forward(self, x):
            return x - x.mean((2, 3), keepdim=True)

    module.layer3.append(Centred())
    maps = maps_of(model_store, module, "eigen-cam", inputs, layer="layer3")
    with torch.no_grad():
        stages = [getattr(module, stage) for stage in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")]
        signed = get_2d_projection(torch.nn.Sequential(*stages)(inputs).numpy())
    for ours, theirs in zip(maps, signed, strict=True):
        closer = min((np.maximum(sign * theirs, 0) for sign in (1, -1)), key=lambda one: np.abs(one - ours).max())
        assert ours.max() > 0
        np.testing.assert_allclose(ours, closer, atol=1e-4 * ours.max())


def test_saliency_equals_captum(model_store):
    module, inputs = seeded(NETS["plain"]), normalised()
    maps = maps_of(model_store, module, "saliency", inputs)
    expected = captum.attr.Saliency(module).attribute(inputs.clone().requires_grad_(), TARGETS)
    np.testing.assert_allclose(np.abs(maps), expected.amax(1).numpy(), atol=1e-6)


def test_integrated_gradients_equal_captum(model_store):
    module, inputs = seeded(NETS["plain"]), normalised()
    maps = maps_of(model_store, module, "integrated-gradients", inputs, steps=20)
    card = model_store.cards()[0]
    black = baseline("black", inputs, card.preprocessing)
    expected = captum.attr.IntegratedGradients(module).attribute(inputs.clone(), black, TARGETS, n_steps=20)
    np.testing.assert_allclose(maps, expected.sum(1).numpy(), atol=1e-5)


@pytest.mark.parametrize(("window", "stride"), [(0.25, 0.5), (0.2, 1.0), (0.3, 0.4)])
def test_occlusion_equals_captum(model_store, window, stride):
    module, inputs = seeded(NETS["plain"]), normalised()
    maps = maps_of(model_store, module, "occlusion", inputs, window=window, stride=stride)
    length = round(window * 32)
    step = round(stride * length)
    expected = captum.attr.Occlusion(module).attribute(
        inputs, (3, length, length), (3, step, step), 0, TARGETS, perturbations_per_eval=16
    )
    np.testing.assert_allclose(maps, expected[:, 0].detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("name", ["guided-backprop", "deconvolution"])
def test_rules_at_relus_equal_captum_where_captum_can(model_store, name):
    """captum replaces the gradient of ReLU modules that run once and not in place."""
    module, inputs = seeded(NETS["plain"]), normalised()
    maps = maps_of(model_store, module, name, inputs)
    method = captum.attr.GuidedBackprop if name == "guided-backprop" else captum.attr.Deconvolution
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU", category=UserWarning)
        expected = method(module).attribute(inputs.clone().requires_grad_(), TARGETS)
    strongest = expected.gather(1, expected.abs().argmax(1, keepdim=True)).squeeze(1)
    np.testing.assert_allclose(maps, strongest.numpy(), atol=1e-6)
