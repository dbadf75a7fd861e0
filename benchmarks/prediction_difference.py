"""Prediction difference against the paper's Algorithm 1 run plainly in batches, and occlusion against captum's.

`python -m benchmarks.prediction_difference`: VGG16, AlexNet, ResNet18 and MobileNetV2 (random weights) at 224 px with
windows of 10 px, a LeNet (random weights) and the demo's four nets at 64 or 80 px with windows of 5 px; the Gaussian is
that of the demo's paintings. What is compared runs in turn, so that a machine that slows down slows down both.

- `exact_speedup`: the same windows and the same 20 samples each, both ways; a random subset of windows, since all of
  them would take the plain way a day. `exact_max_difference` is the largest difference of a window's weight of
  evidence, in bits.
- `equal_error_speedup`: against 20 independent samples run plainly, with as few antithetic samples, put together with
  the neighbours', as have no larger root mean square error (whatever neighbours get wrong is in it); the truth is that
  of 200 antithetic samples, 60 at 224 px. On a block of windows, since single ones have no neighbours.
- `pairs_speedup`: the same by antithetic samples alone, without neighbours.
- `rank_correlation`: of the map after a share of the exact map's plain forward passes with the exact map (every
  window, 20 samples), the median of the LeNet and the demo's nets; `rank_correlation_lowest` is that of the worst. A
  pass there and back counts as three.
- `first_map_s`, `exact_map_s`: seconds to the first whole map, and to the exact one, the longest of the demo's nets.
- `occlusion_speedup`: against captum's, at equal windows and its own batching.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import captum.attr as captum
import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from benchmarks.explainers import peak_memory, timed
from explainers.methods.occlusion import Occlusion
from explainers.prediction_difference.estimate import Effort, Estimate, advance, pixels
from explainers.prediction_difference.evidence import WeightOfEvidence, difference
from explainers.prediction_difference.gradients import apart
from explainers.prediction_difference.method import PredictionDifference
from explainers.prediction_difference.samplers import Conditional, Gaussian, Sampler
from explainers.prediction_difference.windows import Grid
from images.image_set import ImageSet
from models.card import ModelCard, Recipe
from models.loaders.base import Loaded
from models.preprocessing import Preprocessing
from models.store import ModelHandle, ModelStore
from parallax.sources import open_images, open_models

#: Net, as the zoo names it, and the windows along a side of its block: as many as time allows, since what neighbours
#: tell is found on the block itself, and a whole map has 215 along a side.
LARGE = {
    "vgg16": ("torchvision/vgg16", 12),
    "alexnet": ("torchvision/alexnet", 24),
    "resnet18": ("torchvision/resnet18", 12),
    "mobilenetv2": ("timm/mobilenetv2_100", 12),
}
LENET_BLOCK, DEMO_BLOCK = 54, 20  # with those around the block, all windows of the LeNet
LARGE_WINDOW, SMALL_WINDOW = 10, 5

#: Samples of a window in the paper, and in what stands for the truth.
SAMPLES, TRUTH, TRUTH_LARGE = 20, 200, 60

#: Windows around a block, whose edges would else have neighbours on one side only.
MARGIN = 3

#: What is compared with Algorithm 1 net by net.
SPEEDUPS = ("exact_speedup", "equal_error_speedup", "pairs_speedup")

#: Forward passes that a pass there and back counts for.
THERE_AND_BACK = 3

#: Shares of the exact map's plain forward passes after which maps are compared with it.
SHARES = (0.01, 0.02, 0.05, 0.1)


class LeNet(nn.Sequential):
    """LeNet-5 with ReLUs and max pooling for colour pictures of 64 × 64 pixels."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(16 * 14 * 14, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip


