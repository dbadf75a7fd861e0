"""Whether maps lie where the layer looked: a cell that answers to a bright spot is the one that the map shows."""

import json
import os

import numpy as np
import pytest
import torch
from timm.models.mlp_mixer import MlpMixer
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from common import sealed
from common.errors import InputError
from explainers.registry import METHODS
from models.card import TOKENS
from models.layers import as_maps, capture, layer_tree
from tests.explainers.nets import add, seeded
from tests.makers import tiny_loaded


def vit(height, width, **facts):
    return VisionTransformer((height, width), 8, embed_dim=24, depth=2, num_heads=2, num_classes=4, **facts)


class Ordered(nn.Module):
    """A net of patches of 8 px that come in an order of its own, and tell each other nothing."""

    def __init__(self, order, prefix=0):
        super().__init__()
        self.order, self.prefix = order, prefix
        self.patch, self.block = nn.Conv2d(3, 24, 8, 8), nn.Sequential(nn.LayerNorm(24), nn.Linear(24, 24), nn.GELU())
        self.head = nn.Linear(24, 4)

    def forward(self, x):
        tokens = self.order(self.patch(x))
        tokens = torch.cat([tokens.mean(1, keepdim=True)] * self.prefix + [tokens], 1)
        return self.head((tokens + self.block(tokens)).mean(1))


def columns_first(maps):
    return maps.flatten(2).transpose(1, 2).unflatten(1, maps.shape[2:]).transpose(1, 2).flatten(1, 2)


def shuffled(maps):
    tokens = maps.flatten(2).transpose(1, 2)
    return tokens[:, torch.randperm(tokens.shape[1], generator=torch.Generator().manual_seed(0))]


def in_blocks(maps):
    n, channels, height, width = maps.shape
    return maps.reshape(n, channels, 2, height // 2, 2, width // 2).permute(0, 2, 4, 3, 5, 1).reshape(n, -1, channels)


def rows_back_and_forth(maps):
    maps = maps.clone()
    maps[:, :, 1::2] = maps[:, :, 1::2].flip(3)
    return maps.flatten(2).transpose(1, 2)


def probe(height, width, seed=0):
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(seed))


def seen_at(module, layer, height, width, row, column):
    """The cell of a layer's map that answers most to a change of the image's cell (row, column)."""
    images = probe(height, width, 5)[:1].repeat(2, 1, 1, 1)
    rows, columns = layer.spatial
    y, x = height // rows, width // columns
    images[1, :, row * y : (row + 1) * y, column * x : (column + 1) * x] = 3.0
    child = module.get_submodule(layer.name)
    with torch.no_grad(), capture(child) as outputs:
        module(images)
    change = as_maps(outputs[child], layer).diff(dim=0)[0].square().sum(0)
    return divmod(int(change.argmax()), columns)


SHAPES = {
    "wide, as many as a square": (16, 64, {}),  # 2 × 8 patches
    "tall, as many as a square": (64, 16, {"class_token": False, "global_pool": "avg"}),
    "wide, behind registers": (32, 128, {"reg_tokens": 4}),  # 4 × 16
    "of no square's number": (24, 40, {}),  # 3 × 5
    "a strip": (8, 72, {"class_token": False, "global_pool": "avg"}),  # 1 × 9
}


