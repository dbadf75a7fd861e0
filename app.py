"""Parallax: see where several image classifiers disagree on a data set, and why.

This is the server. What a visitor sees begins in `pages/shared/navigation.py`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Route

from common.settings import check_at_start
from jobs.retention import clean_daily
from pages.server import assets, content, listening, sign_in, start, status
from pages.server.address import LongAddresses
from pages.server.guard import Guard
from pages.server.headers import SafeHeaders
from pages.server.workspace_address import WorkspaceAddress

check_at_start()
sign_in.check_at_start()


@asynccontextmanager
async def lifespan(_app: st.App) -> AsyncIterator[None]:
    """What runs beside the pages from the start."""
    start.load()
    clean_daily()
    yield


routes = [Route(served.ROUTE, served.serve) for served in (content, assets, status)]
middleware = [
    Middleware(SafeHeaders),
    Middleware(TrustedHostMiddleware, allowed_hosts=listening.host_names(), www_redirect=False),
    Middleware(Guard),
    Middleware(LongAddresses),
    Middleware(WorkspaceAddress),
]
app = st.App("pages/shared/navigation.py", lifespan=lifespan, routes=routes, middleware=middleware)
