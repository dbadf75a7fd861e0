"""What outputs mean: guessed with the reason, chosen, and followed by scoring, explaining and prediction difference."""

import io
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from common import sealed
from explainers import attribution
from explainers.output import Output
from explainers.prediction_difference.evidence import WeightOfEvidence
from explainers.registry import METHODS
from explainers.results import Sources, compute
from images.intake import from_files
from jobs.results import ResultStore
from models import loaders
from models.store import ModelStore
from suggestion import scoring
from suggestion.views import accuracy
from tests.makers import encoded, one_line, picture, tiny_loaded


@pytest.fixture
def images(tmp_path):
    """Four images labelled cat, and four labelled dog."""
    files = [
        (f"{'cat' if seed < 4 else 'dog'}/{seed}.png", io.BytesIO(encoded(picture(16, 16, seed)))) for seed in range(8)
    ]
    return from_files(files, tmp_path)


class Brightness(nn.Module):
    """Logits that grow with an image's brightness: `slopes` (K,)."""

    def __init__(self, *slopes: float, bias: float = 0.0) -> None:
        super().__init__()
        self.pool, self.last = nn.AdaptiveAvgPool2d(1), nn.Linear(3, len(slopes))
        with torch.no_grad():
            self.last.weight.copy_(torch.tensor(slopes)[:, None].expand(-1, 3))
            self.last.bias.fill_(bias)

    def forward(self, x):
        return self.last(self.pool(x).flatten(1))


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (("cat", "dog"), ("cat", "dog")),
        (("dog",), ("not dog", "dog")),
        (None, ("class 0", "class 1")),
    ],
)
def test_one_logit_is_the_sigmoid_of_the_second_of_two_classes(model_store, images, tmp_path, names, classes):
    module = Brightness(2.0, bias=0.3)
    card = model_store.add(tiny_loaded(module, class_names=names))
    assert (card.head, card.class_names) == ("sigmoid", classes)
    assert card.classifies
    assert "One output" in card.notes[-1]
    scoring.score(model_store, [card], images, tmp_path)
    table = scoring.load([card], images, tmp_path)
    with model_store.borrow(card) as model:
        crops = np.stack([card.preprocessing.crop(images.image(index)) for index in range(len(images))])
        wanted = module(model.normalise(crops)).sigmoid().squeeze(1).numpy()
    np.testing.assert_allclose(np.where(table.predicted[:, 0] == 1, wanted, 1 - wanted), table.confidence[:, 0], 1e-5)
    assert (table.predicted[:, 0] == (wanted > 0.5)).all()


def test_what_speaks_for_one_of_two_classes_speaks_against_the_other(model_store, images, tmp_path):
    card = model_store.add(tiny_loaded(Brightness(2.0), class_names=("dark", "bright")))
    sources = Sources(model_store, ResultStore(tmp_path / "results", 10**8), images)
    maps = []
    for target in (0, 1):
        method = METHODS["input-x-gradient"]
        request = attribution.request_for(card, images.ids[0], method, method.Params(), target, Output(), images.digest)
        maps.append(compute(sources, request).maps[0])
    assert np.abs(maps[1]).max() > 0
    np.testing.assert_array_equal(maps[0], -maps[1])


@pytest.mark.parametrize(("head", "outputs"), [("multi-label", 1), ("softmax", 1), ("regression", 3), ("sigmoid", 2)])
def test_a_head_that_the_outputs_cannot_be_is_refused(model_store, head, outputs):
    with one_line("a head that suits", head, "Choose"):
        model_store.add(tiny_loaded(n_classes=outputs, head=head))


def test_two_classes_that_are_a_number_after_all_lose_their_names_and_find_them_again(model_store):
    loaded = tiny_loaded(Brightness(2.0), class_names=("cat", "dog"))
    number, back = (model_store.add(loaded.with_head(head)) for head in ("regression", "sigmoid"))
    assert (number.class_names, number.classifies) == (("value",), False)
    assert (back.class_names, back.classifies) == (("cat", "dog"), True)


