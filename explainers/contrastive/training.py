"""The training of a generator: a WGAN with gradient penalty, which can stop at any step and resume.

Gulrajani et al. 2017, Algorithm 1: so many steps of the critic, then one of the generator. An encoder learns beside it
to guess the latent code of an image, from the generator's own images and by reconstructing real ones.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from explainers.contrastive.generator import Critic, Encoder, Generator, to_pixels
from explainers.contrastive.method import GeneratorParams
from models.seeds import SeededDraws

#: Adam's betas (a WGAN with few critic steps wants small ones), and the decay of the generator's moving average.
_BETAS, _EMA_DECAY = (0.5, 0.9), 0.999

#: The encoder's learning rate, and the weight of reconstructing real images beside guessing codes of generated ones.
_ENCODER_RATE, _REBUILD = 5e-4, 20.0

#: Steps between two looks at whether all is well, the first of them, and samples on the sheet.
_LOOK_EVERY, _FIRST_LOOK, N_SAMPLES = 50, 300, 64

#: Samples that differ from each other by less than this share of what real images do have collapsed.
_SPREAD = 0.2


class Status(IntEnum):
    """How a training stands; all but `OK` have ended it."""

    OK = 0
    #: Losses became NaN or infinite.
    NOT_FINITE = 1
    #: The samples became all alike.
    COLLAPSED = 2


STATUS_NOTES = {
    Status.NOT_FINITE: "The losses were no numbers any more; stopped, the last good state is kept. Try a lower "
    "learning rate.",
    Status.COLLAPSED: "Its images became all alike (collapse); stopped, the last good state is kept. Try another "
    "seed, a lower learning rate or more critic steps.",
}


@dataclass(frozen=True)
class Snapshot:
    """What there is to see of a training: `samples` (64, side, side, C) uint8 of fixed codes, which improve as it goes.

    `losses` (steps,) float32 is the critic's loss, less its penalty, with the sign turned: how far apart it can hold
    real and generated images, the Wasserstein distance. `spread` is how different the samples are, as a share of real
    images'. `arrays` are those of `Training.arrays`, in memory alone.
    """

    step: int
    samples: np.ndarray
    losses: np.ndarray
    spread: float
    status: Status = Status.OK
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False)

    @property
    def note(self) -> str:
        """What to say of how it fares; empty where it fares well."""
        return STATUS_NOTES.get(self.status, "")


class Training:
    """The networks under training on `images` (N, C, side, side) uint8.

    training = Training(params, images)
    for _ in training.run(1000):
        ...
    snapshot = training.snapshot()
    """

    def __init__(self, params: GeneratorParams, images: np.ndarray, device: torch.device | str = "cpu") -> None:
        self.params, self.shape = params, params.shape(images.shape[1])
        self.device = torch.device(device)
        self.images = torch.from_numpy(images).to(self.device)
        with SeededDraws(params.seed):
            trained, critic, encoder = Generator(self.shape), Critic(self.shape), Encoder(self.shape)
        average = copy.deepcopy(trained).eval().requires_grad_(False)
        self.nets = nn.ModuleDict({"generator": average, "trained": trained, "critic": critic, "encoder": encoder})
        self.nets.to(self.device)
        self.optimisers = {
            "trained": torch.optim.Adam(trained.parameters(), params.learning_rate, _BETAS),
            "critic": torch.optim.Adam(critic.parameters(), params.learning_rate, _BETAS),
            "encoder": torch.optim.Adam(encoder.parameters(), _ENCODER_RATE),
        }
        self.step, self.status = 0, Status.OK
        self.losses = np.zeros(0, dtype=np.float32)
        self._numbers = torch.randn(N_SAMPLES, self.shape.latent, generator=self._random(-1)).to(self.device)
        self._real_spread = _spread(self.images[:: max(1, len(images) // 512)].float() / 255)
        self._good = self.arrays()

    def run(self, until: int) -> Iterator[Training]:
        """Train up to step `until`, yielding itself after each.

        A training that breaks or collapses goes back to its last good state, and stops there.
        """
        while self.step < until and self.status == Status.OK:
            self.losses = np.append(self.losses, np.float32(self._advance()))
            self.step += 1
            if not np.isfinite(self.losses[-1]):
                self._go_back(Status.NOT_FINITE)
            elif self.step % _LOOK_EVERY == 0:
                spread = self._samples()[1]
                if not np.isfinite(spread):
                    self._go_back(Status.NOT_FINITE)
                elif self.step >= _FIRST_LOOK and spread < _SPREAD:
                    self._go_back(Status.COLLAPSED)
                else:
                    self._good = self.arrays()
            yield self

    def snapshot(self) -> Snapshot:
        """What there is to see now, and to resume from."""
        made, spread = self._samples()
        return Snapshot(self.step, to_pixels(made), self.losses.copy(), spread, self.status, self.arrays())

    def arrays(self) -> dict[str, np.ndarray]:
        """All that the next step depends on; `restore` takes it up again."""
        found = {name: value.cpu().numpy().copy() for name, value in self.nets.state_dict().items()}
        for name, optimiser in self.optimisers.items():
            for number, state in optimiser.state_dict()["state"].items():
                for key, value in state.items():
                    found[f"adam.{name}.{number}.{key}"] = torch.as_tensor(value).cpu().numpy().copy()
        return {**found, "step": np.array(self.step), "losses": self.losses.copy(), "status": np.array(self.status)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take up the state that `arrays` gave."""
        self.nets.load_state_dict({name: torch.tensor(arrays[name]) for name in self.nets.state_dict()})
        for name, optimiser in self.optimisers.items():
            states: dict[int, dict[str, Tensor]] = {}
            for key, value in arrays.items():
                if key.startswith(f"adam.{name}."):
                    number, what = key.removeprefix(f"adam.{name}.").split(".")
                    states.setdefault(int(number), {})[what] = torch.tensor(value)
            optimiser.load_state_dict({**optimiser.state_dict(), "state": states})
        self.step, self.status = int(arrays["step"]), Status(int(arrays["status"]))
        self.losses = np.array(arrays["losses"])
        self._good = dict(arrays)

    def _advance(self) -> float:
        """The critic's steps, then one of the generator and one of the encoder; returns the Wasserstein distance."""
        random = self._random(self.step)
        distance = torch.zeros(())
        for _ in range(self.params.critic_steps):
            distance = self._train_critic(random)
        critic = self.nets["critic"].requires_grad_(False)
        numbers = self._draw(random)
        self._descend("trained", -critic(self.nets["trained"](numbers)).mean())
        critic.requires_grad_(True)
        self._average()
        self._train_encoder(numbers, random)
        return float(distance)

    def _train_critic(self, random: torch.Generator) -> Tensor:
        critic = self.nets["critic"]
        real = self._real(random)
        with torch.no_grad():
            made = self.nets["trained"](self._draw(random))
        share = torch.rand(len(real), 1, 1, 1, generator=random).to(self.device)
        between = (share * real + (1 - share) * made).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        scores = critic(torch.cat([real, made]))
        distance = scores[: len(real)].mean() - scores[len(real) :].mean()
        self._descend("critic", self.params.penalty * penalty - distance)
        return distance.detach()

    def _train_encoder(self, numbers: Tensor, random: torch.Generator) -> None:
        generator, encoder, real = self.nets["generator"], self.nets["encoder"], self._real(random)
        with torch.no_grad():
            made = generator(numbers)
        guesses = encoder(torch.cat([made, real]))
        rebuilt = generator(guesses[len(made) :])
        self._descend("encoder", F.mse_loss(guesses[: len(made)], numbers) + _REBUILD * F.mse_loss(rebuilt, real))

    def _descend(self, name: str, loss: Tensor) -> None:
        """One step of a network down its loss."""
        self.optimisers[name].zero_grad()
        loss.backward()
        self.optimisers[name].step()

    @torch.no_grad()
    def _average(self) -> None:
        """The generator that is used: the exponential moving average of the one that is trained."""
        share = 1 - min(_EMA_DECAY, (1 + self.step) / (10 + self.step))
        average, trained = self.nets["generator"].state_dict(), self.nets["trained"].state_dict()
        for name, value in average.items():
            if value.is_floating_point():
                value.lerp_(trained[name], share)

    def _samples(self) -> tuple[Tensor, float]:
        """The images of the fixed codes, and their spread as a share of real images'."""
        with torch.no_grad():
            made = self.nets["generator"](self._numbers)
        return made, _spread(made) / self._real_spread

    def _go_back(self, status: Status) -> None:
        self.restore(self._good)
        self.status = status

    def _real(self, random: torch.Generator) -> Tensor:
        rows = torch.randint(len(self.images), (self.params.batch,), generator=random)
        return self.images[rows.to(self.device)].float() / 255

    def _draw(self, random: torch.Generator) -> Tensor:
        return torch.randn(self.params.batch, self.shape.latent, generator=random).to(self.device)

    def _random(self, step: int) -> torch.Generator:
        """The noise of one step, its own, so that a training that is resumed draws what it would have drawn."""
        return torch.Generator().manual_seed(self.params.seed * 1_000_003 + step + 1)


def _spread(images: Tensor) -> float:
    """How different images (N, C, H, W) are: the standard deviation over them, mean over pixels."""
    return float(images.std(0).mean())
