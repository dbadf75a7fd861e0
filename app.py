"""Parallax: see where several image classifiers disagree on a data set, and why.

This is the server. What a visitor sees begins in `pages/shared/navigation.py`.
"""

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Thread

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Route

from common.errors import InputError
from common.settings import check_at_start, settings
from jobs.retention import clean_daily
from models.libraries import import_libraries
from pages.server import assets, content, listening, sign_in, status
from pages.server.address import LongAddresses
from pages.server.guard import Guard
from pages.server.headers import SafeHeaders
from pages.server.workspace_address import WorkspaceAddress

check_at_start()
sign_in.check_at_start()


@asynccontextmanager
async def lifespan(_app: st.App) -> AsyncIterator[None]:
    """Load libraries, the model store and the demo while the first visitor's browser still loads the page."""
    Thread(target=load, name="load", daemon=True).start()
    clean_daily()
    yield


def load() -> None:
    """What takes seconds. A data folder that cannot be written, or a device that is not there, gets its line."""
    try:
        settings().data_folder  # noqa: B018
        import_libraries()
        from pages.shared import cache  # it imports torch, and its caches need the server that has started by now

        cache.demo_images()
        cache.demo_cards()
    except InputError as error:  # the pages say so, too
        print(error, file=sys.stderr)
    import explainers.registry  # noqa: F401 - the pages that explain want it, and captum with it

    gc.collect()
    gc.freeze()  # collections need not walk over the libraries: what visitors leave goes soon, and no page stands still


routes = [Route(served.ROUTE, served.serve) for served in (content, assets, status)]
middleware = [
    Middleware(SafeHeaders),
    Middleware(TrustedHostMiddleware, allowed_hosts=listening.host_names(), www_redirect=False),
    Middleware(Guard),
    Middleware(LongAddresses),
    Middleware(WorkspaceAddress),
]
app = st.App("pages/shared/navigation.py", lifespan=lifespan, routes=routes, middleware=middleware)
