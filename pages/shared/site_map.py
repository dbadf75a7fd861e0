"""The app's pages: how the menu shows each, and the way from one to another."""

from pathlib import Path
from typing import NoReturn

import streamlit as st

#: The pages under their headings: the name of the folder, which is also the address, with title and icon.
SECTIONS = {
    "Set up": {"upload": ("Upload", "upload")},
    "Find": {"suggestion": ("Suggestion", "scatter_plot")},
    "Explain": {
        "compare": ("Compare", "compare"),
        "reason": ("Reason", "layers"),
        "prediction_difference": ("Prediction difference", "difference"),
        "contrast": ("Contrast", "contrast"),
        "trust": ("Trust", "balance"),
    },
    "Inside": {"maxout": ("MaxOut", "auto_awesome"), "layers": ("Layers", "grid_view")},
    "Learn": {"playground": ("Playground", "toys")},
}


def menu() -> dict[str, list[st.Page]]:
    """What `st.navigation` takes; the upload page opens at the bare address."""
    return {
        heading: [
            st.Page(_script(name), title=title, icon=f":material/{icon}:", url_path=name, default=name == "upload")
            for name, (title, icon) in section.items()
        ]
        for heading, section in SECTIONS.items()
    }


def go(name: str) -> NoReturn:
    """Leave this page for another."""
    st.switch_page(_script(name))


def _script(name: str) -> str:
    return str(Path(__file__).parents[1] / name / "page.py")
