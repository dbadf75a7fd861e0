"""The hostile corpus: `python -m tests.hostile [--seed N] [--workers N] [--only KIND]`; its last line counts, as JSON.

Every case goes through the same functions as on the pages, in a worker process that is watched: code that runs,
network, writes outside the data folder, exceptions but `InputError`, more than 10 seconds, more than 1 GB. All counts
must be 0.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path

from tests.hostile.corpus import KINDS, corpus
from tests.hostile.watch import OFFENCES, Limits, Watch, kill_later, status_of

#: Seconds after which a worker that gives no answer is ended, and bytes of address space that one may add.
_HANGS, _ADDRESS_SPACE = 120.0, 8 * 1024**3


def worker(folder: Path, seed: int) -> None:
    """Read numbers of cases from the input, run each, and answer with its offences as JSON."""
    import resource

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nobody else writes there
    data, trap = folder / "data", folder / "trap"
    os.environ.update(PARALLAX_DATA=str(data), HOME=str(trap), TMPDIR=str(data / "temporary"), PARALLAX_DEVICE="cpu")
    for place in (data / "temporary", trap):
        place.mkdir(parents=True, exist_ok=True)
    os.chdir(trap)
    tempfile.tempdir = None
    from tests.hostile.run import honest, once

    cases = corpus(seed)
    honest(data)
    most = status_of("VmSize") + _ADDRESS_SPACE
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    watch = Watch(data, trap, Limits())
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        found = once(cases[int(line)], watch)
        print(json.dumps(found), file=answers, flush=True)


class Worker:
    """A process that runs cases one after another, and is begun anew where one ends it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed = folder, seed
        self.process: subprocess.Popen[str] | None = None

    def run(self, number: int) -> dict[str, str]:
        """The offences of one case; the end of the worker is one."""
        if self.process is None:
            command = [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "tests.hostile",
                "--worker",
                str(self.folder),
                "--seed",
                str(self.seed),
            ]
            log = (self.folder.parent / f"{self.folder.name}.log").open("a")
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
            log.close()
            assert self._answer(600) == "ready"
        assert self.process.stdin is not None
        self.process.stdin.write(f"{number}\n")
        self.process.stdin.flush()
        answer = self._answer(_HANGS)
        if answer:
            return dict(json.loads(answer))
        code = self.process.wait()
        self.process = None
        return {"slow": "no answer"} if code == -9 else {"uncaught": f"the process ended with {code}"}

    def _answer(self, seconds: float) -> str:
        assert self.process is not None
        assert self.process.stdout is not None
        timer = kill_later(self.process, seconds)
        answer = self.process.stdout.readline().strip()
        timer.cancel()
        return answer

    def end(self) -> None:
        """Let the process go."""
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
            self.process.wait()


def main() -> None:
    """Run the corpus and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--only", choices=KINDS, help="one kind of files")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        worker(options.worker, options.seed)
        return
    cases = corpus(options.seed)
    waiting = [n for n, case in enumerate(cases) if options.only in (None, case.kind)]
    waiting.reverse()
    counts, tried = Counter(dict.fromkeys(OFFENCES, 0)), Counter[str]()

    def work(folder: Path) -> None:
        own = Worker(folder, options.seed)
        while waiting:
            number = waiting.pop()
            found = own.run(number)
            tried[cases[number].kind] += 1
            counts.update(found.keys())
            for offence, what in found.items():
                print(f"{offence}: case {number}, {cases[number].kind}, {cases[number].title!r}: {what}", flush=True)
        own.end()

    with tempfile.TemporaryDirectory() as folder:
        threads = [threading.Thread(target=work, args=(Path(folder) / f"worker{n}",)) for n in range(options.workers)]
        for n, thread in enumerate(threads):
            (Path(folder) / f"worker{n}").mkdir()
            thread.start()
        for thread in threads:
            thread.join()
    print(json.dumps({"tried": tried.total(), **counts, "kinds": dict(sorted(tried.items()))}))


if __name__ == "__main__":
    main()
