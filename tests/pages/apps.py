"""Pages that run without a browser: how to wait for what they started, and what they show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pages.server import content
from pages.shared import cache

APP = str(Path(__file__).parents[2] / "pages/shared/navigation.py")


def finish(page: Any, failing: bool = False) -> None:
    """Wait for the jobs that the page started, and run it again; none may fail unless some are `failing`."""
    for job in list(cache.jobs().jobs):
        assert job.wait(120), job.title
        assert failing or not job.error, job.error
    page.run()
    assert not page.exception, page.exception


def words(page: Any) -> str:
    """All that the page says outside of its charts."""
    return " ".join(element.value for element in [*page.markdown, *page.caption, *page.title, *page.subheader])


def figures(page: Any) -> list[dict[str, Any]]:
    """What each chart on the page draws, in the page's order."""
    mounted = [json.loads(component.proto.json) for component in page.get("bidi_component")]
    return [json.loads(content.at(data["figure"]) or "") for data in mounted if "figure" in data]


def drawn(page: Any, which: int = 0) -> str:
    """All words of a chart."""
    said = " ".join(words["text"] for words in figures(page)[which]["layout"]["annotations"])
    return said.replace("\N{NO-BREAK SPACE}", " ").replace("<br>", " ")