@dataclass
class Case:
    """One net, one picture, and all that prediction difference asks of them."""

    model: ModelHandle
    inputs: Tensor
    grid: Grid
    sampler: Conditional
    measure: WeightOfEvidence
    across: int

    @classmethod
    def of(cls, model: ModelHandle, images: ImageSet, window: int, across: int) -> Case:
        """With the model's own top class, and the Gaussian of the images as the model gets them."""
        method, card = PredictionDifference(), model.card
        rows = range(2, min(len(images), 130))
        crops = (card.preprocessing.crop(images.image(row)) for row in rows)
        pictures = (pixels(model.normalise(crop[None]), card.preprocessing).cpu().numpy() for crop in crops)
        gaussian = Gaussian.fit(pictures, window + 2 * method.Params().padding, per_channel=False)
        inputs = model.normalise(card.preprocessing.crop(images.image(1))[None])
        with torch.no_grad():
            target = int(model.logits(inputs).argmax())
        measure = WeightOfEvidence(target, 1e5, card.n_classes)
        return cls(model, inputs[0], Grid(*card.input_size, window, 1), Conditional(gaussian), measure, across)

    def some_windows(self, n: int, seed: int = 0) -> np.ndarray:
        """Random places (n, 2)."""
        random = np.random.default_rng(seed)
        sides = [side - self.grid.size + 1 for side in (self.grid.height, self.grid.width)]
        return np.stack(np.unravel_index(random.choice(sides[0] * sides[1], n, replace=False), sides), 1)

    def ours(self, places: np.ndarray, effort: Effort, sampler: Sampler | None = None) -> np.ndarray:
        """Weight of evidence (n,) of some windows."""
        estimate = Estimate.new(self.grid)
        estimate.samples[:] = effort.samples  # as if all others were known
        estimate.samples[places[:, 0], places[:, 1]] = 0
        of = self.model, self.inputs, self.grid, sampler or self.sampler
        for _ in advance(*of, [self.measure], effort, [estimate]):
            pass
        return estimate.values[places[:, 0], places[:, 1]]

    def block(self, effort: Effort, sampler: Sampler | None = None, margin: int = 0) -> np.ndarray:
        """Weight of evidence (h, w) of all windows of a block, and of `margin` more on each side of it."""
        grid = Block(**vars(self.grid), across=self.across + 2 * margin)
        estimate = Estimate.new(grid)
        for _ in advance(self.model, self.inputs, grid, sampler or self.sampler, [self.measure], effort, [estimate]):
            pass
        return estimate.with_neighbours()[0][np.ix_(grid.along(grid.height, 1), grid.along(grid.width, 1))]

    def plainly(self, places: np.ndarray, at_once: int, seed: int = 0) -> np.ndarray:
        """The same by Algorithm 1: whole pictures, `at_once` windows in a batch, all samples of each."""
        preprocessing = self.model.card.preprocessing
        picture = pixels(self.inputs, preprocessing)
        mean, std = preprocessing.mean_and_std()
        size, found = self.grid.size, []
        with torch.no_grad():
            clean = self.model.logits(self.inputs[None])[0]
            for start in range(0, len(places), at_once):
                some = places[start : start + at_once]
                drawn = (self.sampler.draw(picture, some, size, range(SAMPLES), seed) - mean) / std
                pictures = self.inputs.repeat(len(some) * SAMPLES, 1, 1, 1).unflatten(0, (len(some), SAMPLES))
                for own, contents, (row, column) in zip(pictures, drawn, some, strict=True):
                    own[:, :, row : row + size, column : column + size] = contents
                batch = pictures.flatten(0, 1).contiguous(memory_format=torch.channels_last)
                scores = self.model.logits(batch).unflatten(0, (len(some), SAMPLES))
                found.append(difference(self.measure, clean, scores, pairs=False, jackknife=False)[0])
        return torch.cat(found).numpy()


@dataclass(frozen=True)
class Block(Grid):
    """A square of `across` × `across` windows in the middle."""

    across: int

    def along(self, side: int, stride: int | None = None) -> np.ndarray:
        """See `Grid`."""
        first = (side - self.size - self.across) // 2
        return np.arange(first, first + self.across, stride or self.stride)


class Independent(Sampler):
    """What a sampler of pairs draws, without their mirror images and each by itself."""

    def __init__(self, pairs: Sampler) -> None:
        self._pairs = pairs

    def draw(self, picture: Tensor, places: np.ndarray, size: int, numbers: range, seed: int) -> Tensor:
        """See `Sampler`."""
        pairs = [self._pairs.draw(picture, places, size, range(2 * n, 2 * n + 2), seed) for n in numbers]
        return torch.stack(pairs, 1)[:, :, 0]

    def centre(self, picture: Tensor, places: np.ndarray, size: int) -> Tensor:
        """See `Sampler`."""
        return self._pairs.centre(picture, places, size)


def plain_effort(samples: int, seed: int = 0) -> Effort:
    """All samples for every window, and no correction: what the paper does."""
    return Effort(samples, converged=0, jackknife=False, seed=seed)


def pairs_effort(samples: int) -> Effort:
    """As many for every window, in antithetic pairs."""
    return Effort(samples, converged=0, jackknife=samples > 2)


def shared_effort(samples: int) -> Effort:
    """The same, and neighbours are put together; there is no first pass, and nothing converges early."""
    return Effort(samples, first=samples, first_pass=False)


