"""Contrast: why this class and not that one, by the nearest image between the two."""

import streamlit as st

from common.errors import InputError
from explainers.contrastive.generator import Trained
from explainers.contrastive.method import Contrastive
from figures.contrast_grid import contrast_figure, morph_figure
from images.image_set import ImageSet
from pages.contrast import generator, view
from pages.contrast import jobs as working
from pages.contrast.controls import choose, choose_step, look_at
from pages.contrast.jobs import CONTRAST, Scene
from pages.contrast.view import Look
from pages.shared import pick_navigation, session, session_jobs
from pages.shared.chart.component import chart
from pages.shared.param_widgets import about

READING = (
    "Red is to be added, blue to be taken away, for the model to find both classes equally likely. Scroll over a panel "
    "to zoom, drag to pan: all move in step."
)


def page() -> None:
    """The contrasts of the selected images, and below them the generator; without one, how to get it."""
    st.title("Why this class and not another?")
    images = session.images()
    try:
        in_use = generator.in_use(images)
        if in_use is None:
            generator.offer(images)
            return
        above, below = st.container(), st.container()
        with below:  # first: where no image is selected, the page stops, and the generator is there all the same
            generator.section(images, in_use)
        with above:
            contrasts(images, in_use)
    except InputError as error:
        st.error(str(error), icon=":material/error:")


def pager() -> str:
    """The selected image on show; beside it, what the method is."""
    with st.container(horizontal=True, vertical_alignment="center"):
        image_id = pick_navigation.pager("contrast")
        st.space("stretch")
        with st.popover("What is it?", icon=":material/info:", type="tertiary"):
            st.markdown(about(Contrastive()))
    return image_id


def show(scene: Scene, image_id: str, look: Look, polled: bool) -> None:
    """The contrasts and the way to them; redrawn while they are being computed."""
    pick_navigation.progress([CONTRAST], polled, READING)
    size, rows = view.size_of(scene, image_id), view.rows(scene, image_id, look)
    alt = f"What {len(scene.cards)} models want changed in {image_id}"
    state = session.state()
    pick_navigation.panels(contrast_figure(rows, size), "contrast_chart", alt, image_id)
    share, along_search = choose_step()
    row, curves = view.morph(scene, image_id, share, along_search)
    axis = "step of the search" if along_search else "step of the way"
    figure = morph_figure(row, curves, axis, size)
    chart(figure, key="contrast_morph", alt="The way from one class to the other", toolbar=False)
    with st.container(horizontal=True, vertical_alignment="center"):  # lines that come late find room here
        parts = scene, image_id
        png, npz = lambda: view.to_png_file(*parts), lambda: view.to_npz_file(*parts)
        icon = ":material/download:"
        st.download_button("Image (PNG)", png, f"{image_id}.png", "image/png", key="contrast_png", icon=icon)
        st.download_button("Raw arrays (npz)", npz, f"{image_id}.npz", key="contrast_npz", icon=icon)
    if notes := view.notes(scene, image_id):
        st.caption("  \n".join(notes))
    if state.expanded is not None:
        (band, tile), state.expanded = state.expanded, None
        if band < len(rows) and tile < len(rows[band].tiles):
            chosen = rows[band].tiles[tile]
            pick_navigation.full_width(f"{rows[band].title} · {chosen.title}: {chosen.facts}", chosen.panel, size, 1.0)


def contrasts(images: ImageSet, trained: Trained) -> None:
    """The contrasts of the selected images."""
    table = pick_navigation.require_predictions("contrast")
    generator.pick_for_newcomers(table)
    pick_navigation.require_picks(table, "contrast")
    cards = session.cards()
    choice = choose(cards)
    image_id = pager()
    scene = Scene(choice, tuple(cards), images, table, trained)
    working.submit(scene)
    look = look_at()
    busy = session_jobs.active(CONTRAST) is not None
    st.fragment(show, run_every=0.4 if busy else None)(scene, image_id, look, busy)


page()
