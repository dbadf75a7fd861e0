"""The figures of a page that was run without a browser."""

from __future__ import annotations

import json
from typing import Any

from pages.shared.content import STORE


def figures(page: Any) -> list[dict[str, Any]]:
    """What each chart on the page draws, in the page's order."""
    mounted = [json.loads(component.proto.json) for component in page.get("bidi_component")]
    return [json.loads(STORE.get(data["figure"]) or "") for data in mounted if "figure" in data]
