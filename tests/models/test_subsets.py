"""A file holds more than a model, or holds it under other names: the entries that fit are taken, the rest is named."""

from collections import OrderedDict
from functools import partial

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from models.loaders import checkpoint, fitting, for_file, keep, zoo
from models.loaders.entries import SUFFIXES, stem_of
from tests.makers import one_line

NET = "cifar/resnet20"


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return dict(zoo.build(NET, {"num_classes": 4})[0].state_dict())


def behind(prefix, state, add=0.0):
    return {prefix + key: value + add if value.is_floating_point() else value for key, value in state.items()}


def load(data, path, **create):
    torch.save(data, path)
    return checkpoint.load(str(path), NET, create=create)


def weight(loaded):
    return loaded.module.conv1.weight


def without_head(state):
    return {key: value for key, value in state.items() if not key.startswith("linear.")}


@pytest.mark.parametrize(
    "prefix", ["encoder_q.", "classifier.body.", "model.model.net.", "0.", "learner.module.student._orig_mod."]
)
def test_a_prefix_that_nobody_foresaw_is_stripped(tmp_path, state, prefix):
    loaded = load({"state": behind(prefix, state)}, tmp_path / "net.pt")
    assert torch.equal(weight(loaded), state["conv1.weight"])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda key: key.replace("layer1.", "layer1.module."),  # one part in parallel, as in old AlexNets
        lambda key: key.replace("layer2.0.", "layer2.0._orig_mod."),
        lambda key: "_fsdp_wrapped_module." + key.replace("layer3.", "layer3._fsdp_wrapped_module."),
    ],
)
def test_wrappers_amid_a_name_are_taken_out(tmp_path, state, wrap):
    loaded = load({wrap(key): value for key, value in state.items()}, tmp_path / "net.pt")
    assert torch.equal(loaded.module.layer3[0].conv1.weight, state["layer3.0.conv1.weight"])


@pytest.mark.parametrize(
    ("beside", "named"),
    [
        ({"state_dict": {"train_metrics.confusion": torch.zeros(4, 4)}}, "train_metrics"),
        (
            {"state_dict": {"teacher.embed.weight": torch.zeros(3, 5), "teacher.embed.bias": torch.zeros(3)}},
            "teacher (2",
        ),
        ({"scheduler": {"warmup": {"factor": torch.ones(3)}}}, "scheduler"),
    ],
)
def test_what_stands_beside_the_model_is_left_out_and_named(tmp_path, state, beside, named):
    own = behind("net.", state)
    data = {**beside, "state_dict": {**own, **beside.get("state_dict", {})}}
    assert f"Left out of the file: {named}" in " ".join(load(data, tmp_path / "net.pt").notes)


@pytest.mark.parametrize("key", ["total_ops", "layer1.total_params", "n_averaged", "loss_fn.weight", "val_acc.total"])
def test_counters_and_losses_among_the_models_own_entries_are_left_out(tmp_path, state, key):
    loaded = load({**state, key: torch.ones(1)}, tmp_path / "net.pt")
    assert "Left out of the file" in " ".join(loaded.notes)


@pytest.mark.parametrize("key", ["layer1.0.se.fc.weight", "gem.p2.weight", "attention.query.weight"])
def test_parts_that_the_architecture_lacks_are_refused(tmp_path, state, key, monkeypatch):
    monkeypatch.setattr(fitting, "find_architecture", lambda weights, near: None)
    with one_line(f"unknown to the model: {key}"):
        load({**state, key: torch.ones(4, 4)}, tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("plain", "averaged"),
    [("model.", "ema_model."), ("net.", "ema.module."), ("state_dict.", "swa_state_dict."), ("", "averaged_model.")],
)
def test_of_two_copies_the_averaged_one_is_taken_and_that_is_said(tmp_path, state, plain, averaged):
    data = {**behind(plain, state), **behind(averaged, state, add=1.0)}
    loaded = load(data, tmp_path / "net.pt")
    assert torch.equal(weight(loaded), state["conv1.weight"] + 1)
    assert "Averaged weights taken" in " ".join(loaded.notes)
    again = load(data, tmp_path / "net.pt", prefix=plain) if plain else None
    assert again is None or torch.equal(weight(again), state["conv1.weight"])


