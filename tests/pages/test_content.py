"""The store of what pages show, and the route that serves it."""

import asyncio

from starlette.requests import Request

from pages.shared import content
from pages.shared.content import STORE, ContentStore


def response(name: str):
    return asyncio.run(content.serve(Request({"type": "http", "path_params": {"name": name}})))


def test_content_is_served_under_its_digest_for_ever():
    address = STORE.put(b"RIFF", "webp")
    found = response(address.removeprefix("content/"))
    assert (found.status_code, found.body, found.media_type) == (200, b"RIFF", "image/webp")
    assert found.headers["cache-control"] == "public, max-age=31536000, immutable"


def test_nothing_else_is_served():
    for name in ("", "0" * 64 + ".webp", "../app.py", STORE.put(b"RIFF", "webp").removeprefix("content/")[:-5]):
        assert response(name).status_code == 404


def test_what_was_not_asked_for_the_longest_goes_first():
    store = ContentStore(10)
    first, second = store.put(b"1234", "webp"), store.put(b"5678", "webp")
    assert store.get(first) == b"1234"
    third = store.put(b"90ab", "webp")
    assert [store.get(address) for address in (first, second, third)] == [b"1234", None, b"90ab"]


def test_content_is_made_once_and_again_when_it_is_gone():
    store, made = ContentStore(10), []

    def make(content: bytes) -> bytes:
        made.append(content)
        return content

    addresses = {store.find("key", lambda: make(b"12345678"), "png") for _ in range(2)}
    assert made == [b"12345678"]
    store.put(b"another one", "png")
    addresses.add(store.find("key", lambda: make(b"12345678"), "png"))
    assert made == [b"12345678"] * 2
    assert len(addresses) == 1
