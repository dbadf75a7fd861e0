"""Every method's seconds per image and peak memory, beside the libraries that people know and the bare passes it needs.

`python -m benchmarks.explainers`: ResNet18 and ViT-tiny (random weights, 224 px). Each method runs in turn with the
bare passes of the model (in the faster memory format, at the best batch size) and with each library at equal settings,
so that a machine that slows down slows down all of them; figures are medians. `over_bare` is time over that of as many
bare passes as the method takes, `speedup` the time of the fastest library over ours when it is called as its own
documentation does, `speedup_tuned` when it is given channels-last memory, weights without gradients and its best batch
size. Grad-CAM is measured once more, on more models and with the difference of the maps, by `benchmarks.grad_cam`,
whose figures are added.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import ctypes
import gc
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor, nn

from benchmarks import grad_cam
from benchmarks.peers import Call, Task, documented, quiet, tuned
from common.errors import first_line
from explainers.base import Explainer, Need, nobody
from explainers.engines.baselines import baseline
from explainers.engines.superpixels import segments
from explainers.registry import METHODS
from models.card import TOKENS
from models.loaders import zoo
from models.store import ModelHandle, ModelStore

NETS = ("torchvision/resnet18", "timm/vit_tiny_patch16_224")

#: Batch sizes at which bare passes are tried: forward, and forward with backward.
FORWARD_BATCHES, GRADIENT_BATCHES = (8, 16, 32, 64), (4, 8, 16, 32)


#: What each pass with a gradient takes where rules run layers again, as (forward passes, forward-and-backward passes);
#: the second for models whose layers see values below zero (transformers). All other passes are counted as they run.
RULES_TAKE: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    **dict.fromkeys(("deeplift", "deeplift-shap"), ((0, 2), (0, 2))),
    # units below zero that carry relevance, as before every sum of a skip connection, need a second backward pass
    "lrp-gamma": ((0.5, 1.5), (1, 2)),
    "lrp-z-plus": ((1, 1), (1, 2)),
    "lrp-alpha-beta": ((1, 2), (1, 4)),
    "lrp-epsilon-gamma-box": ((0.5, 1.5), (0, 1)),
    "lrp-epsilon-plus-flat": ((1, 1), (0, 1)),
    "deep-taylor": ((1, 1), (1, 1)),
}

#: What is measured here. Methods that learn from a data set first are not: prediction difference has a benchmark of its
#: own, and PatternNet asks for plainer nets.
MEASURED = tuple(name for name, method in METHODS.items() if Need.DATA not in method.needs)

#: Settings with which slow methods are timed, the same for every library.
SETTINGS: dict[str, dict[str, Any]] = {
    "rise": {"masks": 256},
    "kernel-shap": {"samples": 256},
    "shapley-sampling": {"permutations": 4},
}

#: Images at once. Methods that look at as many pictures or more for each image are timed on one.
N_MANY = 8


class Bare:
    """Bare passes of one net, in whichever memory format and batch size are fastest here."""

    def __init__(self, module: nn.Module, inputs: Tensor) -> None:
        """`module` in channels-last memory, `inputs` (64, 3, H, W)."""
        plain = copy.deepcopy(module).to(memory_format=torch.contiguous_format)
        formats = [(module, inputs.contiguous(memory_format=torch.channels_last)), (plain, inputs.contiguous())]
        self.forward = self._fastest(forward, formats, FORWARD_BATCHES)
        self.gradient = self._fastest(gradient, formats, GRADIENT_BATCHES)

    @staticmethod
    def _fastest(
        run: Callable[[nn.Module, Tensor], None], formats: list[tuple[nn.Module, Tensor]], sizes: Sequence[int]
    ) -> Callable[[], float]:
        """The pass that takes least time per image, as a function that measures it: seconds per image, now."""
        candidates = [(module, inputs[:size]) for module, inputs in formats for size in sizes]
        calls = [lambda m=module, x=inputs: run(m, x) for module, inputs in candidates]
        rounds = [[timed(call) for call in calls] for _ in range(4)]  # A B C A B C …; the first warms up
        per_image = np.min(rounds[1:], axis=0) / [len(inputs) for _, inputs in candidates]
        best = int(np.argmin(per_image))
        return lambda: timed(calls[best]) / len(candidates[best][1])

    def seconds(self, n_forward: float, n_gradient: float) -> float:
        """What this many passes would take, by how fast the machine is just now."""
        forward_s = self.forward() * n_forward if n_forward else 0.0
        return forward_s + (self.gradient() * n_gradient if n_gradient else 0.0)


def forward(module: nn.Module, inputs: Tensor) -> None:
    """A bare forward pass."""
    with torch.inference_mode():
        module(inputs)


def gradient(module: nn.Module, inputs: Tensor) -> None:
    """A bare forward pass, and backward to the input."""
    inputs = inputs.detach().requires_grad_()
    torch.autograd.grad(module(inputs).sum(), inputs)


def timed(call: Callable[[], Any]) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def peak_memory(call: Callable[[], Any]) -> float:
    """MiB of the process above what it held before, at the worst moment of a call, looked at every 2 ms."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # what the C library keeps for later is nobody's; glibc alone
        ctypes.CDLL(None).malloc_trim(0)
    process = psutil.Process()
    before = process.memory_info().rss
    peak, over = before, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.002):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        call()
    finally:
        over.set()
        watcher.join()
    return (peak - before) / 2**20


