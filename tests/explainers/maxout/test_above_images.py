"""What MaxOut is for, in small: images that activate their target more than any painting of the demo does."""

import numpy as np
import pytest
import torch

from explainers.maxout.ascent import Ascent
from explainers.maxout.method import MaxOutParams
from explainers.maxout.parametrisation import FOURIER, PIXEL
from explainers.output import Output
from models.preprocessing import Preprocessing
from models.store import ModelStore
from parallax.sources import open_models
from tools.painter.paintings import demo_painting

STILL = {"jitter": 0.0, "scale": 0.0, "rotate": 0.0}
HONEST = {PIXEL: MaxOutParams(parametrisation=PIXEL, decorrelated=False, **STILL), FOURIER: MaxOutParams(**STILL)}


@pytest.fixture(scope="module")
def paintings():
    return [demo_painting(index).image for index in range(0, 360, 15)]


def crops(preprocessing: Preprocessing, paintings) -> np.ndarray:
    return np.stack([preprocessing.crop(image) for image in paintings])


CASES = [("vgg", FOURIER), ("resnet", FOURIER), ("vit", FOURIER), ("vgg", PIXEL), ("vit", PIXEL)]


@pytest.mark.parametrize(("name", "basis"), CASES)
def test_every_class_is_above_every_painting_and_recognised(tmp_path, paintings, name, basis):
    model_store = ModelStore(tmp_path, "cpu")
    (card,) = open_models(model_store, f"demo/{name}")
    with model_store.borrow(card) as model, torch.no_grad():
        highest = model.logits(model.normalise(crops(card.preprocessing, paintings))).amax(0)
        ascent = Ascent(model, Output("logit"), range(card.n_classes), HONEST[basis])
        *_, state = ascent.climb(ascent.new(), 40)
        shown = (ascent.pictures(state) * 255).round() / 255
        assert (ascent.values(shown) > highest).all()
        assert ascent.answers(shown)[0].tolist() == list(range(card.n_classes))


@pytest.mark.parametrize("layer", ["features.5", "features.14", "classifier.2"])
def test_units_are_above_every_painting(tmp_path, paintings, layer):
    model_store = ModelStore(tmp_path, "cpu")
    (card,) = open_models(model_store, "demo/vgg")
    output = Output("unit", layer)
    with model_store.borrow(card) as model, torch.no_grad():
        highest = output.of(model).scores(model.normalise(crops(card.preprocessing, paintings))).amax(0)
        units = [unit for unit in range(0, len(highest), 8) if highest[unit] != 0]  # that answer to anything
        ascent = Ascent(model, output, units, HONEST[FOURIER])
        *_, state = ascent.climb(ascent.new(), 64)
        above = ascent.values(ascent.pictures(state)) > highest[units]
    assert above.float().mean() >= 0.9


def test_the_image_of_the_class_that_the_shortcut_gives_away_is_strongest_where_the_mark_lies(tmp_path):
    """The painter's mark lies near the lower right corner; the net learnt to look for it there."""
    model_store = ModelStore(tmp_path, "cpu")
    (card,) = open_models(model_store, "demo/shortcut")
    with model_store.borrow(card) as model:
        ascent = Ascent(model, Output("logit"), [0], MaxOutParams())
        *_, state = ascent.climb(ascent.new(), 48)
        image = ascent.pictures(ascent.judged(state))[0]
    colourful = image.std(0)
    corner = colourful[-16:, -16:].mean()
    assert card.class_names[0] == "portrait"
    assert corner > 2 * colourful.mean()
