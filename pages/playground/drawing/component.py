"""A canvas on which a digit is drawn by mouse, pen, touch or keyboard; its strokes stay in the browser's hands."""

import base64
import binascii
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from pages.server import assets
from playground.drawn import is_blank

#: Pixels of a side as the drawing comes to Python.
SIDE_PX = 56

_component = st.components.v2.component(
    "parallax_drawing", js=assets.component_js(Path(__file__).with_name("drawing.js")), isolate_styles=False
)


def draw_digit(*, key: str, label: str = "Draw a digit here") -> np.ndarray | None:
    """A canvas, and what is drawn on it: (56, 56) uint8, white on black; `None` where it is blank.

    The end of each stroke, *Undo* and *Clear* run the fragment that this is called in. A run that leaves the canvas out
    ends the drawing.

    Args:
        key: the canvas's name on the page, also in CSS: `.st-key-KEY`.
        label: the words on the blank canvas, which also name it for people who do not see it.

    Example:
        >>> if (drawn := draw_digit(key="drawn")) is not None:
        ...     st.image(as_digit(drawn))
    """
    held = st.session_state[key].drawing if key in st.session_state else None
    result = _component(
        key=key,
        data={"label": label, "side": SIDE_PX, "strokes": held["strokes"] if held else []},
        on_drawing_change=lambda: None,
    )
    drawn = greys(result.drawing)
    return None if drawn is None or is_blank(drawn) else drawn


def greys(drawing: Any) -> np.ndarray | None:
    """The greys (56, 56) uint8 of what the script sends; `None` where it holds none: a browser may send anything."""
    if not isinstance(drawing, dict) or not isinstance(drawing.get("greys"), str):
        return None
    try:
        values = base64.b64decode(drawing["greys"], validate=True)
    except (binascii.Error, ValueError):
        return None
    return np.frombuffer(values, np.uint8).reshape(SIDE_PX, SIDE_PX) if len(values) == SIDE_PX**2 else None
