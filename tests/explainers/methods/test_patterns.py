"""Patterns: what a unit's input really varies along, learnt from data, against examples with a known signal."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from common.errors import InputError
from explainers.attribution import ready
from explainers.methods.patterns import PatternMethod
from explainers.registry import METHODS
from explainers.results import Sources
from images.intake import from_files
from jobs.results import ResultStore
from tests.explainers.nets import NETS, add, normalised, pictures, seeded, silent
from tests.makers import encoded

PATTERN_NET, PATTERN_ATTRIBUTION = METHODS["pattern-net"], METHODS["pattern-attribution"]
NAMES = ["pattern-net", "pattern-attribution"]

#: The paper's toy data (section 3, figure 2) in four pixels: x = signal · y + distractor · noise, and the filter w that
#: reads y: w · signal = 1, w · distractor = 0.
SIGNAL, DISTRACTOR, FILTER = (torch.tensor(values) for values in ([1.0, 0, 0, 0], [1.0, 1, 0, 0], [1.0, -1, 0, 0]))


def toy_data(n=4000, shift=0.0):
    values = np.random.default_rng(0).normal(size=(2, n, 1)).astype(np.float32)
    y, noise = torch.from_numpy(values)
    return ((y + shift) * SIGNAL + noise * DISTRACTOR).view(n, 1, 2, 2)


def toy_net(rectified):
    """score 0 = y, or relu(y) and back; score 1 = -score 0."""
    first = nn.Linear(4, 2 if not rectified else 1, bias=False)
    first.weight.data = torch.stack([FILTER, -FILTER])[: len(first.weight)]
    last = nn.Linear(1, 2, bias=False)
    last.weight.data = torch.tensor([[1.0], [-1.0]])
    return nn.Sequential(nn.Flatten(), first, *((nn.ReLU(), last) if rectified else ())).eval()


def explained(model_store, module, method, inputs, targets, data):
    card = add(model_store, module, px=inputs.shape[-1], channels=inputs.shape[1])
    with model_store.borrow(card) as model:
        model = replace(model, fitted=method.fit(model, data, method.Params()))
        return method.attribute(model, inputs, targets, method.Params(), silent)


@pytest.mark.parametrize("rectified", [False, True])
def test_patterns_tell_the_signal_from_the_distractor(model_store, rectified):
    data = toy_data()
    inputs = data[:8]
    y = inputs.flatten(1) @ FILTER
    score = y.clamp(min=0) if rectified else y
    targets = torch.zeros(8, dtype=torch.int64)
    maps = explained(model_store, toy_net(rectified), PATTERN_NET, inputs, targets, data.split(500))
    torch.testing.assert_close(maps.flatten(1), score[:, None] * SIGNAL, rtol=0, atol=0.1)
    shares = explained(model_store, toy_net(rectified), PATTERN_ATTRIBUTION, inputs, targets, data.split(500))
    torch.testing.assert_close(shares.flatten(1), score[:, None] * (FILTER * SIGNAL), rtol=0, atol=0.1)
    gradient_times_input = inputs.flatten(1) * FILTER  # falls for the distractor
    assert (gradient_times_input - shares.flatten(1)).abs().max() > 0.5


def conv_net():
    return nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2))


def test_patterns_of_a_convolution_follow_the_formula(model_store):
    """Equation 8 over all patches, in numpy; the last layer, without a ReLU, has cov(x, y) / var(y)."""
    module, data = seeded(conv_net), normalised(100, px=4)
    with model_store.borrow(add(model_store, module, px=4)) as model:
        fitted = PATTERN_NET.fit(model, data.split(7), PATTERN_NET.Params())

    weight, bias = (values.detach().numpy() for values in module[0].parameters())
    patches = nn.functional.unfold(data, 3, padding=1).transpose(1, 2).flatten(0, 1).numpy().astype(np.float64)
    for pattern, w, b in zip(fitted["0"], weight.reshape(3, -1), bias, strict=True):
        y = patches @ w
        active = y + b > 0
        covariance = (patches * y[:, None])[active].mean(0) - patches[active].mean(0) * y.mean()
        np.testing.assert_allclose(pattern.ravel(), covariance / (w @ covariance), rtol=1e-3, atol=1e-4)

    with torch.no_grad():
        x = module[:3](data).numpy().astype(np.float64)
    for pattern, w in zip(fitted["1"], module[3].weight.detach().numpy(), strict=True):
        y = x @ w
        covariance = ((x - x.mean(0)) * (y - y.mean())[:, None]).mean(0)
        np.testing.assert_allclose(pattern, covariance / y.var(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_batch_norms_are_folded_first(model_store, name):
    module, method, inputs = seeded(NETS["plain"]), METHODS[name], normalised()
    folded = nn.Sequential(fuse_conv_bn_eval(module[0], module[1]), *module[2:]).eval()
    data = [normalised(8, seed=1), normalised(8, seed=2)]
    targets = torch.tensor([1, 3])
    maps = explained(model_store, module, method, inputs, targets, data)
    assert maps.any()
    expected = explained(model_store, folded, method, inputs, targets, data)
    torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max()))


def test_both_methods_share_one_fit_that_is_kept(model_store, tmp_path, monkeypatch):
    calls = []
    fit = PatternMethod.fit
    monkeypatch.setattr(PatternMethod, "fit", lambda *args: calls.append(1) or fit(*args))
    images = from_files([(f"{i}.png", io.BytesIO(encoded(one))) for i, one in enumerate(pictures(5))], tmp_path)
    store = ResultStore(tmp_path / "results", 10**8)
    with model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model:
        one, two = (
            ready(model, Sources(model_store, store, images), METHODS[name], METHODS[name].Params()) for name in NAMES
        )
    assert len(calls) == 1
    assert [values.shape for values in one.fitted.values()] == [(8, 3, 3, 3), (12, 8, 3, 3), (4, 48)]
    assert all(np.array_equal(one.fitted[key], two.fitted[key]) for key in one.fitted)


@pytest.mark.parametrize("name", NAMES)
def test_patterns_need_pictures(model_store, name):
    method = METHODS[name]
    with (
        model_store.borrow(add(model_store, seeded(NETS["plain"]))) as model,
        pytest.raises(InputError, match="images"),
    ):
        method.fit(model, [], method.Params())


@pytest.mark.parametrize(("net", "reason"), [("resnet", "one after another"), ("vit", "GELU")])
@pytest.mark.parametrize("name", NAMES)
def test_nets_that_do_not_suit_are_told_why(model_store, name, net, reason):
    card = add(model_store, seeded(NETS[net]), net)
    assert reason in METHODS[name].applies(card)
    assert net in METHODS[name].applies(card)


def test_a_unit_that_never_opens_has_no_pattern(model_store):
    module = seeded(conv_net)
    module[0].bias.data[1] = -100
    with model_store.borrow(add(model_store, module, px=4)) as model:
        fitted = PATTERN_NET.fit(model, [normalised(8, px=4)], PATTERN_NET.Params())
    assert not fitted["0"][1].any()
    assert fitted["0"][0].any()
    assert np.isfinite(fitted["1"]).all()
