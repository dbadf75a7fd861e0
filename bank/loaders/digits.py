"""The three nets that read digits."""

from __future__ import annotations

from bank.card import Recipe
from bank.digits import nets
from bank.digits.images import CLASSES, SIDE_PX
from bank.loaders.base import Loaded
from bank.preprocess import Preprocessing


def load(name: str) -> Loaded:
    """One of `nets.NETS`, by name; raises `InputError` for a name that is none."""
    module, size = nets.load(name), (SIDE_PX, SIDE_PX)
    spec = nets.NETS[name]
    return Loaded(
        name=name,
        source="digits",
        family=spec.family,
        architecture=f"digits/{name}",
        module=module,
        preprocessing=Preprocessing(size, nets.MEAN, nets.STD, resize=size, mode="squash"),
        class_names=CLASSES,
        recipe=Recipe("digits", {"name": name}),
        notes=(spec.description,),
    )
