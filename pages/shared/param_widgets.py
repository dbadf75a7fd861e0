"""Widgets for the fields of a method's `Params`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import Field, fields
from typing import Any

import streamlit as st

from explainers.base import Described, Explainer, ExplainerParams
from models.card import ModelCard

DEFAULT_LAYER = "default"


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
    options = [layer.name for layer in card.layers if layer.spatial or not spatial]
    if card.default_layer is not None or not options:
        options = [DEFAULT_LAYER, *options]
    shapes = {layer.name: f"{layer.name} · {layer.kind} {'×'.join(map(str, layer.shape))}" for layer in card.layers}
    shapes[DEFAULT_LAYER] = f"default ({card.default_layer})"
    chosen = st.selectbox(
        card.name, options, format_func=lambda name: shapes[name], key=f"{key}_{card.digest}", persist_state="session"
    )
    return None if chosen == DEFAULT_LAYER else chosen


def params_for(method: Explainer, chosen: dict[str, Any], layer: str | None) -> ExplainerParams:
    """The method's `Params` with the chosen values and, if it has one, the layer."""
    has_layer = any(item.metadata.get("kind") == "layer" for item in fields(method.Params))
    return method.Params(**chosen, **({"layer": layer} if has_layer else {}))


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


def _widget(item: Field[Any], key: str, default: Any) -> Any:
    """The widget that fits a field's type, bounds and choices."""
    facts = item.metadata
    title = facts.get("title") or item.name.replace("_", " ").capitalize()
    shared = {"help": facts["help"], "key": key, "persist_state": "session"}
    low, high = facts.get("low"), facts.get("high")
    if facts.get("choices"):
        return st.selectbox(title, facts["choices"], index=facts["choices"].index(default), **shared)
    if isinstance(default, bool):
        return st.toggle(title, default, **shared)
    if isinstance(default, int | float):
        return st.number_input(title, low, high, default, **shared)
    if low is not None:
        return st.number_input(title, low, high, None, placeholder=facts["free"], **shared)
    return st.text_input(title, default or "", **shared) or default
