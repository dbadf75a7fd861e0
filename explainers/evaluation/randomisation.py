"""Does a map depend on what the model has learned? Randomise the model, and look whether the map notices.

Low similarity is needed, not enough: noise differs from everything too (Binder et al. 2023 say what the check cannot
tell). A map that stays as it was while the model forgets all it knew tells of the image, not of the model.
"""

import copy
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Generator, Tensor, nn

from common.errors import first_line
from explainers.base import Progress, nobody, out_of_memory, part_of
from explainers.evaluation.faithfulness import Explain, correlation
from models.store import ModelHandle

#: From this rank correlation on, a map "keeps its image although the model is random": more of the order of its
#: pixels is left than lost.
KEEPS = 0.5

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_WEIGHTED = (nn.modules.conv._ConvNd, nn.Linear)


@dataclass(frozen=True)
class Stage:
    """Maps (N, h, w) once all layers from the output down to `layer` are random; "" for the model as it was trained.

    `maps` is `None` where the random model could not be explained, and `reason` says why.
    """

    layer: str
    maps: np.ndarray | None
    reason: str = ""


def cascade(
    explain: Explain,
    model: ModelHandle,
    images: Sequence[np.ndarray],
    stages: int = 6,
    seed: int = 0,
    progress: Progress = nobody,
    prepare: Callable[[ModelHandle], ModelHandle] = lambda model: model,
    original: np.ndarray | None = None,
) -> list[Stage]:
    """Explain `images` while the model forgets, layer by layer from the output down (Adebayo et al. 2018, section 3).

    The first stage is the model as it was trained (or `original`, where these maps are at hand), the last one all
    random; a net with more layers than `stages` forgets several at once, as many each time. Works on a private copy:
    the borrowed model stays untouched. Targets stay what they were, as in the paper.

    Layers start anew as if untrained: weights of convolutions and linear layers from a normal with
    standard deviation sqrt(2 / fan-in) (He et al. 2015, eq. 10), which keeps signals from dying on their way; their
    biases 0; normalisation at mean 0, variance 1, weight 1, bias 0; all else (tokens, positions, scales) shuffled in
    place. Drawn with `seed`.

    `prepare` fits patterns anew for each random model: patterns belong to the model that they were fitted on, and kept
    ones would bring back what the model has forgotten. Without it, `model.fitted` is kept.
    """
    if original is None:
        original = explain(model, images, part_of(progress, 0, 1, stages + 1))
    found = [Stage("", original)]
    for number, (layer, random) in enumerate(randomised(model, stages, seed), 1):
        try:
            maps = explain(prepare(random), images, part_of(progress, number, 1, stages + 1))
        except (ValueError, RuntimeError) as error:  # a net out of tune may overflow, or break a method's algebra
            if isinstance(error, RuntimeError) and out_of_memory(error):
                raise
            found.append(Stage(layer, None, first_line(error)))
        else:
            found.append(Stage(layer, maps))
    return found


def randomised(model: ModelHandle, stages: int, seed: int = 0) -> Iterator[tuple[str, ModelHandle]]:
    """(lowest random layer, model of a private copy) stage by stage; each stage changes the one copy further.

    Its card has a digest of its own, so that nothing is kept for it under the digest of the real model.
    """
    module = copy.deepcopy(model.module)
    height, width = model.card.input_size
    probe = torch.zeros(2, model.card.preprocessing.channels, height, width, device=model.device)
    names = layers_from_output(module, probe)
    generator = torch.Generator().manual_seed(seed)
    n_stages = min(stages, len(names))
    for stage in range(n_stages):
        part = names[stage * len(names) // n_stages : (stage + 1) * len(names) // n_stages]
        for name in part:
            _forget(module.get_submodule(name), generator)
        digest = f"{model.card.digest}-random-{seed}-{stage + 1}-of-{n_stages}"
        yield part[-1], replace(model, module=module, card=replace(model.card, digest=digest))


def layers_from_output(module: nn.Module, probe: Tensor) -> list[str]:
    """Names of all modules with parameters of their own, the one nearest to the output first.

    In the order in which they finished in a forward pass of `probe`; a module that is never called (its weights are
    used by its parent) stands with its parent, and the whole model's own parameters (a class token, positions) last.
    """
    names = {child: name for name, child in module.named_modules()}
    finished: dict[str, int] = {}
    places = itertools.count()

    def note(child: nn.Module, _inputs: object, _output: object) -> None:
        finished[names[child]] = next(places)

    handles = [child.register_forward_hook(note) for child in names]
    try:
        with torch.no_grad():
            module(probe)
    finally:
        for handle in handles:
            handle.remove()

    def order(name: str) -> int:
        while name and name not in finished:
            name = name.rpartition(".")[0]
        return finished[name] if name else -1

    owners = [name for child, name in names.items() if next(child.parameters(recurse=False), None) is not None]
    return sorted(owners, key=order, reverse=True)


def _forget(module: nn.Module, generator: Generator) -> None:
    """Give a module's own parameters untrained values."""
    if isinstance(module, _NORMS):
        module.reset_parameters()
        return
    with torch.no_grad():
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, _WEIGHTED) and name == "weight":
                drawn = torch.randn(parameter.shape, generator=generator) * math.sqrt(2 / parameter[0].numel())
                parameter.copy_(drawn)
            elif isinstance(module, _WEIGHTED) and name == "bias":
                parameter.zero_()
            else:
                shuffled = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
                parameter.copy_(parameter.flatten()[shuffled].view(parameter.shape))


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation (N,) of |maps|, (N, h, w) each, in [-1, 1] (Adebayo et al. 2018, section 3.1).

    NaN where the first map has no contrast, hence no image to keep; 0 where only the second has none.
    """
    found = []
    for one, other in zip(np.abs(first), np.abs(second), strict=True):
        kept = correlation(rankdata(one), rankdata(other))
        found.append(kept if np.ptp(one) > 0 else float("nan"))
    return np.array(found)


def randomisation_check(
    explain: Explain,
    model: ModelHandle,
    images: Sequence[np.ndarray],
    maps: np.ndarray,
    seed: int = 0,
    progress: Progress = nobody,
    prepare: Callable[[ModelHandle], ModelHandle] = lambda model: model,
) -> tuple[np.ndarray, str]:
    """Rank correlation (N,) of |`maps`| with those of the model all random, and why it is NaN where it is.

    The last stage of the cascade alone. Low is good; from `KEEPS` on, the map keeps its image although the model is
    random.
    """
    *_, last = cascade(explain, model, images, 1, seed, progress, prepare, original=maps)
    if last.maps is None:
        return np.full(len(maps), np.nan), f"The random model has no map: {last.reason}"
    similarity = rank_correlation(maps, last.maps)
    return similarity, "The map has no contrast." if np.isnan(similarity).any() else ""
