"""The paper's experiments on its own data (CDeepEx, sections 4.1 and 4.2): MNIST and Fashion-MNIST, framed to 32 px.

`python -m benchmarks.contrastive_mnist [--images fashion-mnist] [--out FOLDER]` reads torchvision's files under the
data folder, or the network; teaches the paper's nets and a generator on the 60,000 training pictures (minutes on a GPU,
hours on a CPU; `--steps` and `--epochs` shorten it), and prints two tables, of test pictures:

- nets: how many of all test pictures they name rightly (paper: 99 % and 92 %); of those asked why the answer is not the
  runner-up, the residual, how often the constraints hold, and how often a third class wins (`CDeepEx`, `xGEMs`: the
  paper's Figures 4 and 5).
- MNIST only: the second experiment, as in `benchmarks.contrastive_square`, with net and generator of its own.

`--out` gets the contrasts of the paper's Figures 3 and 7 as pictures.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from torch import nn

from benchmarks.contrastive import CDEEPEX, XGEMS, contrasts, orders, third_wins
from benchmarks.contrastive_square import compared, controls
from common.errors import InputError
from common.settings import settings
from explainers.contrastive.generator import Trained
from explainers.contrastive.method import GeneratorParams
from explainers.contrastive.request import ContrastRequest
from explainers.contrastive.training import STATUS_NOTES, Training
from figures.maps import to_png
from images import mnist
from images.arrays import write_image_set
from images.digits import MARKED_CLASS, SIDE_PX, Digits, with_square
from images.image_set import ImageSet
from jobs.results import key_of
from models.card import ModelCard, Recipe
from models.demo.demo_models import DIGIT_MODELS
from models.device import choose_device
from models.loaders.base import Loaded
from models.store import ModelStore
from parallax.contrast import image_of
from tools.train_digit_nets import fit, predict

#: The paper's nets, and the pairs (answer, probe) of its figures.
NETS = {"mnist": ("lenet",), "fashion-mnist": ("vgg16", "resnet101")}
PAIRS = {
    "mnist": (("4", "9"), ("0", "6"), ("5", "6"), ("3", "8")),
    "fashion-mnist": (("T-shirt", "Shirt"), ("Trouser", "Coat")),
}

#: Numbers that the generator makes a picture from.
LATENT = {"mnist": 64, "fashion-mnist": 200}


def framed(name: str) -> Digits:
    """All 70,000 pictures with black around them; those of the test split are held out."""
    parts = [mnist.arrays_of(name, settings().data_folder, training) for training in (True, False)]
    pictures, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    frame = (SIDE_PX - pictures.shape[1]) // 2
    frames = ((0, 0), (frame, frame), (frame, frame))
    return Digits(np.pad(pictures, frames), labels, np.arange(len(labels)) >= len(parts[0][1]))


def untrained(name: str) -> nn.Module:
    """One of the paper's nets for grey pictures of 32 px and ten classes; VGG16 as usual at that size.

    That is with batch normalisation, and one dense layer in the place of three, of which the first alone has 103
    million weights for what is a single place here.
    """
    if name == "lenet":
        return DIGIT_MODELS[name].build()
    if name == "vgg16":
        features = timm.create_model("vgg16_bn", in_chans=1).get_submodule("features")
        return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    return timm.create_model(name, in_chans=1, num_classes=10)


def kept_in(model_store: ModelStore, name: str, net: nn.Module, classes: tuple[str, ...]) -> ModelCard:
    """The net as the model store keeps it."""
    preprocessing = DIGIT_MODELS["lenet"].preprocessing
    return model_store.add(Loaded(name, "benchmark", name, name, net, preprocessing, classes, Recipe("benchmark")))


def generator_of(images: ImageSet, pictures: np.ndarray, params: GeneratorParams) -> Trained:
    """A generator that learnt from `pictures` (N, 32, 32) uint8, for the image set that it is asked about."""
    training = Training(params, pictures[:, None], choose_device())
    for _ in training.run(params.steps):
        if training.step % 500 == 0:
            print(f"generator, step {training.step}: distance {training.losses[-100:].mean():.2f}", flush=True)
    print(STATUS_NOTES.get(training.status, "generator is done"), flush=True)
    key = key_of(what="benchmark", of=images.digest, step=training.step)
    return Trained.of(key, images.digest, training.step, training.shape, training.arrays())


def asked_of_runners_up(model_store: ModelStore, card: ModelCard, images: ImageSet, trained: Trained) -> dict[str, Any]:
    """Why each net's answer and not the runner-up: one net's figures over all of `images`."""
    rows, figures = range(len(images)), dict[str, Any]()
    order = orders(model_store, card, images, rows)
    for method, params in (("cdeepex", CDEEPEX), ("xgems", XGEMS)):
        pairs = zip(rows, order, strict=True)
        asked = [ContrastRequest(card, images.ids[row], int(by[0]), int(by[1]), trained, params) for row, by in pairs]
        found = contrasts(model_store, images, asked)
        figures[f"{method}_third_wins"] = third_wins(asked, found)
        figures[f"{method}_feasible"] = float(np.mean([one.feasible for one in found]))
        figures["residual"] = float(np.median([one.error for one in found]))
    return figures


def draw_pairs(
    model_store: ModelStore,
    card: ModelCard,
    images: ImageSet,
    trained: Trained,
    pairs: tuple[tuple[str, str], ...],
    out: Path,
) -> None:
    """The first picture of each pair's first class that the net names rightly, contrasted with the second."""
    answers = orders(model_store, card, images, range(len(images)))[:, 0]
    for true, probe in pairs:
        columns = card.class_names.index(true), card.class_names.index(probe)
        row = next((row for row, n in enumerate(answers) if n == columns[0] and images.labels[row] == true), None)
        if row is None:
            print(f"{card.name} names no {true} rightly")
            continue
        for method, params in (("cdeepex", CDEEPEX), ("xgems", XGEMS)):
            (found,) = contrasts(
                model_store, images, [ContrastRequest(card, images.ids[row], *columns, trained, params)]
            )
            path = out / f"{card.name}-{true}-{probe}-{method}.png"
            path.write_bytes(to_png(image_of(found)))


