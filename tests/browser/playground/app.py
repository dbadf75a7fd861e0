"""Parts of the playground on a page of their own; the app's root is on PYTHONPATH."""

import streamlit as st
from starlette.middleware import Middleware
from starlette.routing import Route

from pages.server import assets, content
from pages.server.headers import SafeHeaders
from pages.server.workspace_address import WorkspaceAddress

routes = [Route(content.ROUTE, content.serve), Route(assets.ROUTE, assets.serve)]
app = st.App("script.py", routes=routes, middleware=[Middleware(SafeHeaders), Middleware(WorkspaceAddress)])
