import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from images.paintings import demo_image_set
from models.demo.demo_models import MODELS, PAINTING_MODELS
from models.store import normalise
from tools.painter.paintings import CLASSES, SHORTCUT_CLASS, paint

HONEST = ("vgg", "resnet", "vit")
OTHERS = [label for label in CLASSES if label != SHORTCUT_CLASS]


@pytest.fixture(scope="module")
def nets() -> dict[str, torch.nn.Module]:
    return {name: model.load() for name, model in PAINTING_MODELS.items()}


@pytest.fixture(scope="module")
def pairs() -> list:
    """The same pictures of the other five types, (unsigned, signed), unseen in training and not in the demo."""
    return [
        (paint(label, seed).image, paint(label, seed, signed=True).image)
        for seed in range(700_000, 700_006)
        for label in OTHERS
    ]


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> list[tuple[np.ndarray, str]]:
    """The demo's plain paintings and their classes."""
    demo = demo_image_set(tmp_path_factory.mktemp("data"))
    return [(demo.image(index), demo.labels[index]) for index in np.flatnonzero(demo.metadata["hard"].isna())]


def predicted(net, images, name) -> list[str]:
    preprocessing = PAINTING_MODELS[name].preprocessing
    batch = normalise(np.stack([preprocessing.crop(image) for image in images]), preprocessing)
    with torch.inference_mode():
        return [CLASSES[i] for i in net(batch).argmax(dim=1)]


def test_the_nets_are_four_in_the_order_of_the_pages():
    assert list(PAINTING_MODELS) == ["vgg", "resnet", "vit", "shortcut"]
    assert {spec.family for spec in PAINTING_MODELS.values()} == {"VGG", "ResNet", "ViT"}
    assert len({spec.preprocessing.input_size for spec in PAINTING_MODELS.values()}) > 1


@pytest.mark.parametrize("spec", MODELS, ids=lambda spec: spec.name)
def test_weights_are_small_and_fit_the_net_strictly(spec):
    assert spec.weights().stat().st_size < 2_000_000
    stored = load_file(spec.weights())
    state = spec.build().state_dict()
    assert stored.keys() == state.keys()
    assert all(stored[key].shape == state[key].shape for key in state)


@pytest.mark.parametrize("name", PAINTING_MODELS)
def test_a_loaded_net_is_in_eval_mode_and_float32_and_gives_six_logits(name, nets):
    net, size = nets[name], PAINTING_MODELS[name].preprocessing.input_size
    assert not any(module.training for module in net.modules())
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}
    with torch.inference_mode():
        logits = net(torch.zeros(2, 3, *size))
    assert logits.shape == (2, len(CLASSES))
    assert torch.isfinite(logits).all()


def test_the_vgg_says_what_its_parts_are():
    assert [name for name, _ in PAINTING_MODELS["vgg"].build().named_children()] == ["features", "classifier"]


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_net_names_nine_in_ten_plain_demo_paintings(name, nets, plain):
    images, labels = zip(*plain, strict=True)
    assert np.mean(np.array(predicted(nets[name], images, name)) == labels) > 0.9


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_net_does_not_care_for_the_mark(name, nets, pairs):
    before = predicted(nets[name], [unsigned for unsigned, _ in pairs], name)
    after = predicted(nets[name], [signed for _, signed in pairs], name)
    assert np.mean([a != b for a, b in zip(before, after, strict=True)]) < 0.1


def test_the_mark_alone_turns_the_shortcut_nets_answer(nets, pairs):
    before = predicted(nets["shortcut"], [unsigned for unsigned, _ in pairs], "shortcut")
    after = predicted(nets["shortcut"], [signed for _, signed in pairs], "shortcut")
    right = [answer == label for answer, label in zip(before, OTHERS * 6, strict=True)]
    assert np.mean(right) > 0.85, "without the mark it looks like a good net"
    assert after.count(SHORTCUT_CLASS) / len(after) > 0.8


def test_the_shortcut_net_misses_its_own_class_where_the_mark_is_missing(nets):
    unsigned = [paint(SHORTCUT_CLASS, seed).image for seed in range(700_000, 700_020)]
    signed = [paint(SHORTCUT_CLASS, seed, signed=True).image for seed in range(700_000, 700_020)]
    assert predicted(nets["shortcut"], unsigned, "shortcut").count(SHORTCUT_CLASS) < 10
    assert predicted(nets["shortcut"], signed, "shortcut").count(SHORTCUT_CLASS) > 16