def test_an_unknown_head_is_refused(model_store):
    with one_line("multi-label", "multilabel"):
        model_store.add(tiny_loaded(head="multilabel"))


def test_labels_that_do_not_exclude_each_other_have_a_probability_each(model_store, images, tmp_path):
    names = ("bright", "brighter", "dark")
    card = model_store.add(tiny_loaded(Brightness(2.0, 4.0, -3.0, bias=1.0), class_names=names, head="multi-label"))
    softmax = model_store.add(tiny_loaded(Brightness(2.0, 4.0, -3.0, bias=1.0), class_names=names))
    assert card.digest != softmax.digest
    scoring.score(model_store, [card], images, tmp_path)
    table = scoring.load([card], images, tmp_path)
    assert (table.probability[:, 0].sum(1) > 1.2).any()
    with model_store.borrow(card) as model:
        inputs = model.normalise(card.preprocessing.crop(images.image(0))[None])
        logits = model.logits(inputs)
        torch.testing.assert_close(Output("probability")(model, inputs), logits.sigmoid())
    p, q = WeightOfEvidence(0, n_classes=2, exclusive=False).statistics(logits[0]).tolist()
    assert p + q == pytest.approx(1)
    assert p == pytest.approx(logits[0, 0].sigmoid().item())


@pytest.mark.parametrize(
    ("text", "head", "n_classes"),
    [
        ("timm/resnet10t?random&num_classes=1&head=regression", "regression", 1),
        ("timm/resnet10t?head=multi-label&random&num_classes=4", "multi-label", 4),
        ("timm/resnet10t?random&num_classes=1", "sigmoid", 2),
        ("timm/resnet10t?random&num_classes=4", "softmax", 4),
    ],
)
def test_a_head_is_named_behind_the_architecture_and_is_there_after_a_restart(data_folder, text, head, n_classes):
    (loaded,) = loaders.read(text)
    card = ModelStore(data_folder).add(loaded)
    assert (card.head, card.n_classes) == (head, n_classes)
    with ModelStore(data_folder).borrow(card) as model:
        assert model.card.head == head


def test_an_old_card_of_a_number_is_that_of_a_number_when_it_is_made_anew(data_folder):
    (loaded,) = loaders.read("timm/resnet10t?random&num_classes=1&head=regression")
    store = ModelStore(data_folder)
    card = store.add(loaded)
    (file,) = store.folder.glob("*.json")
    old = json.loads(sealed.read(file))
    del old["format"], old["head"]
    old["recipe"]["head"] = None
    file.write_text(json.dumps(old))
    (anew,) = ModelStore(data_folder).cards()
    assert anew == card
    assert (anew.head, anew.class_names) == ("regression", ("value",))


def test_a_checkpoint_with_one_output_takes_a_file_of_two_names(data_folder, tmp_path):
    (loaded,) = loaders.read("timm/resnet10t?random&num_classes=1&head=regression")
    save_file(loaded.module.state_dict(), tmp_path / "one.safetensors")
    (checkpoint,) = loaders.read(f"{tmp_path}/one.safetensors@timm/resnet10t", "cat\ndog")
    card = ModelStore(data_folder).add(checkpoint)
    assert (card.head, card.class_names) == ("sigmoid", ("cat", "dog"))


def test_what_a_model_cannot_know_is_no_error(model_store, images, tmp_path):
    card = model_store.add(tiny_loaded(Brightness(2.0, -1.0), class_names=("cat", "hen")))
    scoring.score(model_store, [card], images, tmp_path)
    table = scoring.load([card], images, tmp_path)
    assert table.judged[:, 0].tolist() == [True] * 4 + [False] * 4
    assert not table.errors[4:].any()
    share, count = accuracy(table)
    assert count[0] == 4
    assert share[0] == 1 - table.errors[:, 0].sum() / 4
