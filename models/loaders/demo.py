"""The four models of the demo."""

from __future__ import annotations

from common.errors import InputError, did_you_mean
from models.card import Recipe
from models.demo import painting_nets
from models.demo.painting_nets import CLASSES
from models.loaders.base import Loaded, Loader
from models.preprocessing import Preprocessing


def load(name: str) -> Loaded:
    """One of `painting_nets.NETS`, by name."""
    if name not in painting_nets.NETS:
        cure = did_you_mean(name, painting_nets.NETS) or f"There are {', '.join(painting_nets.NETS)}."
        raise InputError("a model of the demo", repr(name), cure)
    spec = painting_nets.NETS[name]
    size = (spec.input_px, spec.input_px)
    return Loaded(
        name=name,
        source="demo",
        family=spec.family,
        architecture=f"demo/{name}",
        module=painting_nets.load(name),
        preprocessing=Preprocessing(size, tuple(spec.mean), tuple(spec.std), resize=size, mode="squash"),
        class_names=CLASSES,
        recipe=Recipe("demo", {"name": name}),
        notes=(spec.description,),
    )


def read(text: str, _class_names: str | None) -> list[Loaded]:
    """`demo` for all, or `demo/NAME`."""
    _, _, name = text.partition("/")
    return [load(one) for one in ([name] if name else painting_nets.NETS)]


LOADER = Loader(
    "demo",
    load,
    "Demo models",
    read,
    prefixes=("demo",),
    forms={"demo": f"the demo's models; one of them as demo/NAME: {', '.join(painting_nets.NETS)}"},
    built_in=True,
)
