"""Grad-CAM against its floor, the bare forward pass of the same batch, and against pytorch-grad-cam image by image.

`python -m benchmarks.grad_cam`: ResNet18, VGG11 and MobileNetV3-Large (random weights, 224 px), 32 images. Whatever
is compared runs in turn, so that a machine that slows down slows down both; figures are medians.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_grad_cam import GradCAM as ReferenceGradCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

from explainers.methods.cam import GradCAM
from models.loaders import zoo
from models.store import ModelHandle, ModelStore

NETS = ("timm/resnet18", "timm/vgg11", "timm/mobilenetv3_large_100")
N_IMAGES = 32


@dataclass(frozen=True)
class Figures:
    """What one net gave: medians in seconds for the whole batch, and the largest difference of the scaled maps."""

    net: str
    contiguous_s: float
    channels_last_s: float
    ours_s: float
    over_forward: float
    theirs_s: float
    speedup: float
    difference: float


def measure(net: str, n_repeats: int, n_rounds: int) -> Figures:
    """Time Grad-CAM of `N_IMAGES` images on `net`, its bare forward pass and the library, in turn."""
    method = GradCAM()
    with tempfile.TemporaryDirectory() as folder:
        model_store = ModelStore(Path(folder), "cpu")
        card = model_store.add(zoo.load(net))
    crops = np.random.default_rng(0).integers(0, 256, (N_IMAGES, *card.input_size, 3), dtype=np.uint8)
    with model_store.borrow(card) as model:
        inputs = model.normalise(crops)
        with torch.no_grad():
            targets = model.logits(inputs).argmax(1)
        plain = copy.deepcopy(model.module).to(memory_format=torch.contiguous_format)
        plain_inputs = inputs.contiguous()
        maps = np.empty(0)

        def ours() -> None:
            nonlocal maps
            maps = method.attribute(model, inputs, targets, method.Params(), lambda done, total: None).numpy()

        runs = [lambda: forward(plain, plain_inputs), lambda: forward(model.module, inputs), ours]
        in_turn(runs, 1)  # warm up
        contiguous, channels_last, cam = in_turn(runs, n_repeats)
        floor = min(contiguous, channels_last, key=statistics.median)
        over_forward = statistics.median(ours_s / bare_s for ours_s, bare_s in zip(cam, floor, strict=True))
        plain.requires_grad_(True)  # as a user of the library has it
        library = ReferenceGradCAM(model=plain, target_layers=[plain.get_submodule(str(card.default_layer))])
        expected: list[np.ndarray] = []

        def theirs(n_images: int = N_IMAGES) -> None:
            expected[:] = [
                library(input_tensor=image[None], targets=[ClassifierOutputTarget(int(target))])[0]
                for image, target in zip(plain_inputs[:n_images], targets, strict=False)
            ]

        theirs(1)  # warm up; ours is
        again, image_by_image = in_turn([ours, theirs], n_rounds)
        library.activations_and_grads.release()
        difference = float(np.abs(scaled_like_theirs(maps, model) - np.stack(expected)).max())
    return Figures(
        net,
        statistics.median(contiguous),
        statistics.median(channels_last),
        statistics.median(cam),
        over_forward,
        statistics.median(image_by_image),
        statistics.median(theirs_s / ours_s for theirs_s, ours_s in zip(image_by_image, again, strict=True)),
        difference,
    )


def in_turn(runs: list[Callable[[], None]], n_repeats: int) -> list[list[float]]:
    """Seconds of each of `runs`, A B C A B C …"""
    seconds: list[list[float]] = [[] for _ in runs]
    for _ in range(n_repeats):
        for run, found in zip(runs, seconds, strict=True):
            began = time.perf_counter()
            run()
            found.append(time.perf_counter() - began)
    return seconds


def forward(module: nn.Module, inputs: Tensor) -> None:
    """The bare forward pass."""
    with torch.inference_mode():
        module(inputs)


def scaled_like_theirs(maps: np.ndarray, model: ModelHandle) -> np.ndarray:
    """Raw maps (N, h, w) as the library hands them out: stretched to [0, 1], resized to the input, stretched again."""
    height, width = model.card.input_size
    return np.asarray(scale_cam_image(scale_cam_image(maps, (width, height)), (width, height)))


def figures(nets: Sequence[str], n_repeats: int, n_rounds: int) -> dict[str, Any]:
    """Measure every net, print a table, and give what `benchmarks.explainers` adds to its own figures."""
    print(f"\nGrad-CAM of {N_IMAGES} images, {torch.get_num_threads()} threads; seconds are medians for all of them.\n")
    columns = "net", "forward", "channels last", "Grad-CAM", "over forward", "PyPI's grad-cam", "speed-up", "difference"
    print("{:<28}{:>9}{:>15}{:>10}{:>14}{:>17}{:>10}{:>12}".format(*columns))
    rows = []
    for net in nets:
        row = measure(net, n_repeats, n_rounds)
        rows.append(row)
        print(
            f"{row.net:<28}{row.contiguous_s:>8.2f}s{row.channels_last_s:>14.2f}s{row.ours_s:>9.2f}s"
            f"{row.over_forward:>13.2f}x{row.theirs_s:>16.2f}s{row.speedup:>9.1f}x{row.difference:>12.1e}",
            flush=True,
        )
    print("\nGoals: at most 1.2 x the faster forward pass, at least 3 x as fast as the library, maps equal to 1e-4.")
    return {
        "grad_cam_speedup": {row.net: round(row.speedup, 2) for row in rows},
        "grad_cam_over_forward": {row.net: round(row.over_forward, 3) for row in rows},
        "grad_cam_max_difference": max(row.difference for row in rows),
    }


def main() -> None:
    """Measure, and print everything once more as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9, help="rounds of our Grad-CAM and bare forward passes")
    parser.add_argument("--rounds", type=int, default=2, help="rounds of our Grad-CAM and the library's")
    parser.add_argument("--nets", nargs="+", default=list(NETS), help="architectures as the zoo names them")
    arguments = parser.parse_args()
    print(json.dumps(figures(arguments.nets, arguments.repeats, arguments.rounds)))


if __name__ == "__main__":
    main()
