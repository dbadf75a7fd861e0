"""Two charts on one page, and a page without any."""

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from figures.colours import TEXT_COLOUR
from pages.shared.chart.component import chart, drawing

N_POINTS = 50_000


def charts() -> None:
    """A cloud of points that tells what the mouse does, and bars that change."""
    x, y = np.random.default_rng(0).random((2, N_POINTS), dtype=np.float32)
    cloud = go.Figure(go.Scattergl(x=x, y=y, mode="markers", customdata=np.arange(N_POINTS)))
    watch(drawing(cloud.update_layout(dragmode="select")))
    bars = go.Figure(go.Bar(x=[1, 2, 3], y=[3, 1, 2] if st.checkbox("Other bars") else [1, 2, 3]))
    bars.add_vline(x=1.5, line={"color": TEXT_COLOUR})
    again = "again" if st.checkbox("Another revision") else ""
    chart(
        bars.update_layout(height=300, xaxis={"range": [0.5, 3.5]}),
        key="bars",
        alt="Three bars",
        revision=again,
        reset="All of it",
        toolbar=False,
        wheel=True,
    )


@st.fragment
def watch(cloud) -> None:
    def note(name):
        return lambda what: st.session_state.update({name: what})

    now = chart(cloud, key="cloud", alt="Many points", on_click=note("click"), on_select=note("box"), on_hover="rerun")
    click, box = st.session_state.get("click"), st.session_state.get("box") or []
    st.text(f"hover {now and now.data}, click {click and click.data}, box {len(box)}")


st.navigation(
    [
        st.Page(charts, title="Charts", default=True),
        st.Page(lambda: st.title("None"), title="None", url_path="none"),
    ]
).run()
