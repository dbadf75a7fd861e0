import argparse
import io
import os
import pathlib
import zipfile

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from models.loaders import checkpoint, fitting, keep, zoo
from models.loaders.base import n_outputs
from models.loaders.checkpoint import read_weights
from models.store import ModelStore
from tests.makers import TinyNet, one_line

NET = "cifar/resnet20"


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return zoo.build(NET, {"num_classes": 4})[0].state_dict()


@pytest.fixture(scope="module")
def resnet18():
    torch.manual_seed(0)
    return timm.create_model("resnet18", num_classes=6).state_dict()


@pytest.fixture
def no_search(monkeypatch):
    """A search for the right architecture that finds none takes seconds, and is not the point of every test."""
    monkeypatch.setattr(fitting, "find_architecture", lambda weights, near: None)


def saved(data, path, **options):
    torch.save(data, path, **options)
    return path


def same(loaded, state):
    own = loaded.module.state_dict()
    return own.keys() == state.keys() and all(torch.equal(own[key], state[key].float()) for key in own)


# What comes in many wrappings


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3, "best": None, "arch": "resnet20"},
        lambda state: {
            "model": state,
            "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
            "step": torch.ones(1),
        },
        lambda state: {"model_state_dict": state},
        lambda state: {"state_dict": {"model": state}},
        lambda state: {f"module.{key}": value for key, value in state.items()},
        lambda state: {"state_dict": {f"model._orig_mod.{key}": value for key, value in state.items()}},
        lambda state: {**state, "epoch": 7, "best_accuracy": 91.5, "note": None},
        lambda state: {"state_dict": state, "args": argparse.Namespace(lr=0.1, out=pathlib.Path("runs") / "1")},
        lambda state: {"state_dict": state, "best_prec1": np.float64(91.7), "n": np.int64(3)},
        lambda state: {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")},
    ],
)
def test_weights_are_found_whatever_a_training_script_put_around_them(tmp_path, state, wrap):
    loaded = checkpoint.load(str(saved(wrap(state), tmp_path / "model.pt")), NET)
    assert same(loaded, {**state})
    assert n_outputs(loaded.module) == 4


def test_averaged_weights_are_preferred_as_timm_prefers_them(tmp_path, state):
    averaged = {key: torch.ones_like(value) for key, value in state.items()}
    path = saved({"state_dict": state, "state_dict_ema": averaged}, tmp_path / "model.pt")
    assert same(checkpoint.load(str(path), NET), averaged)


@pytest.mark.parametrize("name", ["model.pt", "model.pth", "model.th", "model.PT", "old.pt", "model.safetensors"])
def test_every_format_gives_the_same_model(tmp_path, state, name):
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        saved(state, path, _use_new_zipfile_serialization=name != "old.pt")
    assert same(checkpoint.load(str(path), NET), state)


def test_half_precision_is_read_as_single(tmp_path, state):
    half = {key: value.half() if value.is_floating_point() else value for key, value in state.items()}
    save_file(half, tmp_path / "half.safetensors")
    loaded = checkpoint.load(str(tmp_path / "half.safetensors"), NET)
    assert {parameter.dtype for parameter in loaded.module.parameters()} == {torch.float32}
    assert same(loaded, half)


def test_a_checkpoint_comes_back_after_a_restart(model_store, tmp_path, state):
    path = saved(state, tmp_path / "model.pt")
    names = ["a", "b", "c", "d"]
    loaded = checkpoint.load(str(path), NET, class_names=names, preprocessing={"mean": [0.5, 0.5, 0.5]}, name="mine")
    card = model_store.add(loaded)
    assert (card.name, card.source, card.class_names) == ("mine", "checkpoint", tuple(names))
    assert card.preprocessing.mean == (0.5, 0.5, 0.5)
    again = ModelStore(tmp_path / "model_store", "cpu")
    with again.borrow(again.cards()[0]) as model:
        assert same(model, state)
    path.unlink()
    with (
        one_line("no file at", "model.pt", "Add it again."),
        ModelStore(tmp_path / "model_store", "cpu").borrow(card),
    ):
        pass


def test_uploads_are_kept_by_their_content_wherever_their_names_point(tmp_path, state):
    content = saved(state, tmp_path / "model.pt").read_bytes()
    folder = tmp_path / "weights"
    first = keep(io.BytesIO(content), "model.pt", folder)
    assert first == keep(io.BytesIO(content), "../../elsewhere/Model.PT", folder)
    assert list(folder.iterdir()) == [first]
    assert first.read_bytes() == content
    with one_line("a file that holds a model", "'model.onnx'"):
        keep(io.BytesIO(content), "model.onnx", folder)


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path):
    class Broken(io.BytesIO):
        def read(self, *_):
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        keep(Broken(), "model.pt", tmp_path / "weights")
    assert list((tmp_path / "weights").iterdir()) == []