def speedups(case: Case, n_windows: int, n_rounds: int, n_truth: int) -> dict[str, float]:
    """Exact and equal-error speed-ups, and the largest difference between the two ways."""
    places = case.some_windows(n_windows)
    at_once = fastest(lambda n: case.plainly(places[:n], n), [n for n in (1, 2, 4, 16, 64) if n * 2 <= n_windows])
    truth = case.block(pairs_effort(n_truth))
    efforts = equal_errors(case, truth)
    runs: list[tuple[Callable[[], Any], int]] = [
        (lambda: case.plainly(places, at_once), n_windows),
        (lambda: case.ours(places, plain_effort(SAMPLES)), n_windows),
        (lambda: case.block(efforts["shared"], margin=MARGIN), (len(truth) + 2 * MARGIN) ** 2),
        (lambda: case.block(efforts["pairs"]), truth.size),
    ]
    for run, _ in runs[1:]:
        run()  # warm up
    rounds = [[timed(run) / n for run, n in runs] for _ in range(n_rounds)]
    plain, ours = runs[0][0](), runs[1][0]()
    ratios = [statistics.median(row[0] / row[n] for row in rounds) for n in (1, 2, 3)]
    return {
        **dict(zip(("exact_speedup", "equal_error_speedup", "pairs_speedup"), ratios, strict=True)),
        "samples_for_equal_error": efforts["shared"].samples,
        "pairs_for_equal_error": efforts["pairs"].samples,
        "exact_max_difference": float(np.abs(plain - ours).max()),
        "plain_s_per_window": statistics.median(row[0] for row in rounds),
        "ours_s_per_window": statistics.median(row[1] for row in rounds),
    }


def equal_errors(case: Case, truth: np.ndarray, n_seeds: int = 2) -> dict[str, Effort]:
    """The least effort of each kind whose error is no larger than that of 20 independent samples."""

    def error(effort: Effort, sampler: Sampler) -> float:
        margin = MARGIN if effort.shortens else 0
        inner = slice(margin, margin + len(truth))
        found = [
            case.block(replace(effort, seed=seed), sampler, margin)[inner, inner] - truth
            for seed in range(1, n_seeds + 1)
        ]
        return float(np.sqrt(np.mean(np.square(found))))

    independent = error(plain_effort(SAMPLES), Independent(case.sampler))
    least = {}
    for name, kind in (("shared", shared_effort), ("pairs", pairs_effort)):
        for samples in range(4, SAMPLES + 1, 2):
            least[name] = kind(samples)
            reached = error(least[name], case.sampler) / independent
            print(
                f"  {name}: {samples} samples have {reached:.2f} of the error of {SAMPLES} independent ones", flush=True
            )
            if reached <= 1:
                break
    return least


def coarse_to_fine(case: Case) -> dict[str, Any]:
    """Seconds to the first map and to the exact one, and rank correlations on the way there at default effort."""
    whole = Estimate.new(case.grid)
    began = time.perf_counter()
    plain = plain_effort(SAMPLES, seed=1)
    for _ in advance(case.model, case.inputs, case.grid, case.sampler, [case.measure], plain, [whole]):
        pass
    exact_s = time.perf_counter() - began
    exact = whole.map(case.grid.size)[0].ravel()
    method = PredictionDifference()
    effort = replace(method.Params().effort, samples=SAMPLES)
    estimate = Estimate.new(case.grid)
    began = time.perf_counter()
    for _ in advance(case.model, case.inputs, case.grid, case.sampler, [case.measure], effort, [estimate]):
        if estimate.stride(case.grid) is not None:
            break
    first_s = time.perf_counter() - began
    correlations: list[float] = []
    budgets = [share * case.grid.n_windows() * SAMPLES for share in SHARES]
    estimate, before = Estimate.new(case.grid), 0
    small = replace(case.model, batch=1)  # small batches, so that none goes far beyond a budget
    for _ in advance(small, case.inputs, case.grid, case.sampler, [case.measure], effort, [estimate]):
        now = n_passes(estimate, case.grid)
        if now + (now - before) > budgets[len(correlations)]:  # the next batch would be beyond it
            so_far = estimate.map(case.grid.size)[0].ravel()
            correlations.append(float(spearmanr(so_far, exact).statistic))
            if len(correlations) == len(budgets):
                break
        before = now
    return {"first_map_s": first_s, "exact_map_s": exact_s, "rank_correlation": correlations}


def n_passes(estimate: Estimate, grid: Grid) -> int:
    """Forward passes behind an estimate: samples, and control variates, one pass each or there and back."""
    known, n = np.isfinite(estimate.controls), int(estimate.samples.sum())
    if len(known) == 1:
        return n + int(known.sum())
    groups = [np.unique(np.argwhere(some) % apart(grid), axis=0) for some in known]
    return n + THERE_AND_BACK * 2 * sum(map(len, groups))


