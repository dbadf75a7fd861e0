"""Incremental inference gives what whole pictures give, for any net, and costs less where layers are local."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from explainers.engines.incremental import Incremental
from explainers.output import Output
from tests.explainers.nets import NETS, PX, add, normalised, seeded

SIZE = 5

#: Corners, edges, the middle, and places at odds with every stride.
PLACES = np.array([(0, 0), (0, PX - SIZE), (PX - SIZE, 13), (11, 0), (PX - SIZE, PX - SIZE), (13, 14), (6, 21)])


def changed(picture, values, places):
    """Whole images (B, C, H, W)."""
    pictures = picture[None].repeat(len(values), 1, 1, 1)
    for whole, value, (row, column) in zip(pictures, values, places, strict=True):
        whole[:, row : row + value.shape[1], column : column + value.shape[2]] = value
    return pictures.contiguous(memory_format=torch.channels_last)


def both(model, places=PLACES):
    """Scores by patches, twice, and by whole pictures."""
    (picture,), values = normalised(1), normalised(len(places), px=SIZE, seed=1)
    incremental = Incremental(model, picture, (SIZE, SIZE))
    found = incremental.scores(values, places[:, 0], places[:, 1])
    again = incremental.scores(values, places[:, 0], places[:, 1])
    with torch.no_grad():
        return found, again, model.scores(changed(picture, values, places))


@pytest.mark.parametrize("net", NETS)
def test_patches_score_as_whole_pictures_do(model_store, net):
    card = add(model_store, seeded(NETS[net]))
    with model_store.borrow(card) as model:
        found, again, expected = both(model)
    assert torch.equal(found, again)
    assert expected.std(0).min() > 1e-6  # the windows matter
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


class Summed(nn.Module):
    """Four sums with weights of all there is, however much."""

    def forward(self, x):
        return x @ torch.linspace(-1, 1, 4 * x.shape[1]).view(x.shape[1], 4)


LAYERS = {
    "dilated": nn.Conv2d(3, 8, 3, padding=2, dilation=2),
    "same": nn.Conv2d(3, 8, 3, padding="same", dilation=2),
    "wide stride": nn.Conv2d(3, 8, 1, stride=3),
    "uneven": nn.Conv2d(3, 8, (1, 5), stride=(2, 1), padding=(0, 2)),
    "grouped": nn.Conv2d(3, 6, 3, groups=3),
    "max pooling": nn.MaxPool2d(3, 2, 1),
    "max pooling, rounded up": nn.MaxPool2d(3, 2, ceil_mode=True),
    "average pooling": nn.AvgPool2d(3, 2, 1),
    "average pooling, rounded up": nn.AvgPool2d(3, 2, ceil_mode=True),
    "average pooling, edges by themselves": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "padding": nn.ZeroPad2d((1, 2, 0, 3)),
    "reflection": nn.ReflectionPad2d(2),
    "instance norm": nn.InstanceNorm2d(3),
    "dropout": nn.Dropout2d(),
}


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_hands_on_what_the_window_reaches(model_store, name):
    torch.manual_seed(0)
    card = add(model_store, nn.Sequential(LAYERS[name], nn.Tanh(), nn.AdaptiveMaxPool2d(4), nn.Flatten(), Summed()))
    with model_store.borrow(card) as model:
        found, _, expected = both(model)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


class Rows(nn.Module):
    """A linear layer on all places of a map, laid out by `flatten`."""

    def __init__(self, flatten):
        super().__init__()
        self.first, self.flatten, self.last = nn.Conv2d(3, 4, 3), flatten, nn.Linear(4 * (PX - 2) ** 2, 4)

    def forward(self, x):
        return self.last(F.dropout(self.flatten(self.first(x).relu()), training=self.training))


FLATTENED = {
    "a module": nn.Flatten(),
    "a function": lambda x: torch.flatten(x, 1),
    "a method": lambda x: x.flatten(1, -1),
    "reshape": lambda x: x.reshape(len(x), -1),
    "reshape to a shape": lambda x: x.reshape((-1, 4 * (PX - 2) ** 2)),
    "otherwise": lambda x: x.flatten(2).flatten(1),
}


@pytest.mark.parametrize("name", FLATTENED)
def test_a_linear_layer_on_all_places_takes_the_windows_columns_alone(model_store, name):
    torch.manual_seed(0)
    card = add(model_store, Rows(FLATTENED[name]))
    places = np.repeat(PLACES, (1, 2, 1, 3, 1, 1, 2), 0)
    with model_store.borrow(card) as model:
        found, again, expected = both(model, places)
        saving = Incremental(model, normalised(1)[0], (SIZE, SIZE)).saving()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(found, again)
    assert (saving > 15) == (name != "otherwise")


class Arithmetic(nn.Module):
    """What nets do to their maps outside of modules."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 5, padding=2)
        self.scale = nn.Parameter(torch.tensor([1.0, -2.0, 0.5, 3.0])[:, None, None])
        self.register_buffer("everywhere", torch.linspace(0, 1, PX * PX).view(1, 1, PX, PX))
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = x.clone()
        x /= 2  # in place, before the first layer
        x += 0.1
        a, b = self.first(1 - x), self.second(x)
        kept = a
        a = F.relu(a * self.scale, inplace=True)
        a = a + b
        a -= kept
        a = torch.cat([a, (2 * b).clamp(0, 1)], 1)
        a = a * self.everywhere
        return self.head(F.adaptive_avg_pool2d(a, 1).flatten(1))


