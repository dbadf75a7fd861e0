"""A small sample of the hostile corpus (`python -m tests.hostile` runs all of it), and that its detectors can see."""

import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from models.loaders import fitting
from tests.hostile.corpus import KINDS
from tests.hostile.run import honest, once
from tests.hostile.watch import OFFENCES, Limits, Watch, offenders

#: Cases of each kind in the suite.
_N = 4


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    for name in ("data/temporary", "trap"):
        (folder / name).mkdir(parents=True)
    return folder / "data", folder / "trap"


@pytest.fixture(scope="module")
def watch(places):
    """Once every library is loaded."""
    honest(places[0])
    return Watch(*places)


@pytest.fixture
def at_home(places, monkeypatch):
    """What is written by relative paths lands in the trap, and temporary files among the data."""
    monkeypatch.chdir(places[1])
    monkeypatch.setattr("tempfile.tempdir", str(places[0] / "temporary"))
    monkeypatch.setenv("HOME", str(places[1]))
    monkeypatch.setattr(fitting, "find_architecture", lambda weights, near: None)  # which takes seconds


def seen_of(offence: str, data: Path, trap: Path) -> tuple[dict[str, str], dict[str, str]]:
    """What a strict watch sees of an offender, and of work that does nothing."""
    strict = Watch(data, trap, Limits(seconds=0.2, n_bytes=50_000_000))
    return strict.run(offenders(trap)[offence]), strict.run(lambda: None)


@pytest.fixture(scope="module")
def alone():
    """A process where nothing else takes or gives back memory; other tests' threads do here."""
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        yield process


@pytest.mark.parametrize("offence", OFFENCES)
def test_every_detector_sees_its_offender(offence, places, alone):
    offender, nothing = alone.submit(seen_of, offence, *places).result()
    assert offence in offender
    assert nothing == {}


def test_what_code_leaves_is_seen_whoever_ran_it(places, at_home):
    strict = Watch(*places)
    assert "code" in strict.run(lambda: os.system("touch ran"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is measured by /proc")
@pytest.mark.parametrize("kind", KINDS)
def test_hostile_files_get_a_line_and_nothing_else_happens(kind, watch, at_home):
    cases = [case for case in KINDS[kind](np.random.default_rng([0, 7])) if not case.large]
    chosen = np.random.default_rng(11).choice(len(cases), _N, replace=False)
    assert {cases[n].title: found for n in chosen if (found := once(cases[n], watch))} == {}
