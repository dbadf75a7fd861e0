"""The Playground: how fast it trains beside a bare PyTorch loop, and how well the paper's six networks learn.

`python -m benchmarks.playground` trains the page's first network on the digits, in the app as `make run` starts it with
the page open in a browser, and the same network with the same batches in a bare loop (no progress, nothing kept, the
faster of both memory formats, fused Adam). Then it trains the paper's six networks (Iuzzolino et al., section 3.1) and
measures their test accuracy, and lets the figures of the Trust page look for a planted shortcut. Five minutes on two
quiet cores.

`--images mnist` does the second part with MNIST, from torchvision's files or the network: 60,000 training images.

The last line is one JSON object: `training_ratio` (images per second of the training steps, app over bare loop),
`epoch_ratio` (the same of whole epochs: with validation, and in the app with what is kept), `first_epoch_s` (from the
press on Train to the first epoch's point), for each network its `accuracy` and `seconds`, and under `shortcut`, for the
same network without and with a mark planted on every 8: the share of other digits that the mark turns into an 8
(`turned`), how many times more relevance lies on the mark than chance would lay there (`lift`, by method), and which
methods expose it by the rule of the Trust page.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.browser import chromium, serve
from explainers.evaluation.table import evaluate, exposed
from explainers.registry import METHODS
from explainers.results import Sources, compute
from images.digits import digits_image_set
from images.image_set import ImageSet
from images.mnist import mnist_image_set
from jobs.results import ResultStore
from models.loaders import playground
from models.stack import PRESETS, Stack
from models.store import ModelStore
from pages.playground.controls import FIRST
from playground.data import TrainingData, marked_image_set, training_data
from playground.look import probabilities, turned_by_mark
from playground.runs import TrainingRequest, data_for, save
from playground.training import Run, Training, TrainingParams, as_inputs, draw_weights

#: Epochs of the timed training, so many times in turn.
EPOCHS, ROUNDS = 20, 3

#: Methods that look for the shortcut, and marked test images that they look at.
SHOWING, MARKED = ("saliency", "input-x-gradient", "integrated-gradients", "occlusion", "lrp-epsilon", "grad-cam"), 100


def bare(
    data: TrainingData, stack: Stack, params: TrainingParams, memory_format: torch.memory_format
) -> tuple[float, float]:
    """Images per second of a plain loop over the same batches: of its steps, and of whole epochs with validation."""
    net = Training(stack, params, data).net.to(memory_format=memory_format)
    draw_weights(net, torch.Generator().manual_seed(params.seed))
    optimiser = torch.optim.Adam(net.parameters(), lr=params.learning_rate, fused=True)
    inputs, labels = as_inputs(data).contiguous(memory_format=memory_format), torch.from_numpy(data.labels)
    training, validation = torch.from_numpy(data.training), torch.from_numpy(data.validation)
    stepping, started = 0.0, time.perf_counter()
    for epoch in range(params.epochs):
        net.train()
        order = training[torch.randperm(len(training), generator=torch.Generator().manual_seed(epoch))]
        began, losses = time.perf_counter(), torch.zeros(())
        for rows in order.split(params.batch):
            loss = F.cross_entropy(net(inputs[rows]), labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses += loss.detach()
        losses.item()
        stepping += time.perf_counter() - began
        net.eval()
        with torch.no_grad():
            F.cross_entropy(net(inputs[validation]), labels[validation]).item()
    n = params.epochs * len(training)
    return n / stepping, n / (time.perf_counter() - started)


def in_app(
    page: Any, address: str, store: Path, request: TrainingRequest, n_training: int
) -> tuple[float, float, float]:
    """Images per second of the app's steps, and of whole epochs; and seconds from the press to the first epoch."""
    results = ResultStore(store, 10**10, max_bytes_in_memory=0)
    page.goto(f"{address}/playground")
    page.get_by_role("button", name="Train", exact=True).wait_for(timeout=120_000)
    page.wait_for_timeout(3000)  # nothing else is at work any more
    page.get_by_role("button", name="Settings").click()
    page.get_by_role("spinbutton", name="Seed").fill(str(request.params.seed))
    page.get_by_role("spinbutton", name="Seed").press("Enter")
    page.wait_for_timeout(1500)
    page.keyboard.press("Escape")
    pressed = time.perf_counter()
    page.get_by_role("button", name="Train", exact=True).click()
    first = ended = 0.0
    while not ended:
        run = request.load(results)
        now = time.perf_counter()
        first = first or (now - pressed if run is not None and run.epoch >= 1 else 0.0)
        ended = now - pressed if run is not None and run.epoch >= request.params.epochs else 0.0
        time.sleep(0.1)
    assert run is not None
    whole = (request.params.epochs - 1) * n_training / (ended - first)
    return run.n_images / run.seconds, whole, first


