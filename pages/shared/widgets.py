"""Widgets that several pages have: their values outlive a page switch, and `options` may give values their words."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import streamlit as st

from common.escape import markdown
from models.card import ModelCard
from pages.shared.session import kept
from suggestion.table import shared_classes

if TYPE_CHECKING:
    from explainers.base import Described, Explainer, ExplainerParams

DEFAULT_LAYER = "default"

T = TypeVar("T")
Options = Mapping[T, str] | Sequence[T]


def _words(options: Options[Any]) -> Callable[[Any], str]:
    return options.__getitem__ if isinstance(options, Mapping) else str


def select(label: str, options: Options[T], key: str, **more: Any) -> T:
    """One of many options."""
    return st.selectbox(label, list(options), format_func=_words(options), **kept(key), **more)


def segments(label: str, options: Options[T], key: str, **more: Any) -> T:
    """One of a few options that stand side by side; the first one at first."""
    values: list[Any] = list(options)
    more = {"default": values[0], "required": True, **kept(key), **more}
    return st.segmented_control(label, values, format_func=_words(options), **more)


def several(label: str, options: Options[T], default: Sequence[T], key: str, **more: Any) -> list[T]:
    """Any number of options."""
    return st.multiselect(label, list(options), default, _words(options), **kept(key), **more)


def choose_model(cards: Sequence[ModelCard], key: str, label: str = "Model", **more: Any) -> ModelCard:
    """One of the models."""
    by_digest = {card.digest: card for card in cards}
    return by_digest[select(label, {card.digest: card.name for card in cards}, key, **more)]


def known_classes(cards: Sequence[ModelCard]) -> tuple[str, ...]:
    """The classes that all models share; where there are none, those that any of them has."""
    return shared_classes(cards) or tuple(dict.fromkeys(name for card in cards for name in card.class_names))


def what_is_it(method: Described) -> None:
    """The button that tells what a method is."""
    with st.popover("What is it?", icon=":material/info:", type="tertiary"):
        st.markdown(about(method))


def about(method: Described) -> str:
    """What to know of a method, as Markdown: what it answers, how it works, what it cannot tell, the paper."""
    lines = [
        f"**{method.title}** · {method.family}",
        f"**What it answers.** {method.question}",
        f"**How it works.** {method.recipe}" if method.recipe else "",
        f"**What it cannot tell.** {method.caution}" if method.caution else "",
        f"**Paper.** {method.reference}",
    ]
    return "\n\n".join(line for line in lines if line)


def downloads(stem: str, key: str, png: Callable[[], bytes], npz: Callable[[], bytes]) -> None:
    """The buttons for what is on show, as an image and raw, into the row of the caller; files are made on a click."""
    icon = ":material/download:"
    st.download_button("Image (PNG)", png, f"{stem}.png", "image/png", key=f"{key}_png", icon=icon)
    st.download_button("Raw (npz)", npz, f"{stem}.npz", key=f"{key}_npz", icon=icon)


def to_npz(arrays: Mapping[str, Any]) -> bytes:
    """Arrays by name, as a compressed file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def distinct_names(cards: Sequence[ModelCard]) -> dict[str, str]:
    """The models' names by digest; of several with the same name, those after the first get a number."""
    counts: dict[str, int] = {}
    found = {}
    for card in cards:
        counts[card.name] = counts.get(card.name, 0) + 1
        found[card.digest] = card.name if counts[card.name] == 1 else f"{card.name} ({counts[card.name]})"
    return found


def settings_of(
    method: Described, key: str, without: Collection[str] = (), defaults: ExplainerParams | None = None
) -> dict[str, Any]:
    """One widget for each setting that all models share, but for those in `without`; the chosen values by name.

    `defaults` are the values at first, if not the method's own.
    """
    defaults = defaults or method.Params()
    items = [item for item in fields(method.Params) if item.metadata.get("kind") != "layer"]
    items = [item for item in items if item.name not in without]
    if not items:
        st.caption("No settings.")
    return {
        item.name: _widget(item, f"{key}_{method.name}_{item.name}", getattr(defaults, item.name)) for item in items
    }


def layer_chooser(card: ModelCard, key: str, spatial: bool = True) -> str | None:
    """A chooser over the model's layers; `None` stands for the model's default layer.

    With `spatial`, only layers that have a grid are offered; a model without any has no default.
    """
    words = {
        layer.name: f"{layer.name} · {layer.kind} {'×'.join(map(str, layer.shape))}"
        for layer in card.layers
        if layer.spatial or not spatial
    }
    if card.default_layer is not None or not words:
        words = {DEFAULT_LAYER: f"default ({card.default_layer})", **words}
    chosen = select(markdown(card.name), words, f"{key}_{card.digest}")
    return None if chosen == DEFAULT_LAYER else chosen


def params_for(method: Explainer, chosen: dict[str, Any], layer: str | None) -> ExplainerParams:
    """The method's `Params` with the chosen values and, if it has one, the layer."""
    has_layer = any(item.metadata.get("kind") == "layer" for item in fields(method.Params))
    return method.Params(**chosen, **({"layer": layer} if has_layer else {}))


def _widget(item: Field[Any], key: str, default: Any) -> Any:
    """The widget that fits a field's type, bounds and choices."""
    facts = item.metadata
    title = facts.get("title") or item.name.replace("_", " ").capitalize()
    shared = {"help": facts["help"], **kept(key)}
    low, high = facts.get("low"), facts.get("high")
    if facts.get("choices"):
        return st.selectbox(title, facts["choices"], index=facts["choices"].index(default), **shared)
    if isinstance(default, bool):
        return st.toggle(title, default, **shared)
    if isinstance(default, float) and 0 < default < 0.01:  # else it reads 0.00
        size = 10.0 ** math.floor(math.log10(default))
        return st.number_input(title, low, high, default, step=size, format="%g", **shared)
    if isinstance(default, int | float):
        return st.number_input(title, low, high, default, **shared)
    if low is not None:
        return st.number_input(title, low, high, None, placeholder=facts["free"], **shared)
    return st.text_input(title, default or "", **shared) or default
