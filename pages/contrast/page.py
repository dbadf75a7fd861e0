"""Contrast: why this class and not that one, by the nearest image between the two."""

import streamlit as st

from common.escape import markdown
from explainers.contrastive.generator import Trained
from explainers.contrastive.method import Contrastive
from figures.contrast_grid import contrast_figure, morph_figure
from pages.contrast import generator, view
from pages.contrast.controls import choose, choose_step, choose_view
from pages.contrast.jobs import CONTRAST, ContrastRequests, submit
from pages.shared import pick_navigation, session, session_jobs
from pages.shared.chart.component import chart
from pages.shared.job_progress import progress_line
from pages.shared.panels import ViewOptions, full_width, panels
from pages.shared.widgets import downloads, what_is_it

READING = (
    "Red is to be added, blue to be taken away, for the model to find both classes equally likely. Scroll over a panel "
    "to zoom, drag to pan: all move in step."
)


def page() -> None:
    """The contrasts of the selected images, and below them the generator; without one, how to get it."""
    st.title("Why this class and not another?")
    images = session.images()
    in_use = generator.in_use(images)
    if in_use is None:
        generator.offer(images)
        return
    above, below = st.container(), st.container()
    with below:  # first: where no image is selected, the page stops, and the generator is there all the same
        generator.section(images, in_use)
    with above:
        contrasts_of_picks(in_use)


def contrasts_of_picks(trained: Trained) -> None:
    """The contrasts of the selected images."""
    generator.pick_for_newcomers(pick_navigation.require_predictions("contrast"))
    page_state = pick_navigation.require_picks("contrast")
    spec = choose(page_state.cards)
    with pick_navigation.pager("contrast"):
        st.space("stretch")
        what_is_it(Contrastive())
    contrasts = ContrastRequests(page_state, spec, trained)
    submit(contrasts)
    options = choose_view()
    busy = session_jobs.active(CONTRAST) is not None
    st.fragment(show, run_every=0.4 if busy else None)(contrasts, options, busy)


def show(contrasts: ContrastRequests, options: ViewOptions, polled: bool) -> None:
    """The contrasts and the way to them; redrawn while they are being computed."""
    progress_line(session.state().jobs.get(CONTRAST), "contrast", polled, READING, halted=CONTRAST)
    page_state = contrasts.page_state
    image_id, size, rows = page_state.image_id, page_state.size(view.SIDE_PX), view.rows(contrasts, options)
    alt = f"What {len(page_state.cards)} models want changed in {image_id}"
    clicked = panels(contrast_figure(rows, size), "contrast_chart", alt, image_id, page_state.title)
    share, along_search = choose_step()
    row, curves = view.morph(contrasts, share, along_search)
    axis = "step of the search" if along_search else "step of the way"
    figure = morph_figure(row, curves, axis, size)
    words = "The way from one class to the other"
    chart(figure, key="contrast_morph", alt=words, title=f"{words}: {page_state.title}", toolbar=False)
    with st.container(horizontal=True, vertical_alignment="center"):
        downloads(image_id, "contrast", lambda: view.to_png_file(contrasts), lambda: view.to_npz_file(contrasts))
    if notes := view.notes(contrasts):
        st.caption("  \n".join(map(markdown, notes)))
    if clicked is not None:
        chosen = rows[clicked[0]].tiles[clicked[1]]
        title = f"{rows[clicked[0]].title} · {chosen.title}: {chosen.facts}"
        full_width(title, chosen.panel, size, 1.0)


page()
