"""The ascent itself: a state that can stop at any step and resume with the same outcome."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from explainers.base import out_of_memory
from explainers.engines.fast_input_gradient import FastInputGradient
from explainers.maxout.method import MaxOutParams
from explainers.maxout.objective import Objective, norm, total_variation
from explainers.maxout.redirected_relu import RedirectedReLU
from explainers.maxout.state import CONTRASTS, State, Status
from explainers.maxout.transforms import moved, resized
from explainers.output import Output
from models.store import ModelHandle

#: Adam's decay rates of its first and second moment, and its epsilon (Kingma and Ba 2015).
_BETA, _BETA_SQUARE, _EPSILON = 0.9, 0.999, 1e-8

#: With random moves, what a step reaches is not the image's own value: that is asked for every so many steps.
_JUDGE_EVERY = 16

#: Steps that a target which the noise does not activate gets from one start, along gradients redirected past the ReLUs.
REDIRECTED_STEPS = 32

#: Steps in a row without any gradient after which an image goes back to its best: at once where it stands still, later
#: where it moves and the next move may find one. It is given up when that has lowered its rate to less than this share.
_PATIENCE, _PATIENCE_MOVED, _FAINT = 1, 8, 1e-3

#: By how much a rate is lowered.
_LOWER = 0.25


def at_once(model: ModelHandle) -> int:
    """Images that suit a pass there and back, which keeps the maps of all layers.

    On a CPU 4 of 224 px and 16 of 64 px, as measured: in parts of 8, a step of 16 images took a tenth more in each of
    the demo's models.
    """
    return max(4, model.batch // 4) if model.device.type == "cpu" else model.batch // 2


class Ascent:
    """Gradient ascent of many images, each towards its own of `targets`, columns of `output`.

        ascent = Ascent(model, Output("logit"), [0, 3], MaxOutParams())
        for state in ascent.climb(ascent.new(), 256):
            ...
        images = ascent.images(state)

    Images do not depend on which others climb beside them, but for those of one target. The model sees `at_once` of
    them, fewer when memory runs out. Raises `InputError` for a target that is none, and as `Objective` does.
    """

    def __init__(self, model: ModelHandle, output: Output, targets: Sequence[int], params: MaxOutParams) -> None:
        for target in targets:
            output.check(model.card, target)
        self.model, self.params = model, params
        self.targets = torch.tensor(targets, device=model.device).repeat_interleave(params.pictures)
        self.parametrisation = params.parametrised(model.card)
        self.objective = Objective(model, output, params.pictures if params.apart else 1)
        self._at_once = _groups(at_once(model), self.objective.group)
        self._mean, self._std = model.card.preprocessing.mean_and_std(model.device)

    def new(self) -> State:
        """The beginning."""
        return State.new(self.parametrisation, len(self.targets) // self.params.pictures, self.params)

    def climb(self, state: State, until: int) -> Iterator[State]:
        """The state after each step up to step `until`.

        `state` stays as it is; what is yielded is one growing copy: copy what is to stay as it is.
        """
        state = state.to(self.model.device)
        room = np.full((max(0, until - state.step), len(state.rate)), np.nan, dtype=np.float32)
        curve = np.concatenate([state.curve, room])
        while not state.ended(until):
            curve[state.step] = self._advance(state).cpu().numpy()
            state.step += 1
            state.curve = curve[: state.step]
            yield state

    def pictures(self, state: State) -> Tensor:
        """The best so far, at the model's input size: (N, C, H, W) float32 in [0, 1]."""
        with torch.no_grad():
            made = self.parametrisation(state.best.to(self.model.device))
            return resized(made, self.model.card.input_size)

    def values(self, images: Tensor) -> Tensor:
        """What images (N, C, H, W) in [0, 1], in the order of the targets, reach: (N,) float32."""
        with torch.no_grad():
            return self._in_parts(self._reached, self._normalised(images), self.targets)[0]

    def answers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """The class (N,) int64 that the model takes images (N, C, H, W) in [0, 1] for, and its probability (N,)."""

        def likeliest(inputs: Tensor) -> tuple[Tensor, Tensor]:
            probability, answer = self.model.probabilities(self.model.logits(inputs)).max(1)
            return answer, probability

        with torch.no_grad():
            answers, probabilities = self._in_parts(likeliest, self._normalised(images))
        return answers, probabilities

    def judged(self, state: State) -> State:
        """The state with the images as they stand kept where they are the best so far.

        Without moves, each step does so itself with those that it starts from.
        """
        state = state.to(self.model.device)
        self._judge(state)
        return state

    def _judge(self, state: State) -> None:
        rows = self._at_work(state)
        if not len(rows):
            return
        with torch.no_grad():
            made = self.parametrisation(state.numbers[rows])
            inputs = self._normalised(resized(made, self.model.card.input_size))
            scores = self._in_parts(self._reached, inputs, self.targets[rows])[1] - self._penalties(made)
        self._keep_best(state, rows, scores)

    def _advance(self, state: State) -> Tensor:
        """One step of all active images; returns the values (N,) that it started from, NaN where there is none."""
        moves = self.params.transforms
        if moves and state.step and state.step % _JUDGE_EVERY == 0:
            self._judge(state)
        rows = self._at_work(state)
        numbers = state.numbers[rows].requires_grad_()
        made, inputs = self._shown(numbers, state.step)
        penalties = self._penalties(made)
        values, scores, slopes = self._in_parts(self._climbable, inputs.detach(), self.targets[rows])
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad((inputs * slopes).sum() - penalties.sum(), numbers)
        scores = scores - penalties.detach()
        sound = torch.isfinite(scores) & torch.isfinite(gradient.flatten(1).sum(1))
        quiet = ~slopes.flatten(1).any(1)
        working = state.active[rows]
        climbing = sound & ~quiet & working
        self._begin(state, rows[climbing])
        state.n_zero[rows[climbing]] = 0
        if not moves:
            self._keep_best(state, rows[sound & working], scores[sound & working])
        self._take_back(state, rows[sound & quiet & working])
        self._step_back(state, rows[~sound & working])
        self._adam(state, rows[climbing], gradient[climbing])
        self._seek(state, rows[sound & quiet & working])
        reached = torch.full_like(state.rate, torch.nan)
        reached[rows[sound & working]] = values[sound & working]
        return reached

    def _shown(self, numbers: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Images (n, C, h, w) of `numbers`, and the model's inputs (n, C, H, W) that they are in a step."""
        moves, size = self.params.transforms, self.model.card.input_size
        with torch.enable_grad():
            made = self.parametrisation(numbers)
            shown = moved(made, moves.draw(self.params.seed, step, size), size) if moves else resized(made, size)
            return made, self._normalised(shown)

    def _at_work(self, state: State) -> Tensor:
        """Rows of the images that still climb, and of those that they are compared with."""
        group = self.objective.group
        return state.active.view(-1, group).any(1).repeat_interleave(group).nonzero().squeeze(1)

    def _adam(self, state: State, rows: Tensor, gradient: Tensor) -> None:
        """Kingma and Ba 2015, Algorithm 1, uphill, for each image by itself."""
        all_climb = len(rows) == len(state.rate)
        part = slice(None) if all_climb else rows  # views where all climb, else copies
        mean, square, numbers = state.mean[part], state.square[part], state.numbers[part]
        state.age[part] += 1
        mean.lerp_(gradient, 1 - _BETA)
        square.mul_(_BETA_SQUARE).addcmul_(gradient, gradient, value=1 - _BETA_SQUARE)
        column = (-1, *[1] * (gradient.ndim - 1))
        age, rate = state.age[part].view(column), state.rate[part].view(column)
        spread = square.sqrt().div_((1 - _BETA_SQUARE**age).sqrt()).add_(_EPSILON)
        numbers.addcdiv_(mean * (rate / (1 - _BETA**age)), spread)
        if not all_climb:
            state.mean[part], state.square[part], state.numbers[part] = mean, square, numbers

    def _begin(self, state: State, rows: Tensor) -> None:
        """Targets that are activated for the first time: the ascent begins here."""
        rows = rows[state.status[rows] == Status.NO_SIGNAL]
        if not len(rows):
            return
        state.status[rows], state.score[rows] = Status.OK, -torch.inf
        state.restart(rows)
        state.best[rows] = state.numbers[rows]

    def _seek(self, state: State, rows: Tensor) -> None:
        """Images whose targets have no signal: a step along a gradient redirected past the ReLUs, or stronger noise."""
        rows = rows[state.status[rows] == Status.NO_SIGNAL]
        if not len(rows):
            return
        numbers = state.numbers[rows].requires_grad_()
        _, inputs = self._shown(numbers, state.step)
        (slopes,) = self._in_parts(self._redirected, inputs.detach(), self.targets[rows])
        (gradient,) = torch.autograd.grad(inputs, numbers, slopes)
        led = slopes.flatten(1).any(1) & torch.isfinite(gradient.flatten(1).sum(1))
        led &= state.n_zero[rows] % REDIRECTED_STEPS > 0
        self._adam(state, rows[led], gradient[led])
        for row in rows[~led].tolist():
            n_starts = -(-int(state.n_zero[row]) // REDIRECTED_STEPS)
            if n_starts == len(CONTRASTS):
                state.status[row] = Status.DEAD
                continue
            noise = self.parametrisation.start(self.params.seed, row % self.params.pictures, CONTRASTS[n_starts])
            state.numbers[row] = noise.to(state.numbers)
            state.restart(row)
            state.n_zero[row] = n_starts * REDIRECTED_STEPS

    def _take_back(self, state: State, rows: Tensor) -> None:
        """Images that do not activate their target at all: back to the best by shorter steps, or given up.

        Where there is no best yet, the target has no signal and is sought from where they are.
        """
        patience = _PATIENCE_MOVED if self.params.transforms else _PATIENCE
        state.n_zero[rows] += 1
        for row in rows[state.status[rows] != Status.NO_SIGNAL]:
            if state.age[row] == 0 and state.rate[row] >= self.params.learning_rate:
                state.status[row] = Status.NO_SIGNAL
            elif state.n_zero[row] >= patience:
                self._to_best(state, row)
                state.n_zero[row] = 0
                if state.rate[row] < _FAINT * self.params.learning_rate:
                    state.status[row] = Status.ZERO_GRADIENT

    def _step_back(self, state: State, rows: Tensor) -> None:
        """Images whose value or gradient is not finite: back to the best, at a lower rate; a second time, given up."""
        self._to_best(state, rows)
        again = state.status[rows] == Status.LOWERED_RATE
        state.status[rows] = torch.where(again, Status.NOT_FINITE, Status.LOWERED_RATE)

    def _to_best(self, state: State, rows: Tensor) -> None:
        state.numbers[rows] = state.best[rows]
        state.restart(rows)
        state.rate[rows] *= _LOWER

    def _keep_best(self, state: State, rows: Tensor, scores: Tensor) -> None:
        better = scores > state.score[rows]
        state.score[rows[better]] = scores[better]
        state.best[rows[better]] = state.numbers[rows[better]]

    def _penalties(self, made: Tensor) -> Tensor:
        """What images (n, C, h, w) in [0, 1] cost (n,); what has no weight is not evaluated."""
        costs = made.new_zeros(len(made))
        for weight, penalty in ((self.params.tv_weight, total_variation), (self.params.norm, norm)):
            if weight:
                costs = costs + weight * penalty(made)
        return costs

    def _normalised(self, images: Tensor) -> Tensor:
        inputs = (images - self._mean) / self._std
        return inputs.contiguous(memory_format=torch.channels_last)

    def _reached(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Values (n,), and scores (n,): less what their likeness to others of the group costs."""
        values, likeness = self.objective(inputs, targets)
        if likeness is None:
            return values, values
        return values, values - self.params.apart * values.detach().abs() * likeness

    def _climbable(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Values (n,), scores (n,) and the scores' gradient (n, C, H, W) at the model's inputs."""
        with torch.enable_grad(), FastInputGradient():
            seen = inputs.detach().requires_grad_()
            values, scores = self._reached(seen, targets)
            (slopes,) = torch.autograd.grad(scores.sum(), seen)
        return values.detach(), scores.detach(), slopes

    def _redirected(self, inputs: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        """The values' gradient (n, C, H, W) at the model's inputs, led past the ReLUs that let none through."""
        with torch.enable_grad(), FastInputGradient():
            seen = inputs.detach().requires_grad_()
            with RedirectedReLU():
                values = self.objective.values(seen, targets)
            return torch.autograd.grad(values.sum(), seen)

    def _in_parts(self, work: Callable[..., tuple[Tensor, ...]], *batches: Tensor) -> tuple[Tensor, ...]:
        """`work` over whole groups of images that the model can take at once; half as many when memory runs out."""
        found, start, group = [], 0, self.objective.group
        while start < len(batches[0]):
            stop = start + self._at_once
            try:
                found.append(work(*(batch[start:stop] for batch in batches)))
            except RuntimeError as failure:
                if not out_of_memory(failure) or self._at_once <= group:
                    raise
                self._at_once = _groups(self._at_once // 2, group)
                continue
            start = stop
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))


def _groups(n: int, group: int) -> int:
    """The most images up to `n` that are whole groups, at least one group."""
    return max(1, n // group) * group
