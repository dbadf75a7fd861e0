"""A server's first threads all want timm and torchvision, at once and each from another side."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_STORES = """
from models.store import ModelStore
from models.loaders import demo

def load(name):
    ModelStore(Path(sys.argv[1]) / name, "cpu").add(demo.PAINTINGS.load(name))

works = [
    lambda: load("resnet"),
    lambda: importlib.import_module("explainers.registry"),
    lambda: load("vit"),
]
"""

_PAGES = """
from models.libraries import import_libraries
from pages.shared import cache

def after(module):
    import_libraries()
    importlib.import_module(module)

works = [
    lambda: after("explainers.registry"),
    lambda: after("pages.upload.adding"),
    lambda: after("pages.compare.view"),
    cache.model_memory,
]
assert "torch" not in sys.modules
"""

_MEET = """
import importlib, sys, threading
from pathlib import Path
{works}
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


@pytest.mark.parametrize("works", [_STORES, _PAGES], ids=["stores", "pages"])
def test_threads_that_meet_in_their_imports_all_get_through(works: str, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", _MEET.format(works=works), str(tmp_path)]
    there = {**os.environ, "PARALLAX_DATA": str(tmp_path)}
    ended = subprocess.run(command, cwd=root, env=there, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
