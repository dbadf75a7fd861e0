"""The stack builder: a person adds, removes, reorders and sets the layers of a network, and sees what each gives.

The browser shows an edit at once and sends it with a number; Python's answer carries the number of the last edit that
it knows. An answer to an older one is late: the browser keeps what it has until that to its last edit is there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

from pages.server import assets

_HERE = Path(__file__).parent

_component = st.components.v2.component(
    "parallax_stack_builder",
    js=assets.component_js(
        _HERE / "builder.js", **{name: _HERE / f"{name}.js" for name in ("card", "drag", "marks", "style")}
    ),
    isolate_styles=False,
)

Layer = dict[str, Any]


def stack_builder(
    stack: list[Layer],
    rows: list[dict[str, Any]],
    kinds: dict[str, dict[str, Any]],
    *,
    key: str,
    on_change: Callable[[list[Layer]], None],
    on_explain: Callable[[str], None] | None = None,
    disabled: bool = False,
) -> None:
    """Show a stack of layers to be edited; events run the fragment that this is called in.

    Example:
        >>> def keep(stack):
        ...     st.session_state.stack = stack
        >>> stack = st.session_state.setdefault("stack", [])
        >>> stack_builder(stack, describe(stack), KINDS, key="network", on_change=keep)

    Args:
        stack: the layers from input to classifier: their `kind`, and a number for each of its fields.
        rows: the input, each layer and the classifier: `title`, the `shape` that comes out (empty where nothing does),
            the number of `parameters`, the `error` that says why the stack breaks here, or nothing.
        kinds: what can be added, by kind: a `title`, and `fields` with `name`, `title`, `low`, `high`, `step`,
            `default` and `help`. A field whose bounds, step and default are whole takes `low`, `low + step`, … only.
        key: the builder's name on the page, also in CSS: `.st-key-KEY`.
        on_change: gets the edited stack, before the run; what the run passes as `stack` is then shown.
        on_explain: gets the kind whose "?" was pressed, or that in `rows` as `explain`, which gives the input or the
            classifier a "?"; without it there is none.
        disabled: whether the stack can be seen only.

    Raises:
        ValueError: there is not one row for the input, for each layer and for the classifier.
    """
    if len(rows) != len(stack) + 2:
        raise ValueError(f"Expected {len(stack) + 2} rows, with input and classifier; got {len(rows)}.")
    answered = f"{key} answered"

    def take(edit: dict[str, Any]) -> None:
        st.session_state[answered] = edit["number"]
        on_change(edit["stack"])

    def explained() -> None:
        if on_explain is not None and (kind := st.session_state[key].explain) is not None:
            on_explain(kind)

    result = _component(
        key=key,
        data={
            "stack": stack,
            "rows": rows,
            "kinds": kinds,
            "number": st.session_state.get(answered, 0),
            "explains": on_explain is not None,
            "disabled": disabled,
        },
        on_edit_change=lambda: take(st.session_state[key].edit),
        on_explain_change=explained,
    )
    edit = result.edit
    if edit is not None and edit["number"] != st.session_state.get(answered):
        take(edit)  # a browser has sent it to a new server, which had no callback for it yet
        st.rerun()
