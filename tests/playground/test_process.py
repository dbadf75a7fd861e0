"""The process that networks train in: it ends when it should, and what that ends is said."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from common.errors import InputError
from models.stack import Convolution, MaxPool, ReLU
from playground import process
from playground.data import TrainingData, preprocessing_for
from playground.process import TrainingElsewhere, TrainingProcess
from playground.training import TrainingParams

STACK, PARAMS = (Convolution(2), ReLU()), TrainingParams(epochs=3, batch=8, side=8)

#: A server that trains, and is killed at once; it says which process trained.
_KILLED = """
import os, signal
from playground.process import PROCESS
print(PROCESS.call(os.getpid), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def data():
    pixels = np.random.default_rng(0).integers(0, 255, (24, 1, 8, 8), dtype=np.uint8)
    labels, rows = np.arange(24) % 2, np.arange(24)
    return TrainingData(
        pixels, labels, rows, ("a", "b"), rows[:16], rows[16:20], rows[20:], preprocessing_for(8, grey=True)
    )


@pytest.fixture
def own(monkeypatch):
    """A process that no other test uses."""
    monkeypatch.setattr(process, "PROCESS", TrainingProcess())
    yield process.PROCESS
    process.PROCESS.end()


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def train_until_killed(own, training):
    for epoch in training.run(3):
        if epoch >= 1:
            os.kill(own.call(os.getpid), signal.SIGKILL)


def test_a_process_that_dies_ends_its_trainings_in_words_and_the_next_starts_anew(own, data):
    with TrainingElsewhere(STACK, PARAMS, data, "cpu") as training:
        words = r"^Expected a process that trains the network, got none: it ended\. Press Resume"
        with pytest.raises(InputError, match=words):
            train_until_killed(own, training)
    assert training.latest.epoch == 1
    with TrainingElsewhere(STACK, PARAMS, data, "cpu") as other:
        assert list(other.run(3))[-1] == 3


def test_a_training_is_not_taken_for_one_of_the_process_that_follows(own, data):
    with TrainingElsewhere(STACK, PARAMS, data, "cpu") as first:
        next(first.run(3))
        os.kill(pid := own.call(os.getpid), signal.SIGKILL)
        assert gone(pid)
        time.sleep(0.5)  # the server notices
        with TrainingElsewhere(STACK, PARAMS, data, "cpu") as second:
            next(second.run(3))
            following = first.run(3)
            with pytest.raises(InputError, match="it ended"):
                next(following)


def test_a_mistake_is_told_as_it_would_be_here(own, data):
    impossible = (MaxPool(), MaxPool(), MaxPool(), MaxPool())
    with pytest.raises(InputError) as told, TrainingElsewhere(impossible, PARAMS, data, "cpu"):
        pass
    assert told.value.cure


def test_it_ends_when_nobody_trains_any_more(own, data, monkeypatch):
    monkeypatch.setattr(process, "_IDLE_S", 0.2)
    with TrainingElsewhere(STACK, PARAMS, data, "cpu") as training:
        pid = own.call(os.getpid)
        time.sleep(0.6)
        assert list(training.run(1)), "not while a training is there"
    assert gone(pid)
    own.start()
    assert gone(own.call(os.getpid)), "also where it was started ahead, and for nothing"


def test_it_dies_with_the_server():
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", _KILLED], cwd=root, capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    assert gone(int(ended.stdout))
