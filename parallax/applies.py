"""`parallax applies`: which methods suit which models."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from parallax import options

if TYPE_CHECKING:
    from explainers.base import Explainer
    from models.card import ModelCard


def applies(*, models: options.Models) -> None:
    """Print which methods suit which models.

    A Markdown table of all methods, with the reasons where one does not.

    \b
    Example:
      python -m parallax applies --models demo torchvision/vgg11?random timm/resnet18?random
    """
    from explainers.registry import METHODS
    from models.store import ModelStore
    from parallax.sources import open_models

    print(applies_table(open_models(ModelStore(), *models), METHODS.values()))


def applies_table(cards: Sequence[ModelCard], methods: Iterable[Explainer]) -> str:
    """A Markdown table, ✓ where a method suits a model, with numbered reasons below where it does not."""
    reasons: dict[str, int] = {}
    names = [card.name.removesuffix(" (random)") for card in cards]
    lines = ["| method | " + " | ".join(names) + " |", "|---" * (len(cards) + 1) + "|"]
    for method in methods:
        marks = []
        for card in cards:
            reason = method.applies(card)
            if reason is not None:
                number = reasons.setdefault(_in_general(reason, method, card), len(reasons) + 1)
            marks.append("✓" if reason is None else f"[{number}]")
        lines.append(f"| {method.title} | " + " | ".join(marks) + " |")
    return "\n".join([*lines, "", *(f"{number}. {reason}" for reason, number in reasons.items())]).rstrip()


def _in_general(reason: str, method: Explainer, card: ModelCard) -> str:
    """A reason without the names of the method and the model, so that many share a line."""
    for name, instead in ((method.title, "the method"), (card.name, "the model")):
        reason = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", instead, reason)
    return reason[:1].upper() + reason[1:]
