"""What Streamlit's theme must not do."""

from __future__ import annotations

import streamlit as st


def disable_fade() -> None:
    """Keep what is drawn anew as bright as it was: Streamlit fades it, and what is polled would blink."""
    st.html('<style>.stElementContainer[data-stale="true"] { opacity: 1 !important; }</style>')