def occlusion_speedup(model: ModelHandle, images: ImageSet, n_rounds: int) -> dict[str, float]:
    """Against captum's `Occlusion`, at equal windows, and the largest difference of the maps."""
    method = Occlusion()
    inputs = model.normalise(model.card.preprocessing.crop(images.image(1))[None])
    with torch.no_grad():
        target = model.logits(inputs).argmax(1)
    side = model.card.input_size[0]
    window = round(method.Params().window * side)
    library = captum.Occlusion(model.module)

    def theirs() -> Tensor:
        with torch.no_grad():
            return library.attribute(
                inputs.contiguous(), (3, window, window), (3, window // 2, window // 2), 0.0, target=target
            )

    def ours() -> Tensor:
        return method.attribute(model, inputs, target, method.Params(), lambda done, total: None)

    differs = float((theirs()[0, 0] - ours()[0]).abs().max())
    ratios = [timed(theirs) / timed(ours) for _ in range(n_rounds)]
    return {"speedup": statistics.median(ratios), "difference": differs}


def fastest(run: Callable[[int], Any], sizes: list[int]) -> int:
    """The size whose run takes least time for its size."""
    run(sizes[0])
    return min(sizes, key=lambda n: min(timed(lambda: run(n)) for _ in range(2)) / n)


def main() -> None:
    """Measure everything, print it as it comes, and once more as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which both ways take turns")
    parser.add_argument("--windows", type=int, default=16, help="random windows of a large net")
    parser.add_argument("--only", nargs="+", metavar="NET", help="leave the other nets out")
    arguments = parser.parse_args()

    def chosen(nets: dict[str, Any]) -> dict[str, Any]:
        return {name: net for name, net in nets.items() if not arguments.only or name in arguments.only}

    torch.manual_seed(0)
    images = open_images("demo")
    figures: dict[str, Any] = {key: {} for key in (*SPEEDUPS, "occlusion_speedup")}
    largest, memory, walks, demo_speedups = 0.0, {}, {}, []
    with tempfile.TemporaryDirectory() as folder:
        model_store = ModelStore(Path(folder), "cpu")
        for name, (architecture, across) in chosen(LARGE).items():
            (card,) = open_models(model_store, f"{architecture}?random")
            with model_store.borrow(card) as model:
                case = Case.of(model, images, LARGE_WINDOW, across)
                memory[name] = peak_memory(partial(case.ours, case.some_windows(64), plain_effort(SAMPLES)))
                found = speedups(case, arguments.windows, arguments.rounds, TRUTH_LARGE)
                print(name, json.dumps(found), flush=True)
                for key in SPEEDUPS:
                    figures[key][name] = found[key]
                largest = max(largest, found["exact_max_difference"])
                if name in ("vgg16", "resnet18"):
                    occluded = occlusion_speedup(model, images, arguments.rounds)
                    print(name, "occlusion", json.dumps(occluded), flush=True)
                    figures["occlusion_speedup"][name] = occluded["speedup"]
        for name, card in chosen(small_nets(model_store)).items():
            with model_store.borrow(card) as model:
                case = Case.of(model, images, SMALL_WINDOW, LENET_BLOCK if name == "lenet64" else DEMO_BLOCK)
                found, walks[name] = speedups(case, 512, arguments.rounds, TRUTH), coarse_to_fine(case)
                print(name, json.dumps(found), json.dumps(walks[name]), flush=True)
                largest = max(largest, found["exact_max_difference"])
                if name == "lenet64":
                    for key in SPEEDUPS:
                        figures[key][name] = found[key]
                else:
                    demo_speedups.append(found)
    for key in SPEEDUPS:
        if demo_speedups:
            figures[key]["demo"] = statistics.median(found[key] for found in demo_speedups)
        figures[key] = {name: round(value, 2) for name, value in figures[key].items()}
    figures |= {"exact_max_difference": largest, "peak_mib": {name: round(value) for name, value in memory.items()}}
    if walks:
        ranks = np.array([walk["rank_correlation"] for walk in walks.values()])
        of_demo = [walk for name, walk in walks.items() if name != "lenet64"] or list(walks.values())
        figures |= {
            "rank_correlation": by_share(np.median(ranks, 0)),
            "rank_correlation_lowest": by_share(ranks.min(0)),
            "first_map_s": round(max(walk["first_map_s"] for walk in of_demo), 2),
            "exact_map_s": round(max(walk["exact_map_s"] for walk in of_demo), 2),
        }
    print(json.dumps(figures))


def by_share(values: np.ndarray) -> dict[str, float]:
    """Figures (n,) after each of `SHARES`."""
    return {f"{share:.0%}": round(float(value), 4) for share, value in zip(SHARES, values, strict=True)}


def small_nets(model_store: ModelStore) -> dict[str, ModelCard]:
    """A LeNet for 64 px with random weights, and the demo's nets."""
    preprocessing = Preprocessing((64, 64), (0.5,) * 3, (0.25,) * 3, (64, 64), mode="squash")
    lenet = Loaded("lenet64", "benchmark", "LeNet", "lenet64", LeNet().eval(), preprocessing, None, Recipe("benchmark"))
    return {"lenet64": model_store.add(lenet)} | {card.name: card for card in open_models(model_store, "demo")}


if __name__ == "__main__":
    main()
