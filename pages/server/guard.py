"""What of Streamlit's own routes is not for everybody."""

import json

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from streamlit.auth_util import get_cookie_with_chunks
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

from pages.server import status
from pages.server.listening import signs_in


class Guard:
    """Middleware: measurements go to the teacher's key, and only who has signed in, where one must, may upload.

    Measuring takes time at every request; an upload takes memory before any page has run.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            request = Request(scope)
            if "/_stcore/metrics" in request.url.path and not status.has_key(request):
                await Response("Not Found", status_code=404)(scope, receive, send)
                return
            if "/_stcore/upload_file" in request.url.path and signs_in() and not is_signed_in(request):
                await Response("Sign in first", status_code=401)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def is_signed_in(request: Request) -> bool:
    """Whether a request carries the cookie that Streamlit signs once somebody has signed in."""

    def signed(name: str) -> bytes | None:
        given = request.cookies.get(name, "").encode("latin-1", "replace")
        return decode_signed_value(get_cookie_secret(), name, given)

    try:
        user = json.loads(get_cookie_with_chunks(signed, USER_COOKIE_NAME) or b"{}")
    except ValueError:
        return False
    return isinstance(user, dict) and user.get("is_logged_in") is True
