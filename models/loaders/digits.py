"""The three models that read digits."""

from __future__ import annotations

from models.card import Recipe
from models.demo import digit_nets
from models.demo.digit_nets import CLASSES, SIDE_PX
from models.loaders.base import Loaded, Loader
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


def read(text: str, _class_names: str | None) -> list[Loaded]:
    """`digits` for all, or `digits/NAME`."""
    _, _, name = text.partition("/")
    return [load(one) for one in ([name] if name else digit_nets.NETS)]


LOADER = Loader(
    "digits",
    load,
    "Demo models",
    read,
    prefixes=("digits",),
    forms={"digits": f"the models that read digits; one of them as digits/NAME: {', '.join(digit_nets.NETS)}"},
    built_in=True,
)
