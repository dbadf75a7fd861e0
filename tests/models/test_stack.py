import pytest
import torch

from models import stack as stacks
from models.loaders import playground, read
from models.loaders.playground import build, layer_names
from models.preprocessing import Preprocessing
from models.stack import (
    PRESETS,
    BatchNorm,
    Convolution,
    Dropout,
    FullyConnected,
    MaxPool,
    ReLU,
    Residual,
    code,
    kinds,
    stack_of,
    to_json,
    trace,
)
from tests.makers import one_line

#: Stacks of every kind of layer, on maps and on vectors.
STACKS = {
    **PRESETS,
    "nothing": (),
    "strided, unpadded": (Convolution(7, 5, 2, 0), BatchNorm(), ReLU(), MaxPool(3, 1)),
    "residual": (Residual(8), Residual(8), MaxPool(), Residual(12)),
    "vectors": (FullyConnected(20), BatchNorm(), ReLU(), Dropout(0.5), FullyConnected(7)),
}


@pytest.mark.parametrize("name", STACKS)
@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 17, 17)])
def test_shapes_and_parameters_are_those_of_the_module(name, shape):
    stack = STACKS[name]
    net = build(stack, shape, 5).eval()
    rows = trace(stack, shape, 5)
    values = torch.rand(2, *shape)
    for row, layer in zip(rows[1:], [*layer_names(stack), "classifier"], strict=True):
        module = net.get_submodule(layer)
        if isinstance(module, torch.nn.Linear):
            values = values.flatten(1)
        values = module(values)
        assert row.shape == values.shape[1:]
        assert row.n_parameters == sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", STACKS)
def test_the_code_is_the_network(name):
    made: dict = {}
    exec(code(STACKS[name], (3, 17, 17), 5), made)
    copied, net = made["network"].eval(), build(STACKS[name], (3, 17, 17), 5).eval()
    copied.load_state_dict(dict(zip(copied.state_dict(), net.state_dict().values(), strict=True)))
    images = torch.rand(2, 3, 17, 17)
    assert torch.equal(copied(images), net(images))


@pytest.mark.parametrize(
    ("stack", "place", "words"),
    [
        ((MaxPool(), MaxPool(), MaxPool(), Convolution(8, 5, 1, 0)), 4, "5 × 5 does not fit on a map whose side is 1"),
        ((MaxPool(8, 8), MaxPool()), 2, "Nothing is left"),
        ((FullyConnected(), ReLU(), Convolution()), 3, "needs maps, and gets 64 numbers"),
        ((FullyConnected(), MaxPool()), 2, "move it above"),
        ((FullyConnected(), Residual()), 2, "move it above"),
        ((Convolution(256), FullyConnected(1024)), 2, "trained numbers are too many"),
        ((ReLU(),) * 40, 31, "30 layers are the most"),
    ],
)
def test_a_stack_that_cannot_be_says_where_and_why(stack, place, words):
    rows = trace(stack, (1, 8, 8), 3)
    broken = [number for number, row in enumerate(rows) if row.error]
    assert broken == [place]
    assert words in rows[place].error
    assert all(row.shape for row in rows[:place])
    assert not any(row.shape for row in rows[place:])
    with one_line("a stack of layers that fit", words):
        build(stack, (1, 8, 8), 3)


def test_a_stack_outlives_being_written_down():
    for stack in STACKS.values():
        assert stack_of(to_json(stack)) == stack


@pytest.mark.parametrize(
    ("plain", "words"),
    [
        ([{"kind": "convolutoin"}], "Did you mean convolution"),
        ([{"kind": "convolution", "fliters": 3}], "Did you mean filters"),
        ([{"kind": "convolution", "filters": 0}], "from 1 to 256"),
        ([{"kind": "convolution", "filters": 2.5}], "whole number"),
        ([{"kind": "dropout", "probability": "half"}], "from 0.0 to 0.95"),
        ([{"kind": "max_pool", "stride": True}], "whole number"),
        ([{}], "a kind of layer"),
    ],
)
def test_a_layer_that_is_none_is_refused(plain, words):
    with one_line(words):
        stack_of(plain)


def test_forms_know_every_setting_with_its_bounds():
    for kind, facts in kinds().items():
        (layer,) = stack_of([{"kind": kind, **{item["name"]: item["default"] for item in facts["fields"]}}])
        assert layer == stacks.LAYERS[kind]()
        assert all(item["low"] <= item["default"] <= item["high"] and item["help"] for item in facts["fields"])


def test_a_saved_network_answers_as_it_did(tmp_path):
    stack, preprocessing = STACKS["residual"], Preprocessing((16, 16), (0.5,), (0.5,), (16, 16))
    net = build(stack, (1, 16, 16), 3).eval()
    path = tmp_path / "mine.safetensors"
    playground.save(path, net, stack, ("a", "b", "c"), preprocessing, "Trained at home.")
    for loaded in (playground.load(str(path), "mine"), read(f"playground/{path}")[0]):
        images = torch.rand(2, 1, 16, 16)
        assert torch.equal(loaded.module(images), net(images))
        assert loaded.class_names == ("a", "b", "c")
        assert loaded.preprocessing == preprocessing
        assert loaded.notes == ("Trained at home.",)


def test_networks_that_differ_in_a_stride_alone_are_two_models(tmp_path, model_store):
    preprocessing = Preprocessing((9, 9), (0.5,), (0.5,), (9, 9))
    cards = []
    for number, pool in enumerate((MaxPool(2, 2), MaxPool(3, 2))):
        stack = (Convolution(4), pool)
        torch.manual_seed(0)
        net = build(stack, (1, 9, 9), 2)
        playground.save(tmp_path / f"{number}.safetensors", net, stack, ("a", "b"), preprocessing, "")
        cards.append(model_store.add(playground.load(str(tmp_path / f"{number}.safetensors"))))
    assert cards[0].digest != cards[1].digest
    assert cards[0].default_layer == "conv1"


@pytest.mark.parametrize("harm", ["gone", "no file of ours", "cut off", "other weights"])
def test_a_file_that_is_no_network_of_ours_is_refused_in_one_line(tmp_path, harm):
    from safetensors.torch import save_file

    path, preprocessing = tmp_path / "net.safetensors", Preprocessing((8, 8), (0.5,), (0.5,), (8, 8))
    stack = (Convolution(4), ReLU())
    if harm == "other weights":
        playground.save(path, build((Convolution(5), ReLU()), (1, 8, 8), 2), stack, ("a", "b"), preprocessing, "")
    elif harm == "cut off":
        playground.save(path, build(stack, (1, 8, 8), 2), stack, ("a", "b"), preprocessing, "")
        path.write_bytes(path.read_bytes()[:300])
    elif harm == "no file of ours":
        save_file({"x": torch.zeros(1)}, str(path))
    with one_line("a network that the Playground saved", "net.safetensors"):
        playground.load(str(path))
