"""One server over the demo and the digits, both scored before; and a browser, with windows that must log no error."""

import os
import shutil

import pytest

from benchmarks.browser import CHROMIUM, launched, serve


def pytest_collection_modifyitems(items):
    """Browser tests need a browser: skipped with the reason where there is none, unless they are required."""
    for item in items:
        if "tests/browser" in str(item.path):
            item.add_marker(pytest.mark.browser)
            if not CHROMIUM.exists() and os.environ.get("PARALLAX_REQUIRE_BROWSER") != "1":
                item.add_marker(pytest.mark.skip(reason=f"no browser at {CHROMIUM}"))


@pytest.fixture(scope="session")
def address(demo_scored, digits_scored, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    for scored in (demo_scored, digits_scored[0]):
        shutil.copytree(scored, folder, dirs_exist_ok=True)
    with serve(folder) as address:
        yield address


@pytest.fixture(scope="module")
def browser():
    """No longer than a module: playwright's event loop must not run beside what other tests start."""
    with launched() as browser:
        yield browser


#: Some that is held back is caught in silence, as by plotly, which then says that there is no WebGL.
_TELL = """document.addEventListener("securitypolicyviolation",
  (held) => console.error("held back", held.violatedDirective, held.blockedURI))"""


def _ours(url: str, host: str) -> bool:
    """Whether nobody but the server is asked."""
    return url.startswith(("data:", "blob:")) or url.split("/")[2] == host


@pytest.fixture
def open_window(browser):
    """Opens an address in a new window, as a visitor of its own; no script there may fail.

    Nor may anything be asked of another host, or be held back by the content security policy.
    """
    pages, errors = [], []

    def open_one(address: str, height: int = 1000):
        pages.append(browser.new_page(viewport={"width": 1440, "height": height}))
        pages[-1].on("pageerror", lambda error: errors.append(str(error)))
        pages[-1].on("console", lambda said: errors.append(said.text) if said.text.startswith("held back") else None)
        pages[-1].add_init_script(_TELL)
        host = address.split("/")[2]
        pages[-1].on("request", lambda asked: errors.append(asked.url) if not _ours(asked.url, host) else None)
        pages[-1].goto(address)
        return pages[-1]

    yield open_one
    for page in pages:
        page.close()
    assert not errors
