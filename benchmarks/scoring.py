"""Scoring against its ceiling, the bare forward passes of the same batches already in memory; and its peak memory.

`python -m benchmarks.scoring`: ResNet18, MobileNetV3-Large and EfficientNet-B0 (random weights, 224 px) on 2,000 JPEGs
of about 400 px on disk. Blocks of images are scored and passed forward in turn, so that a machine that slows down
slows down both.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from images.image_set import ImageSet, image_id, to_jpeg
from models.loaders import zoo
from models.store import ModelStore, normalise
from suggestion import scoring

NETS = ("timm/resnet18", "timm/mobilenetv3_large_100", "timm/efficientnet_b0")
BLOCK = 256


def write_jpegs(folder: Path, n_images: int, seed: int = 0) -> ImageSet:
    """`n_images` JPEGs of 340 to 460 px with shapes, gradients and grain, so that they decode like photographs."""
    folder.mkdir(parents=True, exist_ok=True)

    def write(index: int) -> dict[str, str | None]:
        random = np.random.default_rng([seed, index])
        width, height = random.integers(340, 461, 2)
        coarse = Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        fine = Image.fromarray(random.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)).resize(
            (width, height)
        )
        picture = np.asarray(Image.blend(coarse, fine, 0.25))
        content = to_jpeg(picture, quality=90)
        path = folder / f"{index:05d}.jpg"
        path.write_bytes(content)
        return {"id": image_id(content), "path": str(path), "name": path.name, "label": None, "note": ""}

    with ThreadPoolExecutor() as pool:
        rows = list(pool.map(write, range(n_images)))
    return ImageSet(f"{n_images} JPEGs", pd.DataFrame(rows))


def against_ceiling(
    model_store: ModelStore, nets: tuple[str, ...], images: ImageSet, folder: Path
) -> tuple[float, float]:
    """Images per second of scoring and of the bare forward passes, block by block in turn."""
    cards = [model_store.add(zoo.load(net)) for net in nets]
    scoring_s = ceiling_s = 0.0
    for start in range(0, len(images), BLOCK):
        block = images.take(range(start, min(start + BLOCK, len(images))))
        inputs = [
            normalise(
                np.stack(
                    [cards[0].preprocessing.crop(block.image(i)) for i in range(first, min(first + 32, len(block)))]
                ),
                cards[0].preprocessing,
            )
            for first in range(0, len(block), 32)
        ]
        if start == 0:
            _forward(model_store, cards, inputs[:2])  # warm up
        began = time.perf_counter()
        _forward(model_store, cards, inputs)
        ceiling_s += time.perf_counter() - began
        del inputs
        began = time.perf_counter()
        scoring.score(model_store, cards, block, folder, chunk=BLOCK)
        scoring_s += time.perf_counter() - began
    return len(images) / scoring_s, len(images) / ceiling_s


def _forward(model_store: ModelStore, cards: list, inputs: list[torch.Tensor]) -> None:
    for card in cards:
        with model_store.borrow(card) as model, torch.inference_mode():
            for batch in inputs:
                model.logits(batch)


def peak_memory_mb(n_images: int, folder: Path) -> float:
    """Peak resident memory of a fresh process that scores `n_images` with ResNet18."""
    command = [sys.executable, "-m", "benchmarks.scoring", "--peak", str(n_images), "--folder", str(folder)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def measure_peak(n_images: int, folder: Path) -> float:
    """This process' own peak, in MiB, after scoring."""
    images = ImageSet.read(folder / "all.parquet").take(range(n_images))
    model_store = ModelStore(folder / f"model_store-{n_images}", "cpu")
    scoring.score(model_store, [model_store.add(zoo.load(NETS[0]))], images, folder / f"answers-{n_images}")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Run everything; about seven minutes on two cores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--peak", type=int, help="measure the peak memory of this many images, and nothing else")
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    if chosen.peak:
        print(measure_peak(chosen.peak, chosen.folder))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        images = write_jpegs(folder / "jpegs", 2 * chosen.images)
        images.save(folder).rename(folder / "all.parquet")
        model_store = ModelStore(folder / "model_store", "cpu")
        speeds = {}
        for nets in (NETS, *((net,) for net in NETS)):
            name = "all three" if len(nets) > 1 else nets[0].partition("/")[2]
            n_images = chosen.images if len(nets) > 1 else chosen.images // 2
            answers = folder / f"answers {name}"
            speeds[name] = against_ceiling(model_store, nets, images.take(range(n_images)), answers)
            scored, ceiling = speeds[name]
            print(
                f"{name}: {scored:.1f} images/s scored, {ceiling:.1f} bare: {scored / ceiling:.3f} of the ceiling",
                flush=True,
            )
        small, large = peak_memory_mb(chosen.images // 2, folder), peak_memory_mb(2 * chosen.images, folder)
        print(
            f"Peak memory: {small:.0f} MiB for {chosen.images // 2:,}, {large:.0f} MiB for {2 * chosen.images:,} images"
        )
    ratios = {name: round(scored / ceiling, 4) for name, (scored, ceiling) in speeds.items()}
    figures = {
        "ceiling_ratio": ratios.pop("all three"),
        "ceiling_ratio_by_net": ratios,
        "images_per_second": {name: round(scored, 2) for name, (scored, _) in speeds.items()},
        "peak_memory_ratio": round(large / small, 4),
        "peak_memory_mb": round(large, 1),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
