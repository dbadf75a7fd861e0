"""The model store: every model loaded once, and borrowed by one caller at a time."""

from __future__ import annotations

import hashlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from common.errors import InputError, first_line
from common.files import mark_used
from common.settings import settings
from models.budget import check_activations
from models.card import MULTI_LABEL, SIGMOID, SOFTMAX, ModelCard, OldCardError
from models.device import choose_device, keep_freed_memory
from models.head import with_head
from models.kept_card import read_card, write_card
from models.layers import layer_tree, runs_in_sequence
from models.libraries import import_libraries
from models.loaders import load
from models.loaders.base import Loaded
from models.memory import ModelMemory
from models.preprocessing import Preprocessing

log = logging.getLogger(__name__)

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True)
class ModelHandle:
    """A borrowed model: yours alone until the `with` block ends.

    `batch` is the number of images that suits a forward pass (half of it one with a backward pass), `head` what is
    explained in place of the logits (see `explainers.output`), `fitted` what a method has learnt from a data set.
    """

    card: ModelCard
    module: nn.Module
    device: torch.device
    batch: int = 16
    head: Callable[[ModelHandle, Tensor], Tensor] | None = None
    fitted: Any = None

    def layer(self, name: str | None = None) -> nn.Module:
        """The module called `name`; the card's default layer for `None`."""
        return self.module.get_submodule(self.card.layer(name).name)

    def normalise(self, crops: np.ndarray) -> Tensor:
        """What the model is fed: `crops` (N, h, w, C) uint8 -> (N, C, h, w) float32, normalised, on the device."""
        return normalise(crops, self.card.preprocessing, self.device)

    def logits(self, inputs: Tensor) -> Tensor:
        """The model's answer (N, classes) to normalised `inputs` (N, C, h, w)."""
        return self.module(inputs)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities of the classes for `logits` (..., classes): each by itself where they may occur together."""
        return logits.sigmoid() if self.card.head == MULTI_LABEL else logits.softmax(-1)

    def scores(self, inputs: Tensor) -> Tensor:
        """What is explained, (N, K), for normalised `inputs` (N, C, h, w): the logits unless there is another head."""
        return self.logits(inputs) if self.head is None else self.head(self, inputs)


def normalise(crops: np.ndarray, preprocessing: Preprocessing, device: torch.device | str = "cpu") -> Tensor:
    """(N, h, w, C) uint8 -> (N, C, h, w) float32 in channels-last memory: scaled to [0, 1], minus mean, over std."""
    pixels = torch.tensor(crops, device=device).permute(0, 3, 1, 2)
    mean, std = preprocessing.mean_and_std(device)
    return pixels.float().div_(255).sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)


def batch_for(input_size: tuple[int, int], device: torch.device) -> int:
    """Images per forward pass.

    On a CPU as many as keep activations in its caches: 8 to 16 images of 224 × 224 (ResNet18, VGG11 and MobileNetV2
    took up to twice the time per image in passes of 64); more of smaller ones. Accelerators want work at once.
    """
    if device.type != "cpu":
        return 128
    height, width = input_size
    return min(64, max(4, 16 * 224 * 224 // (height * width)))


class ModelStore:
    """Holds the models of one server.

    Cards and what is needed to load a model again lie under `folder`; modules are loaded on first use and stay in
    `memory`, which stores of other folders may share, until others need the room.
    """

    #: What tries the methods on a new model, and says of those that fail why, by name (see `explainers.dry_run`).
    dry_run: ClassVar[Callable[[ModelHandle], dict[str, str]] | None] = None

    def __init__(
        self,
        folder: Path | None = None,
        device: torch.device | str | None = None,
        memory: ModelMemory | None = None,
    ) -> None:
        import_libraries()  # while there is no other thread yet that could load a model
        self.folder = (folder or settings().data_folder) / "models"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.device = torch.device(device) if device is not None else choose_device()
        if self.device.type == "cpu":
            keep_freed_memory()
        self.memory = ModelMemory(int(settings().max_models_gigabytes * 1e9)) if memory is None else memory

    def add(self, loaded: Loaded) -> ModelCard:
        """Check a model, write its card and keep it; one that was added before is looked at no second time.

        Raises `InputError` when a probe image shows that it has no scores: an output that is no (N, classes)
        tensor, or is not finite, or another number of classes than it has names.
        """
        loaded, n_classes = settled(loaded, self.device)
        module = loaded.module
        card = self._seen_before(loaded) or self._look_at(loaded, n_classes)
        self.memory.put(self._memory_key(card), module)
        write_card(self._file(card.digest), card)
        return card

    def _look_at(self, loaded: Loaded, n_classes: int) -> ModelCard:
        card = make_card(loaded, n_classes, self.device)
        if (dry_run := ModelStore.dry_run) is None:
            return card
        with _as_found(loaded.module, card.name):
            return replace(card, refusals=dry_run(ModelHandle(card, loaded.module, self.device, 1)))

    def _seen_before(self, loaded: Loaded) -> ModelCard | None:
        """The card of an equal model, by this one's name and source; `None` for a new one, or a card out of date."""
        try:
            card = read_card(self._file(digest_of(loaded)))
        except (OSError, OldCardError):
            card = None
        return card and replace(
            card, name=loaded.name, source=loaded.source, family=loaded.family, recipe=loaded.recipe, notes=loaded.notes
        )

    def side_by_side(self, cards: Sequence[ModelCard]) -> list[list[ModelCard]]:
        """`cards` in groups that fit into memory beside each other, so that taking turns loads each once.

        They fill half of it, at most, but for single models that are larger: whoever runs them may hold copies.
        """
        groups: list[list[ModelCard]] = []
        room = 0.0
        for card in cards:
            n_bytes = 4 * card.n_parameters
            if not groups or n_bytes > room:
                groups, room = [*groups, []], self.memory.max_bytes / 2
            groups[-1].append(card)
            room -= n_bytes
        return groups

    def cards(self) -> list[ModelCard]:
        """Every model that was ever added here, the latest first."""
        files = sorted(self.folder.glob("*.json"), key=_written_ns, reverse=True)
        return [card for file in files if (card := self.card(file.stem)) is not None]

    def card(self, digest: str) -> ModelCard | None:
        """The card with this digest, `None` when no such model was added here, or it cannot be read.

        One that an earlier Parallax wrote is made anew, which takes the time of loading the model.
        """
        file = self._file(digest)
        try:
            return read_card(file)
        except OldCardError as old:
            return self._made_anew(file, old)

    def _made_anew(self, file: Path, old: OldCardError) -> ModelCard | None:
        """The card in today's format, in the old one's place among the others; `None` where its source is gone."""
        written = file.stat()
        try:
            with torch.inference_mode(False):  # see `_load_again`
                card = self.add(replace(load(old.recipe), name=old.name))
        except InputError as error:
            log.warning("Left out the model card %s, which cannot be made anew: %s", file, error)
            return None
        if card.digest != file.stem:
            log.warning("Left out the model card %s: its source has changed since.", file)
            return None
        os.utime(file, ns=(written.st_atime_ns, written.st_mtime_ns))
        return card

    @contextmanager
    def borrow(self, card: ModelCard) -> Iterator[ModelHandle]:
        """Borrow a model: the module in eval mode, locked for everybody else, given back as it was, error or not.

        A model that is not in memory (after a restart, or since others needed the room) is loaded again by its recipe;
        raises `InputError` when that fails or gives other weights.
        """
        mark_used(self._file(card.digest))
        with (
            self.memory.borrow(self._memory_key(card), lambda: self._load_again(card)) as module,
            _as_found(module, card.name),
        ):
            yield ModelHandle(card, module, self.device, batch_for(card.input_size, self.device))

    def _load_again(self, card: ModelCard) -> nn.Module:
        with torch.inference_mode(False):  # weights made in inference mode could never take part in a gradient
            loaded, _ = settled(load(card.recipe), self.device)
            module = loaded.module
        if digest_of(loaded) != card.digest:
            cure = "Its source has changed since: add the model again."
            raise InputError(f"the weights of {card.name} as they were when it came", "others", cure)
        return module

    def _memory_key(self, card: ModelCard) -> str:
        return f"{card.digest} {self.device}"

    def _file(self, digest: str) -> Path:
        return self.folder / f"{digest}.json"