def test_which_of_two_equal_models_is_asked_for(tmp_path, state):
    data = {"student": behind("", state), "teacher": behind("", state, add=1.0)}
    with one_line("2 that fit: student, teacher", "Write prefix=teacher"):
        load(data, tmp_path / "net.pt")
    loaded = load(data, tmp_path / "net.pt", prefix="teacher")
    assert torch.equal(weight(loaded), state["conv1.weight"] + 1)
    assert loaded.recipe.arguments["create"]["prefix"] == "teacher"
    with one_line("'techer.'", "Did you mean teacher?"):
        load(data, tmp_path / "net.pt", prefix="techer")


def test_copies_that_are_the_same_need_no_choice(tmp_path, state):
    loaded = load({**behind("model.", state), **behind("attacker.model.", state)}, tmp_path / "net.pt")
    assert torch.equal(weight(loaded), state["conv1.weight"])


def test_a_further_head_on_the_answer_is_not_left_out_without_a_word(tmp_path, state):
    data = {**behind("backbone.", state), "head.weight": torch.ones(2, 4), "head.bias": torch.zeros(2)}
    with one_line("beside it head, which seems to read its answer", "prefix=backbone"):
        load(data, tmp_path / "net.pt")
    assert load(data, tmp_path / "net.pt", prefix="backbone").module.linear.out_features == 4


@pytest.mark.parametrize(
    "beside",
    [
        {"normalize.mean": torch.tensor([0.1, 0.2, 0.3]), "normalize.std": torch.full((3,), 0.25)},
        {"mu": torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1), "sigma": torch.full((1, 3, 1, 1), 0.25)},
        {"data_preprocessor.mean": torch.tensor([25.5, 51.0, 76.5]), "data_preprocessor.std": torch.full((3,), 63.75)},
    ],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["model.", ""])
def test_mean_and_std_that_a_file_holds_are_used_and_told(tmp_path, state, beside, prefix):
    loaded = load({**behind(prefix, state), **beside}, tmp_path / "net.pt")
    assert loaded.preprocessing.mean == pytest.approx((0.1, 0.2, 0.3))
    assert loaded.preprocessing.std == pytest.approx((0.25,) * 3)
    assert "Mean and std that the file holds are used" in " ".join(loaded.notes)
    given = load({**behind(prefix, state), **beside}, tmp_path / "net.pt", mean=0.5, std=0.5)
    assert given.preprocessing.mean == (0.5,) * 3
    assert "are not used, as others are given" in " ".join(given.notes)


# Heads


def test_a_head_beside_its_backbone_is_taken(tmp_path, state):
    data = {
        **behind("backbone.", without_head(state)),
        "head.fc.weight": torch.ones(7, 64),
        "head.fc.bias": torch.ones(7),
    }
    loaded = load(data, tmp_path / "net.pt")
    assert "Its head stands beside backbone in the file, as head." in loaded.notes
    assert loaded.module.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 7)


def test_weights_without_a_head_are_told_so(tmp_path, state):
    with one_line("missing: linear.weight, linear.bias", "lack the classifier head (linear)"):
        load(without_head(state), tmp_path / "net.pt")


