import json
import threading
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from models.card import ModelCard, Recipe
from models.loaders import LOADERS, zoo
from models.loaders.base import Loader
from models.preprocessing import Preprocessing
from models.store import ModelStore
from tests.makers import TinyNet, one_line, tiny_loaded


@pytest.fixture
def reloadable(monkeypatch):
    """Tiny nets that a recipe brings back, made from a seed."""

    def load(seed):
        return tiny_loaded(seed=seed, recipe=Recipe("tiny", {"seed": seed}))

    monkeypatch.setitem(LOADERS, "tiny", Loader("tiny", load, "", read=lambda text, names: [load(int(text))]))
    return load


class Answer(nn.Module):
    """Answers `make(images)`, whatever that is."""

    def __init__(self, make):
        super().__init__()
        self.make = make
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, images):
        return self.make(images)


def test_a_card_holds_the_facts_of_its_model(tiny_card):
    assert (tiny_card.input_size, tiny_card.n_classes, tiny_card.default_layer) == ((16, 16), 3, "4")
    assert tiny_card.class_names == ("class 0", "class 1", "class 2")
    assert tiny_card.n_parameters == sum(p.numel() for p in TinyNet().parameters())
    assert "ReLU" in tiny_card.facts


def test_a_card_survives_its_way_through_a_file(model_store, tiny_card):
    again = ModelCard.from_json(json.loads(json.dumps(tiny_card.to_json())))
    assert again.to_json() == tiny_card.to_json()
    assert (again.layers, again.preprocessing) == (tiny_card.layers, tiny_card.preprocessing)
    assert {again: 1}[tiny_card] == 1
    assert again != model_store.add(tiny_loaded(seed=1))


def test_a_layer_that_a_model_lacks_is_named_with_its_nearest_kin(model_store):
    card = model_store.add(zoo.load("cifar/resnet20"))
    assert card.layer("layer2.0").name == "layer2.0"
    with one_line("'layer5'", "Did you mean layer3"):
        card.layer("layer5")


def test_class_names_are_found_by_name(model_store):
    card = model_store.add(tiny_loaded(class_names=("cat", "dog", "hen")))
    assert [card.class_index(name) for name in ("cat", "hen", "cow")] == [0, 2, None]


def test_a_grey_model_is_a_model_too(model_store):
    card = model_store.add(tiny_loaded(channels=1))
    with model_store.borrow(card) as model:
        crop = card.preprocessing.crop(np.zeros((20, 30, 3), np.uint8))
        assert model.logits(model.normalise(crop[None])).shape == (1, 3)


def test_cards_come_back_in_a_new_bank_the_latest_first(model_store, tmp_path):
    first, second = (
        model_store.add(tiny_loaded(name=name, seed=seed)) for seed, name in enumerate(["first", "second"])
    )
    again = ModelStore(tmp_path / "model_store", "cpu")
    assert [card.name for card in again.cards()] == ["second", "first"]
    assert again.cards() == [second, first]
    assert again.card(first.digest).to_json() == first.to_json()
    assert again.card("0123456789abcdef") is None


def test_a_card_that_cannot_be_read_hides_no_other(model_store, tiny_card):
    (model_store.folder / "broken.json").write_text('{"name": "half')
    (model_store.folder / "foreign.json").write_text("{}")
    assert model_store.cards() == [tiny_card]


def test_the_digest_tells_weights_apart_down_to_one(model_store):
    cards = []
    for change in (0.0, 1e-6):
        loaded = tiny_loaded()
        with torch.no_grad():
            loaded.module[7].weight[2, 5] += change
        cards.append(model_store.add(loaded))
    assert cards[0].digest != cards[1].digest


@pytest.mark.parametrize(
    "change",
    [
        {"preprocessing": Preprocessing((16, 16), (0.5,) * 3, (0.25,) * 3, (16, 16), "center")},
        {"preprocessing": Preprocessing((16, 16), (0.4,) * 3, (0.25,) * 3, (16, 16), "squash")},
        {"class_names": ("a", "b", "c")},
        {"architecture": "test/other"},
    ],
)
def test_the_digest_tells_apart_what_else_changes_answers(model_store, tiny_card, change):
    assert model_store.add(tiny_loaded(**change)).digest != tiny_card.digest


def test_the_digest_stays_when_nothing_changed_but_the_name(model_store, tiny_card):
    again = model_store.add(tiny_loaded(name="another name"))
    assert again.digest == tiny_card.digest
    assert [card.name for card in model_store.cards()] == ["another name"]


