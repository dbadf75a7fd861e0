"""The server's own process: it ends when it should, and what that ends is said."""

import operator
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from common.errors import InputError
from jobs import process
from jobs.process import OwnProcess, ProcessEndedError

#: A server that uses a process, and is killed at once; it says which one.
_KILLED = """
import os, signal
from jobs.process import OwnProcess
print(OwnProcess("json").call(os.getpid), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def own():
    found = OwnProcess("json")
    yield found
    found.end()


def gone(pid: int) -> bool:
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def refuse(*words):
    raise InputError(*words)


class Odd(Exception):  # noqa: N818
    """An error that is not made of its words."""

    def __init__(self, what, of):
        super().__init__(f"{what} of {of}")


def odd():
    raise Odd("this", "that")


def test_it_answers_and_raises_as_the_function_would_here(own):
    assert own.call(operator.add, b"a" * 10**6, b"b") == b"a" * 10**6 + b"b"
    with pytest.raises(ZeroDivisionError):
        own.call(operator.truediv, 1, 0)
    with pytest.raises(InputError) as told:
        own.call(refuse, "this", "that", "Do so.")
    assert (told.value.expected, told.value.received, told.value.cure) == ("this", "that", "Do so.")
    assert own.call(print, "into the log, not into the pipe") is None
    assert own.call(os.getpid) == own.call(os.getpid) != os.getpid()


def test_what_cannot_travel_is_told(own):
    with pytest.raises(TypeError, match="cannot pickle"):
        own.call(open, os.devnull)
    with pytest.raises(RuntimeError, match="Odd: this of that"):
        own.call(odd)
    assert own.call(operator.add, 1, 1) == 2


@pytest.mark.parametrize("idle", [False, True])
def test_one_that_died_is_told_of_where_somebody_waits_and_followed_by_another(own, idle):
    pid = own.call(os.getpid)
    if idle:
        os.kill(pid, signal.SIGKILL)
        assert gone(pid)
    else:
        with pytest.raises(ProcessEndedError):
            own.call(os.kill, pid, signal.SIGKILL)
    assert own.call(os.getpid) != pid


def test_it_ends_when_nobody_uses_it_any_more(own, monkeypatch):
    monkeypatch.setattr(process, "_IDLE_S", 0.2)
    with own:
        pid = own.call(os.getpid)
        time.sleep(0.5)
        assert own.call(os.getpid) == pid, "somebody does"
    assert gone(pid)
    own.start()
    assert gone(own.call(os.getpid)), "also where it was started ahead, and for nothing"


def test_it_dies_with_the_server():
    root = Path(__file__).parents[2]
    ended = subprocess.run([sys.executable, "-c", _KILLED], cwd=root, capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL
    assert gone(int(ended.stdout))
