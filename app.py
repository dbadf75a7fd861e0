"""Parallax: see where several image classifiers disagree on a data set, and why."""

import streamlit as st

from pages.shared import last_drawing, session, sidebar, theme

st.set_page_config(page_title="Parallax", page_icon=":material/visibility:", layout="wide")
st.logo("pages/shared/logo.svg", size="large")

page = st.navigation(
    {
        "Set up": [st.Page("pages/upload/page.py", title="Upload", icon=":material/upload:", default=True)],
        "Find": [
            st.Page(
                "pages/suggestion/page.py", title="Suggestion", icon=":material/scatter_plot:", url_path="suggestion"
            )
        ],
        "Explain": [
            st.Page("pages/compare/page.py", title="Compare", icon=":material/compare:", url_path="compare"),
            st.Page("pages/reason/page.py", title="Reason", icon=":material/layers:", url_path="reason"),
            st.Page(
                "pages/prediction_difference/page.py",
                title="Prediction difference",
                icon=":material/difference:",
                url_path="prediction_difference",
            ),
            st.Page("pages/contrast/page.py", title="Contrast", icon=":material/contrast:", url_path="contrast"),
            st.Page("pages/trust/page.py", title="Trust", icon=":material/balance:", url_path="trust"),
        ],
        "Inside": [
            st.Page("pages/maxout/page.py", title="MaxOut", icon=":material/auto_awesome:", url_path="maxout"),
            st.Page("pages/layers/page.py", title="Layers", icon=":material/grid_view:", url_path="layers"),
        ],
    }
)
theme.steady()
session.remember()
with sidebar.beside():
    page.run()
with st.sidebar:
    last_drawing.keep()
