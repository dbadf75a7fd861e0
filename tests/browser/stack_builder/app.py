"""The stack builder as a page uses it, and nothing else; the app's root is on PYTHONPATH."""

import streamlit as st
from starlette.routing import Route

from pages.shared import assets

app = st.App("script.py", routes=[Route(assets.ROUTE, assets.serve)])