def test_operators_in_place_or_not_are_followed(model_store):
    torch.manual_seed(0)
    card = add(model_store, Arithmetic())
    with model_store.borrow(card) as model:
        found, again, expected = both(model)
    assert torch.equal(found, again)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("output", [Output("probability"), Output("unit", "layer2"), Output("unit", "layer1", (3, 4))])
def test_any_output_can_be_asked_for(model_store, output):
    card = add(model_store, seeded(NETS["resnet"]))
    with model_store.borrow(card) as model:
        found, _, expected = both(output.of(model))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("net", "local"), [("plain", True), ("resnet", True), ("vit", False)])
def test_batches_grow_only_where_windows_stay_windows(model_store, net, local):
    card = add(model_store, seeded(NETS[net]))
    with model_store.borrow(card) as model:
        incremental = Incremental(model, normalised(1)[0], (SIZE, SIZE))
    assert (incremental.batch > model.batch) == local


def test_a_window_as_large_as_the_picture_is_the_picture(model_store):
    card = add(model_store, seeded(NETS["mobile"]))
    with model_store.borrow(card) as model:
        picture, other = normalised(2)
        incremental = Incremental(model, picture, (PX, PX))
        zero = np.zeros(1, dtype=np.int64)
        torch.testing.assert_close(incremental.scores(other[None], zero, zero), model.logits(other[None]))


def test_the_values_of_the_caller_and_the_model_stay_as_they_are(model_store):
    card = add(model_store, Arithmetic())
    with model_store.borrow(card) as model:
        (picture,), values = normalised(1), normalised(len(PLACES), px=SIZE, seed=1)
        before = picture.clone(), values.clone()
        Incremental(model, picture, (SIZE, SIZE)).scores(values, PLACES[:, 0], PLACES[:, 1])
    assert torch.equal(picture, before[0])
    assert torch.equal(values, before[1])


def test_local_layers_save_work_and_attention_does_not(model_store):
    saved = {}
    for net in ("plain", "vit"):
        card = add(model_store, seeded(NETS[net]), net)
        with model_store.borrow(card) as model:
            saved[net] = Incremental(model, normalised(1)[0], (SIZE, SIZE)).saving()
    assert saved["plain"] > 4
    assert saved["vit"] < 1.5  # its patch embedding is local


def test_batches_follow_the_memory_that_a_picture_needs(model_store):
    card, picture = add(model_store, seeded(NETS["functional"]), px=256), normalised(1, px=256)[0]
    with model_store.borrow(card) as model:
        small, large = (Incremental(model, picture, (size, size)).batch for size in (50, 150))
        halved = Incremental(replace(model, batch=model.batch // 2), picture, (50, 50)).batch
    assert small > 4 * large
    assert halved == pytest.approx(small / 2, abs=1)
