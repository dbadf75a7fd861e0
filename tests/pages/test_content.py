"""The store of what pages show, and the route that serves it."""

import asyncio

import pytest
from starlette.requests import Request

from pages.server import content
from pages.server.content import ContentStore


@pytest.fixture
def response(one_workspace):
    """What the route answers to a browser of this workspace."""
    cookie = f"parallax_workspace_{one_workspace.id}={one_workspace.key}".encode()

    def get(address: str):
        workspace_id, _, name = address.removeprefix("content/").partition("/")
        parameters = {"workspace_id": workspace_id, "name": name}
        return asyncio.run(
            content.serve(Request({"type": "http", "path_params": parameters, "headers": [(b"cookie", cookie)]}))
        )

    return get


def test_content_is_served_under_its_digest_for_ever(response):
    found = response(content.put(b"RIFF", "webp"))
    assert (found.status_code, found.body, found.media_type) == (200, b"RIFF", "image/webp")
    assert found.headers["cache-control"] == "private, max-age=31536000, immutable"


def test_nothing_else_is_served(response):
    address = content.put(b"RIFF", "webp")
    folder = address.rpartition("/")[0]
    for other in ("", f"{folder}/{'0' * 64}.webp", f"{folder}/../app.py", address[:-5]):
        assert response(other).status_code == 404


def test_what_was_not_asked_for_the_longest_goes_first():
    store = ContentStore(10)
    first, second = store.put(b"1234", "webp", "me"), store.put(b"5678", "webp", "me")
    assert store.get(first, "me") == b"1234"
    third = store.put(b"90ab", "webp", "me")
    assert [store.get(name, "me") for name in (first, second, third)] == [b"1234", None, b"90ab"]


def test_content_is_made_once_for_all_and_again_when_it_is_gone():
    store, made = ContentStore(10), []

    def make(content: bytes) -> bytes:
        made.append(content)
        return content

    names = {store.find("key", lambda: make(b"12345678"), "png", who) for who in ("me", "you")}
    assert made == [b"12345678"]
    store.put(b"another one", "png", "me")
    names.add(store.find("key", lambda: make(b"12345678"), "png", "me"))
    assert made == [b"12345678"] * 2
    assert len(names) == 1


def test_only_who_was_shown_content_may_have_it():
    store = ContentStore(100)
    name = store.put(b"a map", "webp", "me")
    assert (store.get(name, "me"), store.get(name, "you")) == (b"a map", None)
    assert store.find("key", lambda: b"a map", "webp", "you") == name
    assert store.get(name, "you") == b"a map"
