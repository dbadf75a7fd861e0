"""A server's first threads all want timm and torchvision, at once and each from another side."""

import subprocess
import sys
from pathlib import Path

_MEET = """
import importlib, sys, threading
from pathlib import Path
from models.store import ModelStore
from models.loaders import demo

def load(name):
    ModelStore(Path(sys.argv[1]) / name, "cpu").add(demo.PAINTINGS.load(name))

works = [
    lambda: load("resnet"),
    lambda: importlib.import_module("explainers.registry"),
    lambda: load("vit"),
]
start, failures = threading.Barrier(len(works)), []

def run(work):
    start.wait()
    try:
        work()
    except BaseException as error:
        failures.append(repr(error))

threads = [threading.Thread(target=run, args=(work,)) for work in works]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit("; ".join(failures) or 0)
"""


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True, timeout=120)


def test_threads_that_meet_in_their_imports_all_get_through(tmp_path: Path) -> None:
    ended = _python("-c", _MEET, str(tmp_path))
    assert ended.returncode == 0, ended.stderr


def test_methods_are_listed_without_waiting_for_either() -> None:
    ended = _python(
        "-c", "import sys, explainers.registry; sys.exit(' '.join({'timm', 'torchvision'} & {*sys.modules}) or 0)"
    )
    assert ended.returncode == 0, ended.stderr
