"""The app's pages: how the menu shows each, and the way from one to another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import streamlit as st

_FOLDER = Path(__file__).parents[1]


@dataclass(frozen=True)
class Entry:
    """A page: the name of its folder, which is also its address; its title and its icon in the menu."""

    name: str
    title: str
    icon: str

    @property
    def path(self) -> str:
        """The script of the page."""
        return str(_FOLDER / self.name / "page.py")


#: The pages under their headings; the first opens at the bare address.
SECTIONS = {
    "Set up": [Entry("upload", "Upload", "upload")],
    "Find": [Entry("suggestion", "Suggestion", "scatter_plot")],
    "Explain": [
        Entry("compare", "Compare", "compare"),
        Entry("reason", "Reason", "layers"),
        Entry("prediction_difference", "Prediction difference", "difference"),
        Entry("contrast", "Contrast", "contrast"),
        Entry("trust", "Trust", "balance"),
    ],
    "Inside": [Entry("maxout", "MaxOut", "auto_awesome"), Entry("layers", "Layers", "grid_view")],
}

_ENTRIES = {entry.name: entry for section in SECTIONS.values() for entry in section}
_FIRST = next(iter(_ENTRIES))


def menu() -> dict[str, list[st.Page]]:
    """What `st.navigation` takes."""
    return {heading: [_page(entry) for entry in section] for heading, section in SECTIONS.items()}


def _page(entry: Entry) -> st.Page:
    icon = f":material/{entry.icon}:"
    return st.Page(entry.path, title=entry.title, icon=icon, url_path=entry.name, default=entry.name == _FIRST)


def go(name: str) -> NoReturn:
    """Leave this page for another."""
    st.switch_page(_ENTRIES[name].path)
