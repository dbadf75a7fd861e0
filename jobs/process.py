"""A process of the server's own, for work whose many small steps would wait for the interpreter while pages run.

It starts when it is asked, ends when nobody has used it for a while, and never outlives the server: it reads the end of
the pipe then. It is no worker of `multiprocessing`, which would run the app's script in it.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec, Self, TypeVar, cast

from jobs.turns import Turns

#: Seconds without a user after which the process ends, and gives its memory back.
_IDLE_S = 300.0

_COMMAND = "from jobs.process import serve; serve({module!r})"

P = ParamSpec("P")
R = TypeVar("R")


class ProcessEndedError(RuntimeError):
    """The process ended before it answered: somebody killed it, or memory ran out."""


class OwnProcess:
    """The process, as the server sees it; it begins by importing `module`. Its users are counted by `with`.

    Example:
        >>> with process:
        ...     answer = process.call(function, 1, 2)
    """

    def __init__(self, module: str) -> None:
        self._module = module
        self._turns, self._guard = Turns(), threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._timer: threading.Timer | None = None
        self._n_users = 0

    def start(self) -> None:
        """Start it ahead, for somebody who is going to use it."""
        with self:
            self._started()

    def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a module's function there, in turn; raises what it raises, or `ProcessEndedError`."""
        asked = pickle.dumps((function, args, kwargs))
        with self._turns.turn():
            process = self._started()
            there, back = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
            try:
                there.write(asked)
                there.flush()
                answer, error = pickle.load(back)
            except (OSError, EOFError, pickle.UnpicklingError):
                with self._guard:
                    if self._process is process:
                        self._bury(process)
                raise ProcessEndedError from None
        if error is not None:
            raise error
        return cast(R, answer)

    @property
    def running(self) -> bool:
        """Whether there is one now."""
        with self._guard:
            return self._process is not None and self._process.poll() is None

    def _started(self) -> subprocess.Popen[bytes]:
        with self._guard:
            if self._process is not None and self._process.poll() is not None:
                self._bury(self._process)
            if self._process is None:
                root, pipe = Path(__file__).parents[1], subprocess.PIPE
                command = [sys.executable, "-c", _COMMAND.format(module=self._module)]
                self._process = subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe)
            return self._process

    def _bury(self, process: subprocess.Popen[bytes]) -> None:
        """See that it is gone, and close its pipes."""
        process.kill()
        process.communicate()
        self._process = None

    def __enter__(self) -> Self:
        with self._guard:
            self._n_users += 1
            if self._timer is not None:
                self._timer.cancel()
        return self

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._n_users -= 1
            if self._n_users == 0:
                self._timer = threading.Timer(_IDLE_S, self.end)
                self._timer.daemon = True
                self._timer.start()

    def end(self) -> None:
        """End it, unless somebody uses it."""
        with self._guard:
            process, self._process = (self._process, None) if self._n_users == 0 else (None, self._process)
        if process is not None:
            process.communicate()  # it reads the end of its input, and ends


def serve(module: str) -> None:
    """What the process does: answer until the server closes the pipe; what is printed goes to its log."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl+C is the server's
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    import_module(module)
    with suppress(EOFError, OSError):
        while True:
            function, args, kwargs = pickle.load(sys.stdin.buffer)
            answers.write(_answer(function, args, kwargs))
            answers.flush()


def _answer(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    try:
        return pickle.dumps((function(*args, **kwargs), None))
    except Exception as error:
        answer = None, error
        try:
            pickle.loads(pickle.dumps(answer))
        except Exception:  # an error of somebody else's that cannot travel: its words can
            answer = None, RuntimeError(f"{type(error).__name__}: {error}")
        return pickle.dumps(answer)
