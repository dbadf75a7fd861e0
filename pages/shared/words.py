"""Words of visitors (names of files, labels) inside Streamlit's Markdown."""

import re

_MARKS = re.compile(r"([\\`*_{}\[\]<>()#+\-.!|~$:])")


def literal(text: str) -> str:
    """`text` for Markdown that shows it as it is."""
    return _MARKS.sub(r"\\\1", text)
