import os

import pytest

from benchmarks.browser import CHROMIUM


def pytest_collection_modifyitems(items):
    """Browser tests need a browser: skipped with the reason where there is none, unless they are required."""
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)
            if not CHROMIUM.exists() and os.environ.get("PARALLAX_REQUIRE_BROWSER") != "1":
                item.add_marker(pytest.mark.skip(reason=f"no browser at {CHROMIUM}"))
