"""Generators that come with the app, found by the digest of their image set, and the script that makes them.

`python -m explainers.contrastive.ready_made [--only NAME] [--sheet FOLDER]` trains those of the digits (plain, and with
a grey square on every 8) on the three quarters that are not held out: under ten minutes each on a core of their own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from common.settings import settings
from explainers.contrastive.generator import Shape, Trained, from_arrays, shape_facts
from explainers.contrastive.method import GeneratorParams
from explainers.contrastive.training import FATES, Training
from images.digits import digits, digits_image_set
from jobs.results import key_of

WEIGHTS = Path(__file__).parent / "weights"

#: Name -> whether it is of the digits whose every 8 is marked, and the steps it was trained.
READY_MADE = {"digits": False, "digits-marked": True}
STEPS = {"digits": 2000, "digits-marked": 1000}

#: Five times the paper's learning rate: 500 steps make digits of what were shadows.
PARAMS = GeneratorParams(width=16, learning_rate=5e-4)


@cache
def ready_made(data: str) -> Trained | None:
    """The generator that comes with the app for the image set of this digest, if there is one."""
    for path in sorted(WEIGHTS.glob("*.safetensors")):
        with safe_open(str(path), "numpy") as file:
            facts = json.loads(file.metadata()["facts"])
        if facts["data"] == data:
            key = key_of(what="ready-made generator", weights=hashlib.sha256(path.read_bytes()).hexdigest())
            return from_arrays(key, data, facts["step"], Shape(**facts["shape"]), load_file(path))
    return None


def save(training: Training, data: str, path: Path) -> None:
    """Write a generator and its encoder as float16 safetensors, with the digest of the image set that they are for."""
    nets = ("generator.", "encoder.")
    arrays = {name: value for name, value in training.arrays().items() if name.startswith(nets)}
    arrays = {name: value.astype(np.float16) if value.dtype == np.float32 else value for name, value in arrays.items()}
    facts = {"data": data, "step": training.step, "shape": shape_facts(training.shape)}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, path, {"facts": json.dumps(facts, sort_keys=True)})


def sheet(samples: np.ndarray, columns: int = 8) -> np.ndarray:
    """Samples (N, side, side, C) uint8 on one picture (rows × side, columns × side, C) uint8."""
    n, side, _, channels = samples.shape
    rows = n // columns
    grid = samples[: rows * columns].reshape(rows, columns, side, side, channels)
    return grid.transpose(0, 2, 1, 3, 4).reshape(rows * side, columns * side, channels)


def main() -> None:
    """Train, save, and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=tuple(READY_MADE), help="train this one alone")
    parser.add_argument("--steps", type=int, help="steps of the generator (default: those of the repository's)")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for the weights (default: the repository's)")
    parser.add_argument("--sheet", type=Path, help="folder for sheets of samples, one every 500 steps")
    arguments = parser.parse_args()
    for name in [arguments.only] if arguments.only else list(READY_MADE):
        images = digits_image_set(settings().data_folder, marked=READY_MADE[name])
        training = Training(PARAMS, digits(READY_MADE[name]).training.pictures[:, None])
        began, steps = time.perf_counter(), arguments.steps or STEPS[name]
        for _ in training.climb(steps):
            if training.step % 500 == 0 or training.step == steps:
                look = training.look()
                distance, seconds = look.losses[-100:].mean(), time.perf_counter() - began
                print(
                    f"{name} {look.step}: distance {distance:.2f}, spread {look.spread:.2f}, {seconds:.0f} s",
                    flush=True,
                )
                save(training, images.digest, arguments.out / f"{name}.safetensors")
                if arguments.sheet is not None:
                    arguments.sheet.mkdir(parents=True, exist_ok=True)
                    picture = Image.fromarray(sheet(look.samples).squeeze(2))
                    picture.resize((1024, 1024)).save(arguments.sheet / f"{name}-{look.step:05d}.png")
        print(FATES.get(training.fate, f"{name} is done"))


if __name__ == "__main__":
    main()