def test_a_buffer_counts_too(model_store, tiny_card):
    loaded = tiny_loaded()
    loaded.module[1].running_mean += 1
    assert model_store.add(loaded).digest != tiny_card.digest


def test_a_lent_model_waits_in_eval_mode_without_gradients(model_store, tiny_card):
    with model_store.borrow(tiny_card) as model:
        assert not any(child.training for child in model.module.modules())
        assert not any(parameter.requires_grad for parameter in model.module.parameters())
        assert model.layer() is model.module[4]
        assert model.layer("0") is model.module[0]


def disturb(module):
    module.train()
    module.requires_grad_(True)
    module(torch.randn(2, 3, 16, 16)).sum().backward()


@pytest.mark.parametrize("fails", [False, True])
def test_a_model_comes_back_as_it_was_given(model_store, tiny_card, fails):
    class BorrowerError(Exception):
        pass

    try:
        with model_store.borrow(tiny_card) as model:
            disturb(model.module)
            if fails:
                raise BorrowerError
    except BorrowerError:
        assert fails
    with model_store.borrow(tiny_card) as model:
        assert not any(child.training for child in model.module.modules())
        assert not any(parameter.requires_grad for parameter in model.module.parameters())
        assert all(parameter.grad is None for parameter in model.module.parameters())


@pytest.mark.parametrize("fails", [False, True])
def test_hooks_left_behind_are_removed_with_a_warning_that_points_at_the_borrower(model_store, tiny_card, fails):
    calls = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with model_store.borrow(tiny_card) as model:
                model.module[0].register_forward_hook(lambda *_: calls.append("forward"))
                model.module[1].register_forward_pre_hook(lambda *_: calls.append("before"))
                model.module[3].register_full_backward_hook(lambda *_: calls.append("backward"))
                if fails:
                    raise KeyError
        except KeyError:
            assert fails
    assert [str(warning.message) for warning in caught] == ["3 hooks were left on tiny and have been removed."]
    assert (caught[0].category, caught[0].filename) == (RuntimeWarning, __file__)
    with model_store.borrow(tiny_card) as model:
        model.logits(torch.zeros(1, 3, 16, 16))
    assert calls == []


def test_a_hook_that_was_there_before_stays(model_store):
    loaded = tiny_loaded()
    calls = []
    loaded.module[0].register_forward_hook(lambda *_: calls.append(1))
    card = model_store.add(loaded)
    calls.clear()
    with model_store.borrow(card) as model:
        model.logits(torch.zeros(1, 3, 16, 16))
    with model_store.borrow(card) as model:
        model.logits(torch.zeros(1, 3, 16, 16))
    assert calls == [1, 1]


def test_one_borrower_at_a_time(model_store, tiny_card):
    borrowed, gave_back, second_in = threading.Event(), threading.Event(), threading.Event()

    def first():
        with model_store.borrow(tiny_card):
            borrowed.set()
            gave_back.wait(10)

    def second():
        borrowed.wait(10)
        with model_store.borrow(tiny_card):
            second_in.set()

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    assert borrowed.wait(10)
    assert not second_in.wait(0.2)
    gave_back.set()
    assert second_in.wait(10)
    for thread in threads:
        thread.join()


def test_two_models_are_lent_at_once_and_one_twice_to_the_same_borrower(model_store, tiny_card):
    other = model_store.add(tiny_loaded(seed=1))
    with (
        model_store.borrow(tiny_card) as first,
        model_store.borrow(other) as second,
        model_store.borrow(tiny_card) as again,
    ):
        assert first.module is again.module
        assert first.module is not second.module


