"""The end of a page before its last line: what it needs is not there yet, and it has said so."""

from __future__ import annotations

from typing import NoReturn


class PageEnd(Exception):  # noqa: N818 - it is no error
    """Raised by `end_page`; whoever runs the page catches it, and goes on with what stands beside the page."""


def end_page() -> NoReturn:
    """Leave the page as it is; `st.stop` would keep the sidebar from being finished as well."""
    raise PageEnd
