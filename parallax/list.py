"""`parallax list`: what the options of the other subcommands can be."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from common.errors import InputError, check_known
from parallax import options

if TYPE_CHECKING:
    from explainers.base import Described
    from models.card import ModelCard

What = Literal["methods", "settings", "models", "architectures", "layers", "classes", "images"]


def list_names(
    what: Annotated[What, typer.Argument(help="What to list.", metavar="WHAT")],
    *,
    models: Annotated[list[str], options.several("MODEL...", "For layers and classes: the models that have them.")],
    methods: Annotated[
        list[str],
        options.several("METHOD...", "For settings: methods, maxout, contrast or generator (train-generator)."),
    ],
) -> None:
    """List methods, settings, models, layers, images, …

    Settings are those of --methods; layers and classes those of --models.

    \b
    Example:
      python -m parallax list methods
      python -m parallax list settings --methods occlusion maxout
      python -m parallax list layers --models demo/vgg
    """
    from explainers.contrastive.method import Contrastive, GeneratorTraining
    from explainers.maxout.method import MaxOut
    from explainers.registry import METHODS
    from models.loaders import zoo
    from models.store import ModelStore
    from parallax.sources import IMAGE_FORMS, MODEL_FORMS, open_models

    if what == "methods":
        _print_columns((name, f"{known.family}: {known.question}") for name, known in METHODS.items())
    elif what == "models":
        _print_columns(MODEL_FORMS.items())
    elif what == "images":
        _print_columns(IMAGE_FORMS.items())
    elif what == "architectures":
        print("\n".join(zoo.architectures()))
    elif what == "settings":
        described: dict[str, Described] = {one.name: one for one in (MaxOut(), Contrastive(), GeneratorTraining())}
        for name in methods or _nothing("methods", what, "occlusion"):
            _print_settings(name, {**METHODS, **described})
    else:
        for card in open_models(ModelStore(), *(models or _nothing("models", what, "demo/vgg"))):
            _print_parts(what, card)


def _nothing(option: str, what: str, example: str) -> list[str]:
    raise InputError(f"--{option} to list {what} of", "none", f"Name one, such as {example}.")


def _print_parts(what: str, card: ModelCard) -> None:
    """Layers with kind, shape and number of parameters, or classes with their numbers."""
    print(f"{card.name} · {card.architecture} · {card.n_parameters:,} parameters · {card.n_classes:,} classes")
    if what == "classes":
        _print_columns((f"  {number}", name) for number, name in enumerate(card.class_names))
        return
    width = max(len(layer.name) for layer in card.layers)
    for layer in card.layers:
        shape = "×".join(map(str, layer.shape))
        print(f"  {layer.name:{width}}  {layer.kind:20}  {shape:>12}  {layer.n_parameters:>12,}")


def _print_settings(name: str, known: dict[str, Described]) -> None:
    check_known(name, known, "a method")
    print(f"{name} · {known[name].title}: {known[name].question}")
    items = []
    for item in fields(known[name].Params):
        facts = item.metadata
        bounds = " or ".join(facts["choices"] or ())
        if facts["low"] is not None:
            bounds = f"at least {facts['low']}" if facts["high"] is None else f"{facts['low']} to {facts['high']}"
        items.append((f"  {item.name}={item.default}", f"{facts['help']}{bounds and f' ({bounds})'}"))
    _print_columns(items)


def _print_columns(rows: Iterable[tuple[str, str]]) -> None:
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    for name, words in rows:
        print(f"{name:{width}}  {words}")