@dataclass(frozen=True)
class Row:
    """One method on one model: seconds per image, MiB, ratio to its bare passes, times faster than which library."""

    net: str
    method: str
    seconds: float
    peak_mib: float
    over_bare: float
    speedup: float | None
    library: str
    speedup_tuned: float | None
    library_tuned: str


def measure(model: ModelHandle, module: nn.Module, bare: Bare, method: Explainer, n_rounds: int) -> Row:
    """Time one method on `model`, its bare passes, and each library that has it on `module`, in turn."""
    params = method.Params(**SETTINGS.get(method.name, {}))
    inputs = model.normalise(photograph_like(N_MANY, *model.card.input_size))
    with torch.no_grad():
        targets = model.logits(inputs).argmax(1)
    per_image = sum(passes(model, lambda: method.attribute(model, inputs[:1], targets[:1], params, nobody)))
    n_images = 1 if per_image >= N_MANY else N_MANY
    inputs, targets = inputs[:n_images], targets[:n_images]
    black = baseline("black", inputs, model.card.preprocessing)
    parts = segments(inputs, "slic", 50, model.card.preprocessing)
    task = Task(model.card, module, inputs.contiguous(), targets, params, black, parts)

    def ours() -> None:
        method.attribute(model, inputs, targets, params, nobody)

    n_forward, n_gradient = passes(model, ours)  # warms up as well
    peak = peak_memory(ours)
    if method.name in RULES_TAKE:
        more_forward, more_gradient = RULES_TAKE[method.name][model.card.layer().layout == TOKENS]
        n_forward, n_gradient = n_forward + n_gradient * more_forward, n_gradient * more_gradient
    plain = {library: call for library, call in documented(method.name, task).items() if works(library, call)}
    best = {library: fastest(calls) for library, calls in tuned(method.name, task).items() if library in plain}
    seconds: list[float] = []
    ratios: list[float] = []
    found: dict[str, list[float]] = {}
    for _ in range(n_rounds):
        before = bare.seconds(n_forward, n_gradient)
        seconds.append(timed(ours))
        ratios.append(2 * seconds[-1] / (before + bare.seconds(n_forward, n_gradient)))
        for kind, calls in (("", plain), (" tuned", best)):
            for library, call in calls.items():
                found.setdefault(library + kind, []).append(timed(call) / seconds[-1])
    speedups = {library: statistics.median(times) for library, times in found.items()}
    peers = [
        min(calls, key=lambda library: speedups[library + kind], default="")
        for kind, calls in (("", plain), (" tuned", best))
    ]
    return Row(
        model.card.architecture.rpartition("/")[2],
        method.name,
        statistics.median(seconds) / n_images,
        peak,
        statistics.median(ratios),
        speedups.get(peers[0]),
        peers[0],
        speedups.get(peers[1] + " tuned"),
        peers[1],
    )


def works(library: str, call: Call) -> bool:
    """Whether a library can do it, said where not; warms up."""
    try:
        call()
    except RuntimeError as error:
        print(f"{library} cannot: {first_line(error)}")
        return False
    return True


