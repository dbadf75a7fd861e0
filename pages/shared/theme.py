"""What figures need to know of the theme that a person looks at, and what the theme must not do."""

from __future__ import annotations

import streamlit as st


def ink() -> str:
    """The colour of words, as `.streamlit/config.toml` has it for the theme on show."""
    return "#E6EAED" if st.context.theme.type == "dark" else "#1F2A33"


def steady() -> None:
    """Keep what is drawn anew as bright as it was: Streamlit fades it, and a polled figure would blink."""
    st.html('<style>.stElementContainer[data-stale="true"] { opacity: 1 !important; }</style>')