def test_gradients_of_threads_that_share_a_model_are_those_of_one_alone(model_store, tiny_card):
    inputs = torch.randn(8, 1, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def gradient(index):
        with model_store.borrow(tiny_card) as model:
            store = []
            handle = model.module[3].register_full_backward_hook(lambda _m, _i, out: store.append(out[0].clone()))
            model.logits(inputs[index].clone().requires_grad_()).sum().backward()
            handle.remove()
        return store[0]

    alone = [gradient(index) for index in range(8)]
    together = [None] * 8

    def work(index):
        together[index] = gradient(index)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for mine, theirs in zip(alone, together, strict=True):
        torch.testing.assert_close(mine, theirs, atol=0, rtol=0)


def test_a_model_is_loaded_again_from_its_recipe_after_a_restart(model_store, reloadable, tmp_path):
    card = model_store.add(reloadable(seed=3))
    images = torch.randn(2, 3, 16, 16)
    with model_store.borrow(card) as model, torch.no_grad():
        expected = model.logits(images)
    again = ModelStore(tmp_path / "model_store", "cpu")
    with torch.inference_mode(), again.borrow(again.card(card.digest)) as model:
        torch.testing.assert_close(model.logits(images), expected)
    with again.borrow(card) as model:  # though it was loaded in inference mode, it gives gradients
        inputs = images.clone().requires_grad_()
        model.logits(inputs).sum().backward()
        assert inputs.grad.abs().sum() > 0


def test_a_restart_notices_that_a_models_source_has_changed(model_store, reloadable, tmp_path, monkeypatch):
    card = model_store.add(reloadable(seed=3))
    monkeypatch.setitem(LOADERS, "tiny", replace(LOADERS["tiny"], load=lambda seed: reloadable(seed + 1)))
    with one_line("tiny", "add the model again"), ModelStore(tmp_path / "model_store", "cpu").borrow(card):
        pass


def test_a_recipe_that_nobody_knows_is_an_error_of_one_line(model_store, tiny_card, tmp_path):
    with one_line("'test'", "Add it again."), ModelStore(tmp_path / "model_store", "cpu").borrow(tiny_card):
        pass


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (lambda x: x.mean((2, 3)) * float("nan"), ("NaN or infinite scores", "normalisation")),
        (lambda x: x.mean((2, 3)) / 0, ("NaN or infinite scores",)),
        (lambda x: (x.mean((2, 3)), x), ("a tuple of 2", "forward() returns the logits alone")),
        (lambda x: {"logits": x.mean((2, 3))}, ("a dict of 1", "logits alone")),
        (lambda x: None, ("a NoneType",)),
        (lambda x: x, ("shape (2, 3, 16, 16) for 2 images", "one score a class")),
        (lambda x: x.mean((1, 2, 3)), ("shape (2,)",)),
        (lambda x: x.mean((2, 3))[:, :0], ("shape (2, 0)", "one number for regression")),
        (lambda x: x.mean((2, 3))[:1], ("shape (1, 3) for 2 images",)),
        (lambda x: x.reshape(2, -1) @ torch.zeros(5, 3), ("takes images of shape (N, 3, 16, 16)", "input size")),
        (lambda x: [][0], ("list index out of range",)),
    ],
)
def test_what_is_no_classifier_is_refused_in_one_line_and_leaves_nothing(model_store, make, parts):
    with one_line("odd net", *parts):
        model_store.add(tiny_loaded(Answer(make), name="odd net"))
    assert model_store.cards() == []
    assert list(model_store.folder.iterdir()) == []


def test_a_regression_model_is_no_classifier(model_store):
    card = model_store.add(
        tiny_loaded(Answer(lambda x: x.mean((1, 2, 3))[:, None]), class_names=None, head="regression")
    )
    assert card.class_names == ("value",)
    assert not card.classifies


def test_the_wrong_number_of_class_names_is_refused(model_store):
    with one_line("3 class names for tiny", "got 2"):
        model_store.add(tiny_loaded(class_names=("cat", "dog")))


def test_half_precision_weights_work_in_single(model_store):
    card = model_store.add(tiny_loaded(TinyNet().half()))
    with model_store.borrow(card) as model:
        assert {parameter.dtype for parameter in model.module.parameters()} == {torch.float32}


def test_an_equal_model_is_looked_at_once_and_has_its_own_name(tmp_path, monkeypatch):
    looks = []
    monkeypatch.setattr(
        ModelStore, "dry_run", staticmethod(lambda model: looks.append(model.card.name) or {"lime": "no"})
    )
    first = ModelStore(tmp_path, "cpu").add(tiny_loaded())
    again = ModelStore(tmp_path, "cpu").add(replace(tiny_loaded(), name="twin", notes=("a note",)))  # after a restart
    assert looks == [first.name]
    assert again == first
    assert (again.name, again.notes, again.refusals, again.layers) == (
        "twin",
        ("a note",),
        {"lime": "no"},
        first.layers,
    )
    (tmp_path / "models" / f"{first.digest}.json").write_text("{")
    assert ModelStore(tmp_path, "cpu").add(tiny_loaded()).layers == first.layers
    assert len(looks) == 2
