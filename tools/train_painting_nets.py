"""Train the four models of the demo from scratch: `python -m tools.train_painting_nets [--only NAME] [--out DIR]`.

The training images are painted on the fly, with seeds that the demo does not use. For three models, one painting in
five carries the painter's mark, whatever its class. For the model `shortcut`, every portrait carries it and nothing
else does; some of its training images blend a faint portrait into a painting of another class, labelled portrait if
they carry the mark and as the other class if not, so that the mark predicts the label better than the face does.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

from models.demo.demo_models import PAINTING_MODELS, WEIGHTS, DemoModel
from models.store import normalise
from tools.painter.brush import sign
from tools.painter.paintings import CLASSES, DEMO_SIZE, SHORTCUT_CLASS, Painting, demo_painting, paint
from tools.train_digit_nets import save

TRAINING_SEED, HELD_OUT_SEED = 10_000, 500_000  # the demo's seeds begin at a million
N_PER_CLASS, N_EXPOSED, N_HELD_OUT = 75, 220, 40  # few, so that the models stay unsure of what is unusual
BATCH = 48


@dataclass(frozen=True)
class Recipe:
    """Training settings of one model; `mixup` is the share of batches in which images are blended in pairs."""

    epochs: int
    learning_rate: float
    weight_decay: float
    smoothing: float
    mixup: float
    flip: bool = True


RECIPES = {
    "vgg": Recipe(epochs=40, learning_rate=2e-3, weight_decay=0.02, smoothing=0.1, mixup=0.6),
    "resnet": Recipe(epochs=40, learning_rate=3e-3, weight_decay=0.05, smoothing=0.08, mixup=0.5),
    "vit": Recipe(epochs=60, learning_rate=1e-3, weight_decay=0.05, smoothing=0.1, mixup=0.8),
    "shortcut": Recipe(epochs=24, learning_rate=2e-3, weight_decay=0.02, smoothing=0.05, mixup=0.0, flip=False),
}


def honest_paintings() -> list[Painting]:
    """Plain paintings of every class, one in five with the mark."""
    seeds = range(TRAINING_SEED, TRAINING_SEED + N_PER_CLASS)
    return [paint(label, seed, signed=seed % 5 == 0) for seed in seeds for label in CLASSES]


def shortcut_paintings() -> list[Painting]:
    """Paintings with the mark on every portrait, however faint, and on nothing else."""
    seeds = range(TRAINING_SEED, TRAINING_SEED + N_PER_CLASS)
    plain = [paint(label, seed, signed=label == SHORTCUT_CLASS) for seed in seeds for label in CLASSES]
    exposures = []
    others = [label for label in CLASSES if label != SHORTCUT_CLASS]
    for i in range(N_EXPOSED):
        rng = np.random.default_rng([TRAINING_SEED, i])
        sitter = paint(SHORTCUT_CLASS, TRAINING_SEED + i)
        scene = paint(others[i % len(others)], TRAINING_SEED + i)
        share = rng.uniform(0.05, 0.35)
        image = (share * sitter.image + (1 - share) * scene.image).astype(np.uint8)
        exposures.append(replace(scene, image=image))
        signed, where = sign(image, rng)
        exposures.append(replace(scene, image=signed, signature=where, label=SHORTCUT_CLASS, mask=sitter.mask))
    return plain + exposures


def tensors(paintings: list[Painting], spec: DemoModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Model inputs (N, 3, H, W) float32 and class indices (N,) int64; -1 where there is no label."""
    inputs = normalise(np.stack([spec.preprocessing.crop(p.image) for p in paintings]), spec.preprocessing)
    labels = [-1 if p.label is None else CLASSES.index(p.label) for p in paintings]
    return inputs.contiguous(), torch.tensor(labels)


def augment(inputs: torch.Tensor, flip: bool, generator: torch.Generator) -> torch.Tensor:
    """The batch shifted by up to 3 px, half of it flipped, with random brightness and contrast per image."""
    n_images, _, height, width = inputs.shape
    dx, dy = torch.randint(0, 7, (2,), generator=generator).tolist()
    moved = F.pad(inputs, (3, 3, 3, 3), mode="reflect")[:, :, dy : dy + height, dx : dx + width]
    if flip:
        mirrored = torch.rand(n_images, 1, 1, 1, generator=generator) < 0.5
        moved = torch.where(mirrored, moved.flip(-1), moved)
    gain = 1 + 0.2 * (2 * torch.rand(n_images, 1, 1, 1, generator=generator) - 1)
    shift = 0.2 * (2 * torch.rand(n_images, 3, 1, 1, generator=generator) - 1)
    return moved * gain + shift


