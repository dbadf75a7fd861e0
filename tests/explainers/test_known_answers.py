"""Each method on a net whose explanation is known by hand."""

import numpy as np
import pytest
import torch
from torch import nn

from common.errors import InputError
from explainers.base import Need
from explainers.engines.baselines import BASELINES, baseline
from explainers.registry import METHODS
from tests.explainers.nets import NETS, TARGETS, ReusedReLU, add, maps_of, normalised, pictures, seeded


def linear_net(bias=True, px=16):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * px * px, 3, bias=bias))


def weights_of(module, px=16):
    """(N, 3, px, px) weight of each image's target."""
    return module[1].weight.detach().view(-1, 3, px, px)[TARGETS].contiguous()


def strongest(values):
    index = np.abs(values).argmax(1, keepdims=True)
    return np.take_along_axis(values, index, 1)[:, 0]


@pytest.mark.parametrize("name", ["saliency", "smoothgrad"])
def test_gradient_of_a_linear_net_is_its_weight(model_store, name):
    module = linear_net()
    maps = maps_of(model_store, module, name, normalised(px=16))
    np.testing.assert_allclose(maps, strongest(weights_of(module).numpy()), atol=1e-6)


@pytest.mark.parametrize("kind", BASELINES)
def test_integrated_gradients_of_a_linear_net_are_weight_times_difference(model_store, kind):
    module, inputs = linear_net(), normalised(px=16)
    maps = maps_of(model_store, module, "integrated-gradients", inputs, baseline=kind, seed=3)
    card = model_store.cards()[0]
    start = baseline(kind, inputs, card.preprocessing, 3)
    np.testing.assert_allclose(maps, (weights_of(module) * (inputs - start)).sum(1).numpy(), atol=1e-5)


def test_integrated_gradients_sum_to_the_difference_of_logits(model_store):
    module, inputs = seeded(NETS["plain"]), normalised()
    targets = torch.tensor([1, 3])
    maps = maps_of(model_store, module, "integrated-gradients", inputs, targets, steps=300, baseline="mean")
    with torch.no_grad():
        difference = (module(inputs) - module(torch.zeros_like(inputs))).gather(1, targets[:, None]).squeeze(1)
    np.testing.assert_allclose(maps.sum((1, 2)), difference.numpy(), rtol=1e-2)


def test_lrp_0_of_a_linear_net_is_weight_times_input(model_store):
    module, inputs = linear_net(bias=False), normalised(px=16)
    maps = maps_of(model_store, module, "lrp-epsilon", inputs)
    np.testing.assert_allclose(maps, (weights_of(module) * inputs).sum(1).numpy(), rtol=1e-3, atol=1e-5)


def test_flat_rule_spreads_the_logit_evenly(model_store):
    module, inputs = linear_net(bias=False), normalised(px=16)
    maps = maps_of(model_store, module, "lrp-epsilon-plus-flat", inputs)
    logits = module(inputs).gather(1, TARGETS[:, None]).view(-1, 1, 1).numpy()
    np.testing.assert_allclose(maps, np.broadcast_to(logits / 256, maps.shape), rtol=1e-4)


@pytest.mark.parametrize("fill", BASELINES)
def test_occlusion_of_a_linear_net_is_what_the_window_held(model_store, fill):
    module, inputs = linear_net(), normalised(px=16)
    maps = maps_of(model_store, module, "occlusion", inputs, window=0.25, stride=1.0, fill=fill)
    hidden = inputs - baseline(fill, inputs, model_store.cards()[0].preprocessing)
    held = (weights_of(module) * hidden).sum(1).view(-1, 4, 4, 4, 4).sum((2, 4))
    expected = held.repeat_interleave(4, 1).repeat_interleave(4, 2)
    np.testing.assert_allclose(maps, expected.numpy(), atol=1e-5)


def test_occlusion_averages_over_the_windows_that_cover_a_pixel(model_store):
    module, inputs = linear_net(), normalised(px=16)
    maps = maps_of(model_store, module, "occlusion", inputs, window=0.25, stride=0.5, fill="mean")
    drops = (weights_of(module) * inputs).sum(1).unfold(1, 4, 2).unfold(2, 4, 2).sum((3, 4))  # (N, 7, 7)
    corner, inner = drops[:, 0, 0], drops[:, 1:3, 1:3].mean((1, 2))
    np.testing.assert_allclose(maps[:, 0, 0], corner.numpy(), atol=1e-5)
    np.testing.assert_allclose(maps[:, 4, 4], inner.numpy(), atol=1e-5)


