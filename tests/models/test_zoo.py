import threading
import time
import urllib.error
import urllib.request

import pytest
import torch
import torchvision
from huggingface_hub import constants

from common import hub
from models.loaders import demo, zoo
from models.loaders.arguments import parse_arguments
from models.loaders.base import n_outputs
from models.store import ModelStore
from tests.makers import one_line


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No network and nothing in the caches."""

    def refuse(*_args, **_options):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hugging-face"))
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "torch-hub"))


def test_all_three_libraries_are_in_the_zoo():
    libraries = {name.partition("/")[0] for name in zoo.architectures()}
    assert libraries == {"timm", "torchvision", "cifar"}
    assert len(zoo.architectures()) > 1000


def test_random_weights_are_those_of_their_seed_and_leave_the_generator_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (zoo.load("cifar/resnet20", seed=seed).module.conv1.weight for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_net_of_the_zoo_comes_back_after_a_restart(model_store, tmp_path):
    create = {"depth": 1, "embed_dim": 24, "num_heads": 2, "img_size": [32, 32], "num_classes": 4}
    card = model_store.add(zoo.load("vit_tiny_patch16_224", create=create, seed=7))
    assert (card.name, card.input_size, card.n_classes) == ("vit_tiny_patch16_224 (random)", (32, 32), 4)
    assert card.notes == ("Random weights: its answers mean nothing.",)
    with ModelStore(tmp_path / "model_store", "cpu").borrow(model_store.cards()[0]) as model:
        assert model.logits(torch.zeros(1, 3, 32, 32)).shape == (1, 4)


def test_a_head_of_1000_has_imagenets_names(model_store):
    assert model_store.add(zoo.load("timm/mobilenetv3_small_050")).class_names[1] == "goldfish"


def test_a_grey_net_gets_the_mean_of_the_means():
    with torch.device("meta"):
        _, preprocessing = zoo.build("timm/resnet18", {"in_chans": 1})
    assert preprocessing.mean == pytest.approx((sum((0.485, 0.456, 0.406)) / 3,))


@pytest.mark.parametrize("create", [{}, {"image_size": 96}])
def test_torchvisions_vits_are_shown_pictures_of_their_own_size(create):
    with torch.device("meta"):
        module, preprocessing = zoo.build("torchvision/vit_b_16", create)
    assert preprocessing.input_size == (module.image_size,) * 2
    with torch.device("meta"):
        module, preprocessing = zoo.build("torchvision/vit_h_14", {})  # whose best weights want 518
    assert preprocessing.input_size == (224, 224)


@pytest.mark.parametrize(
    "name", ["alexnet", "googlenet", "inception_v3", "squeezenet1_0", "swin_v2_t", "maxvit_t", "mobilenet_v3_small"]
)
def test_torchvisions_families_say_how_many_classes_they_tell_apart(name):
    with torch.device("meta"):
        module, preprocessing = zoo.build(f"torchvision/{name}", {"num_classes": 3})
        assert module.eval()(torch.zeros(2, 3, *preprocessing.input_size)).shape == (2, 3)
    assert n_outputs(module) == 3


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("timm/resnet81", ("'timm/resnet81'", "Did you mean timm/resnet18")),
        ("resnet", ("Did you mean timm/resnet",)),
        ("torchvison/resnet18", ("Did you mean torchvision/resnet18",)),
        ("", ("architecture of timm or torchvision", "Search by a part of the name")),
        ("zzzzqqqq", ("Search by a part of the name",)),
        ("hf-hub:timm/resnet18", ("architecture of timm or torchvision",)),
        ("timm/../resnet18", ("architecture of timm or torchvision",)),
        ("timm/resnet18.a1_in2k", ("pretrained weights of resnet18", "resnet18.a1_in1k")),
    ],
)
def test_an_unknown_architecture_is_answered_with_its_nearest_kin(name, parts):
    with one_line(*parts):
        zoo.load(name)


@pytest.mark.parametrize(
    ("name", "create", "parts"),
    [
        ("timm/resnet18", {"num_class": 3}, ("num_class, which it does not know", "Did you mean num_classes")),
        ("torchvision/resnet18", {"pad_type": "same"}, ("pad_type, which it does not know. Drop it.",)),
        ("timm/vit_tiny_patch16_224", {"img_size": "big"}, ("img_size='big'", "does not fit")),
        ("timm/resnet18", {"num_classes": 0}, ("1 or more, got 0", "two or more a classifier")),
        ("timm/resnet18", {"num_classes": "ten"}, ("got 'ten'",)),
        ("timm/resnet18", {"in_chans": 4}, ("1 channel (grey) or 3 (RGB), got in_chans=4", "bands=0,1,2")),
        ("timm/resnet18", {"pretrained_cfg_overlay": {"interpolation": "cubic"}}, ("Did you mean bicubic?",)),
        ("timm/resnet18", {"pretrained_cfg_overlay": 3}, ("as an object, got 3",)),
    ],
)
def test_creation_arguments_that_do_not_fit_are_explained(name, create, parts):
    with one_line(*parts):
        zoo.load(name, create=create)


@pytest.mark.parametrize(
    "create", [{"checkpoint_path": "/etc/passwd"}, {"cache_dir": "/"}, {"pretrained_cfg_overlay": {"file": "/a.pth"}}]
)
def test_creation_arguments_cannot_make_the_server_read_files(create):
    with one_line("which loads something"):
        zoo.load("timm/resnet18", pretrained=True, create=create)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("", {}),
        ("pad_type=same, num_classes=10", {"pad_type": "same", "num_classes": 10}),
        ("pad_type=same\nnum_classes = 10,", {"pad_type": "same", "num_classes": 10}),
        ("a=True, b=false, c=None, d=null, e=1e-3", {"a": True, "b": False, "c": None, "d": None, "e": 0.001}),
        ("img_size=(96, 64), depths=[1, 2]", {"img_size": [96, 64], "depths": [1, 2]}),
        ("act_layer='relu', name=\"a\"", {"act_layer": "relu", "name": "a"}),
        ('{"num_classes": 10, "layers": [1, 2]}', {"num_classes": 10, "layers": [1, 2]}),
    ],
)
def test_creation_arguments_are_read_as_people_write_them(text, arguments):
    assert parse_arguments(text) == arguments


@pytest.mark.parametrize("text", ["pad_type", "num_classes=", "=3", "a b=3", "num_classes=10 pad_type=same", '{"a":'])
def test_creation_arguments_that_cannot_be_read_are_shown_how(text):
    with one_line("Write pad_type=same, num_classes=10, or a JSON object."):
        parse_arguments(text)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("name", "site"), [("timm/resnet18", "huggingface.co"), ("torchvision/resnet18", "download.pytorch.org")]
)
def test_without_a_network_pretrained_weights_fail_in_seconds(name, site):
    started = time.monotonic()
    with one_line(f"pretrained weights of {name}", f"{site} does not answer", "as a checkpoint"):
        zoo.load(name, pretrained=True)
    assert time.monotonic() - started < 5
    assert constants.HF_HUB_OFFLINE is False


@pytest.mark.usefixtures("offline")
def test_weights_in_torchs_cache_need_no_network():
    module, _ = zoo.build("torchvision/squeezenet1_1", {})
    url = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.url
    with pytest.raises(OSError, match="does not answer"):
        hub.check_torch_hub(url)
    name = url.rpartition("/")[2]
    folder = torch.hub.get_dir() + "/checkpoints"
    torch.hub.os.makedirs(folder)
    torch.save(module.state_dict(), f"{folder}/{name}")
    loaded = zoo.load("torchvision/squeezenet1_1", pretrained=True)
    assert (loaded.name, loaded.notes) == ("squeezenet1_1", ())


def test_a_hub_that_never_answers_is_given_up(monkeypatch):
    given_up = threading.Event()

    def hang(*_args, **_options):
        given_up.wait(10)
        raise TimeoutError

    monkeypatch.setattr(urllib.request, "urlopen", hang)
    started = time.monotonic()
    assert not hub.answers("https://example.org", timeout_s=0.2)
    assert time.monotonic() - started < 2
    given_up.set()


def test_a_hub_that_refuses_is_there(monkeypatch):
    def refuse(request, timeout):
        raise urllib.error.HTTPError(request.full_url, 403, "Forbidden", {}, None)

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    assert hub.answers("https://example.org")


def test_a_net_that_the_demo_lacks_is_answered_with_its_nearest_kin():
    with one_line("a model of the demo", "'resnt'", "Did you mean resnet?"):
        demo.PAINTINGS.load("resnt")