# What must never run


class Touch:
    """A pickle of this makes the file `path` when it is loaded carelessly."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_the_trap_that_the_next_test_sets_would_snap(tmp_path):
    path = saved({"state_dict": Touch(tmp_path / "made")}, tmp_path / "evil.pt")
    torch.load(path, weights_only=False)
    assert (tmp_path / "made").exists()


@pytest.mark.parametrize("options", [{}, {"_use_new_zipfile_serialization": False}])
def test_a_pickle_that_wants_to_run_code_is_refused_and_nothing_runs(tmp_path, state, options):
    path = saved({"state_dict": {**state}, "extra": Touch(tmp_path / "made")}, tmp_path / "evil.pt", **options)
    with one_line("a pickle that wants to run code (posix.system)", "None of it was run."):
        checkpoint.load(str(path), NET)
    assert not (tmp_path / "made").exists()


def test_a_whole_pickled_model_is_refused_with_the_way_to_save_it(tmp_path):
    path = saved(TinyNet(), tmp_path / "model.pt")
    with one_line("a whole pickled model, which is code (tests.makers.TinyNet)", "Save model.state_dict()"):
        read_weights(path)
    path = saved(nn.Sequential(nn.Linear(2, 2)), tmp_path / "model.pt", _use_new_zipfile_serialization=False)
    with one_line("a whole pickled model, which is code", "Save model.state_dict()"):
        read_weights(path)


@pytest.mark.filterwarnings("ignore:.torch.jit.*:FutureWarning", "ignore:.torch.load.*:UserWarning")
def test_a_torchscript_program_is_refused(tmp_path):
    path = tmp_path / "script.pt"
    torch.jit.script(nn.Linear(2, 2)).save(str(path))
    with one_line("a TorchScript program, which is code", "None of it was run."):
        read_weights(path)


# What is no checkpoint


@pytest.mark.parametrize("name", ["model.pt", "old.pt", "model.safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_checkpoint_cut_short_is_refused(tmp_path, state, name, share):
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        saved(state, path, _use_new_zipfile_serialization=name == "model.pt")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with one_line("a checkpoint (.pt .pth .th", "an empty file" if share == 0 else "a file that"):
        read_weights(path)


@pytest.mark.parametrize("name", ["notes.pt", "notes.safetensors"])
def test_a_text_is_no_checkpoint(tmp_path, name):
    (tmp_path / name).write_text("dear diary, today I trained a network")
    with one_line("a checkpoint", "a file that"):
        read_weights(tmp_path / name)


def test_a_zip_of_something_else_is_no_checkpoint(tmp_path):
    with zipfile.ZipFile(tmp_path / "pictures.pt", "w") as archive:
        archive.writestr("a.txt", "hello")
    with one_line("a file that holds something else", "Save model.state_dict()"):
        read_weights(tmp_path / "pictures.pt")


@pytest.mark.parametrize(
    ("data", "part"),
    [
        ([1, 2], "got a list"),
        (torch.zeros(3), "got a Tensor"),
        ({}, "a dict with nothing in it"),
        ({"epoch": 3, "optimizer": {}}, "a dict with epoch, optimizer"),
        ({"state_dict": {}}, "a dict with nothing in it"),
        ({0: torch.zeros(2)}, "a dict with 0"),
        (None, "got a NoneType"),
    ],
)
def test_a_file_without_named_tensors_is_no_checkpoint(tmp_path, data, part):
    with one_line("a state dict of named tensors", part):
        read_weights(saved(data, tmp_path / "model.pt"))


def test_wrappings_without_end_are_given_up(tmp_path):
    endless = {"epoch": 3}
    endless["model"] = endless
    with one_line("a state dict of named tensors"):
        read_weights(saved(endless, tmp_path / "model.pt"))


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_quantised_weights_are_refused(tmp_path, state):
    packed = torch.quantize_per_tensor(state["linear.weight"], 0.1, 0, torch.qint8)
    with one_line("dense tensors", "neither quantised nor sparse"):
        checkpoint.load(str(saved({**state, "linear.weight": packed}, tmp_path / "model.pt")), NET)


# What fits


@pytest.mark.parametrize(
    ("keys", "n_classes"),
    [
        ({"fc.weight": (10, 64), "layer1.0.se.fc.weight": (4, 64)}, 10),
        ({"classifier.0.weight": (128, 64), "classifier.3.weight": (128, 128), "classifier.6.weight": (7, 128)}, 7),
        ({"classifier.10.weight": (5, 8), "classifier.9.weight": (8, 8)}, 5),
        ({"head.fc.weight": (9, 64), "head.pre_logits.fc.weight": (64, 64)}, 9),
        ({"heads.head.weight": (3, 8), "encoder.layers.0.mlp.linear_1.weight": (8, 8)}, 3),
        ({"head.fc.weight": (11, 64, 1, 1)}, 11),
        ({"last_linear.weight": (6, 8)}, 6),
        ({"blocks.0.mlp.fc1.weight": (8, 8)}, None),
    ],
)
def test_the_number_of_classes_is_read_off_the_head(keys, n_classes):
    assert fitting.guess_classes({key: torch.zeros(shape) for key, shape in keys.items()}) == n_classes


def test_weights_of_another_architecture_are_explained_and_theirs_is_named(tmp_path, resnet18):
    path = str(saved(resnet18, tmp_path / "model.pt"))
    fits = "122 entries of which 122 fit; missing: layer1.2.conv1.weight, layer1.2.bn1.weight, "
    tenth = "layer1.2.bn2.running_var and 70 more. They are weights of timm/resnet18: choose that."
    with one_line("weights of timm/resnet34", fits, tenth):
        checkpoint.load(path, "timm/resnet34")


def test_the_same_net_of_another_library_is_found(tmp_path):
    with torch.device("meta"):
        shapes = zoo.build("torchvision/vgg11", {"num_classes": 3})[0].state_dict()
    weights = {key: torch.empty(value.shape, device="meta") for key, value in shapes.items()}
    assert fitting.find_architecture(weights, "timm/vgg11") == "torchvision/vgg11"


@pytest.mark.usefixtures("no_search")
def test_nothing_is_loaded_when_something_does_not_fit(resnet18):
    module = timm.create_model("resnet18", num_classes=6)
    before = module.conv1.weight.clone()
    weights = {**resnet18, "conv1.weight": resnet18["conv1.weight"] + 1}
    del weights["fc.bias"]
    with one_line("missing: fc.bias"):
        fitting.fit(module, weights, "timm/resnet18")
    assert torch.equal(module.conv1.weight, before)


@pytest.mark.usefixtures("no_search")
def test_what_would_mend_it_is_said(tmp_path, resnet18):
    path = str(saved(resnet18, tmp_path / "model.pt"))
    with one_line("of another shape: fc.weight 6 × 512 (the model has 9 × 512)", "Set num_classes=6"):
        checkpoint.load(path, "timm/resnet18", create={"num_classes": 9})
    with one_line("conv1.weight 64 × 3 × 7 × 7 (the model has 64 × 1 × 7 × 7)", "Set in_chans=3"):
        checkpoint.load(path, "timm/resnet18", create={"in_chans": 1})
    odd = {key.replace("layer4", "stage4"): value for key, value in resnet18.items()}
    with one_line("missing: layer4.0.conv1.weight", "unknown to the model: stage4.0.conv1", "it may be a variant"):
        checkpoint.load(str(saved(odd, tmp_path / "odd.pt")), "timm/resnet18")
    foreign = {f"my_{key}": value for key, value in resnet18.items()}
    with one_line("122 entries of which 0 fit", "whose first entry is my_conv1.weight"):
        checkpoint.load(str(saved(foreign, tmp_path / "foreign.pt")), "timm/resnet18")


def test_class_names_must_be_as_many_as_the_outputs(model_store, tmp_path, state):
    path = str(saved(state, tmp_path / "model.pt"))
    with one_line("4 class names for model", "got 2"):
        model_store.add(checkpoint.load(path, NET, class_names=["a", "b"]))
    assert model_store.cards() == []


def test_preprocessing_that_no_architecture_has_is_explained(tmp_path, state):
    with one_line("a field of the preprocessing", "Did you mean resize?"):
        checkpoint.load(str(saved(state, tmp_path / "model.pt")), NET, preprocessing={"resise": 40})


def test_weights_that_are_not_finite_are_refused(model_store, tmp_path, state):
    spoilt = {**state, "linear.bias": state["linear.bias"] * float("nan")}
    with one_line("finite weights", "NaN or infinite numbers in linear.bias", "did the training diverge?"):
        model_store.add(checkpoint.load(str(saved(spoilt, tmp_path / "diverged.pt")), NET))
