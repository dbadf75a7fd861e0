"""What a case does besides answering: code, network, writes, exceptions, time and memory, each seen by a detector."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from common.errors import InputError

#: What is counted; all must be 0.
OFFENCES = ("code", "network", "writes", "uncaught", "slow", "memory")

#: Events of Python's audit hooks, by what they show.
_EVENTS = {
    **dict.fromkeys(
        ("os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn",
         "ctypes.dlopen", "os.kill", "os.startfile", "webbrowser.open"), "code"),
    **dict.fromkeys(
        ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname",
         "urllib.Request", "ftplib.connect", "smtplib.connect"), "network"),
    **dict.fromkeys(
        ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.truncate",
         "shutil.rmtree", "shutil.move", "shutil.copyfile"), "writes"),
}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """What one case may take beyond what was taken before: seconds of computing, seconds in all, bytes of memory.

    The seconds in all are more, as the machine may have other work: what hangs takes any number.
    """

    seconds: float = 10.0
    in_all: float = 60.0
    n_bytes: int = 1024**3


@dataclass
class Watch:
    """Runs cases under all detectors.

    `folder` is the only place that may be written to. `trap` is one that nobody may: what is there is what code left.
    """

    folder: Path
    trap: Path
    limits: Limits = field(default_factory=Limits)
    _seen: list[tuple[str, str]] = field(default_factory=list)
    _watching: bool = False

    def __post_init__(self) -> None:
        self.folder, self.trap = self.folder.resolve(), self.trap.resolve()
        self._empty = self._trapped()
        sys.addaudithook(self._hear)

    def run(self, work: Callable[[], object]) -> dict[str, str]:
        """The offences of `work`, each with what was seen; `InputError` is none."""
        found: dict[str, str] = {}
        self._seen.clear()
        before, began, computed = _reset_peak(), time.monotonic(), time.process_time()
        self._watching = True
        try:
            work()
        except InputError as error:
            if "\n" in str(error) or len(str(error)) > 8000 or not error.cure:
                found["uncaught"] = f"an answer that is no line: {str(error)[:200]}"
        except BaseException as error:  # also SystemExit and KeyboardInterrupt: nothing may end the server
            found["uncaught"] = f"{type(error).__name__}: {str(error)[:300]}"
        finally:
            self._watching = False
        waited, took = time.monotonic() - began, time.process_time() - computed
        if took > self.limits.seconds or waited > self.limits.in_all:
            found["slow"] = f"{took:.1f} s of computing, {waited:.1f} s in all"
        if (extra := _peak() - before) > self.limits.n_bytes:
            found["memory"] = f"{extra / 1e6:,.0f} MB"
        for kind, event in self._seen:
            found.setdefault(kind, event)
        if (there := self._trapped()) != self._empty:
            found.setdefault("code", f"left in the trap: {there}")
            self._empty = there
        return found

    def _trapped(self) -> list[str]:
        return sorted(str(path) for path in self.trap.rglob("*"))

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self._watching:
            return
        kind = _EVENTS.get(event)
        if event == "ctypes.dlopen" and arguments[:1] == (None,):  # the process itself
            return
        if event == "open":
            path, mode, flags = (*arguments, None, None, None)[:3]
            writes = bool(isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
            kind = "writes" if writes or (isinstance(mode, str) and set(mode) & set("wax+")) else None
            arguments = (path,)
        if kind == "writes":
            paths = [os.fsdecode(one) for one in arguments if isinstance(one, str | bytes | os.PathLike)]
            if all(self._may_write(path) for path in paths):
                return
        if kind:
            self._seen.append((kind, f"{event}{arguments!r}"[:300]))

    def _may_write(self, path: str) -> bool:
        return path == os.devnull or Path(os.path.realpath(path)).is_relative_to(self.folder)


def _reset_peak() -> int:
    """Begin a new measurement of the largest resident memory; bytes that are resident now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _peak()
    return status_of("VmRSS")


def _peak() -> int:
    return status_of("VmHWM")


def status_of(name: str) -> int:
    """Bytes, by a name of /proc/self/status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise OSError(name)


# One that each detector must see


def _connect() -> None:
    with socket.socket() as one:
        one.settimeout(0.2)
        one.connect_ex(("127.0.0.1", 9))


def offenders(trap: Path) -> dict[str, Callable[[], object]]:
    """For every offence, work that commits it and nothing else (code may leave a trace beside)."""
    outside = trap.parent / "outside"

    def fill() -> None:
        bytearray(b"\1" * 100_000_000)

    def burn() -> None:
        until = time.process_time() + 0.4
        while time.process_time() < until:
            pass

    return {
        "code": lambda: subprocess.run(["true"], check=True),
        "network": _connect,
        "writes": lambda: outside.write_text("x"),
        "uncaught": lambda: {}["no such key"],
        "slow": burn,
        "memory": fill,
    }


def kill_later(process: subprocess.Popen[str], seconds: float) -> threading.Timer:
    """End a worker that gives no answer in time."""
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    return timer