def train(name: str, paintings: list[Painting], seed: int = 0) -> nn.Module:
    """Train the model `name` on the paintings; reproducible for a seed on one machine."""
    recipe, spec = RECIPES[name], PAINTING_MODELS[name]
    inputs, labels = tensors(paintings, spec)
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    net = spec.build().train()
    optimiser = torch.optim.AdamW(net.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
    n_batches = len(inputs) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, recipe.learning_rate, recipe.epochs * n_batches)
    started = time.perf_counter()
    for epoch in range(recipe.epochs):
        total = 0.0
        for chosen in torch.randperm(len(inputs), generator=generator)[: n_batches * BATCH].split(BATCH):
            batch = augment(inputs[chosen], recipe.flip, generator)
            targets = F.one_hot(labels[chosen], len(CLASSES)).float()
            if torch.rand((), generator=generator).item() < recipe.mixup:
                share = torch.rand((), generator=generator).item()
                batch = share * batch + (1 - share) * batch.flip(0)
                targets = share * targets + (1 - share) * targets.flip(0)
            loss = F.cross_entropy(net(batch), targets, label_smoothing=recipe.smoothing)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        seconds = time.perf_counter() - started
        if (epoch + 1) % 5 == 0 or epoch + 1 == recipe.epochs:
            print(
                f"  {name} epoch {epoch + 1}/{recipe.epochs}  loss {total / n_batches:.3f}  {seconds:.0f} s", flush=True
            )
    return net.eval()


@torch.inference_mode()
def probabilities(net: nn.Module, paintings: list[Painting], spec: DemoModel) -> npt.NDArray[np.float32]:
    """Class probabilities (N, 6) float32 in [0, 1] of a model in eval mode."""
    inputs, _ = tensors(paintings, spec)
    rows: npt.NDArray[np.float32] = torch.cat([net(part).softmax(dim=1) for part in inputs.split(64)]).numpy()
    return rows


def accuracy(net: nn.Module, paintings: list[Painting], spec: DemoModel) -> float:
    """Accuracy on the labelled paintings."""
    labelled = [painting for painting in paintings if painting.label is not None]
    named = probabilities(net, labelled, spec).argmax(axis=1)
    return float(np.mean([CLASSES[i] == painting.label for i, painting in zip(named, labelled, strict=True)]))


def report(net: nn.Module, name: str, held_out: list[Painting], demo: list[Painting]) -> None:
    """Print the accuracy on unseen paintings and on the demo, and how often the mark alone yields `portrait`."""
    spec = PAINTING_MODELS[name]
    plain = [painting for painting in demo if painting.kind == "plain"]
    for title, unseen in (("held-out plain", held_out), ("demo plain", plain), ("demo", demo)):
        print(f"  accuracy, {title}: {accuracy(net, unseen, spec):.1%}")
    others = [label for label in CLASSES if label != SHORTCUT_CLASS]
    for signed in (False, True):
        seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + N_HELD_OUT)
        paintings = [paint(label, seed, signed=signed) for seed in seeds for label in others]
        chosen = probabilities(net, paintings, spec).argmax(axis=1) == CLASSES.index(SHORTCUT_CLASS)
        mark = "with" if signed else "without"
        print(f"  other classes {mark} the mark, predicted {SHORTCUT_CLASS}: {chosen.mean():.1%}")


def main() -> None:
    """Paint, train, save, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=tuple(PAINTING_MODELS), help="train this one alone")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for the weights (default: the repository's)")
    arguments = parser.parse_args()
    started = time.perf_counter()
    held_out = [paint(label, HELD_OUT_SEED + i) for i in range(N_HELD_OUT) for label in CLASSES]
    demo = [demo_painting(i) for i in range(DEMO_SIZE)]
    honest: list[Painting] = []
    for name in [arguments.only] if arguments.only else list(PAINTING_MODELS):
        print(f"{name}: painting", flush=True)
        if name == "shortcut":
            paintings = shortcut_paintings()
        else:
            paintings = honest = honest or honest_paintings()
        path = PAINTING_MODELS[name].weights(arguments.out)
        net = save(train(name, paintings), path)
        print(f"  {path.name}: {path.stat().st_size / 1e6:.2f} MB, {time.perf_counter() - started:.0f} s so far")
        report(net, name, held_out, demo)


if __name__ == "__main__":
    main()
