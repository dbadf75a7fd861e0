"""`parallax list`: what the options of the other subcommands can be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from common.errors import InputError, did_you_mean
from parallax.command_line import DONE
from parallax.options import several

if TYPE_CHECKING:
    from explainers.base import Described

What = Literal["methods", "settings", "models", "architectures", "layers", "classes", "images"]


def list_names(
    what: Annotated[What, typer.Argument(help="What to list.", metavar="WHAT")],
    *,
    models: Annotated[list[str], several("MODEL...", "For layers and classes: the models that have them.")],
    methods: Annotated[
        list[str], several("METHOD...", "For settings: methods, maxout, contrast or generator (train-generator).")
    ],
) -> int:
    """List methods, settings, models, layers, images, …

    Settings are those of --methods; layers and classes those of --models.

    \b
    Example:
      python -m parallax list methods
      python -m parallax list settings --methods occlusion maxout
      python -m parallax list layers --models demo/vgg
    """
    if what in ("layers", "classes"):
        if not models:
            raise InputError(f"--models to list {what} of", "none", "Name one, such as demo/vgg.")
        _print_parts(what, models)
    elif what == "settings":
        if not methods:
            raise InputError("--methods to list settings of", "none", "Name one, such as occlusion.")
        for name in methods:
            _print_settings(name)
    else:
        _print_names(what)
    return DONE


def _print_names(what: str) -> None:
    from explainers.registry import METHODS
    from models.loaders import zoo
    from parallax.sources import IMAGE_FORMS, MODEL_FORMS

    if what == "methods":
        _print_columns((name, f"{known.family}: {known.question}") for name, known in METHODS.items())
    elif what == "models":
        _print_columns(MODEL_FORMS.items())
    elif what == "images":
        _print_columns(IMAGE_FORMS.items())
    else:
        print("\n".join(zoo.architectures()))


def _print_parts(what: str, models: Sequence[str]) -> None:
    """Layers with kind, shape and number of parameters, or classes with their numbers, of each model."""
    from models.store import ModelStore
    from parallax.sources import open_models

    for card in open_models(ModelStore(), *models):
        print(f"{card.name} · {card.architecture} · {card.n_parameters:,} parameters · {card.n_classes:,} classes")
        if what == "classes":
            _print_columns((f"  {number}", name) for number, name in enumerate(card.class_names))
            continue
        width = max(len(layer.name) for layer in card.layers)
        for layer in card.layers:
            shape = "×".join(map(str, layer.shape))
            print(f"  {layer.name:{width}}  {layer.kind:20}  {shape:>12}  {layer.n_parameters:>12,}")


def _print_settings(name: str) -> None:
    known = _described(name)
    print(f"{name} · {known.title}: {known.question}")
    items = []
    for item in fields(known.Params):
        facts = item.metadata
        bounds = " or ".join(facts["choices"] or ())
        if facts["low"] is not None:
            bounds = f"at least {facts['low']}" if facts["high"] is None else f"{facts['low']} to {facts['high']}"
        items.append((f"  {item.name}={item.default}", f"{facts['help']}{bounds and f' ({bounds})'}"))
    _print_columns(items)


def _described(name: str) -> Described:
    from explainers.contrastive.method import Contrastive, GeneratorTraining
    from explainers.maxout.method import MaxOut
    from explainers.registry import METHODS

    known: dict[str, Described] = {
        **METHODS,
        **{one.name: one for one in (MaxOut(), Contrastive(), GeneratorTraining())},
    }
    if name not in known:
        raise InputError("a method", repr(name), did_you_mean(name, known) or "See list methods.")
    return known[name]


def _print_columns(rows: Iterable[tuple[str, str]]) -> None:
    rows = list(rows)
    width = max((len(name) for name, _ in rows), default=0)
    for name, words in rows:
        print(f"{name:{width}}  {words}")
