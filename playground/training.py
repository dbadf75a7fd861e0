"""The training of a network: epoch by epoch, to be stopped after any and resumed, with the best epoch known."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import IntEnum
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explainers.base import ExplainerParams, setting
from models.loaders.playground import SeededDropout, build
from models.preprocessing import Preprocessing
from models.stack import Stack, n_multiplications, trace
from playground.data import TrainingData
from playground.history import STANDARD

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "Adam": partial(torch.optim.Adam, fused=True),
    "SGD": partial(torch.optim.SGD, momentum=0.9, fused=True),
    "AdamW": partial(torch.optim.AdamW, weight_decay=0.01, fused=True),
    "RMSprop": torch.optim.RMSprop,
}

AUGMENTATIONS = ("none", "shift and turn", "flip")

#: Images that are measured at once.
_AT_ONCE = 512

#: An epoch whose loss is so many times that of guessing has gone wrong; after two of them in a row training stops.
_WRONG, _IN_A_ROW = 5.0, 2

#: Seconds of work between two looks at whether it should stop, or whose turn it is (see `playground.process`).
_SLICE_S = 0.25

#: Multiplications for an image, below which a second thread gains nothing, and waits where others use the cores.
_SMALL = 2_000_000

#: Threads for the others.
N_THREADS = torch.get_num_threads()

#: Bytes of images that are held normalised.
_MOST_BYTES = 512 * 1024**2


@dataclass(frozen=True)
class TrainingParams(ExplainerParams):
    """How a network is trained."""

    epochs: int = setting(20, low=1, high=500, help="How often it sees every training image.")
    batch: int = setting(64, low=1, high=1024, title="Batch size", help="Images of one step.")
    learning_rate: float = setting(
        2e-3, low=1e-6, high=100.0, help="Length of a step. Too long, and it never settles; too short, and it crawls."
    )
    optimiser: str = setting("Adam", choices=tuple(OPTIMISERS), help="How the steps are chosen. SGD has momentum 0.9.")
    augmentation: str = setting(
        "none", choices=AUGMENTATIONS, help="Change training images a little at every sight, so that it sees more."
    )
    patience: int = setting(
        0,
        low=0,
        high=100,
        title="Early stopping",
        help="Stop after so many epochs without a lower validation loss; 0: never.",
    )
    side: int = setting(32, low=8, high=128, title="Image size", help="Side of the images that it sees, in pixels.")
    seed: int = setting(0, low=0, high=2**31 - 1, help="Seed of weights, order, dropout and the split of the images.")

    @property
    def cache_fields(self) -> dict[str, Any]:
        """All that makes an epoch's weights: neither how many follow, nor when to stop."""
        return {name: value for name, value in asdict(self).items() if name not in ("epochs", "patience")}


class Status(IntEnum):
    """How a training stands; all but `OK` have ended it."""

    OK = 0
    #: The loss became NaN, infinite, or far worse than guessing.
    DIVERGED = 1
    #: No lower validation loss for `patience` epochs.
    STOPPED_EARLY = 2


#: The columns of `Run.history`: per epoch, from epoch 0 (untrained, where training is NaN) on.
COLUMNS = STANDARD


@dataclass(frozen=True, eq=False)
class Run:
    """What there is to see of a training.

    `history` (epochs + 1, 4) float64, see `COLUMNS`; `seconds` of training alone, `n_images` seen in it. `arrays` are
    all that training resumes from, in memory alone.
    """

    history: np.ndarray
    seconds: float
    n_images: int
    status: Status = Status.OK
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """The last one."""
        return len(self.history) - 1

    @property
    def best_epoch(self) -> int:
        """That of the lowest validation loss; 0 where none was a number."""
        losses = self.history[:, COLUMNS.index("validation loss")]
        return int(np.nanargmin(losses)) if np.isfinite(losses).any() else 0

    @property
    def note(self) -> str:
        """What to say of how it fares; empty where it fares well."""
        if self.status is Status.DIVERGED:
            return (
                f"The loss grew beyond all bounds after epoch {self.epoch}: stopped. The weights of epoch "
                f"{self.best_epoch} are kept. Try a learning rate ten times smaller."
            )
        if self.status is Status.STOPPED_EARLY:
            return f"Stopped early after epoch {self.epoch}: the validation loss was lowest at epoch {self.best_epoch}."
        return ""


