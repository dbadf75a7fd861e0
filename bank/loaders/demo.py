"""The four nets of the demo."""

from __future__ import annotations

from bank.card import Recipe
from bank.demo import nets
from bank.demo.paintings import CLASSES
from bank.errors import InputError, did_you_mean
from bank.loaders.base import Loaded
from bank.preprocess import Preprocessing


def load(name: str) -> Loaded:
    """One of `nets.NETS`, by name."""
    if name not in nets.NETS:
        cure = did_you_mean(name, nets.NETS) or f"There are {', '.join(nets.NETS)}."
        raise InputError("a net of the demo", repr(name), cure)
    spec = nets.NETS[name]
    size = (spec.input_px, spec.input_px)
    return Loaded(
        name=name,
        source="demo",
        family=spec.family,
        architecture=f"demo/{name}",
        module=nets.load(name),
        preprocessing=Preprocessing(size, tuple(spec.mean), tuple(spec.std), resize=size, mode="squash"),
        class_names=CLASSES,
        recipe=Recipe("demo", {"name": name}),
        notes=(spec.description,),
    )
