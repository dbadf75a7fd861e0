"""What a server loads when it starts."""

import os
import subprocess
import sys
from pathlib import Path

_LOAD = """
import gc, sys
from pages.server import start

start._FIRST_PAGE_S = 0.1
start._load()
assert {"torch", "timm", "torchvision", "captum", "pages.upload.view"} <= {*sys.modules}
assert gc.get_freeze_count() > 100_000
"""


def test_all_is_loaded_also_where_the_device_is_not_there_which_gets_its_line(tmp_path):
    there = {**os.environ, "PARALLAX_DATA": str(tmp_path), "PARALLAX_DEVICE": "abacus"}
    root = Path(__file__).parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", _LOAD], cwd=root, env=there, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    assert "Expected a device, got 'abacus'" in ended.stderr
    assert list((tmp_path / "image-sets").glob("*.parquet"))
