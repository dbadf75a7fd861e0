"""What the server adds to every answer, so that browsers do no more with it than is meant."""

import base64
import re
from functools import cache
from hashlib import sha256
from pathlib import Path

import streamlit
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HOST = re.compile(r"[\w.-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?", re.ASCII)


class SafeHeaders:
    """Browsers load from this server alone, guess at no types, show no page of ours in another site's frame."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers to its answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = {
                    "Content-Security-Policy": content_security_policy(Headers(scope=scope).get("host", "")),
                    "X-Content-Type-Options": "nosniff",
                    "X-Frame-Options": "SAMEORIGIN",
                    "Referrer-Policy": "same-origin",
                    "Cross-Origin-Resource-Policy": "same-origin",
                    "Cross-Origin-Opener-Policy": "same-origin",
                    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), usb=()",
                }
                MutableHeaders(scope=message).update(headers)
            await send(message)

        await self.app(scope, receive, send_with_headers)


@cache
def _inline_scripts() -> str:
    """The scripts in Streamlit's own page, by their digests."""
    page = (Path(streamlit.__file__).parent / "static" / "index.html").read_text(encoding="utf-8")
    found = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'" for text in found)


def content_security_policy(host: str) -> str:
    """What a page may load and run, where a request names `host`: nothing of another host, no script in the page.

    `blob:` are the scripts of components, as Streamlit loads them; `unsafe-eval` is plotly's WebGL.
    """
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""  # which old browsers do not take for 'self'
    return "; ".join((
        "default-src 'self'",
        f"script-src 'self' blob: 'unsafe-eval' {_inline_scripts()}",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        f"connect-src 'self' data: blob:{sockets}",
        "worker-src 'self' blob:",
        "frame-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    ))  # fmt: skip