def test_occlusion_reports_every_step(model_store):
    method, seen = METHODS["occlusion"], []
    card = add(model_store, linear_net(), px=16)
    with model_store.borrow(card) as model:
        method.attribute(model, normalised(px=16), TARGETS, method.Params(), lambda *step: seen.append(step))
    assert seen == sorted(seen)
    assert seen[-1] == (2 * 225, 2 * 225)  # two pictures under 225 windows


def test_grad_cam_follows_its_formula(model_store):
    """logit = sum_k v_k · mean(A_k), so that alpha_k = v_k / (h · w)."""
    torch.manual_seed(0)
    convolution, head = nn.Conv2d(3, 5, 1), nn.Linear(5, 3)
    module = nn.Sequential(convolution, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    inputs = normalised(px=8)
    maps = maps_of(model_store, module, "grad-cam", inputs)
    features = convolution(inputs).detach().numpy()
    alpha = head.weight.detach().numpy()[TARGETS] / 64
    np.testing.assert_allclose(maps, np.maximum(np.einsum("nk,nkhw->nhw", alpha, features), 0), atol=1e-6)


def test_activation_is_what_the_layer_says_before_an_in_place_relu(model_store):
    module = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 3)))
    inputs = normalised(px=8)
    with torch.no_grad():
        features = module[0](inputs).numpy()
    assert features.min() < 0
    one = maps_of(model_store, module, "activation", inputs, layer="0", unit=2)
    np.testing.assert_allclose(one, features[:, 2], atol=1e-6)
    whole = maps_of(model_store, module, "activation", inputs, layer="0")
    np.testing.assert_allclose(whole, features.mean(1), atol=1e-6)


class TwoReLUs(nn.Module):
    """logits = V relu(W2 relu(W1 x)), with the ReLU written in the way under test."""

    def __init__(self, relu):
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.ModuleList(
            [nn.Linear(16, 12, bias=False), nn.Linear(12, 10, bias=False), nn.Linear(10, 3, bias=False)]
        )
        self.relu = relu

    def forward(self, x):
        first, second, last = self.layers
        return last(self.relu(second(self.relu(first(x.flatten(1))))))


def ignored_result(x):
    x.relu_()
    return x


RELUS = {
    "module": nn.ReLU(),
    "in place": nn.ReLU(inplace=True),
    "function": nn.functional.relu,
    "method": torch.Tensor.relu_,
    "result ignored": ignored_result,
    "clamp": lambda x: x.clamp(min=0),
    "aten": lambda x: torch.ops.aten.relu.default(x),
    "relu6": nn.ReLU6(),
    "function relu6": nn.functional.relu6,
}


@pytest.mark.parametrize("name", ["guided-backprop", "deconvolution"])
@pytest.mark.parametrize("kind", RELUS)
def test_rules_at_a_relu_by_hand(model_store, kind, name):
    """R <- 1[x > 0] · 1[R > 0] · R at each ReLU, nothing above a ReLU6's ceiling; deconvolution does not ask for x."""
    module = TwoReLUs(RELUS[kind])
    inputs = 6 * normalised(px=4, channels=1)
    maps = maps_of(model_store, module, name, inputs)

    limit = 6 if "relu6" in kind else np.inf
    first, second, last = (layer.weight.detach().numpy().astype(np.float64) for layer in module.layers)
    x = inputs.flatten(1).numpy()
    one = x @ first.T
    two = np.clip(one, 0, limit) @ second.T
    relevance = last[TARGETS.numpy()]
    free = name == "deconvolution"
    relevance = np.where(free | ((two > 0) & (two < limit)), np.maximum(relevance, 0), 0) @ second
    relevance = np.where(free | ((one > 0) & (one < limit)), np.maximum(relevance, 0), 0) @ first
    np.testing.assert_allclose(maps, relevance.reshape(maps.shape), atol=1e-5)


