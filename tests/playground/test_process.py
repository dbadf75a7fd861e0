"""Networks that train in the process of their own: what is said when it ends."""

import os
import signal

import numpy as np
import pytest

from common.errors import InputError
from jobs.process import OwnProcess
from models.stack import Convolution, ReLU
from playground import process
from playground.data import TrainingData, preprocessing_for
from playground.process import TrainingElsewhere
from playground.training import TrainingParams

STACK, PARAMS = (Convolution(2), ReLU()), TrainingParams(epochs=3, batch=8, side=8)


@pytest.fixture
def data():
    pixels = np.random.default_rng(0).integers(0, 255, (24, 1, 8, 8), dtype=np.uint8)
    labels, rows = np.arange(24) % 2, np.arange(24)
    parts = rows[:16], rows[16:20], rows[20:]
    return TrainingData(pixels, labels, rows, ("a", "b"), *parts, preprocessing_for(8, grey=True))


@pytest.fixture
def own(monkeypatch):
    """A process that no other test uses."""
    monkeypatch.setattr(process, "PROCESS", OwnProcess(process.__name__))
    yield process.PROCESS
    process.PROCESS.end()


def test_trainings_whose_process_ended_say_so_and_are_not_taken_for_those_of_the_next(own, data):
    words = r"^Expected a process that trains the network, got none: it ended\. Press Resume"
    made_of = STACK, PARAMS, data, "cpu"
    with (
        TrainingElsewhere(*made_of) as first,
        TrainingElsewhere(*made_of) as second,
    ):
        steps, others = first.run(3), second.run(3)
        assert (next(steps), next(others)) == (0, 0)
        os.kill(own.call(os.getpid), signal.SIGKILL)
        with pytest.raises(InputError, match=words):
            list(steps)
        assert not own.running
        with TrainingElsewhere(*made_of) as third:
            assert list(third.run(3))[-1] == 3
            with pytest.raises(InputError, match=words):
                next(others)
        assert first.latest.epoch == second.latest.epoch == 0
