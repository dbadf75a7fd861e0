"""Calls of torch functions, met by their plain names however they are written."""

import threading
from typing import ClassVar

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from explainers.engines.interception import FunctionCall, Interception, mapped, tensors_in
from explainers.engines.relu import ceiling


class Recorder(Interception):
    """Keeps every call."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def meet(self, call):
        self.calls.append(call)
        return NotImplemented


def last_call(function):
    x = torch.arange(6.0).view(2, 3)
    with Recorder() as recorder:
        function(x)
    return recorder.calls[-1]


NAMES = {
    "add": [lambda x: x + 1, lambda x: 1 + x, lambda x: torch.add(x, 1), lambda x: x.add_(1), lambda x: x.__iadd__(1)],
    "div": [lambda x: x / 2, lambda x: torch.true_divide(x, 2), lambda x: x.divide(2)],
    "rdiv": [lambda x: 2 / x],
    "mul": [lambda x: 2 * x, lambda x: torch.multiply(x, 2)],
    "cat": [lambda x: torch.concat([x, x])],
    "transpose": [lambda x: x.T, lambda x: x.mT, lambda x: x.swapaxes(0, 1)],
    "to": [lambda x: x.float(), lambda x: x.to(torch.float64)],
    "relu": [F.relu, torch.relu_, nn.ReLU(), torch.ops.aten.relu.default],
}


@pytest.mark.parametrize(("name", "function"), [(name, function) for name in NAMES for function in NAMES[name]])
def test_a_function_has_one_name(name, function):
    assert last_call(function).name == name


def test_writing_into_the_first_argument_shows():
    def increase(x):
        x += 1

    def fill(x):
        x[0] = 1.0

    writing = (increase, fill, lambda x: x.relu_(), nn.ReLU(inplace=True))
    assert all(last_call(function).in_place for function in writing)
    assert not any(last_call(function).in_place for function in (nn.ReLU(), lambda x: x + 1, lambda x: x[0]))


def test_questions_about_a_tensor_and_numbers_read_off_it_are_told_apart():
    assert all(last_call(ask).asks_a_fact for ask in (lambda x: x.shape, len, lambda x: x.dim(), lambda x: x.device))
    assert all(last_call(read).reads_a_number for read in (lambda x: x[0, 0].item(), lambda x: float(x[0, 0])))
    other = last_call(lambda x: x.float())
    assert not other.asks_a_fact
    assert not other.reads_a_number


def test_an_input_by_name_comes_first_unless_it_does_not():
    assert last_call(lambda x: F.linear(weight=torch.ones(2, 3), input=x)).args[0].shape == (2, 3)
    where = last_call(lambda x: torch.where(condition=x > 0, input=x, other=x))
    assert where.args == ()


def test_nested_arguments_are_found_and_replaced():
    one, two = torch.ones(1), torch.ones(2)
    nested = {"a": [one, (two, 3)], "b": one}
    assert [len(part) for part in tensors_in(nested)] == [1, 2, 1]
    assert mapped(nested, len) == {"a": [1, (2, 3)], "b": 1}
    assert tensors_in(torch.ones(2, 3).max(1))[0].shape == (2,)
    assert FunctionCall(torch.cat, ([one, two],), {}).run_with(lambda part: 2 * part).tolist() == [2, 2, 2]


class Doubled(Interception):
    """ReLUs give twice as much; `again` opens the block within the rule."""

    def __init__(self, again=False):
        super().__init__()
        self.again = again

    def _double(self, call):
        if self.again and call.args[0].ndim:
            with self:
                return torch.stack([part.relu() for part in call.args[0]])
        return 2 * call.args[0].relu()

    rules: ClassVar = {"relu": _double}


def test_a_rule_answers_for_its_function_and_meets_itself_only_in_a_block_of_its_own():
    x = torch.tensor([-1.0, 2.0])
    with Doubled():
        assert x.relu().tolist() == [0, 4]
        assert x.abs().tolist() == [1, 2]
    with Doubled(again=True):
        assert x.relu().tolist() == [0, 4]
    with Doubled(), Recorder() as inner:
        assert x.relu().tolist() == [0, 4]
    assert [call.name for call in inner.calls] == ["relu", "tolist"]
    assert x.relu().tolist() == [0, 2]


def test_other_threads_run_as_ever():
    found = []
    with Doubled():
        thread = threading.Thread(target=lambda: found.append(torch.tensor([2.0]).relu().item()))
        thread.start()
        thread.join()
    assert found == [2]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (F.relu, torch.inf), (nn.ReLU6(), 6), (F.relu6, 6), (lambda x: x.clamp(min=0), torch.inf),
        (lambda x: x.clip(0, 2), 2), (nn.Hardtanh(0, 3), 3), (F.hardtanh, None), (lambda x: x.clamp(max=1), None),
        (F.leaky_relu, None), (torch.tanh, None),
    ],
)  # fmt: skip
def test_one_test_says_what_a_relu_is(function, expected):
    assert ceiling(last_call(function)) == expected
