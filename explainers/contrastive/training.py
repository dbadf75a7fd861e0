"""The training of a generator: a WGAN with gradient penalty, which stops at any step and goes on as if it never had.

Gulrajani et al. 2017, Algorithm 1: so many steps of the critic, then one of the generator. An encoder learns beside it
to say from which numbers a picture comes, by the generator's own pictures and by rebuilding real ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.errors import InputError
from explainers.contrastive.generator import Critic, Encoder, Generator
from explainers.contrastive.method import FEWEST_IMAGES, GeneratorParams

#: Adam's memories (WGAN with few critic steps wants short ones), and how slowly the kept generator follows the taught.
_BETAS, _FOLLOW = (0.5, 0.9), 0.999

#: The encoder's own, longer steps, and what rebuilding real pictures is worth beside guessing the numbers of made ones.
_ENCODER_RATE, _REBUILD = 5e-4, 20.0

#: Steps between two looks at whether all is well, the first of them, and samples on the sheet.
_LOOK_EVERY, _FIRST_LOOK, N_SAMPLES = 50, 300, 64

#: Samples that differ from each other by less than this share of what real pictures do have collapsed.
_SPREAD = 0.2

#: How a training fares: well; its losses are no numbers any more; its samples are all alike.
WELL, BROKEN, COLLAPSED = range(3)

FATES = {
    BROKEN: "The losses were no numbers any more; stopped, the last good state is kept. Try a lower learning rate.",
    COLLAPSED: "Its pictures became all alike (collapse); stopped, the last good state is kept. Try another seed, a "
    "lower learning rate or more critic steps.",
}


@dataclass(frozen=True)
class Look:
    """What there is to see of a training: `samples` (64, side, side, C) uint8 of fixed numbers, so that they grow.

    `losses` (steps,) float32 is the critic's loss, less its penalty, with the sign turned: how far apart it can hold
    real and made pictures, the Wasserstein distance. `spread` is how different the samples are, as a share of real
    pictures'.
    """

    step: int
    samples: np.ndarray
    losses: np.ndarray
    spread: float
    fate: int = WELL

    @property
    def note(self) -> str:
        """What to say of how it fares; empty where it fares well."""
        return FATES.get(self.fate, "")


class Training:
    """The nets under training on `pictures` (N, C, side, side) uint8.

        training = Training(params, pictures)
        for _ in training.climb(1000):
            ...
        look = training.look()

    Raises `InputError` for too few pictures, or a shape that is not the generator's.
    """

    def __init__(self, params: GeneratorParams, pictures: np.ndarray, device: torch.device | str = "cpu") -> None:
        if len(pictures) < FEWEST_IMAGES:
            cure = "Bring more pictures: a generator learns from many."
            raise InputError(f"at least {FEWEST_IMAGES} pictures to learn from", str(len(pictures)), cure)
        self.params, self.shape = params, params.shape(pictures.shape[1])
        if pictures.shape[2:] != (self.shape.side, self.shape.side):
            expected = f"pictures of {self.shape.side} × {self.shape.side} pixels"
            raise InputError(expected, f"{pictures.shape[3]} × {pictures.shape[2]}", "Use `data.pictures`.")
        self.device = torch.device(device)
        self.pictures = torch.from_numpy(pictures).to(self.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(params.seed)
            taught, critic, encoder = Generator(self.shape), Critic(self.shape), Encoder(self.shape)
        self.nets: dict[str, nn.Module] = {
            "generator": copy.deepcopy(taught).eval().requires_grad_(False),  # the one that is kept
            "taught": taught.train(),
            "critic": critic,
            "encoder": encoder,
        }
        for net in self.nets.values():
            net.to(self.device)
        self.optimisers = {
            "taught": torch.optim.Adam(taught.parameters(), params.learning_rate, _BETAS),
            "critic": torch.optim.Adam(critic.parameters(), params.learning_rate, _BETAS),
            "encoder": torch.optim.Adam(encoder.parameters(), _ENCODER_RATE),
        }
        self.step, self.fate = 0, WELL
        self.losses = np.zeros(0, dtype=np.float32)
        self._numbers = torch.randn(N_SAMPLES, self.shape.latent, generator=self._random(-1)).to(self.device)
        self._real_spread = _spread(self.pictures[:: max(1, len(pictures) // 512)].float() / 255)
        self._good = self.arrays()

    def climb(self, until: int, report: Callable[[int, int], None] = lambda done, total: None) -> Iterator[Training]:
        """Train up to step `until`, yielding itself after each; `report` counts steps and may raise to stop.

        A training that breaks or collapses goes back to its last good state, and stops there.
        """
        room = np.full(max(0, until - self.step), np.nan, dtype=np.float32)
        losses, self.losses = np.concatenate([self.losses, room]), self.losses
        while self.step < until and self.fate == WELL:
            report(self.step, until)
            losses[self.step] = self._advance()
            self.step += 1
            self.losses = losses[: self.step]
            if not np.isfinite(losses[self.step - 1]):
                self._go_back(BROKEN)
            elif self.step % _LOOK_EVERY == 0:
                spread = self._samples_spread()
                if not np.isfinite(spread):
                    self._go_back(BROKEN)
                elif self.step >= _FIRST_LOOK and spread < _SPREAD:
                    self._go_back(COLLAPSED)
                else:
                    self._good = self.arrays()
            yield self
        report(until, until)

    def look(self) -> Look:
        """What there is to see now."""
        with torch.no_grad():
            made = self.nets["generator"](self._numbers)
        samples = made.mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        return Look(self.step, samples, self.losses.copy(), _spread(made) / self._real_spread, self.fate)

    def arrays(self) -> dict[str, np.ndarray]:
        """All that the next step depends on; `restore` takes it up again."""
        found = {
            f"{name}.{key}": value.detach().cpu().numpy().copy()
            for name, net in self.nets.items()
            for key, value in net.state_dict().items()
        }
        for name, optimiser in self.optimisers.items():
            for number, state in optimiser.state_dict()["state"].items():
                for key, value in state.items():
                    found[f"adam.{name}.{number}.{key}"] = torch.as_tensor(value).cpu().numpy().copy()
        return {**found, "step": np.array(self.step), "losses": self.losses.copy(), "fate": np.array(self.fate)}

    def restore(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take up the state that `arrays` gave."""
        for name, net in self.nets.items():
            net.load_state_dict({key: torch.tensor(arrays[f"{name}.{key}"]) for key in net.state_dict()})
        for name, optimiser in self.optimisers.items():
            states: dict[int, dict[str, Tensor]] = {}
            for key, value in arrays.items():
                if key.startswith(f"adam.{name}."):
                    number, what = key.removeprefix(f"adam.{name}.").split(".")
                    states.setdefault(int(number), {})[what] = torch.tensor(value)
            optimiser.load_state_dict({**optimiser.state_dict(), "state": states})
        self.step, self.fate = int(arrays["step"]), int(arrays["fate"])
        self.losses = np.array(arrays["losses"])
        self._good = dict(arrays)

    def _advance(self) -> float:
        """The critic's steps, then one of the generator and one of the encoder; returns the Wasserstein distance."""
        random = self._random(self.step)
        distance = torch.zeros(())
        for _ in range(self.params.critic_steps):
            distance = self._teach_critic(random)
        taught, critic = self.nets["taught"], self.nets["critic"]
        critic.requires_grad_(False)
        numbers = self._draw(random)
        made = taught(numbers)
        self._follow("taught", -critic(made).mean())
        critic.requires_grad_(True)
        self._keep_up()
        self._teach_encoder(numbers, random)
        return float(distance)

    def _teach_critic(self, random: torch.Generator) -> Tensor:
        critic = self.nets["critic"]
        real = self._real(random)
        with torch.no_grad():
            made = self.nets["taught"](self._draw(random))
        share = torch.rand(len(real), 1, 1, 1, generator=random).to(self.device)
        between = (share * real + (1 - share) * made).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        penalty = (slope.flatten(1).norm(dim=1) - 1).square().mean()
        scores = critic(torch.cat([real, made]))
        distance = scores[: len(real)].mean() - scores[len(real) :].mean()
        self._follow("critic", self.params.penalty * penalty - distance)
        return distance.detach()

    def _teach_encoder(self, numbers: Tensor, random: torch.Generator) -> None:
        generator, encoder, real = self.nets["generator"], self.nets["encoder"], self._real(random)
        with torch.no_grad():
            made = generator(numbers)
        guesses = encoder(torch.cat([made, real]))
        rebuilt = generator(guesses[len(made) :])
        self._follow("encoder", F.mse_loss(guesses[: len(made)], numbers) + _REBUILD * F.mse_loss(rebuilt, real))

    def _follow(self, name: str, loss: Tensor) -> None:
        """One step of a net down its loss."""
        self.optimisers[name].zero_grad()
        loss.backward()
        self.optimisers[name].step()

    @torch.no_grad()
    def _keep_up(self) -> None:
        """The generator that is kept is the mean of the last thousand or so of the taught."""
        share = 1 - min(_FOLLOW, (1 + self.step) / (10 + self.step))
        kept, taught = self.nets["generator"].state_dict(), self.nets["taught"].state_dict()
        for name, value in kept.items():
            if value.is_floating_point():
                value.lerp_(taught[name], share)

    def _samples_spread(self) -> float:
        with torch.no_grad():
            return _spread(self.nets["generator"](self._numbers)) / self._real_spread

    def _go_back(self, fate: int) -> None:
        self.restore(self._good)
        self.fate = fate

    def _real(self, random: torch.Generator) -> Tensor:
        rows = torch.randint(len(self.pictures), (self.params.batch,), generator=random)
        return self.pictures[rows.to(self.device)].float() / 255

    def _draw(self, random: torch.Generator) -> Tensor:
        return torch.randn(self.params.batch, self.shape.latent, generator=random).to(self.device)

    def _random(self, step: int) -> torch.Generator:
        """The noise of one step, its own, so that a training that goes on draws what it would have drawn."""
        return torch.Generator().manual_seed(self.params.seed * 1_000_003 + step + 1)


def _spread(pictures: Tensor) -> float:
    """How different pictures (N, C, H, W) are: the standard deviation over them, mean over pixels."""
    return float(pictures.std(0).mean())
