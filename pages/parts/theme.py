"""What figures need to know of the theme that a person looks at."""

from __future__ import annotations

import streamlit as st


def ink() -> str:
    """The colour of words, as `.streamlit/config.toml` has it for the theme on show."""
    return "#E6EAED" if st.context.theme.type == "dark" else "#1F2A33"