def fastest(calls: Sequence[Call]) -> Call:
    """The call that takes least time, of two turns each."""
    rounds = [[timed(call) for call in calls] for _ in range(2)]
    return calls[int(np.argmin(np.min(rounds, axis=0)))]


def photograph_like(n_images: int, height: int, width: int) -> np.ndarray:
    """(n, height, width, 3) uint8: soft shapes with some grain, so that superpixels find something to follow."""
    random = np.random.default_rng(1)
    coarse = torch.from_numpy(random.integers(0, 256, (n_images, 3, 9, 9)).astype(np.float32))
    soft = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").permute(0, 2, 3, 1).numpy()
    return (soft + random.normal(0, 12, soft.shape)).clip(0, 255).astype(np.uint8)


def passes(model: ModelHandle, call: Callable[[], Any]) -> tuple[float, float]:
    """How many pictures go through the model during a call without a gradient at them, and how many with one."""
    counts = [0.0, 0.0]

    def add(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        counts[torch.is_grad_enabled() and inputs[0].requires_grad] += len(inputs[0])

    handle = model.module.register_forward_pre_hook(add)
    try:
        call()
    finally:
        handle.remove()
    return counts[0], counts[1]


def main() -> None:
    """Measure every method on every net, print a table, and everything once more as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="rounds in which all take turns")
    parser.add_argument("--nets", nargs="+", default=list(NETS), help="architectures as the zoo names them")
    parser.add_argument(
        "--methods", nargs="+", default=MEASURED, choices=MEASURED, metavar="METHOD", help="methods by name"
    )
    parser.add_argument("--no-grad-cam", action="store_true", help="leave out the Grad-CAM figures on more nets")
    arguments = parser.parse_args()
    quiet()
    print(f"{torch.get_num_threads()} threads, 224 px; goals: over bare at most 1.2 (sampling, perturbation) or 1.5.\n")
    print(
        f"{'net':<24}{'method':<24}{'s / image':>10}{'peak MiB':>10}{'over bare':>11}{'speed-up':>10}{'tuned':>8}  over"
    )
    rows: list[Row] = []
    for net in arguments.nets:
        with tempfile.TemporaryDirectory() as folder:
            model_store = ModelStore(Path(folder), "cpu")
            card = model_store.add(zoo.load(net, pretrained=False))
        with model_store.borrow(card) as model:
            # as a user of the libraries has it
            plain = copy.deepcopy(model.module).to(memory_format=torch.contiguous_format).requires_grad_(True)
            bare = Bare(model.module, model.normalise(photograph_like(64, *card.input_size)))
            for name in arguments.methods:
                if METHODS[name].applies(card) is not None:
                    continue
                row = measure(model, plain, bare, METHODS[name], arguments.rounds)
                rows.append(row)
                speedup, best = ("" if x is None else f"{x:.2f}x" for x in (row.speedup, row.speedup_tuned))
                print(
                    f"{row.net:<24}{row.method:<24}{row.seconds:>10.3f}{row.peak_mib:>10.0f}{row.over_bare:>10.2f}x"
                    f"{speedup:>10}{best:>8}  {row.library}, {row.library_tuned}",
                    flush=True,
                )
    figures: dict[str, Any] = {
        "speedup": by_net(rows, lambda row: row.speedup),
        "speedup_tuned": by_net(rows, lambda row: row.speedup_tuned),
        "over_bare": by_net(rows, lambda row: row.over_bare),
        "seconds_per_image": by_net(rows, lambda row: row.seconds),
        "peak_mib": by_net(rows, lambda row: row.peak_mib),
    }
    if not arguments.no_grad_cam:
        figures |= grad_cam.figures(grad_cam.NETS, n_repeats=5, n_rounds=1)
    print(json.dumps(figures))


def by_net(rows: Sequence[Row], value: Callable[[Row], float | None]) -> dict[str, dict[str, float]]:
    """{net: {method: value}}, without what is not known."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        if (number := value(row)) is not None:
            found.setdefault(row.net, {})[row.method] = round(number, 3)
    return found


if __name__ == "__main__":
    main()
