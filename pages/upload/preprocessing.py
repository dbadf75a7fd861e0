"""How images are prepared for a model, what its outputs mean, and an image as it sees it."""

from dataclasses import replace
from typing import Any

import numpy as np
import streamlit as st

from common.errors import InputError
from common.escape import markdown
from figures.maps import to_webp
from images.image_set import ImageSet
from jobs.queue import Job
from models.card import MULTI_LABEL, REGRESSION, SIGMOID, SOFTMAX, ModelCard
from models.preprocessing import INTERPOLATIONS, MODES, Preprocessing
from pages.shared import cache, session
from pages.shared.job_progress import error_line
from pages.upload.added import Added

_MODES = {
    "center": "shorter side resized, middle cut out",
    "squash": "both sides resized",
    "border": "whole image, padded",
}
_RANGES = {1: "0 to 1", 255: "0 to 255"}

#: What each head means, by the number of outputs that it needs: one, or more.
_HEADS = {
    SOFTMAX: "one class of several (softmax)",
    MULTI_LABEL: "any number of classes (a sigmoid each)",
    SIGMOID: "one class of two (sigmoid)",
    REGRESSION: "a number (regression)",
}
_ONE_OUTPUT = (SIGMOID, REGRESSION)


def fields(default: Preprocessing | None, key: str, pixels: np.ndarray) -> dict[str, Any]:
    """One widget for each field, and below them `pixels` (H, W, 3) uint8 as the model sees them.

    Returns what differs from `default`, as `Preprocessing.changed` takes it; where the default is not known yet there
    is no preview.
    """
    left, right = st.columns(2)
    words = {name: "" if default is None else _words(getattr(default, name)) for name in ("mean", "std")}
    texts = {
        "input_size": left.text_input("Input size (height, width), in pixels", key=f"{key}_input_size",
                                      placeholder="" if default is None else _words(default.input_size)),
        "resize": right.text_input("Resized to, in pixels", key=f"{key}_resize",
                                   placeholder="" if default is None else _words(default.resize)),
        "mean": left.text_input("Mean per channel", key=f"{key}_mean", placeholder=words["mean"]),
        "std": right.text_input("Standard deviation per channel", key=f"{key}_std", placeholder=words["std"]),
    }  # fmt: skip
    top = left.selectbox(
        "Mean and std are of pixels from", _RANGES, format_func=_RANGES.__getitem__, key=f"{key}_range"
    )
    mode = right.selectbox(
        "Crop", MODES, None, _MODES.__getitem__, key=f"{key}_mode",
        placeholder=_MODES[default.mode] if default else "the architecture's",
    )  # fmt: skip
    interpolation = left.selectbox(
        "Interpolation", INTERPOLATIONS, None, key=f"{key}_interpolation",
        placeholder=default.interpolation if default else "the architecture's",
    )  # fmt: skip
    changes: dict[str, Any] = {name: _numbers(name, text) for name, text in texts.items() if text.strip()}
    changes |= {name: value for name, value in (("mode", mode), ("interpolation", interpolation)) if value is not None}
    changes |= {"range": top} if top != 1 else {}
    if default is not None:
        preview(default.changed(changes), pixels)
    return changes


def preview(seen: Preprocessing, pixels: np.ndarray) -> None:
    """The image as the model sees it, and the values that it gets."""
    crop = seen.crop(pixels)
    values = (crop / 255 - np.array(seen.mean)) / np.array(seen.std)
    facts = f"Values that the model gets: {values.min():.3g} to {values.max():.3g}, mean {values.mean():.3g}."
    with st.container(horizontal=True, vertical_alignment="center"):
        st.image(to_webp(rgb(crop)), width=160, alt="The first image as the model sees it")
        st.caption(f"{markdown(seen.describe())}  \n{facts}")


def first_image(images: ImageSet) -> np.ndarray:
    """An image to show a model's preprocessing by; plain grey where it cannot be read."""
    try:
        return cache.image(images.digest, images.ids[0], 512)
    except InputError:
        return np.full((512, 512, 3), 128, dtype=np.uint8)


def rgb(crop: np.ndarray) -> np.ndarray:
    """(h, w, 1 or 3) uint8 -> (h, w, 3) uint8."""
    return crop.repeat(3, axis=2) if crop.shape[2] == 1 else crop


@st.dialog("Change a model", width="large")
def edit(card: ModelCard, pixels: np.ndarray) -> None:
    """Change how images are prepared for a model, or what its outputs mean; it is loaded again with that."""
    st.caption(f"How images are prepared for **{markdown(card.name)}**. Empty fields stay as they are.")
    heads = [head for head in _HEADS if (head in _ONE_OUTPUT) == (card.head in _ONE_OUTPUT)]
    head = st.selectbox(
        "Its outputs mean", heads, heads.index(card.head), _HEADS.__getitem__, key=f"upload_edit_{card.digest}_head"
    )
    try:
        changes = fields(card.preprocessing, f"upload_edit_{card.digest}", pixels)
    except InputError as error:
        error_line(str(error))
        return
    same = not changes and head == card.head
    if st.button("Use these settings", type="primary", key=f"upload_edit_use_{card.digest}", disabled=same):
        session.state().jobs["models"] = cache.jobs().submit(load_again(card, changes, head), "interactive")
        st.rerun()


def load_again(card: ModelCard, changes: dict[str, Any], head: str) -> Job:
    """The model by its recipe, with other preprocessing or another head, in place of what it is now."""
    wanted = card.preprocessing.changed(changes)
    model_store = cache.model_store()
    whole = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(wanted).items()}

    def load(_job: Job) -> Added:
        from models import loaders  # which stand on torch: the first page is drawn without it

        arguments = {**card.recipe.arguments, **({"preprocessing": whole} if changes else {})}
        recipe = replace(card.recipe, arguments=arguments, head=card.recipe.head if head == card.head else head)
        return Added((model_store.add(loaders.load(recipe)).digest,), replaces=card.digest)

    return Job(f"Loading {card.name}", load)


def _words(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)


def _numbers(name: str, text: str) -> list[float] | float:
    """One number for all channels or sides, or one for each."""
    try:
        numbers = [int(part) if part.strip().isdecimal() else float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"numbers for {name}", repr(text), "Write 0.5, or 0.485, 0.456, 0.406.") from error
    return numbers if len(numbers) > 1 else numbers[0]
