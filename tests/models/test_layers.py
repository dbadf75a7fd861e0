import pytest
import torch
from torch import nn

from models.card import MAPS, MAPS_LAST, TOKENS, VECTOR, Layer
from models.layers import as_maps, as_units, capture, layer_tree, runs_in_sequence
from models.loaders import zoo
from tests.explainers import nets
from tests.makers import TinyNet, one_line

NETS = {
    "timm/resnet18": ("layer4", (512, 7, 7)),
    "timm/vgg11": ("features.19", (512, 14, 14)),
    "timm/mobilenetv3_small_100": ("blocks", (576, 7, 7)),
    "timm/densenet121": ("features", (1024, 7, 7)),
    "timm/resnetv2_50": ("norm", (2048, 7, 7)),
    "timm/convnext_atto": ("stages", (320, 7, 7)),
    "timm/vit_tiny_patch16_224": ("blocks.11.norm1", (197, 192)),
    "timm/deit_tiny_distilled_patch16_224": ("blocks.11.norm1", (198, 192)),
    "timm/swin_tiny_patch4_window7_224": ("layers.3.blocks.1.norm1", (7, 7, 768)),
    "torchvision/resnet18": ("layer4", (512, 7, 7)),
    "torchvision/vgg11": ("features.19", (512, 14, 14)),
    "torchvision/vit_b_16": ("encoder.layers.encoder_layer_11.ln_1", (197, 768)),
    "torchvision/swin_t": ("features.7.1.norm1", (7, 7, 768)),
    "cifar/resnet20": ("layer3", (64, 8, 8)),
}


def on_meta(architecture, **create):
    """A net and a probe of shapes without content: layer trees need no more, and are there at once."""
    with torch.device("meta"):
        module, preprocessing = zoo.build(architecture, create)
        return module.eval(), torch.zeros(2, 3, *preprocessing.input_size)


@pytest.mark.parametrize("architecture", NETS)
def test_the_default_layer_is_the_last_that_still_knows_where(architecture):
    module, probe = on_meta(architecture)
    layers, default = layer_tree(module, probe)
    assert len(layers) > 20
    layer = next(layer for layer in layers if layer.name == default)
    assert (layer.name, layer.shape) == NETS[architecture]
    with capture(module.get_submodule(default)) as outputs, torch.no_grad():
        module(probe)
    output = outputs[module.get_submodule(default)]
    assert as_maps(output, layer).shape == (2, layer.n_units, *layer.spatial)
    assert as_units(output, layer).shape == (2, layer.n_units)


def test_every_layer_that_ran_is_in_the_tree_once_in_order():
    module = TinyNet().eval()
    layers, default = layer_tree(module, torch.zeros(2, 3, 16, 16))
    assert [layer.name for layer in layers] == ["0", "1", "2", "3", "4", "5", "6", "7"]
    assert [layer.order for layer in layers] == list(range(8))
    assert [layer.layout for layer in layers] == [MAPS] * 6 + [VECTOR] * 2
    assert (layers[0].shape, layers[0].n_parameters, layers[0].spatial) == ((4, 16, 16), 3 * 4 * 9 + 4, (16, 16))
    assert layers[5].spatial is None
    assert default == "4"


def test_a_module_that_runs_twice_stands_where_it_ran_last():
    class Reuse(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu, self.first, self.last = nn.ReLU(), nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)

        def forward(self, images):
            return self.relu(self.last(self.relu(self.first(images)))).mean((2, 3))

    layers, default = layer_tree(Reuse(), torch.zeros(2, 3, 8, 8))
    assert [(layer.name, layer.shape[0]) for layer in layers] == [("first", 4), ("last", 2), ("relu", 2)]
    assert default == "relu"


def test_layers_that_work_on_windows_of_an_image_are_left_out():
    layers, _ = layer_tree(*on_meta("timm/swin_tiny_patch4_window7_224"))
    names = {layer.name for layer in layers}
    assert "layers.0.blocks.0" in names
    assert "layers.0.blocks.0.attn.qkv" not in names


def test_a_vits_patches_have_no_class_token_before_it_is_added():
    layers, _ = layer_tree(*on_meta("timm/vit_tiny_patch16_224", img_size=64))
    by_name = {layer.name: layer for layer in layers}
    patches, tokens = by_name["patch_embed"], by_name["blocks.0"]
    assert (patches.layout, patches.n_prefix_tokens, patches.spatial) == (TOKENS, 0, (4, 4))
    assert (tokens.layout, tokens.n_prefix_tokens, tokens.spatial) == (TOKENS, 1, (4, 4))


def test_maps_come_channels_first_whatever_the_layout():
    maps = torch.arange(2 * 3 * 2 * 2.0).reshape(2, 3, 2, 2)
    last = Layer("l", "k", (2, 2, 3), MAPS_LAST, 0, 0, grid=(2, 2))
    torch.testing.assert_close(as_maps(maps.permute(0, 2, 3, 1), last), maps)
    tokens = torch.cat([torch.full((2, 1, 3), 99.0), maps.flatten(2).transpose(1, 2)], dim=1)
    behind_one = Layer("l", "k", (5, 3), TOKENS, 0, 0, 1, (2, 2))
    torch.testing.assert_close(as_maps(tokens, behind_one), maps)
    torch.testing.assert_close(as_units(tokens, behind_one), maps.mean((2, 3)))
    with one_line("'l'", "(3,)"):
        as_maps(maps, Layer("l", "k", (3,), VECTOR, 0, 0))


def test_what_is_captured_is_not_touched_by_the_in_place_relu_behind_it():
    module = TinyNet().eval()
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), capture(module[1]) as outputs:
        answer = module(images)
    assert outputs[module[1]].min() < 0
    with torch.no_grad():
        torch.testing.assert_close(outputs[module[1]], module[1](module[0](images)))
        torch.testing.assert_close(answer, module(images))


@pytest.mark.parametrize("leaf", [False, True])
def test_captured_outputs_get_gradients_and_no_hook_stays(leaf):
    module = TinyNet().eval()
    with capture(module[1], leaf=leaf) as outputs:
        score = module(torch.randn(2, 3, 16, 16)).sum()
    gradient = torch.autograd.grad(score, outputs[module[1]])[0]
    assert gradient.shape == (2, 4, 16, 16)
    assert gradient.abs().sum() > 0
    assert outputs[module[1]].is_leaf is leaf
    assert not module[1]._forward_hooks


def test_no_hook_stays_when_the_forward_pass_fails():
    module = TinyNet().eval()
    with pytest.raises(RuntimeError), capture(module[0]):
        module(torch.zeros(2, 5, 16, 16))
    with pytest.raises(RuntimeError):
        layer_tree(module, torch.zeros(2, 5, 16, 16))
    assert not any(child._forward_hooks for child in module.modules())


@pytest.mark.parametrize(
    ("name", "sequential"),
    [("plain", True), ("resnet", False), ("reused", False), ("densenet", False), ("vit", False), ("in place", True)],
)
def test_layers_one_after_another_are_told_from_skips_and_branches(name, sequential):
    in_place = lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(3600, 3))  # noqa: E731
    module = nets.seeded({**nets.NETS, "in place": in_place}[name])
    assert runs_in_sequence(module, nets.normalised()) is sequential
