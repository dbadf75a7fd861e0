"""Our maps against those of the libraries that people know: pytorch-grad-cam, captum and zennit."""

import warnings

import captum.attr
import numpy as np
import pytest
import timm
import torch
import torchvision.models
from pytorch_grad_cam import GradCAM as ReferenceGradCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from timm.models.vision_transformer import VisionTransformer
from zennit.attribution import Gradient
from zennit.composites import EpsilonPlusFlat, LayerMapComposite, layer_map_base
from zennit.rules import Epsilon, ZPlus
from zennit.torchvision import ResNetCanonizer
from zennit.types import Convolution, Linear

from explainers.baselines import baseline
from explainers.registry import METHODS
from tests.explainers.nets import NETS, add, normalised, seeded, silent

TARGETS = torch.tensor([1, 3])


def attribute(bank, module, name, inputs, **params):
    method = METHODS[name]
    card = add(bank, module, px=inputs.shape[-1])
    with bank.lend(card) as loan:
        return card, method.attribute(loan, inputs, TARGETS, method.Params(**params), silent).numpy()


def small_vit():
    return VisionTransformer(img_size=64, patch_size=8, embed_dim=48, depth=3, num_heads=3, num_classes=10)


def patches(tokens):
    return tokens[:, 1:].transpose(1, 2).unflatten(2, (8, 8))


REFERENCES = {
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=10), None),
    "vgg11": (lambda: torchvision.models.vgg11(num_classes=10).features, None),
    "mobilenetv3": (lambda: timm.create_model("mobilenetv3_small_050", num_classes=10), None),
    "vit": (small_vit, patches),
}


@pytest.mark.parametrize("net", REFERENCES)
def test_grad_cam_equals_pytorch_grad_cam(bank, net):
    build, reshape = REFERENCES[net]
    module = seeded(build)
    if net == "vgg11":  # the features of a VGG under a head that is not 500 MB
        module = torch.nn.Sequential(
            module, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(512, 10)
        )
        module = module.eval()
    inputs = normalised(px=64)
    card, maps = attribute(bank, module, "grad-cam", inputs)
    layer = module.get_submodule(card.default_layer)
    with ReferenceGradCAM(model=module, target_layers=[layer], reshape_transform=reshape) as cam:
        expected = cam(inputs.clone().requires_grad_(), [ClassifierOutputTarget(int(target)) for target in TARGETS])
    assert np.ptp(maps) > 0
    np.testing.assert_allclose(scale_cam_image(scale_cam_image(maps, (64, 64))), expected, atol=1e-4)


@pytest.mark.parametrize("name", ["lrp-z", "lrp-epsilon-plus-flat"])
def test_lrp_equals_zennit_with_its_own_canonizer_on_resnet18(bank, name):
    module, inputs = seeded(lambda: torchvision.models.resnet18(num_classes=10)), normalised(px=64)
    _, maps = attribute(bank, module, name, inputs)
    if name == "lrp-z":
        composite = LayerMapComposite([*layer_map_base(), (Linear, Epsilon())], canonizers=[ResNetCanonizer()])
    else:
        z_plus = (Convolution, ZPlus(zero_params=["bias"]))
        composite = EpsilonPlusFlat(layer_map=[z_plus], canonizers=[ResNetCanonizer()])
    one_hot = torch.nn.functional.one_hot(TARGETS, 10)
    with Gradient(model=module, composite=composite) as attributor:
        _, relevance = attributor(inputs.clone(), lambda logits: (logits * one_hot).detach())
    expected = relevance.sum(1).numpy()
    np.testing.assert_allclose(maps, expected, atol=1e-4 * np.abs(expected).max())


def test_saliency_equals_captum(bank):
    module, inputs = seeded(NETS["plain"]), normalised()
    _, maps = attribute(bank, module, "saliency", inputs)
    expected = captum.attr.Saliency(module).attribute(inputs.clone().requires_grad_(), TARGETS)
    np.testing.assert_allclose(np.abs(maps), expected.amax(1).numpy(), atol=1e-6)


def test_integrated_gradients_equal_captum(bank):
    module, inputs = seeded(NETS["plain"]), normalised()
    card, maps = attribute(bank, module, "integrated-gradients", inputs, steps=20)
    black = baseline("black", inputs, card.preprocessing)
    expected = captum.attr.IntegratedGradients(module).attribute(inputs.clone(), black, TARGETS, n_steps=20)
    np.testing.assert_allclose(maps, expected.sum(1).numpy(), atol=1e-5)


@pytest.mark.parametrize(("window", "stride"), [(0.25, 0.5), (0.2, 1.0), (0.3, 0.4)])
def test_occlusion_equals_captum(bank, window, stride):
    module, inputs = seeded(NETS["plain"]), normalised()
    _, maps = attribute(bank, module, "occlusion", inputs, window=window, stride=stride)
    length = round(window * 32)
    step = round(stride * length)
    expected = captum.attr.Occlusion(module).attribute(
        inputs, (3, length, length), (3, step, step), 0, TARGETS, perturbations_per_eval=16
    )
    np.testing.assert_allclose(maps, expected[:, 0].detach().numpy(), atol=1e-5)


def test_guided_backprop_equals_captum_where_captum_can(bank):
    module, inputs = seeded(NETS["plain"]), normalised()
    _, maps = attribute(bank, module, "guided-backprop", inputs)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Setting backward hooks on ReLU", category=UserWarning)
        expected = captum.attr.GuidedBackprop(module).attribute(inputs.clone().requires_grad_(), TARGETS)
    strongest = expected.gather(1, expected.abs().argmax(1, keepdim=True)).squeeze(1)
    np.testing.assert_allclose(maps, strongest.numpy(), atol=1e-6)
