"""The three nets that read digits."""

from __future__ import annotations

from models.card import Recipe
from models.demo import digit_nets
from models.demo.digit_nets import CLASSES, SIDE_PX
from models.loaders.base import Loaded
from models.preprocessing import Preprocessing


def load(name: str) -> Loaded:
    """One of `digit_nets.NETS`, by name; raises `InputError` for a name that is none."""
    module, size = digit_nets.load(name), (SIDE_PX, SIDE_PX)
    spec = digit_nets.NETS[name]
    return Loaded(
        name=name,
        source="digits",
        family=spec.family,
        architecture=f"digits/{name}",
        module=module,
        preprocessing=Preprocessing(size, digit_nets.MEAN, digit_nets.STD, resize=size, mode="squash"),
        class_names=CLASSES,
        recipe=Recipe("digits", {"name": name}),
        notes=(spec.description,),
    )