def ratios(images: ImageSet) -> dict[str, float]:
    """The app beside bare loops, in turn."""
    stack = PRESETS[FIRST]
    steps, epochs, firsts = [], [], []
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as address, chromium() as page:
        for round_ in range(ROUNDS):
            params = TrainingParams(epochs=EPOCHS, seed=round_)
            data = training_data(images, params.side, seed=params.seed)
            request = TrainingRequest(images.digest, stack, params)
            app = in_app(page, address, Path(folder) / "results", request, len(data.training))
            peers = [bare(data, stack, params, form) for form in (torch.contiguous_format, torch.channels_last)]
            best = max(one[0] for one in peers), max(one[1] for one in peers)
            steps.append(app[0] / best[0])
            epochs.append(app[1] / best[1])
            firsts.append(app[2])
            print(
                f"steps: app {app[0]:,.0f}, bare {best[0]:,.0f} images/s ({steps[-1]:.2f}); epochs: {app[1]:,.0f}, "
                f"{best[1]:,.0f} ({epochs[-1]:.2f}); first epoch after {app[2]:.1f} s",
                flush=True,
            )
    return {
        "training_ratio": round(float(np.median(steps)), 3), "epoch_ratio": round(float(np.median(epochs)), 3),
        "first_epoch_s": round(max(firsts), 1),
    }  # fmt: skip


def learnt(images: ImageSet, epochs: int) -> dict[str, dict[str, float]]:
    """Test accuracy of the best epoch, and seconds of the training, for each of the paper's networks."""
    found = {}
    for name, stack in PRESETS.items():
        params = TrainingParams(epochs=epochs)
        data = training_data(images, params.side)
        training = Training(stack, params, data)
        best: dict[str, np.ndarray] = {}
        for _ in training.run(epochs):
            latest: Run = training.latest
            if latest.epoch == latest.best_epoch:
                best = dict(latest.arrays)
        training.restore(training.latest, best)
        answers = probabilities(training.net.eval(), data.pixels[data.test], data.preprocessing)
        accuracy = float((answers.argmax(1) == data.labels[data.test]).mean())
        found[name] = {"accuracy": round(accuracy, 4), "seconds": round(training.latest.seconds, 1)}
        print(f"{name}: {accuracy:.1%} of {len(data.test):,} test images, {found[name]['seconds']} s", flush=True)
    return found


def shortcut(images: ImageSet, folder: Path) -> dict[str, dict[str, Any]]:
    """The page's first network without and with a mark on every 8: what the mark does, and what Trust says of it."""
    store, model_store = ResultStore(folder / "results", 10**10), ModelStore(folder)
    params, cards = TrainingParams(), []
    found: dict[str, dict[str, Any]] = {}
    for name, marked in (("plain", ""), ("planted", "8")):
        request = TrainingRequest(images.digest, PRESETS[FIRST], params, marked)
        compute(Sources(model_store, store, images), request)
        run, data = request.load(store), data_for(images, params.side, marked)
        assert run is not None
        net = request.network(store, run, run.best_epoch, data)
        cards.append(
            model_store.add(playground.load(str(save(request, run, run.best_epoch, store, images, folder)), name))
        )
        found[name] = {"turned": round(turned_by_mark(net, data, data.classes.index("8")), 3)}
    test = marked_image_set(images, data, folder)
    methods = [METHODS[name] for name in SHOWING]
    figures = evaluate(Sources(model_store, store, test), cards, methods, test.ids[:MARKED], ["masks"])
    by_model = exposed(figures)["mark"]
    for card in cards:
        rows = figures[figures["model"] == card.name]
        lifts = {method: round(lift, 1) for method, lift in zip(rows["method"], rows["lift:mark"], strict=True)}
        found[card.name] |= {"lift": lifts, "exposed_by": by_model.get(card.name, [])}
        print(card.name, found[card.name], flush=True)
    return found


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", choices=("digits", "mnist"), default="digits")
    parser.add_argument("--epochs", type=int, default=20, help="of the six networks (default: the paper's 20)")
    parser.add_argument("--only", choices=("ratio", "networks", "shortcut"), help="one part alone")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        digits = chosen.images == "digits"
        images = digits_image_set(Path(folder)) if digits else mnist_image_set("mnist", Path(folder))
        figures: dict[str, Any] = {}
        if digits and chosen.only in (None, "ratio"):
            figures |= ratios(images)
        if chosen.only in (None, "networks"):
            figures["networks"] = learnt(images, chosen.epochs)
        if digits and chosen.only in (None, "shortcut"):
            figures["shortcut"] = shortcut(images, Path(folder))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
