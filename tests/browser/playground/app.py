"""Parts of the playground on a page of their own; the app's root is on PYTHONPATH."""

import streamlit as st
from starlette.routing import Route

from pages.shared import assets, content

app = st.App("script.py", routes=[Route(content.ROUTE, content.serve), Route(assets.ROUTE, assets.serve)])
