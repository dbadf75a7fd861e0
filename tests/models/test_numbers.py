"""Weights are finite floating-point numbers: everything else is refused by name, or said."""

import pytest
import torch

from models.loaders import checkpoint, zoo
from tests.makers import one_line

NET = "cifar/resnet20"


@pytest.fixture(scope="module")
def state():
    torch.manual_seed(0)
    return zoo.build(NET, {"num_classes": 4})[0].state_dict()


def load(state, path):
    torch.save(state, path)
    return checkpoint.load(str(path), NET)


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("key", ["conv1.weight", "linear.bias", "layer1.0.bn1.running_mean"])
def test_what_is_no_floating_point_number_is_refused(tmp_path, state, kind, key):
    with one_line("weights in floating point", key, str(kind).removeprefix("torch."), "in float32"):
        load({**state, key: state[key].to(kind)}, tmp_path / "net.pt")


@pytest.mark.parametrize(
    ("key", "spoil"),
    [
        ("layer1.0.bn1.running_var", lambda values: values / 0),  # whose output would be finite
        ("conv1.weight", lambda values: values.double() * 1e300),
        ("linear.bias", lambda values: values.half() * float("nan")),
    ],
)
def test_what_is_not_finite_in_the_models_own_numbers_is_refused(tmp_path, state, key, spoil):
    with one_line("finite weights", f"NaN or infinite numbers in {key}", "did the training diverge?"):
        load({**state, key: spoil(state[key])}, tmp_path / "net.pt")


@pytest.mark.parametrize("value", [torch.tensor(1.5), torch.tensor(float("nan")), torch.tensor(1j)])
def test_a_counter_that_counts_no_whole_numbers_is_refused(tmp_path, state, value):
    with one_line("whole numbers", "bn1.num_batches_tracked"):
        load({**state, "bn1.num_batches_tracked": value}, tmp_path / "net.pt")


def test_a_counter_stored_as_a_float_is_read(tmp_path, state):
    loaded = load({**state, "bn1.num_batches_tracked": torch.tensor(7.0)}, tmp_path / "net.pt")
    counter = loaded.module.get_buffer("bn1.num_batches_tracked")
    assert (counter.item(), counter.dtype) == (7, torch.int64)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_numbers_are_read_and_told(tmp_path, state, kind):
    other = {key: value.to(kind) if value.is_floating_point() else value for key, value in state.items()}
    loaded = load(other, tmp_path / "net.pt")
    assert f"entries were stored in {str(kind).removeprefix('torch.')}" in " ".join(loaded.notes)
    assert torch.equal(loaded.module.conv1.weight, other["conv1.weight"].float())


@pytest.mark.filterwarnings("ignore:Validating sparse:UserWarning")
def test_sparse_weights_are_refused(tmp_path, state):
    with one_line("dense tensors", "linear.weight is sparse"):
        load({**state, "linear.weight": state["linear.weight"].to_sparse()}, tmp_path / "net.pt")
