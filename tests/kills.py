"""A process that runs all kinds of jobs is killed again and again, at random moments: nothing is lost or left over.

    python -m tests.kills --kills 50 --seed 0

Each process is forked from one that has imported everything, works in one data folder until it is killed, and is
followed by another that resumes. What a process said was finished must be found by the next (else it is *lost*), equal
to what an undisturbed run has (else it is *wrong*); *failed* are processes that ended by themselves with an error. When
all is done the folder is begun anew. *left_over* counts the unfinished files, and the parts, that are there once a
server has started an hour later. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch

from common.settings import settings
from explainers.attribution import request_for
from explainers.contrastive.generators import GeneratorRequest
from explainers.contrastive.method import GeneratorParams
from explainers.evaluation.table import evaluate
from explainers.maxout.method import MaxOutParams
from explainers.maxout.request import MaxOutRequest
from explainers.prediction_difference.params import PredictionDifferenceParams
from explainers.registry import METHODS
from explainers.results import Request, Resumable, Sources, compute_missing
from images.image_set import ImageSet
from images.intake import from_files
from jobs.results import ResultStore
from jobs.retention import clean
from models import loaders
from models.loaders import checkpoint, zoo
from models.stack import Convolution, MaxPool, ReLU
from models.store import ModelStore
from playground.history import History
from playground.kept_histories import KeptHistories
from playground.runs import TrainingRequest
from playground.training import TrainingParams
from suggestion import scoring
from tests.makers import encoded, picture

NET, N_IMAGES, CHUNK = "cifar/resnet20", 300, 50


@dataclass
class Work:
    """The data folder under work, and what the jobs share."""

    data: Path
    models: ModelStore
    store: ResultStore
    table: pd.DataFrame | None = None

    @classmethod
    def at(cls, data: Path) -> Work:
        return cls(data, ModelStore(data, "cpu"), ResultStore(data / "results", 10**9))

    @property
    def sources(self) -> Sources:
        return Sources(self.models, self.store, self.images)

    @property
    def images(self) -> ImageSet:
        (path,) = (self.data / "image-sets").glob("*.parquet")
        return ImageSet.read(path)

    def finished(self, job: str) -> str | None:
        """What was found of a job that had been finished; `None` where it is lost."""
        return FOUND[job](self)


def digest(*values: Any) -> str:
    """Stands for arrays and plain data, down to the last bit; not for the seconds that they took."""
    state = hashlib.sha256()
    for value in values:
        parts = sorted(value.items()) if isinstance(value, dict) else [("", value)]
        for name, part in parts:
            if name == "facts":
                part = json.loads(str(part)) | {"seconds": 0}
            if name != "seconds":
                state.update(name.encode() + (part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode()))
    return state.hexdigest()[:16]


# What each job does; all of them go on where the one before was killed.


def take_in(work: Work) -> None:
    """Image intake."""
    rows = [(f"{'ab'[n % 2]}/{n:03d}.png", io.BytesIO(PICTURES[n])) for n in range(N_IMAGES)]
    from_files([*rows, ("masks/a/000.png", io.BytesIO(MASK))], work.data)


def add_models(work: Work) -> None:
    """Uploads of models, with the history of their training."""
    for number, content in enumerate(WEIGHTS):
        path = loaders.keep(io.BytesIO(content), "net.pt", work.data / loaders.KEPT)
        card = work.models.add(checkpoint.load(str(path), NET, create={"num_classes": 2}, name=f"net {number}"))
        KeptHistories(work.data / "histories").put(card.digest, History("log", np.arange(3), {"loss": np.ones(3)}))


def score(work: Work) -> None:
    """Scoring."""
    failed = scoring.score(work.models, work.models.cards(), work.images, work.data / "predictions", chunk=CHUNK)
    assert not failed, failed


def requests(work: Work) -> dict[str, list[Request[Any]]]:
    """What goes through the result cache, by the job."""
    images, card = work.images, sorted(work.models.cards(), key=lambda card: card.digest)[0]
    ids, data = images.ids[:2], images.digest
    difference = PredictionDifferenceParams(window=4, stride=4, samples=3, sampling="marginal")
    maps = ["grad-cam", "saliency", "smoothgrad", "lrp-epsilon"]
    return {
        "maps": [request_for(card, one, METHODS[name], target=1) for name in maps for one in ids],
        "prediction difference": [
            request_for(card, ids[0], METHODS["prediction-difference"], difference, 1, data=data)
        ],
        "maxout": [MaxOutRequest(card, column, params=MaxOutParams(iterations=24)) for column in (0, 1)],
        "generator": [GeneratorRequest(data, GeneratorParams(steps=8, width=4, latent=8, batch=8, critic_steps=2))],
        "playground": [
            TrainingRequest(data, (Convolution(4), ReLU(), MaxPool()), TrainingParams(epochs=4, batch=32, side=16))
        ],
    }


def compute(job: str, work: Work) -> None:
    """Maps, prediction difference, MaxOut, the training of a generator or of a network."""
    failures: dict[str, str] = {}
    compute_missing(work.sources, requests(work)[job], failures)
    assert not failures, failures


def trust(work: Work) -> None:
    """The table of trust."""
    work.table = evaluate(
        work.sources, work.models.cards()[:1], [METHODS[name] for name in ("saliency", "grad-cam")], work.images.ids[:3]
    )


JOBS: dict[str, Callable[[Work], None]] = {
    "intake": take_in, "upload": add_models, "scoring": score,
    **{name: partial(compute, name) for name in ("maps", "prediction difference", "maxout", "generator", "playground")},
    "trust": trust,
}  # fmt: skip


def results(job: str, work: Work) -> str | None:
    found = [work.store.get(request.key) for request in requests(work)[job]]
    return None if None in found or not all(one.finished(work.store) for one in requests(work)[job]) else digest(*found)


def image_set(work: Work) -> str | None:
    images = work.images
    return digest(
        images.digest, images.mask(0, images.mask_kinds[0]), *(images.image(n) for n in range(0, N_IMAGES, 30))
    )


def model_cards(work: Work) -> str | None:
    found, inputs = [], torch.zeros(1, 3, 32, 32)
    for card in sorted(work.models.cards(), key=lambda card: card.digest):
        with work.models.borrow(card) as model, torch.inference_mode():
            history = KeptHistories(work.data / "histories").get(card.digest)
            found += [card.name, card.digest, model.logits(inputs).numpy(), history and history.name]
    return digest(*found) if len(found) == 4 * len(WEIGHTS) else None


def table(work: Work) -> str | None:
    cards = sorted(work.models.cards(), key=lambda card: card.digest)
    found = scoring.load(cards, work.images, work.data / "predictions")
    return None if found is None else digest(found.to_frame().to_json(double_precision=15))


def trusted(work: Work) -> str | None:
    trust(work)
    assert work.table is not None
    return digest(work.table.drop(columns="seconds", errors="ignore").to_json(double_precision=15))


FOUND: dict[str, Callable[[Work], str | None]] = {
    "intake": image_set, "upload": model_cards, "scoring": table,
    **{name: partial(results, name) for name in ("maps", "prediction difference", "maxout", "generator", "playground")},
    "trust": trusted,
}  # fmt: skip


def _uploads() -> list[bytes]:
    found = []
    for seed in range(2):
        weights = zoo.build(NET, {"num_classes": 2})[0].state_dict()
        buffer = io.BytesIO()
        torch.save({name: v + 0.1 * seed if name.endswith("bias") else v for name, v in weights.items()}, buffer)
        found.append(buffer.getvalue())
    return found


PICTURES = [encoded(picture(20, 20, seed)) for seed in range(N_IMAGES)]
MASK = encoded(picture(20, 20)[..., 0] > 99)
WEIGHTS: list[bytes] = []


def run(data: Path, done: Path) -> None:
    """The jobs in order; each that is finished is told in the file `done`, what was told before is looked for first."""
    work = Work.at(data)
    told = dict(line.split("\t") for line in done.read_text().splitlines()) if done.exists() else {}
    with done.open("a") as file:
        for name, job in JOBS.items():
            if name in told:
                found = work.finished(name)
                if found != told[name]:
                    file.write(f"LOST {name}\t{found}\n")
                continue
            job(work)
            file.write(f"{name}\t{work.finished(name)}\n")
            file.flush()


def forked(data: Path, done: Path, seconds: float | None) -> str:
    """One process: killed after some seconds, or left alone; `killed`, `finished` or `failed`."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            torch.set_num_threads(1)
            WEIGHTS.extend(_uploads())
            with ExitStack() as stack:  # what is kept every few seconds is kept often, so that kills meet it
                stack.enter_context(mock.patch.object(Resumable, "keep_s", 0.02))
                stack.enter_context(mock.patch.object(ModelStore, "dry_run", None))
                run(data, done)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    deadline = None if seconds is None else time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return "finished" if status == 0 else "failed"
        if deadline is not None and time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "killed"
        time.sleep(0.005)


