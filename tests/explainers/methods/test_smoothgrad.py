"""Gradients at noisy copies: their formulas, written out."""

import numpy as np
import pytest
import torch

from explainers.methods.smoothgrad import Moments
from tests.explainers.nets import NETS, TARGETS, attribute, normalised, seeded


def noisy_gradients(module, inputs, samples, sigma, seed):
    """(samples, N, C, H, W), one copy at a time."""
    generator = torch.Generator().manual_seed(seed)
    scale = sigma * (inputs.amax((1, 2, 3)) - inputs.amin((1, 2, 3))).view(-1, 1, 1, 1)
    found = []
    for _ in range(samples):
        noise = torch.randn(*inputs.shape[2:], inputs.shape[1], generator=generator).permute(2, 0, 1)
        copy = (inputs + scale * noise).requires_grad_()
        score = module(copy).gather(1, TARGETS[: len(inputs), None]).sum()
        found += torch.autograd.grad(score, copy)
    return torch.stack(found)


def strongest(values):
    return values.gather(1, values.abs().argmax(1, keepdim=True)).squeeze(1)


@pytest.mark.parametrize("batch", [64, 8])
@pytest.mark.parametrize("name", ["smoothgrad", "smoothgrad-squared", "vargrad"])
def test_methods_follow_their_formulas(model_store, name, batch):
    module, inputs = seeded(NETS["vit"]), normalised()
    found = attribute(model_store, module, name, inputs, batch=batch, samples=7, sigma=0.2, seed=3)
    gradients = noisy_gradients(module, inputs, 7, 0.2, 3)
    expected = {
        "smoothgrad": gradients.mean(0),
        "smoothgrad-squared": gradients.square().mean(0),
        "vargrad": gradients.var(0, correction=0),
    }[name]
    maps = found if name == "vargrad" else found.maps
    torch.testing.assert_close(maps, strongest(expected), rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


def test_smoothgrad_tells_its_standard_error(model_store):
    module, inputs = seeded(NETS["vit"]), normalised()
    found = attribute(model_store, module, "smoothgrad", inputs, samples=7)
    gradients = noisy_gradients(module, inputs, 7, 0.1, 0)
    channel = gradients.mean(0).abs().argmax(1, keepdim=True)
    expected = (gradients.std(0) / 7**0.5).gather(1, channel).squeeze(1)
    torch.testing.assert_close(found.error, expected, rtol=1e-3, atol=1e-5 * float(expected.max()))


def test_vargrad_of_a_linear_net_is_zero(model_store):
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 4))
    inputs = normalised(px=16)
    assert attribute(model_store, module, "vargrad", inputs).abs().max() < 1e-12
    assert attribute(model_store, module, "smoothgrad", inputs).error.abs().max() < 1e-6


def test_without_noise_smoothgrad_is_saliency(model_store):
    module, inputs = seeded(NETS["plain"]), normalised()
    smooth = attribute(model_store, module, "smoothgrad", inputs, samples=2, sigma=0.0).maps
    torch.testing.assert_close(smooth, attribute(model_store, module, "saliency", inputs))


@pytest.mark.parametrize("name", ["smoothgrad", "smoothgrad-squared", "vargrad", "gradient-shap"])
def test_the_draws_for_a_picture_do_not_depend_on_how_many_others_there_are(model_store, name):
    """33 x 33 x 3 numbers fill no whole vector register: drawn together, they would be other numbers."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.Tanh(), torch.nn.Flatten(), torch.nn.Linear(4 * 31 * 31, 4)
    )
    inputs = normalised(px=33)
    two, one = (attribute(model_store, module, name, x, samples=9, sigma=0.3) for x in (inputs, inputs[:1]))
    two, one = (found if name == "vargrad" else found.maps for found in (two, one))
    torch.testing.assert_close(two[:1], one, rtol=0, atol=1e-5 * float(one.abs().max()))


@pytest.mark.parametrize("parts", [[5], [1, 1, 3], [2, 3]])
def test_moments_in_parts_are_those_of_the_whole(parts):
    samples = torch.randn(2, 5, 4, generator=torch.Generator().manual_seed(0)) + 100
    moments = Moments()
    for part in samples.split(parts, 1):
        moments.add(part)
    torch.testing.assert_close(moments.mean, samples.mean(1))
    torch.testing.assert_close(moments.variance, samples.var(1, correction=0), rtol=1e-3, atol=0)
    torch.testing.assert_close(moments.standard_error, samples.std(1) / np.sqrt(5), rtol=1e-3, atol=0)
