"""Which methods fail on a model: found out once, when its card is made, by trying one of each kind of rules."""

from __future__ import annotations

import torch

from common.errors import InputError, first_line
from explainers.base import Explainer, nobody
from models.store import ModelHandle


def refusals(model: ModelHandle) -> dict[str, str]:
    """Names of the methods that stand for others (`Explainer.tried_as`) and fail on `model`, each with the reason.

    Each explains one noise image, once; those that the card itself rules out are not tried.
    """
    from explainers.registry import METHODS

    height, width = model.card.input_size
    noise = torch.rand(1, model.card.preprocessing.channels, height, width, generator=torch.Generator().manual_seed(0))
    mean, std = (values.cpu() for values in model.card.preprocessing.mean_and_std())
    inputs = ((noise - mean) / std).to(model.device).contiguous(memory_format=torch.channels_last)
    targets = torch.zeros(1, dtype=torch.int64, device=model.device)
    found: dict[str, str] = {}
    for name in dict.fromkeys(name for method in METHODS.values() for name in method.tried_as):
        method = METHODS[name]
        if found.keys() & {*method.tried_as} or method.applies(model.card) is not None:
            continue
        if reason := _failure(method, model, inputs, targets):
            found[name] = reason
    return found


def _failure(method: Explainer, model: ModelHandle, inputs: torch.Tensor, targets: torch.Tensor) -> str | None:
    try:
        maps = method.attribute(model, inputs, targets, method.Params(**method.tried_with), nobody)
    except InputError as error:
        return f"expects {error.expected}; {model.card.name} brings {error.received}."
    except Exception as error:  # whatever a foreign model stumbles over on the way back
        return f"fails on {model.card.name} ({first_line(error)})."
    finite = isinstance(maps, torch.Tensor) and bool(maps.isfinite().all())
    return None if finite else f"gives NaN or infinity on {model.card.name}."
