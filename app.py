"""Parallax: see where several image classifiers disagree on a data set, and why.

This is the server. What a visitor sees begins in `pages/shared/navigation.py`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from threading import Thread

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.errors import InputError
from models.libraries import import_libraries
from pages.shared import assets, content


class SafeHeaders:
    """Browsers do not guess at the type of what they get, nor tell other sites where a visitor came from."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add the headers to its answer."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin"}
                MutableHeaders(scope=message).update(headers)
            await send(message)

        await self.app(scope, receive, send_with_headers)


@asynccontextmanager
async def lifespan(_app: st.App) -> AsyncIterator[None]:
    """Load libraries, the model store and the demo while the first visitor's browser still loads the page."""
    Thread(target=load, name="load", daemon=True).start()
    yield


def load() -> None:
    """What takes seconds."""
    import_libraries()
    from pages.shared import cache  # it imports torch, and its caches need the server that has started by now

    with suppress(InputError):  # of a data folder that cannot be written: the page says so
        cache.demo_images()
        cache.demo_cards()
    import explainers.registry  # noqa: F401 - the pages that explain want it, and captum with it


routes = [Route(content.ROUTE, content.serve), Route(assets.ROUTE, assets.serve)]
app = st.App("pages/shared/navigation.py", lifespan=lifespan, routes=routes, middleware=[Middleware(SafeHeaders)])
