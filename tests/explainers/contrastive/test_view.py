"""What models see of a generator's pictures: x(z0) is the picture itself, whatever size a model reads."""

import numpy as np
import pytest
import torch

from explainers.contrastive.generator import squeezed
from explainers.contrastive.inversion import invert
from explainers.contrastive.method import ContrastParams
from explainers.contrastive.request import Answers
from explainers.contrastive.view import View
from tests.explainers.contrastive.small import TINY, loaded, trained
from tests.makers import picture

WAYS = [
    {},
    {"side": 24},
    {"side": 48},
    {"side": 48, "channels": 3},
    {"side": 24, "resize": [32, 32], "mode": "center", "interpolation": "bicubic"},
    {"side": 40, "mode": "border", "interpolation": "lanczos"},
    {"side": 64, "resize": [32, 32], "mode": "center", "interpolation": "nearest"},
    {"side": 24, "interpolation": "box"},
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [(32, 32), (50, 70)])
def test_what_the_model_sees_at_the_start_is_the_picture_itself(model_store, way, size):
    card = model_store.add(loaded(**way))
    image = picture(*size)
    with model_store.borrow(card) as model:
        own = model.normalise(card.preprocessing.crop(image)[None])
        generator = trained("set")
        small = torch.tensor(squeezed(image, TINY.side, TINY.channels))[None].float() / 255
        z = invert(generator, small, ContrastParams(restarts=1, inversion_steps=3))
        answers = Answers(model, generator, z, [image])
        z.requires_grad_()
        inputs = answers.inputs(z, torch.zeros(1, dtype=torch.int64))
        torch.testing.assert_close(inputs.detach(), own, rtol=0, atol=1e-5)
        torch.testing.assert_close(answers(z, torch.zeros(1, dtype=torch.int64)).detach(), model.logits(own))
        (slope,) = torch.autograd.grad(answers(z, torch.zeros(1, dtype=torch.int64)).sum(), z)
        assert slope.abs().sum() > 0


def test_a_change_of_the_picture_comes_through_as_preprocessing_would_have_it(model_store):
    card = model_store.add(loaded(side=20, channels=3))
    before, after = picture(32, 32, 0), picture(32, 32, 1)
    with model_store.borrow(card) as model:
        view = View(model, 32, 32)
        seen = [view(torch.from_numpy(image / 255).permute(2, 0, 1)[None].float())[0] for image in (before, after)]
        crops = np.stack([card.preprocessing.crop(image) for image in (before, after)])
        own = model.normalise(crops)
    torch.testing.assert_close(seen[1] - seen[0], own[1] - own[0], rtol=0, atol=0.05)  # PIL rounds twice to whole greys


def test_grey_of_a_coloured_generator_is_pils(model_store):
    card = model_store.add(loaded())
    image = picture(32, 32)
    with model_store.borrow(card) as model:
        seen = View(model, 32, 32)(torch.from_numpy(image / 255).permute(2, 0, 1)[None].float())[0]
        own = model.normalise(card.preprocessing.crop(image)[None])[0]
    assert (seen - own).std() < 0.01, "equal but for a constant"


def test_the_inversion_finds_the_numbers_of_the_generators_own_pictures():
    generator = trained("set")
    torch.manual_seed(5)
    with torch.no_grad():
        made = generator.generator(torch.randn(3, TINY.latent))
    params = ContrastParams(inversion_steps=120, restarts=2, prior=0.0)
    z = invert(generator, made, params)
    assert z.shape == (3, TINY.latent)
    assert ((generator.generator(z) - made).flatten(1).square().mean(1).sqrt() < 0.02).all()
    assert torch.equal(invert(generator, made, params), z)


def test_a_prior_keeps_the_codes_small():
    generator = trained("set")
    wanted = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    free = invert(generator, wanted, ContrastParams(inversion_steps=40, prior=0.0))
    held = invert(generator, wanted, ContrastParams(inversion_steps=40, prior=5.0))
    assert (held.norm(dim=1) < free.norm(dim=1)).all()
