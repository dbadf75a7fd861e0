"""What the server itself does, beside running the pages."""

import pytest

from benchmarks.browser import chromium, serve


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with serve(tmp_path_factory.mktemp("data")) as address:
        yield address


def test_a_link_to_a_page_opens_it_though_it_is_the_very_first_visit(address):
    with chromium() as page:
        page.goto(f"{address}/suggestion")
        page.get_by_role("heading", name="Find images to inspect").wait_for(timeout=120_000)
        page.get_by_role("button", name="Score images").wait_for(timeout=60_000)
        assert page.get_by_text("Page not found").count() == 0
        assert page.request.get(address).headers["x-content-type-options"] == "nosniff"
