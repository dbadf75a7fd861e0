"""Compare: the maps of every model by several methods, side by side."""

import streamlit as st

from common.errors import InputError
from figures.compare import compare_figure
from pages.compare import jobs, view
from pages.compare.controls import OVERLAY, MapSpec, choose_image, choose_maps, choose_view
from pages.shared import pick_navigation, session
from pages.shared.page_state import PageState


def page() -> None:
    """What to compute, then the grid of maps, redrawn while they are computed."""
    st.title("Compare attribution maps")
    table = pick_navigation.require_predictions("compare")
    pick_navigation.require_picks(table, "compare")
    page_state = PageState(session.cards(), session.images(), table)
    try:
        spec = choose_maps(page_state.cards)
        image_id, pressed = choose_image(spec, page_state.images)
        jobs.submit(spec, page_state)
        if pressed:
            jobs.measure(spec, page_state, image_id)
        poll_s = jobs.poll_s()
        st.fragment(map_grid, run_every=poll_s)(spec, page_state, image_id, poll_s is not None)
    except InputError as error:
        st.error(str(error), icon=":material/error:")


def map_grid(spec: MapSpec, page_state: PageState, image_id: str, polled: bool) -> None:
    """View options, downloads, progress, and the figure."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        options = choose_view()
        st.download_button(
            "Save PNG",
            lambda: view.to_png_file(spec, page_state, image_id, options),
            f"{image_id}.png",
            "image/png",
            key="compare_png",
            icon=":material/download:",
            help="The maps over the image, as one picture",
        )
        st.download_button(
            "Save npz",
            lambda: view.to_npz_file(spec, page_state, image_id),
            f"{image_id}.npz",
            key="compare_npz",
            icon=":material/download:",
            help="The raw maps, as METHOD/MODEL",
        )
    pick_navigation.progress(jobs.JOBS, polled)
    grid = view.map_grid(spec, page_state, image_id, options)
    opacity = options.opacity if options.view == OVERLAY else 1.0
    pick_navigation.panels(
        compare_figure(grid.picture, grid.size, grid.columns, grid.rows, opacity),
        "compare_chart",
        f"Maps of {image_id} by {len(spec.methods)} methods for {len(page_state.cards)} models",
        image_id,
    )
    state = session.state()
    if state.expanded is not None:
        (row, column), state.expanded = state.expanded, None
        title = f"{grid.rows[row].title} · {page_state.cards[column].name}"
        pick_navigation.full_width(title, grid.rows[row].panels[column], grid.size, opacity)


page()