@pytest.mark.parametrize("name", SHAPES)
def test_tokens_lie_on_the_grid_of_their_patches_whatever_its_proportions(name):
    height, width, facts = SHAPES[name]
    module = seeded(lambda: vit(height, width, **facts))
    layers, default = layer_tree(module, probe(height, width))
    assert default == "blocks.1.norm1"
    tokens = [layer for layer in layers if layer.layout == TOKENS]
    assert {layer.spatial for layer in tokens} == {(height // 8, width // 8)}
    layer = next(layer for layer in layers if layer.name == default)
    for row in range(height // 8):
        assert seen_at(module, layer, height, width, row, width // 8 - 2) == (row, width // 8 - 2)


@pytest.mark.parametrize("prefix", [0, 1])
@pytest.mark.parametrize("order", [columns_first, shuffled, in_blocks, rows_back_and_forth])
@pytest.mark.parametrize("size", [(64, 64), (32, 64)])
def test_tokens_in_another_order_than_the_images_have_no_grid(order, size, prefix):
    layers, default = layer_tree(seeded(lambda: Ordered(order, prefix)), probe(*size))
    assert {layer.name for layer in layers if layer.spatial} == {"patch"}
    assert default == "patch"


@pytest.mark.parametrize("prefix", [0, 1, 3, 5])
def test_tokens_in_the_images_order_have_it(prefix):
    module = seeded(lambda: Ordered(lambda maps: maps.flatten(2).transpose(1, 2), prefix))
    layers, default = layer_tree(module, probe(32, 64))
    assert {layer.spatial for layer in layers if layer.name.startswith("block")} == {(4, 8)}
    assert default == "block", "not the patches in front of it"


def test_mixed_tokens_channels_and_attention_weights_are_no_grid():
    mixer = MlpMixer(4, img_size=32, patch_size=4, num_blocks=2, embed_dim=32, mlp_ratio=(0.5, 2.0))
    layers, _ = layer_tree(seeded(lambda: mixer), probe(32, 32))
    by_name = {layer.name: layer for layer in layers}
    assert by_name["blocks.0.mlp_tokens.fc1"].shape == (32, 16)  # 16 hidden values for each channel
    assert by_name["blocks.0.mlp_tokens.fc1"].spatial is None
    assert by_name["blocks.1.norm1"].spatial == (8, 8)

    attention = vit(32, 32)
    for block in attention.blocks:
        block.attn.fused_attn = False
    layers, _ = layer_tree(seeded(lambda: attention), probe(32, 32))
    weights = [layer for layer in layers if layer.name.endswith("attn_drop")]
    assert [(layer.shape, layer.spatial) for layer in weights] == [((2, 17, 17), None)] * 2


def test_a_layer_without_a_grid_says_so(model_store):
    module = seeded(lambda: Ordered(shuffled))
    card = add(model_store, module, px=64)
    assert card.layer("block").spatial is None
    with (
        model_store.borrow(card) as model,
        pytest.raises(InputError, match="no grid over the image was found") as caught,
    ):
        METHODS["grad-cam"].explain(
            model, [np.zeros((64, 64, 3), np.uint8)], ["a"], [0], METHODS["grad-cam"].Params(layer="block")
        )
    assert "\n" not in str(caught.value)


class Plain(nn.Module):
    """A block of a vision transformer, without a name that timm or torchvision would give to a part of it."""

    def __init__(self):
        super().__init__()
        self.before, self.mix, self.after = nn.LayerNorm(24), nn.Linear(24, 72), nn.Linear(24, 24)

    def forward(self, x):
        query, key, value = self.mix(self.before(x)).chunk(3, 2)
        return x + self.after((query @ key.transpose(1, 2)).softmax(2) @ value)


class OtherNames(nn.Module):
    """A vision transformer as other people write them."""

    def __init__(self, read):
        super().__init__()
        self.stem, self.trunk = nn.Conv2d(3, 24, 8, 8), nn.Sequential(Plain(), Plain(), Plain())
        self.last, self.out, self.read = nn.LayerNorm(24), nn.Linear(24, 4), read
        self.first = nn.Parameter(torch.randn(1, 1, 24))

    def forward(self, x):
        patches = self.stem(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.first.expand(len(x), -1, -1), patches], 1)
        return self.out(self.read(self.last(self.trunk(tokens))))


READERS = {"pooled": lambda tokens: tokens.mean(1), "by the first token": lambda tokens: tokens[:, 0]}


@pytest.mark.parametrize("reader", READERS)
def test_nets_of_tokens_by_other_names_are_looked_at_near_their_end_not_at_their_stem(model_store, reader):
    card = add(model_store, seeded(lambda: OtherNames(READERS[reader])), px=32)
    assert card.layer().spatial == (4, 4)
    assert card.layer().name == ("last" if reader == "pooled" else "trunk.2.before")
    with model_store.borrow(card) as model:
        image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        maps = METHODS["hirescam"].explain(model, [image], ["a"], [1]).maps
    assert np.ptp(maps) > 0


class Stem(nn.Module):
    """A stem that normalises by channels, as its `norm1`, in front of many convolutions."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm1 = nn.Conv2d(3, 6, 3, padding=1), nn.LayerNorm(6)

    def forward(self, x):
        return self.norm1(self.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def test_a_normalisation_in_the_stem_is_no_default_layer():
    body = [part for _ in range(12) for part in (nn.Conv2d(6, 6, 3, padding=1), nn.ReLU())]
    module = nn.Sequential(Stem(), *body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))
    _, default = layer_tree(seeded(lambda: module), probe(32, 32))
    assert default == "24"


def test_cards_of_an_earlier_format_are_made_anew_in_their_place(model_store, monkeypatch):
    first, _ = (model_store.add(tiny_loaded(name=name, seed=seed)) for seed, name in enumerate(["first", "second"]))
    file = model_store.folder / f"{first.digest}.json"
    old = json.loads(sealed.read(file))
    del old["format"]
    for layer in old["layers"]:
        del layer["grid"]
    written = file.stat()
    file.write_text(json.dumps(old))
    os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns))
    monkeypatch.setattr("models.store.load", lambda recipe: tiny_loaded(seed=0))
    assert model_store.card(first.digest).to_json() == first.to_json()
    assert [card.name for card in model_store.cards()] == ["second", "first"]
    assert "grid" in json.loads(sealed.read(file))["layers"][0]


@pytest.mark.parametrize("gone", [True, False])
def test_an_earlier_card_whose_source_is_gone_or_another_is_left_out(model_store, monkeypatch, gone):
    card = model_store.add(tiny_loaded())
    file = model_store.folder / f"{card.digest}.json"
    file.write_text(json.dumps({**json.loads(sealed.read(file)), "format": 0}))

    def load(recipe):
        if gone:
            raise InputError("a file", "none", "Add it again.")
        return tiny_loaded(seed=1)

    monkeypatch.setattr("models.store.load", load)
    assert model_store.card(card.digest) is None
