"""Train the generators that come with the app: `python -m tools.train_generators [--only NAME] [--sheet FOLDER]`.

One for the digits, and one for the digits with a grey square on every 8, each on the three quarters of the digits that
are not held out. Under ten minutes each on one core.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from common.settings import settings
from explainers.contrastive.generators import PARAMS, WEIGHTS
from explainers.contrastive.training import STATUS_NOTES, Training
from figures.maps import tiled
from images.digits import digits, digits_image_set

#: Name -> whether every 8 is marked, and the number of training steps.
READY_MADE = {"digits": False, "digits-marked": True}
STEPS = {"digits": 2000, "digits-marked": 1000}


def save(training: Training, data: str, path: Path) -> None:
    """Write a generator and its encoder as float16 safetensors, with the digest of the image set that they are for."""
    nets = ("generator.", "encoder.")
    arrays = {name: value for name, value in training.arrays().items() if name.startswith(nets)}
    arrays = {name: value.astype(np.float16) if value.dtype == np.float32 else value for name, value in arrays.items()}
    facts = {"data": data, "step": training.step, "shape": asdict(training.shape)}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(arrays, path, {"facts": json.dumps(facts, sort_keys=True)})


def main() -> None:
    """Train, save, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=tuple(READY_MADE), help="train this one alone")
    parser.add_argument("--steps", type=int, help="steps of the generator (default: those of the repository's)")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for the weights (default: the repository's)")
    parser.add_argument("--sheet", type=Path, help="folder for sheets of samples, one every 500 steps")
    arguments = parser.parse_args()
    for name in [arguments.only] if arguments.only else list(READY_MADE):
        images = digits_image_set(settings().data_folder, marked=READY_MADE[name])
        training = Training(PARAMS, digits(READY_MADE[name]).training.images[:, None])
        began, steps = time.perf_counter(), arguments.steps or STEPS[name]
        for _ in training.run(steps):
            if training.step % 500 == 0 or training.step == steps:
                look = training.snapshot()
                distance, seconds = look.losses[-100:].mean(), time.perf_counter() - began
                print(
                    f"{name} {look.step}: distance {distance:.2f}, spread {look.spread:.2f}, {seconds:.0f} s",
                    flush=True,
                )
                save(training, images.digest, arguments.out / f"{name}.safetensors")
                if arguments.sheet is not None:
                    arguments.sheet.mkdir(parents=True, exist_ok=True)
                    drawn = Image.fromarray(tiled(look.samples, 8).squeeze(2))
                    drawn.resize((1024, 1024)).save(arguments.sheet / f"{name}-{look.step:05d}.png")
        print(STATUS_NOTES.get(training.status, f"{name} is done"))


if __name__ == "__main__":
    main()