def some(title: str, test: Digits, classes: tuple[str, ...], n: int, folder: Path) -> ImageSet:
    """The first `n` test pictures as an image set."""
    pictures, labels = test.images[:n], [classes[number] for number in test.labels[:n]]
    names = [f"test-{number:05d}" for number in range(len(pictures))]
    return write_image_set(title, pictures, names, labels, folder / title)


def first_experiment(
    model_store: ModelStore,
    name: str,
    known: Digits,
    images: ImageSet,
    epochs: int,
    params: GeneratorParams,
    out: Path | None,
) -> dict[str, Any]:
    """Each net's figures; also printed, and the paper's pairs drawn into `out`."""
    classes, test, figures = mnist.SOURCES[name].classes, known.test, dict[str, Any]()
    trained = generator_of(images, known.training.images, params)
    print("| net | named rightly | residual | constraints hold | third class wins: CDeepEx | xGEMs |")
    print("|---|---|---|---|---|---|", flush=True)
    for net_name in NETS[name]:
        net = fit(untrained(net_name).to(model_store.device), known.training, epochs)
        accuracy = float((predict(net, test.images) == test.labels).mean())
        card = kept_in(model_store, net_name, net, classes)
        found = asked_of_runners_up(model_store, card, images, trained)
        facts = f"{accuracy:.1%} | {found['residual']:.3f} | {found['cdeepex_feasible']:.1%}"
        print(
            f"| {net_name} | {facts} | {found['cdeepex_third_wins']:.1%} | {found['xgems_third_wins']:.1%} |",
            flush=True,
        )
        found["accuracy"] = accuracy
        figures[net_name] = {key: None if np.isnan(value) else round(value, 4) for key, value in found.items()}
        if out is not None:
            draw_pairs(model_store, card, images, trained, PAIRS[name], out)
    return figures


def second_experiment(
    model_store: ModelStore, known: Digits, n_asked: int, epochs: int, params: GeneratorParams, folder: Path
) -> dict[str, Any]:
    """The net that learnt a square for an 8: controls, and each method's figures; also printed."""
    classes = mnist.SOURCES["mnist"].classes
    net = fit(DIGIT_MODELS["square"].build().to(model_store.device), known.training, epochs, marked=True)
    found: dict[str, Any] = dict(controls(net, known.test))
    marked = known._replace(images=with_square(known.images, known.labels == MARKED_CLASS))
    images = some("mnist-marked", marked.test, classes, n_asked, folder)
    trained = generator_of(images, marked.training.images, params)
    card = kept_in(model_store, "square", net, classes)
    return found | compared(model_store, card, images, list(range(len(images))), trained, n_asked)


def main() -> int:
    """Teach, ask, print the tables, and everything once more as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", choices=tuple(NETS), default="mnist", help="which of the two sets")
    parser.add_argument("--asked", type=int, default=240, help="test pictures that are asked about")
    parser.add_argument("--epochs", type=int, default=10, help="rounds of training for each net")
    parser.add_argument("--steps", type=int, default=20_000, help="steps of training for each generator")
    parser.add_argument("--rate", type=float, default=1e-4, help="the generator's learning rate (default: the paper's)")
    parser.add_argument("--out", type=Path, help="folder for pictures")
    chosen = parser.parse_args()
    try:
        known = framed(chosen.images)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    name = chosen.images
    params = GeneratorParams(steps=chosen.steps, latent=LATENT[name], learning_rate=chosen.rate)
    if chosen.out is not None:
        chosen.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)  # the nets' first weights
    with tempfile.TemporaryDirectory() as folder:
        model_store = ModelStore(Path(folder) / "model_store")
        images = some(name, known.test, mnist.SOURCES[name].classes, chosen.asked, Path(folder))
        figures = first_experiment(model_store, name, known, images, chosen.epochs, params, chosen.out)
        if name == "mnist":
            figures["square"] = second_experiment(model_store, known, chosen.asked, chosen.epochs, params, Path(folder))
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