def weights_of(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The network's own among the arrays of a run."""
    return {key.removeprefix(_NET): value for key, value in arrays.items() if key.startswith(_NET)}


_NET, _OPTIMISER = "net.", "optimiser."


class Training:
    """A network under training.

    training = Training(stack, params, data)
    for epoch in training.run(20):
        ...
    run = training.latest
    """

    def __init__(
        self, stack: Stack, params: TrainingParams, data: TrainingData, device: torch.device | str = "cpu"
    ) -> None:
        self.params, self.data, self.device = params, data, torch.device(device)
        self.net = build(stack, data.shape, len(data.classes))
        draw_weights(self.net, torch.Generator().manual_seed(params.seed))
        self.net.to(self.device).to(memory_format=torch.channels_last)
        self.optimiser = OPTIMISERS[params.optimiser](self.net.parameters(), lr=params.learning_rate)
        self.inputs = as_inputs(data)
        self.labels = torch.from_numpy(data.labels)
        rows = trace(stack, data.shape, len(data.classes))
        self.n_threads = 1 if n_multiplications(rows) < _SMALL else N_THREADS
        self._seconds, self._n_images = 0.0, 0
        self.latest = Run(np.zeros((0, len(COLUMNS))), 0.0, 0)

    def run(self, until: int) -> Iterator[float]:
        """Train up to epoch `until`; yields how far it is, in epochs, several times a second.

        `latest` is the state after the last finished epoch. A training that diverges stops; `latest` says so.
        """
        if self.latest.epoch < 0:
            yield self._measure(float("nan"), float("nan"))
        while self.latest.epoch < until and self.latest.status is Status.OK:
            trained = yield from self._train_epoch()
            yield self._measure(*trained)

    def restore(self, run: Run, arrays: Mapping[str, np.ndarray]) -> None:
        """Take up a run where its `arrays` left it."""
        self.net.load_state_dict({name: torch.tensor(value) for name, value in weights_of(arrays).items()})
        parameters = [parameter for group in self.optimiser.param_groups for parameter in group["params"]]
        states: dict[int, dict[str, Tensor]] = {}
        for key, value in arrays.items():
            if key.startswith(_OPTIMISER):
                number, what = key.removeprefix(_OPTIMISER).split(".")
                stored, parameter = torch.tensor(value), parameters[int(number)]
                if stored.shape == parameter.shape:  # fused steps take it to lie in memory as its parameter does
                    stored = torch.empty_like(parameter, requires_grad=False).copy_(stored)
                states.setdefault(int(number), {})[what] = stored
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": states})
        status = Status.OK if run.status is Status.STOPPED_EARLY else run.status
        self._seconds, self._n_images = run.seconds, run.n_images
        self.latest = replace(run, status=status, arrays=dict(arrays))

    def _train_epoch(self) -> Generator[float, None, tuple[float, float]]:
        """One epoch; returns mean loss and accuracy over it, both NaN where it broke."""
        epoch = self.latest.epoch
        random = torch.Generator().manual_seed(self.params.seed * 1_000_003 + epoch + 1)
        order = torch.from_numpy(self.data.training)[torch.randperm(len(self.data.training), generator=random)]
        batches = list(order.split(self.params.batch))
        if len(batches) > 1 and len(batches[-1]) == 1:  # BatchNorm needs two
            batches[-2:] = [torch.cat(batches[-2:])]
        for module in self.net.modules():
            if isinstance(module, SeededDropout):
                module.generator = torch.Generator(self.device).manual_seed(random.initial_seed())
        self.net.train()
        sums, done = torch.zeros(2, device=self.device), 0
        while done < len(batches):
            started = time.perf_counter()
            while done < len(batches) and time.perf_counter() - started < _SLICE_S:
                sums += self._step(batches[done], random)
                self._n_images += len(batches[done])
                done += 1
            loss, n_right = sums.tolist()
            self._seconds += time.perf_counter() - started
            if not math.isfinite(loss):
                return math.nan, math.nan
            yield epoch + done / (len(batches) + 1)
        return loss / len(order), n_right / len(order)

    def _step(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """One step of the optimiser; returns the sum of losses and the number of right answers (2,)."""
        inputs, labels = self._batch(rows)
        inputs = augmented(inputs, self.params.augmentation, random)
        scores = self.net(inputs)
        loss = F.cross_entropy(scores, labels)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        with torch.no_grad():
            return torch.stack([loss * len(rows), (scores.argmax(1) == labels).sum()])

    @torch.no_grad()
    def _measure(self, loss: float, accuracy: float) -> float:
        """End an epoch: measure the network on the validation images, and take down how it stands; its number."""
        self.net.eval()
        sums = torch.zeros(2, device=self.device)
        rows = torch.from_numpy(self.data.validation)
        for part in rows.split(_AT_ONCE):
            inputs, labels = self._batch(part)
            scores = self.net(inputs)
            sums += torch.stack([F.cross_entropy(scores, labels, reduction="sum"), (scores.argmax(1) == labels).sum()])
        row = [loss, float(sums[0]) / len(rows), accuracy, float(sums[1]) / len(rows)]
        history = np.vstack([self.latest.history, row])
        status = _status(history, self.params.patience, len(self.data.classes))
        self.latest = Run(history, self._seconds, self._n_images, status, self._arrays())
        return float(self.latest.epoch)

    def _batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        inputs = self.inputs[rows]
        if not inputs.is_floating_point():
            inputs = normalised(inputs, self.data.preprocessing)
        return inputs.to(self.device, memory_format=torch.channels_last), self.labels[rows].to(self.device)

    def _arrays(self) -> dict[str, np.ndarray]:
        """All that the next epoch depends on; `restore` takes it up again."""
        found = {f"{_NET}{name}": _copy(value) for name, value in self.net.state_dict().items()}
        for number, state in self.optimiser.state_dict()["state"].items():
            found |= {f"{_OPTIMISER}{number}.{k}": _copy(torch.as_tensor(v)) for k, v in state.items() if v is not None}
        return found


def stopped_early(history: np.ndarray, patience: int) -> bool:
    """Whether the validation loss was lowest more than `patience` epochs ago; never for a patience of 0."""
    losses = history[:, COLUMNS.index("validation loss")]
    return bool(patience and np.isfinite(losses).all() and np.argmin(losses) < len(losses) - patience)


def _status(history: np.ndarray, patience: int, n_classes: int) -> Status:
    """How a training stands after the last row of its history."""
    losses = history[:, COLUMNS.index("validation loss")]
    trained = history[1:, COLUMNS.index("training loss")]
    limit = _WRONG * math.log(n_classes)
    if len(trained) and (not np.isfinite([trained[-1], losses[-1]]).all() or _all_above(trained[-_IN_A_ROW:], limit)):
        return Status.DIVERGED
    return Status.STOPPED_EARLY if stopped_early(history, patience) else Status.OK


def _all_above(losses: np.ndarray, limit: float) -> bool:
    return len(losses) == _IN_A_ROW and bool((losses > limit).all())


def draw_weights(net: nn.Module, random: torch.Generator) -> None:
    """PyTorch's own initial weights, drawn from `random`: its generator for all is everybody's."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(module.weight, math.sqrt(5), generator=random)
            if module.bias is not None:
                bound = 1 / math.sqrt(module.weight[0].numel())
                nn.init.uniform_(module.bias, -bound, bound, generator=random)


def normalised(pixels: Tensor, preprocessing: Preprocessing) -> Tensor:
    """(N, C, H, W) uint8 -> float32, as the network takes them."""
    mean, std = preprocessing.mean_and_std(pixels.device)
    return pixels.float().div_(255).sub_(mean).div_(std)


def as_inputs(data: TrainingData) -> Tensor:
    """All images, normalised at once where they fit, else as they are: uint8."""
    pixels = torch.from_numpy(data.pixels)
    return normalised(pixels, data.preprocessing) if 4 * pixels.nbytes <= _MOST_BYTES else pixels


def augmented(inputs: Tensor, how: str, random: torch.Generator) -> Tensor:
    """The batch (N, C, H, W), each image changed at random: see `AUGMENTATIONS`."""
    n = len(inputs)
    if how == "flip":
        flipped = (torch.rand(n, generator=random) < 0.5).to(inputs.device)
        return torch.where(flipped[:, None, None, None], inputs.flip(3), inputs)
    if how == "shift and turn":
        spans = (0.175, 0.08, 0.125, 0.125)  # 10 degrees, 8 % of the size, a sixteenth of the side either way
        turn, size, dx, dy = ((torch.rand(n, generator=random) * 2 - 1) * span for span in spans)
        scale = 1 + size
        rows = [turn.cos() * scale, -turn.sin() * scale, dx, turn.sin() * scale, turn.cos() * scale, dy]
        grid = F.affine_grid(torch.stack(rows, 1).view(n, 2, 3), list(inputs.shape), align_corners=False)
        return F.grid_sample(inputs, grid.to(inputs.device), padding_mode="border", align_corners=False)
    return inputs


def _copy(value: Tensor) -> np.ndarray:
    return value.detach().cpu().numpy().copy()


class NetworkTraining:
    """The training of a network, as pages read it."""

    name: ClassVar[str] = "training"
    title: ClassVar[str] = "Training"
    family: ClassVar[str] = "supervised learning"
    question: ClassVar[str] = "How does a network come to tell the classes apart?"
    recipe: ClassVar[str] = (
        "It guesses the classes of a batch of images, and every weight is moved a little to where the loss falls. Once "
        "it has seen all training images, an epoch is over, and images that it does not learn from measure it."
    )
    reference: ClassVar[str] = "LeCun et al. 1998, Gradient-based learning applied to document recognition"
    caution: ClassVar[str] = "What the training images have in common by accident, it learns as well."
    Params: ClassVar[type[ExplainerParams]] = TrainingParams