def _written_ns(file: Path) -> int:
    """When a file was written; 0 for one that has gone meanwhile."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def settled(loaded: Loaded, device: torch.device) -> tuple[Loaded, int]:
    """The model as it waits to be borrowed, with a certain head: in eval mode, float32, channels-last on `device`.

    Also the number of its outputs. Raises `InputError` when a probe image shows that it has no scores, or other outputs
    than its head needs.
    """
    loaded = replace(loaded, module=_settle(loaded.module, device))
    probe = _probe(loaded.preprocessing, device)
    check_activations(loaded.module, probe, loaded.name)
    try:
        with torch.no_grad():
            output = loaded.module(probe)
    except Exception as error:  # whatever a foreign model stumbles over
        expected = f"a model that takes images of shape (N, {', '.join(map(str, probe.shape[1:]))})"
        cure = "Check the input size and the number of channels."
        raise InputError(expected, f"an error from {loaded.name} ({first_line(error)})", cure) from error
    n_outputs = check_output(output, len(probe), loaded.name)
    loaded = with_head(loaded, n_outputs)
    if loaded.head == SIGMOID:
        return replace(loaded, module=_settle(loaded.module, device)), 2
    return loaded, n_outputs


def _probe(preprocessing: Preprocessing, device: torch.device) -> Tensor:
    """Two images of noise as the model takes them, (2, C, h, w) float32."""
    shape = (2, *preprocessing.input_size, preprocessing.channels)
    return normalise(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8), preprocessing, device)


def make_card(loaded: Loaded, n_classes: int, device: torch.device) -> ModelCard:
    """Look at a `settled` model of `n_classes` outputs with a probe image and write down its facts."""
    module, probe = loaded.module, _probe(loaded.preprocessing, device)
    numbered = ("value",) if n_classes == 1 else tuple(f"class {index}" for index in range(n_classes))
    names = loaded.class_names or numbered
    if len(names) != n_classes:
        expected = f"{n_classes} class names for {loaded.name}, one for each output"
        raise InputError(expected, str(len(names)), "Pick the class names of this model.")
    layers, default = layer_tree(module, probe)
    return ModelCard(
        name=loaded.name,
        source=loaded.source,
        family=loaded.family,
        architecture=loaded.architecture,
        preprocessing=loaded.preprocessing,
        class_names=names,
        layers=layers,
        default_layer=default,
        n_parameters=sum(p.numel() for p in module.parameters()),
        digest=digest_of(loaded),
        recipe=loaded.recipe,
        notes=loaded.notes,
        facts=tuple(sorted({type(child).__name__ for child in module.modules()})),
        sequential=runs_in_sequence(module, probe),
        head=loaded.head or SOFTMAX,
    )


def check_output(output: object, n_images: int, name: str) -> int:
    """Number of classes of a model's output; raises `InputError` unless it is a finite (N, classes) tensor."""
    expected = f"{name} to answer with one (N, classes) tensor of finite scores"
    if not isinstance(output, Tensor):
        size = f" of {len(output)}" if isinstance(output, tuple | list | dict) else ""
        cure = "Wrap the model so that forward() returns the logits alone."
        raise InputError(expected, f"a {type(output).__name__}{size}", cure)
    if output.ndim != 2 or len(output) != n_images or not output.shape[1]:
        cure = "The last layer gives one score a class, or one number for regression."
        raise InputError(expected, f"shape {tuple(output.shape)} for {n_images} images", cure)
    if not torch.isfinite(output).all():
        cure = "Check the weights (did the training diverge?) and the normalisation."
        raise InputError(expected, "NaN or infinite scores", cure)
    return output.shape[1]


