import pytest
import torch
from torch import nn

from models.loaders import checkpoint, zoo
from models.loaders.cifar import DEPTHS, Shortcut
from tests.makers import one_line

#: Parameters as He et al. 2016, table 6, and akamaster's README give them, in millions.
MILLIONS = {"resnet20": 0.27, "resnet32": 0.46, "resnet44": 0.66, "resnet56": 0.85}


@pytest.mark.parametrize("name", DEPTHS)
def test_depth_and_size_are_those_of_the_paper(name):
    module, preprocessing = zoo.build(f"cifar/{name}", {})
    weighted = [child for child in module.modules() if isinstance(child, nn.Conv2d | nn.Linear)]
    assert len(weighted) == int(name.removeprefix("resnet"))
    assert sum(p.numel() for p in module.parameters()) / 1e6 == pytest.approx(MILLIONS[name], abs=0.005)
    assert (preprocessing.input_size, preprocessing.mode) == ((32, 32), "squash")
    assert module.eval()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_every_activation_is_a_module_of_its_own_that_runs_once():
    module, _ = zoo.build("cifar/resnet20", {})
    runs = {}
    for name, child in module.named_modules():
        if isinstance(child, nn.ReLU):
            child.register_forward_hook(lambda *_, name=name: runs.update({name: runs.get(name, 0) + 1}))
    module(torch.zeros(2, 3, 32, 32))
    assert set(runs.values()) == {1}
    assert len(runs) == 1 + 2 * 9


def test_the_shortcut_takes_every_second_pixel_and_pads_channels_on_both_sides():
    maps = torch.arange(2 * 2 * 4 * 4.0).reshape(2, 2, 4, 4)
    short = Shortcut(2)(maps)
    assert short.shape == (2, 4, 2, 2)
    torch.testing.assert_close(short[:, 1:3], maps[:, :, ::2, ::2])
    assert short[:, [0, 3]].abs().sum() == 0


def test_a_block_without_residual_passes_what_it_gets():
    module, _ = zoo.build("cifar/resnet20", {})
    block = module.eval().layer1[0]
    nn.init.zeros_(block.bn2.weight)
    maps = torch.rand(1, 16, 8, 8)
    torch.testing.assert_close(block(maps), maps)


def test_published_checkpoints_load_with_their_own_number_of_classes(tmp_path):
    torch.manual_seed(1)
    module, _ = zoo.build("cifar/resnet32", {"num_classes": 7})
    module.eval()
    path = tmp_path / "model.th"
    wrapped = {f"module.{key}": value for key, value in module.state_dict().items()}
    torch.save({"state_dict": wrapped, "best_prec1": 91.7}, path)
    loaded = checkpoint.load(str(path), "cifar/resnet32")
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(loaded.module.eval()(images), module(images))


def test_they_are_in_the_zoo_like_all_others():
    assert "cifar/resnet56" in zoo.architectures()
    with one_line("'cifar/resnet21'", "Did you mean", "cifar/resnet20"):
        zoo.build("cifar/resnet21", {})
    with one_line("depth, which it does not know"):
        zoo.build("cifar/resnet20", {"depth": 3})
    with one_line("pretrained weights of cifar/resnet20"):
        zoo.build("cifar/resnet20", {}, pretrained=True)
