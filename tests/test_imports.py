"""What imports must not bring along, all asked in one fresh process."""

import subprocess
import sys
from pathlib import Path

from parallax.__main__ import COMMANDS

#: Each in turn: what is done, and what is not loaded by then.
_STEPS = """
import sys

def lacks(*names):
    assert not {*names} & {*sys.modules}, {*names} & {*sys.modules}

from parallax.__main__ import COMMANDS, main
assert all(main([*name, "--help"]) == 0 for name in ([], *([name] for name in COMMANDS)))
lacks("torch", "pandas", "plotly", "timm")
import models.demo.demo_models
lacks("torch", "timm")
import app, pages.shared.cache, pages.shared.sidebar, pages.shared.scoring_job, pages.upload.view
lacks("torch", "timm", "captum")
import explainers.registry
lacks("timm", "torchvision")
"""


def test_help_and_first_page_are_there_without_torch_and_methods_without_the_zoos():
    """Torch and pandas would take seconds."""
    root = Path(__file__).parents[1]
    ended = subprocess.run([sys.executable, "-c", _STEPS], cwd=root, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "Exit status:" in ended.stdout
    assert ended.stdout.count("Example:") == len(COMMANDS) + 1
