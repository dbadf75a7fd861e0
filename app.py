"""Parallax: see where several image classifiers disagree on a data set, and why."""

import streamlit as st

from pages.parts import last_drawing, sidebar, state, theme

st.set_page_config(page_title="Parallax", page_icon=":material/visibility:", layout="wide")
st.logo("pages/parts/logo.svg", size="large")

page = st.navigation(
    {
        "Set up": [st.Page("pages/setup/upload.py", title="Upload", icon=":material/upload:", default=True)],
        "Find": [st.Page("pages/find/suggestion.py", title="Suggestion", icon=":material/scatter_plot:")],
        "Explain": [
            st.Page("pages/explain/compare.py", title="Compare", icon=":material/compare:"),
            st.Page("pages/explain/reason.py", title="Reason", icon=":material/layers:"),
            st.Page(
                "pages/explain/prediction_difference.py", title="Prediction difference", icon=":material/difference:"
            ),
            st.Page("pages/explain/contrast.py", title="Contrast", icon=":material/contrast:"),
            st.Page("pages/explain/trust.py", title="Trust", icon=":material/balance:"),
        ],
        "Inside": [
            st.Page("pages/inside/maxout.py", title="MaxOut", icon=":material/auto_awesome:"),
            st.Page("pages/inside/layers.py", title="Layers", icon=":material/grid_view:"),
        ],
    }
)
theme.steady()
state.remember()
with sidebar.beside():
    page.run()
with st.sidebar:
    last_drawing.keep()
