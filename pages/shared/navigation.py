"""The script that Streamlit runs for every session: menu, sidebar, and the current page."""

from pathlib import Path

import streamlit as st

from common.errors import InputError, in_one_line
from common.escape import markdown
from common.settings import settings
from models.libraries import import_libraries
from pages.server import sign_in
from pages.shared import cache, session, sidebar, site_map, uploads

HERE = Path(__file__).parent
st.set_page_config(page_title="Parallax", page_icon=str(HERE / "icon.svg"), layout="wide")
st.logo(str(HERE / "logo.svg"), size="large")
page = st.navigation(site_map.menu(), position="hidden" if sign_in.is_wanted() else "sidebar")
if sign_in.is_wanted():
    sign_in.page()
try:
    needed = settings().data_folder, cache.store(), session.state()  # by everything
except (InputError, OSError) as error:
    st.error(markdown(in_one_line(error)), icon=":material/error:")
    st.stop()
# Streamlit fades what runs again, so that what is polled would blink.
st.html('<style>.stElementContainer[data-stale="true"] { opacity: 1 !important; }</style>')
with st.sidebar:
    sign_in.sidebar()
with sidebar.around_page():
    if page.url_path:  # all but the first page, which waits for them itself
        import_libraries()
    page.run()
uploads.let_go()
session.save()
