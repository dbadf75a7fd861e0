"""What every loader hands over."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from models.card import Recipe
from models.preprocessing import Preprocessing


@dataclass(frozen=True)
class Loaded:
    """A module and the facts that only its source knows; `class_names` is `None` where the source gives none."""

    name: str
    source: str
    family: str
    architecture: str
    module: nn.Module
    preprocessing: Preprocessing
    class_names: tuple[str, ...] | None
    recipe: Recipe
    notes: tuple[str, ...] = ()
