"""Every page's address names a workspace, and a browser that has been there before comes back to its own.

A page without a key in its address is sent to the workspace that this browser used last, else to a new one. Cookies,
one for each workspace, let the browser fetch what that workspace shows, see `content`.
"""

from urllib.parse import parse_qsl, quote, unquote, urlencode

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.settings import settings
from pages.server.address import UNKNOWN_WORKSPACE
from pages.shared import workspace
from pages.shared.workspace import PARAMETER, Workspace

#: The cookie with the key that was used last; the name of each workspace's own begins so, too.
_LAST = "parallax_workspace"

#: Where signing in ends, which wants its address as it is.
_SIGN_IN = ("/oauth2callback", "/auth/")

_DAY_S = 24 * 3600


class WorkspaceAddress:
    """The middleware that sees to it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; one for a page without a workspace gets another address."""
        if scope["type"] != "http" or not _is_page(request := Request(scope)):
            await self.app(scope, receive, send)
            return
        there = workspace.named(request.query_params.get(PARAMETER, ""))
        if there is None:
            own = workspace.named(_kept(request, _LAST)) or workspace.new()
            rest = [pair for pair in parse_qsl(request.url.query) if pair[0] != PARAMETER]
            if request.query_params.get(PARAMETER):
                rest.append((UNKNOWN_WORKSPACE, "1"))
            address = f"?{urlencode([(PARAMETER, own.key), *rest])}"
            await RedirectResponse(address, headers={"Cache-Control": "no-store"})(scope, receive, send)
            return

        async def send_with_cookies(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                safe = "; Secure" if request.url.scheme == "https" else ""
                for name in (_LAST, _cookie(there.id)):
                    kept = f"Max-Age={settings().keep_days * _DAY_S}; Path=/; HttpOnly; SameSite=Lax{safe}"
                    headers.append("Set-Cookie", f"{name}={quote(there.key, safe='')}; {kept}")
            await send(message)

        await self.app(scope, receive, send_with_cookies)


def may_see(request: Request, workspace_id: str) -> bool:
    """Whether the browser that asks has been to the workspace with this id."""
    return Workspace(_kept(request, _cookie(workspace_id))).id == workspace_id


def _kept(request: Request, cookie: str) -> str:
    return unquote(request.cookies.get(cookie, ""))


def _cookie(workspace_id: str) -> str:
    return f"{_LAST}_{workspace_id}"


def _is_page(request: Request) -> bool:
    wanted = request.headers.get("accept", "")
    signing_in = any(part in request.url.path for part in _SIGN_IN)
    return request.method == "GET" and "text/html" in wanted and not signing_in
