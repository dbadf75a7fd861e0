"""The stack builder as a page uses it, and nothing else; the app's root is on PYTHONPATH."""

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Route

from pages.server import assets
from pages.server.headers import SafeHeaders

routes = [Route(assets.ROUTE, assets.serve)]
app = st.App("script.py", routes=routes, middleware=[Middleware(SafeHeaders)])