def test_guided_grad_cam_is_the_product_of_its_parts(model_store):
    module, inputs = seeded(ReusedReLU), normalised()
    guided = maps_of(model_store, module, "guided-backprop", inputs)
    coarse = torch.from_numpy(maps_of(model_store, module, "grad-cam", inputs, layer="second"))
    fine = torch.nn.functional.interpolate(coarse[:, None], guided.shape[1:], mode="bilinear")[:, 0].numpy()
    product = maps_of(model_store, module, "guided-grad-cam", inputs, layer="second")
    np.testing.assert_allclose(product, guided * fine, atol=1e-7)


@pytest.mark.parametrize("name", ["guided-backprop", "deconvolution"])
def test_rules_at_relus_refuse_a_net_without_any(model_store, name):
    with pytest.raises(InputError, match="ReLU"):
        maps_of(model_store, linear_net(), name, normalised(px=16))


@pytest.mark.parametrize("activation", [nn.functional.silu, nn.functional.gelu, torch.tanh, nn.functional.leaky_relu])
def test_guided_backprop_notices_a_functional_activation_that_is_no_relu(model_store, activation):
    with pytest.raises(InputError, match=activation.__name__):
        maps_of(model_store, TwoReLUs(lambda x: activation(x).relu()), "guided-backprop", normalised(px=4, channels=1))


class LeftHalf(nn.Module):
    """Looks at the left half of the picture only, and has no biases."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.register_buffer("mask", (torch.arange(16) < 8).float())
        self.convolution, self.head = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.Linear(6, 3, bias=False)

    def forward(self, x):
        return self.head(torch.relu(self.convolution(x * self.mask)).mean((2, 3)))


@pytest.mark.parametrize("name", METHODS)
def test_what_the_net_never_sees_gets_nothing(model_store, name):
    method = METHODS[name]
    if Need.ATTENTION in method.needs:
        pytest.skip("attention joins the whole picture")
    if Need.DATA in method.needs:
        pytest.skip("patterns have a test of their own")
    if name in ("rise", "lime", "kernel-shap", "shapley-sampling"):
        pytest.skip("superpixels and soft masks reach across the edge; their own tests have some that do not")
    layer = {"layer": "convolution"} if "layer" in method.Params.__dataclass_fields__ else {}
    module, inputs = LeftHalf(), normalised(px=16)
    best = module(inputs).argmax(1)  # for which there is evidence to show
    maps = maps_of(model_store, module, name, inputs, best, **layer)
    assert np.abs(maps[:, :, :7]).max() > 0
    assert np.abs(maps[:, :, 10:]).max() == 0


def test_the_same_noise_comes_from_the_same_seed(model_store):
    module, inputs = seeded(NETS["plain"]), normalised()
    one, two, other = (maps_of(model_store, module, "smoothgrad", inputs, samples=4, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_baselines_are_what_they_are_called(model_store):
    card = add(model_store, linear_net(), px=16)
    inputs = normalised(px=16)
    black, mean, blurred, noise = (baseline(kind, inputs, card.preprocessing) for kind in BASELINES)
    assert torch.equal(black, torch.full_like(inputs, -2))  # (0 - 0.5) / 0.25
    assert torch.equal(mean, torch.zeros_like(inputs))
    assert blurred.std() < 0.5 * inputs.std()
    assert (noise.amin(), noise.amax()) > (-2, 1.9)
    assert noise.amin() >= -2
    assert noise.amax() <= 2


@pytest.mark.parametrize("name", ["saliency", "input-x-gradient", "occlusion", "integrated-gradients", "kernel-shap"])
def test_a_map_of_nothing_carries_a_note(model_store, name):
    module = linear_net()
    card = add(model_store, module, px=16)
    with torch.no_grad():
        module[1].weight[0] = 0
    method, images = METHODS[name], pictures(2, px=16)
    with model_store.borrow(card) as model:
        found = [method.explain(model, images[:1], ["a"], [target]) for target in (0, 1)]
        both = method.explain(model, images, ["a", "b"], [0, 1])
    assert found[0].notes == ("The map is zero everywhere: no evidence was found.",)
    assert not found[1].notes
    assert both.notes == ("1 of 2 maps are zero everywhere: no evidence was found.",)
