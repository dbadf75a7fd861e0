"""The form for checkpoints: what belongs together, what one bad file costs, and when the form is empty again."""

import io
import json

import numpy as np
import pytest
import torch

from common.escape import markdown
from models.loaders import checkpoint, zoo
from models.loaders.base import FILE_TAB
from pages.shared import cache
from pages.upload import adding, history
from pages.upload.preprocessing import load_again
from playground.history import History
from tests.pages.apps import finish, words

NET = "cifar/resnet20"


@pytest.fixture
def form(new_app, monkeypatch):
    """The Upload page with the tab of checkpoints open: no test can turn to another tab."""
    first = {FILE_TAB: adding.MODEL_TABS[FILE_TAB]}
    monkeypatch.setattr(adding, "MODEL_TABS", first | adding.MODEL_TABS)
    return new_app.run()


def weights(n_classes, seed=0):
    torch.manual_seed(seed)
    buffer = io.BytesIO()
    torch.save(zoo.build(NET, {"num_classes": n_classes})[0].state_dict(), buffer)
    return buffer.getvalue()


def config(**facts):
    return json.dumps({"architecture": "resnet20", **facts}).encode()


def upload(form, files, key="upload_weights_0"):
    kinds = {"json": "application/json"}
    form.file_uploader(key=key).set_value(
        [
            (name, content, kinds.get(name.rpartition(".")[2], "application/octet-stream"))
            for name, content in files.items()
        ]
    )
    return form.run()


def cards(form):
    return [cache.card(digest) for digest in form.session_state["session"].models[4:]]


def errors(form):
    return " ".join(error.value for error in form.error).replace("\\", "")


def test_several_models_are_paired_shown_and_loaded_each_with_its_own(form):
    upload(form, {
        "one.pth.tar": weights(3), "two.ckpt": weights(5),
        "two.json": config(mean=[0.2, 0.2, 0.2]), "one.json": config(mean=[0.1, 0.1, 0.1]),
    })  # fmt: skip
    shown = form.dataframe[0].value
    assert list(shown["weights"]) == ["one.pth.tar", "two.ckpt"]
    assert list(shown["configuration"]) == ["one.json", "two.json"]
    assert list(shown["architecture"]) == [NET, NET]
    assert cards(form) == [], "nothing is loaded before it is asked for"
    form.button(key="upload_weights_add").click().run()
    finish(form)
    assert [(card.name, card.n_classes, card.preprocessing.mean[0]) for card in cards(form)] == [
        ("one", 3, 0.1), ("two", 5, 0.2)
    ]  # fmt: skip


def test_a_file_that_fails_is_named_and_takes_no_other_along(form):
    upload(form, {"good.bin": weights(3), "bad.pt": b"no weights at all", "config.json": config()})
    form.button(key="upload_weights_add").click().run()
    finish(form)
    assert [card.name for card in cards(form)] == ["good"]
    assert "bad.pt" in errors(form)
    assert "good" not in errors(form)
    assert form.file_uploader(key="upload_weights_0"), "the form stays, to be corrected"


def test_a_configuration_of_nobody_is_named_before_loading(form):
    upload(form, {"a.pt": weights(3), "b.pt": weights(4), "a.json": config(), "c.json": config()})
    assert list(form.dataframe[0].value["configuration"]) == ["a.json", "–"]
    assert "c" in next(caption.value for caption in form.caption if "Not used" in caption.value)
    form.button(key="upload_weights_add").click().run()
    assert "an architecture for b.pt" in errors(form)


def test_what_was_assumed_stands_on_the_card(form):
    upload(form, {"net.pt": weights(1000), "config.json": config()})
    form.button(key="upload_weights_add").click().run()
    finish(form)
    said = words(form).replace("\\", "")
    assert "pixels 0 to 1, mean 0.485, 0.456, 0.406" in said
    assert "Preprocessing assumed: that of cifar/resnet20." in said
    assert "ImageNet names assumed" in said


def test_the_form_is_empty_after_an_upload_of_models_and_not_after_one_of_images(form):
    form.selectbox(key="upload_architecture_0").set_value(NET).run()
    form.text_input(key="upload_create_0").set_value("num_classes=3").run()
    form.text_input(key="upload_preprocessing_0_mean").set_value("0.4").run()
    state = form.session_state["session"]
    state.uploads["images"] += 1  # as after "Use these images"
    form.run()
    assert form.selectbox(key="upload_architecture_0").value == NET
    assert form.text_input(key="upload_create_0").value == "num_classes=3"
    upload(form, {"net.pt": weights(3)})
    form.button(key="upload_weights_add").click().run()
    finish(form)
    assert cards(form)[0].preprocessing.mean == (0.4, 0.4, 0.4)
    assert form.selectbox(key="upload_architecture_1").value is None
    assert form.text_input(key="upload_create_1").value == ""
    assert form.text_input(key="upload_preprocessing_1_mean").value == ""


def test_preprocessing_is_shown_while_it_is_typed(form):
    form.selectbox(key="upload_architecture_0").set_value(NET).run()
    assert "mean 0.485, 0.456, 0.406" in words(form)
    assert form.text_input(key="upload_preprocessing_0_mean").placeholder == "0.485, 0.456, 0.406"
    form.text_input(key="upload_preprocessing_0_mean").set_value("124, 116, 104").run()
    assert "range=255" in errors(form)
    form.text_input(key="upload_preprocessing_0_std").set_value("58").run()
    form.selectbox(key="upload_preprocessing_0_range").set_value(255).run()
    assert not form.error
    assert "mean 0.4863, 0.4549, 0.4078, std 0.2275" in words(form)
    form.selectbox(key="upload_preprocessing_0_mode").set_value("border").run()
    assert "whole image within 32 × 32" in words(form)


def test_the_preprocessing_of_a_model_in_use_can_be_changed(form):
    upload(form, {"net.pt": weights(3), "config.json": config()})
    form.button(key="upload_weights_add").click().run()
    finish(form)
    (card,) = cards(form)
    state = form.session_state["session"]
    colour = state.colour(card.digest)
    history.kept().put(card.digest, History("log", np.array([1]), {"validation loss": np.array([0.5])}))
    form.session_state[f"upload_edit_{card.digest}_input_size"] = "40, 48"
    form.button(key=f"upload_change_{card.digest}").click().run()
    assert "48 × 40 px RGB" in words(form), "the dialog shows what was typed"
    assert not form.button(key=f"upload_edit_use_{card.digest}").disabled
    state.jobs["models"] = cache.jobs().submit(load_again(card, {"input_size": [40, 48], "mean": 0.3}, "multi-label"))
    finish(form)
    form.run()
    (changed,) = cards(form)
    assert (changed.preprocessing.mean, changed.input_size) == ((0.3, 0.3, 0.3), (40, 48))
    assert changed.head == "multi-label"
    assert markdown("multi-label: 0 = ") in words(form)
    assert state.colour(changed.digest) == colour
    assert history.kept().get(changed.digest) is not None, "the history goes with the model"
    assert "Preprocessing assumed" not in " ".join(changed.notes)


def test_files_of_every_suffix_can_be_uploaded(form):
    assert set(checkpoint.LOADER.suffixes) <= {f".{kind.removeprefix('.')}" for kind in form.file_uploader(
        key="upload_weights_0").allowed_type}  # fmt: skip