def left_over(data: Path) -> list[str]:
    """What should not be there once a server has started an hour later."""
    clean(data, time.time() + 2 * 3600, 30)
    parts = (data / "predictions").glob("*/*/*")
    damaged = (data / "damaged").glob("*")
    return [str(path.relative_to(data)) for path in (*data.rglob("*.partial"), *parts, *damaged)]


def kill_often(folder: Path, n_kills: int, seed: int) -> dict[str, Any]:
    """Kill that often; what came of it."""
    os.environ["PARALLAX_DATA"] = str(folder / "data")
    draw, counts, by_job = random.Random(seed), Counter[str](), Counter[str]()
    began = time.monotonic()
    assert forked(folder / "alone", folder / "alone.done", None) == "finished"
    whole_s, expected = time.monotonic() - began, _told(folder / "alone.done")
    leftovers: list[str] = []
    wrong: set[str] = set()
    n_rounds = 0
    while counts["killed"] < n_kills:
        data, done = folder / f"round {n_rounds}", folder / f"round {n_rounds}.done"
        os.environ["PARALLAX_DATA"] = str(data)
        settings.cache_clear()
        outcome = ""
        while outcome != "finished":
            killing = counts["killed"] < n_kills
            outcome = forked(data, done, draw.uniform(0.02, 0.45) * whole_s if killing else None)
            counts[outcome] += 1
            if outcome == "killed":
                by_job[next((name for name in JOBS if name not in _told(done)), "after all")] += 1
            if counts["failed"] > 10:
                break
        told = _told(done)
        counts["lost"] += sum(name.startswith("LOST") for name in told)
        differ = [name for name, right in expected.items() if told.get(name) != right]
        counts["wrong"] += len(differ)
        wrong |= set(differ)
        leftovers += left_over(data)
        n_rounds += 1
        if counts["failed"] > 10:
            break
    return {
        "kills": counts["killed"], "rounds": n_rounds, "lost": counts["lost"], "wrong": counts["wrong"],
        "failed": counts["failed"], "left_over": len(leftovers), "what_was_left": leftovers[:5],
        "seconds_undisturbed": round(whole_s, 1), "killed_in": dict(by_job), "what_was_wrong": sorted(wrong),
    }  # fmt: skip


def _told(done: Path) -> dict[str, str]:
    lines = done.read_text().splitlines() if done.exists() else []
    return dict(line.split("\t") for line in lines if "\t" in line)


def main(arguments: Sequence[str] | None = None) -> None:
    """Kill, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(kill_often(Path(folder), given.kills, given.seed)))


if __name__ == "__main__":
    main()
