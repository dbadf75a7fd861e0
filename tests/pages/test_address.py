"""Addresses of any length, by the server's own parser."""

import asyncio
from urllib.parse import parse_qsl

import pytest
import uvicorn
from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from pages.server.address import TOO_LONG, UNKNOWN_WORKSPACE, LongAddresses
from pages.server.workspace_address import WorkspaceAddress
from pages.shared.workspace import named


class Transport(asyncio.Transport):
    """A connection that keeps what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""

    def write(self, data):
        self.sent += bytes(data)

    def is_closing(self):
        return False


async def page(scope, receive, send):
    await Response(f"page {len(scope['query_string'])}")(scope, receive, send)


async def answer(request: bytes) -> str:
    """What the server says to a request that comes in pieces."""
    config = uvicorn.Config(LongAddresses(page), http="h11", lifespan="off", log_config=None)
    config.load()
    protocol, transport = H11Protocol(config, ServerState(), {}), Transport()
    protocol.connection_made(transport)
    for start in range(0, len(request), 65_536):
        protocol.data_received(request[start : start + 65_536])
    await asyncio.gather(*protocol.tasks)
    return transport.sent.decode()


@pytest.mark.parametrize("n_bytes", [1000, 70_000, 99_000, 300_000, 2_000_000])
def test_an_address_too_long_to_be_read_leads_to_the_start_page(n_bytes):
    request = b"GET /compare?models=" + b"a" * n_bytes + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    said = asyncio.run(answer(request))
    if n_bytes < 100_000:
        assert said.startswith("HTTP/1.1 200")
        assert said.endswith(f"page {n_bytes + 7}")
    else:
        assert said.startswith("HTTP/1.1 303")
        assert f"location: ./?{TOO_LONG}=1" in said


HOSTILE = (
    "<b>",
    "../../x",
    "a" * 32 + "!",
    "a" * 31,
    "%00",
    "%F0%9F%98%80",
    "a" * 90_000,
    "%0d%0aSet-Cookie:x=1",
    "//x.org",
)


@pytest.mark.parametrize("key", HOSTILE)
def test_an_address_with_a_workspace_that_is_none_leads_to_another_which_says_so(key):
    async def ask():
        sent = []

        async def send(message):
            sent.append(message)

        headers = [(b"accept", b"text/html"), (b"host", b"x")]
        query = f"workspace={key}&images=a%26b".encode()
        scope = {"type": "http", "method": "GET", "path": "/", "query_string": query, "headers": headers}
        await WorkspaceAddress(page)(scope, None, send)
        return sent[0]

    start = asyncio.run(ask())
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert start["status"] == 307
    found = dict(parse_qsl(headers["location"].removeprefix("?"), strict_parsing=True))
    assert named(found.pop("workspace"))
    assert found == {"images": "a&b", UNKNOWN_WORKSPACE: "1"}
    assert "set-cookie" not in headers
