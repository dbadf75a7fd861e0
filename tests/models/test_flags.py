"""What a constructor chose and no weight shows: the loader chooses what the weights imply, and says so."""

import pytest
import timm
import torch
import torchvision

from models.loaders import checkpoint, zoo
from models.loaders.base import flags_of
from models.loaders.flags import implied, twins
from models.store import digest_of


def load(state, architecture, path, **create):
    torch.save(state, path)
    return checkpoint.load(str(path), architecture, create=create)


def trained_on(inputs, transform_input, n_classes=5):
    """A GoogLeNet whose first BatchNorm has met `inputs` (N, 3, H, W) often enough."""
    torch.manual_seed(0)
    net = torchvision.models.googlenet(
        num_classes=n_classes, aux_logits=False, transform_input=transform_input, init_weights=False
    )
    seen = net._transform_input(inputs)
    net.conv1.bn.momentum = None
    net.conv1(seen)
    return net.eval()


@pytest.fixture(scope="module")
def photos():
    """Normalised by ImageNet's figures, and neighbouring pixels alike, as natural images are."""
    torch.manual_seed(1)
    coarse = torch.randn(16, 3, 8, 8) * 0.9
    return torch.nn.functional.interpolate(coarse, size=64, mode="bilinear")


@pytest.mark.parametrize("transform_input", [True, False])
def test_the_first_batch_norm_tells_whether_a_net_rescaled_its_input(tmp_path, photos, transform_input):
    net = trained_on(photos, transform_input)
    loaded = load(net.state_dict(), "torchvision/googlenet", tmp_path / "net.pt")
    assert loaded.module.transform_input is transform_input
    torch.testing.assert_close(loaded.module.eval()(photos[:1]), net(photos[:1]))
    assert f"transform_input={str(transform_input).lower()} assumed: the first BatchNorm" in " ".join(loaded.notes)


@pytest.mark.parametrize("auxiliary", [True, False])
def test_inception_with_and_without_its_auxiliary_head(tmp_path, auxiliary):
    with torch.device("meta"):
        net = torchvision.models.inception_v3(aux_logits=auxiliary, transform_input=True, init_weights=False)
    flags, notes = implied("torchvision/inception_v3", net.state_dict(), 1000)
    assert flags == {"aux_logits": auxiliary, "transform_input": True}
    assert "with 1000 outputs" in notes[0]


def test_what_somebody_chose_is_not_guessed(tmp_path):
    net = torchvision.models.googlenet(num_classes=3, aux_logits=False, init_weights=False)
    loaded = load(net.state_dict(), "torchvision/googlenet", tmp_path / "net.pt", transform_input=True)
    assert loaded.module.transform_input
    assert "transform_input" not in " ".join(loaded.notes)


def test_auxiliary_heads_that_an_architecture_lacks_are_left_out(tmp_path):
    net = timm.create_model("resnet10t", num_classes=3)
    state = {**net.state_dict(), "AuxLogits.fc.weight": torch.ones(3, 8), "AuxLogits.fc.bias": torch.ones(3)}
    assert "Left out of the file: AuxLogits (2 entries)." in load(state, "timm/resnet10t", tmp_path / "n.pt").notes


def test_a_family_that_asks_for_the_version_of_its_weights_gets_it(tmp_path):
    state = dict(torchvision.models.mnasnet0_5(num_classes=3).state_dict())
    assert load(state, "torchvision/mnasnet0_5", tmp_path / "net.pt").module.num_classes == 3


@pytest.mark.parametrize(
    ("architecture", "flag"),
    [
        ("timm/mobilenetv3_small_050", {"pad_type": "same"}),
        ("timm/resnet10t", {"act_layer": "gelu"}),
        ("timm/resnet10t", {"global_pool": "max"}),
        ("timm/resnet10t", {"output_stride": 8}),
    ],
)
def test_models_that_differ_in_a_flag_alone_are_two_models(tmp_path, architecture, flag):
    plain, flagged = (zoo.load(architecture, create={"num_classes": 2, **one}) for one in ({}, flag))
    assert plain.module.state_dict().keys() == flagged.module.state_dict().keys()
    assert digest_of(plain) != digest_of(flagged)
    image = torch.rand(1, 3, 64, 64)
    assert not torch.allclose(plain.module.eval()(image), flagged.module.eval()(image))


def test_flags_that_show_in_the_weights_make_no_other_model():
    assert flags_of({"num_classes": 3, "in_chans": 1, "drop_rate": 0.1}) == ""


@pytest.mark.parametrize(
    ("architecture", "twin"),
    [
        ("timm/efficientnet_b0", "timm/tf_efficientnet_b0"),
        ("timm/tf_mixnet_s", "timm/mixnet_s"),
        ("timm/vit_base_patch16_clip_224.openai", "timm/vit_base_patch16_clip_quickgelu_224"),
        ("timm/vit_base_patch32_clip_quickgelu_224", "timm/vit_base_patch32_clip_224"),
    ],
)
def test_an_architecture_that_takes_the_same_weights_is_named(architecture, twin):
    (note,) = twins(architecture, zoo.architectures())
    assert f"{twin} takes the same weights" in note


@pytest.mark.parametrize("architecture", ["timm/mobilenetv2_050", "timm/semnasnet_075", "mnasnet_100"])
def test_an_architecture_that_pads_in_two_ways_says_which(architecture):
    (note,) = twins(architecture, zoo.architectures())
    assert "pad_type=same" in note


@pytest.mark.parametrize("architecture", ["timm/resnet18", "torchvision/mnasnet0_5", "cifar/resnet20", "resnet18"])
def test_most_architectures_have_no_such_twin(architecture):
    assert twins(architecture, zoo.architectures()) == ()
