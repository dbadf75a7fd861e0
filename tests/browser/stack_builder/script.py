"""A stack to build, and under it what Python has of it; `?wide=` sets the width. Some words are hostile."""

import json

import streamlit as st

from models import stack as stacks
from pages.playground.builder.component import stack_builder

HOSTILE = "<img src=x onerror=\"document.title='run'\">"
ODD = {"name": "<b>n</b>", "title": HOSTILE, "low": 1, "high": 11, "step": 2, "default": 3, "help": HOSTILE}
KINDS = {**stacks.kinds(), "hostile": {"title": HOSTILE, "fields": [ODD]}}
PRESET = [{"kind": "convolution", "filters": 8, "kernel_size": 3, "stride": 1, "padding": 0}, {"kind": "relu"}]
PRESET.append({"kind": "max_pool", "kernel_size": 2, "stride": 2})
ALL_KINDS = stacks.to_json([layer() for layer in stacks.LAYERS.values()])


def describe(stack):
    """The engine's rows; hostile layers change nothing."""
    traced = stacks.trace(
        stacks.stack_of([layer for layer in stack if layer["kind"] in stacks.LAYERS]), (1, 32, 32), 10
    )
    rows = [
        {
            "title": row.title,
            "shape": row.shape_words,
            "parameters": row.n_parameters,
            "error": row.error and row.error + HOSTILE,
        }
        for row in traced
    ]
    rows[0]["explain"] = "input"
    rows[-1]["title"] += HOSTILE
    for number, layer in enumerate(stack, 1):
        if layer["kind"] == "hostile":
            rows.insert(number, {**rows[number - 1], "title": HOSTILE, "parameters": 0, "error": ""})
    return rows


def keep(stack):
    st.session_state.stack = stack


st.set_page_config(layout="wide")
stack = st.session_state.setdefault("stack", PRESET)
st.button("Preset", on_click=keep, args=[PRESET])
st.button("All kinds", on_click=keep, args=[ALL_KINDS])
disabled = st.checkbox("Disabled")
with st.container(key="frame", width=int(st.query_params.get("wide", 450))):
    stack_builder(
        stack,
        describe(stack),
        KINDS,
        key="builder",
        on_change=keep,
        on_explain=lambda kind: st.session_state.update(explained=kind),
        disabled=disabled,
    )
st.code(json.dumps(stack))
st.text(f"Explained: {st.session_state.get('explained')}")
