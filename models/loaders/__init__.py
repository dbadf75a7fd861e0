"""Where models come from: one file per source or format, and the list of them."""

from __future__ import annotations

from collections.abc import Callable

from common.errors import InputError
from models.card import Recipe
from models.loaders import checkpoint, demo, digits, zoo
from models.loaders.base import Loaded

#: A loader's name, as recipes write it -> the function that takes the recipe's arguments.
LOADERS: dict[str, Callable[..., Loaded]] = {
    "demo": demo.load,
    "digits": digits.load,
    "zoo": zoo.load,
    "checkpoint": checkpoint.load,
}


def load(recipe: Recipe) -> Loaded:
    """Load the model that a recipe describes; raises `InputError` when that is no longer possible."""
    if recipe.loader not in LOADERS:
        raise InputError("a model that can be loaded again", f"one from {recipe.loader!r}", "Add it again.")
    return LOADERS[recipe.loader](**recipe.arguments)
