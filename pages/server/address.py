"""What the address bar tells, which anybody may have written, of any length and with any signs."""

import re

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http import h11_impl

#: What is left of an address that is too long.
TOO_LONG = "too_long"

#: What is added to one whose workspace is none.
UNKNOWN_WORKSPACE = "unknown_workspace"

#: As many names are read.
_MOST = 100

#: Chromium's longest address has 2 MB.
_BROWSERS_BYTES = 2_500_000

#: What a query may weigh.
_READ_BYTES = 100_000

_DIGEST = re.compile(r"[0-9a-f]{16}")


def parts(text: str) -> tuple[list[str], int]:
    """What stands between commas, each once, the first hundred of it; and how many more there are."""
    found = list(dict.fromkeys(stripped for part in text.split(",") if (stripped := part.strip())))
    return found[:_MOST], max(0, len(found) - _MOST)


def is_digest(text: str) -> bool:
    """Whether a text can be the digest of a model or an image set: nothing else becomes the name of a file."""
    return _DIGEST.fullmatch(text) is not None


def short(text: str, limit: int = 120) -> str:
    """A text of the address for a message: no longer than `limit`, and none of its signs is invisible."""
    cut = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in cut)


class LongAddresses:
    """Middleware: an address longer than is read leads to the start page, which says so.

    The server itself would hang up on one of 64 KB, so that the browser shows an error, and Streamlit would leave out
    one of 512 KB without a word.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        h11_impl.DEFAULT_MAX_INCOMPLETE_EVENT_SIZE = _BROWSERS_BYTES

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        if scope["type"] == "http" and len(scope["query_string"]) > _READ_BYTES:
            await RedirectResponse(f"./?{TOO_LONG}=1", status_code=303)(scope, receive, send)
        else:
            await self.app(scope, receive, send)