HEADS = {
    "dropout first": [nn.Dropout(), nn.Linear(64, 5)],
    "three layers": [
        nn.Linear(64, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 8), nn.ReLU(),
        nn.Linear(8, 5),
    ],
    "batch norm": [nn.Linear(64, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 5)],
    "batch norm behind": [nn.Linear(64, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Linear(16, 5)],
    "norm first": [nn.LayerNorm(64), nn.Linear(64, 5)],
    "learnt slope": [nn.Linear(64, 16), nn.PReLU(), nn.Linear(16, 5)],
    "nothing between": [nn.Linear(64, 16), nn.Linear(16, 5)],
    "no bias": [nn.Linear(64, 5, bias=False)],
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_head_that_somebody_put_in_place_is_built_again(tmp_path, name, suffix):
    torch.manual_seed(0)
    net = zoo.build(NET, {"num_classes": 4})[0]
    layers = HEADS[name]
    net.linear = nn.Sequential(*layers) if len(layers) > 1 else layers[0]
    path = tmp_path / f"net{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(net.state_dict(), path)
    loaded = checkpoint.load(str(path), NET)
    images = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(loaded.module.eval()(images), net.eval()(images))
    assert "Its head linear is the checkpoint's own" in " ".join(loaded.notes)


def test_what_stands_between_linear_layers_can_be_chosen(tmp_path):
    net = zoo.build(NET, {"num_classes": 4})[0]
    net.linear = nn.Sequential(nn.Linear(64, 9), nn.GELU(), nn.Linear(9, 5))
    images = torch.rand(2, 3, 32, 32)
    loaded = load(net.state_dict(), tmp_path / "net.pt", head_activation="gelu")
    torch.testing.assert_close(loaded.module.eval()(images), net.eval()(images))
    assert "gelu" in loaded.flags
    with one_line("an activation for the head", "'geluu'", "Did you mean gelu"):
        load(net.state_dict(), tmp_path / "net.pt", head_activation="geluu")


@pytest.mark.parametrize("keys", [("fc1", "relu", "output"), ("hidden", "act", "classes")])
def test_a_head_whose_layers_have_names_is_built_again(tmp_path, keys):
    layers = (nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 5))
    net = zoo.build(NET, {"num_classes": 4})[0]
    net.linear = nn.Sequential(OrderedDict(zip(keys, layers, strict=True)))
    images = torch.rand(2, 3, 32, 32)
    loaded = load(net.state_dict(), tmp_path / "net.pt")
    torch.testing.assert_close(loaded.module.eval()(images), net.eval()(images))


CLASSIFIERS = {
    "shorter": [nn.Linear(576, 3)],
    "longer": [nn.Linear(576, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)],
    "narrower": [nn.Linear(576, 8), nn.Hardswish(), nn.Dropout(), nn.Linear(8, 3)],
    "inside": [
        nn.Linear(576, 1024), nn.Hardswish(), nn.Dropout(),
        nn.Sequential(nn.Linear(1024, 4), nn.ReLU(), nn.Linear(4, 3)),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_of_several_layers_may_be_another(tmp_path, name):
    torch.manual_seed(0)
    net = torchvision.models.mobilenet_v3_small(num_classes=3)
    net.classifier = nn.Sequential(*CLASSIFIERS[name])
    torch.save(net.state_dict(), tmp_path / "net.pt")
    loaded = checkpoint.load(str(tmp_path / "net.pt"), "torchvision/mobilenet_v3_small")
    images = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(loaded.module.eval()(images), net.eval()(images))
    assert "Its head classifier" in " ".join(loaded.notes)


def test_a_narrower_head_has_the_architectures_activation_unless_another_is_named(tmp_path):
    net = torchvision.models.mobilenet_v3_small(num_classes=3)
    net.classifier = nn.Sequential(nn.Linear(576, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 3))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    load = partial(checkpoint.load, str(tmp_path / "net.pt"), "torchvision/mobilenet_v3_small")
    assert "Hardswish" in " ".join(load().notes)
    images = torch.rand(2, 3, 64, 64)
    named = load(create={"head_activation": "relu"}).module.eval()
    torch.testing.assert_close(named(images), net.eval()(images))


# Channels


@pytest.mark.parametrize(
    "architecture", ["torchvision/resnet18", "torchvision/swin_t", "cifar/resnet20", "timm/resnet10t"]
)
def test_a_first_convolution_of_one_channel_makes_a_model_for_grey_images(architecture):
    with torch.device("meta"):
        net, preprocessing = zoo.build(architecture, {"in_chans": 1, "num_classes": 3})
    assert preprocessing.channels == 1
    assert zoo.stem(net)[1].weight.shape[1] == 1


@pytest.mark.parametrize("n_channels", [2, 4, 13])
def test_other_numbers_of_channels_ask_which_ones_see_the_image(tmp_path, state, n_channels):
    torch.manual_seed(0)
    kernel = torch.randn(16, n_channels, 3, 3)
    data = {**state, "conv1.weight": kernel}
    with one_line(f"which of the {n_channels} channels of conv1.weight see red", "bands=0,1,2"):
        load(data, tmp_path / "net.pt")
    grey = load(data, tmp_path / "net.pt", bands=1)
    assert grey.preprocessing.channels == 1
    assert torch.equal(weight(grey), kernel[:, [1]])
    if n_channels > 2:
        colour = load(data, tmp_path / "net.pt", bands=[2, 1, 0], in_chans=n_channels)
        assert torch.equal(weight(colour), kernel[:, [2, 1, 0]])
        assert f"bands 2, 1, 0 of {n_channels}" in " ".join(colour.notes)
    with one_line(f"three bands of {n_channels}", "Number them from 0"):
        load(data, tmp_path / "net.pt", bands=[0, 1, n_channels])


def test_other_bands_are_fed_their_mean(tmp_path, state):
    net = zoo.build(NET, {"num_classes": 4})[0]
    net.conv1 = nn.Conv2d(5, 16, 3, padding=1, bias=False)
    images = torch.rand(2, 3, 32, 32)
    fed = torch.zeros(2, 5, 32, 32)
    fed[:, [3, 2, 1]] = images
    loaded = load(net.state_dict(), tmp_path / "net.pt", bands=[3, 2, 1], mean=[0.1, 0.2, 0.3, 0.4, 0.5], std=0.5)
    assert loaded.preprocessing.mean == (0.4, 0.3, 0.2)
    torch.testing.assert_close(loaded.module.eval()(images), net.eval()(fed))


# Files


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_suffix_is_read_kept_and_offered(tmp_path, state, suffix):
    path = tmp_path / f"my.net{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, path)
    with path.open("rb") as file:
        kept = keep(file, path.name.upper(), tmp_path / "weights")
    assert kept.name.endswith(suffix)
    assert for_file(path.name).name == "checkpoint"
    assert checkpoint.load(str(kept), NET, name=stem_of(path.name)).name == "my.net"


def test_a_file_is_read_by_its_content_where_its_name_is_another_formats(tmp_path, state):
    save_file(state, tmp_path / "pytorch_model.bin")
    torch.save(state, tmp_path / "model.safetensors")
    for name in ("pytorch_model.bin", "model.safetensors"):
        assert torch.equal(weight(checkpoint.load(str(tmp_path / name), NET)), state["conv1.weight"])


@pytest.mark.parametrize(
    "keys",
    [
        ("dinov2.embeddings.cls_token", "dinov2.encoder.layer.0.attention.attention.query.weight", "classifier.weight"),
        ("regnet.embedder.embedder.convolution.weight", "regnet.encoder.stages.0.layers.0.layer.0.convolution.weight"),
        ("mobilenet_v2.conv_stem.first_conv.convolution.weight", "classifier.weight"),
        ("segformer.encoder.patch_embeddings.0.proj.weight", "classifier.weight"),
    ],
)
def test_weights_of_transformers_are_named_with_the_cure(tmp_path, keys):
    with one_line("weights of Hugging Face transformers", "from timm"):
        load({key: torch.ones(3, 3) for key in keys}, tmp_path / "net.bin")


@pytest.mark.parametrize(
    "key",
    [
        "base_model.model.blocks.0.attn.qkv.lora_magnitude_vector.weight",
        "base_model.model.blocks.0.attn.qkv.ia3_l",
        "lycoris_blocks_0.hada_w1_a",
        "lora_unet_blocks_0_attn.lora_down.weight",
    ],
)
def test_adapters_are_named_with_the_cure(tmp_path, key):
    with one_line("an adapter for one, such as LoRA", "Merge it into its model"):
        load({key: torch.ones(3, 3)}, tmp_path / "net.pt")