def digest_of(loaded: Loaded) -> str:
    """SHA-256 over architecture, flags, weights, preprocessing, class names and head, shortened to 16 hex digits."""
    state = hashlib.sha256()
    state.update(repr((loaded.architecture, loaded.preprocessing, loaded.class_names)).encode() + loaded.flags.encode())
    if loaded.head == MULTI_LABEL:  # the others show in the outputs
        state.update(loaded.head.encode())
    for key, value in sorted(loaded.module.state_dict().items()):
        state.update(f"{key}{value.dtype}{tuple(value.shape)}".encode())
        state.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()[:16]


def _settle(module: nn.Module, device: torch.device) -> nn.Module:
    """The state in which every model waits: eval, float32, no parameter gradients, channels-last on the device."""
    module = module.float().eval().requires_grad_(False).to(device)
    for parameter in module.parameters():
        parameter.grad = None
    return module.to(memory_format=torch.channels_last)


@contextmanager
def _as_found(module: nn.Module, name: str) -> Iterator[None]:
    """Put training flags, gradients and hooks back as they were when the block ends; a hook left behind is reported."""
    training = {child: child.training for child in module.modules()}
    requires_grad = {parameter: parameter.requires_grad for parameter in module.parameters()}
    hooks = {(child, kind): set(getattr(child, kind)) for child in training for kind in _HOOKS}
    try:
        yield
    finally:
        n_left = 0
        for (child, kind), found in hooks.items():
            for key in set(getattr(child, kind)) - found:
                del getattr(child, kind)[key]
                n_left += 1
        for child, flag in training.items():
            child.training = flag
        for parameter, flag in requires_grad.items():
            parameter.requires_grad_(flag).grad = None
        if n_left:
            warnings.warn(f"{n_left} hooks were left on {name} and have been removed.", RuntimeWarning, stacklevel=5)
