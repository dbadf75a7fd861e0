"""Contrast: why this class and not that one, by the nearest picture between the two."""

import streamlit as st

from bank.errors import InputError
from explainers.contrastive.generator import Trained
from explainers.contrastive.method import Contrastive
from figures.contrast_grid import contrast_figure, morph_figure
from pages.parts import chart_events, contrast_generator, contrast_view, over_picks, state
from pages.parts import contrast_work as working
from pages.parts.contrast_controls import choose, choose_step, look_at
from pages.parts.contrast_view import Look
from pages.parts.contrast_work import CONTRAST, Scene
from pages.parts.controls import about
from pages.parts.theme import ink

READING = (
    "Red is to be added, blue to be taken away, for the model to find both classes equally likely. Scroll over a panel "
    "to zoom, drag to pan: all move in step."
)


def pager() -> str:
    """Which of the picks is on show; beside it, what the method is."""
    with st.container(horizontal=True, vertical_alignment="center"):
        image_id = over_picks.pager("contrast")
        st.space("stretch")
        with st.popover("What is it?", icon=":material/info:", type="tertiary"):
            st.markdown(about(Contrastive()))
    return image_id


def show(scene: Scene, image_id: str, look: Look, polled: bool) -> None:
    """The contrasts and the way to them; while they are being found, they are drawn anew."""
    over_picks.progress([CONTRAST], polled, READING)
    size, rows = contrast_view.size_of(scene, image_id), contrast_view.rows(scene, image_id, look)
    zoom = chart_events.on_zoom("contrast_chart", f"contrast_zoom_{image_id}_{mine.n_unzoomed}")
    with st.container(key="contrast_chart"):  # a chart with a key of its own would be made anew, and forget the zoom
        over_picks.panels(
            contrast_figure(rows, size, ink(), zoom),
            f"What {len(scene.cards)} models want changed in {image_id}",
        )
    chart_events.on_click("contrast_chart", "contrast_clicks", over_picks.expand)
    share, along_search = choose_step()
    row, curves = contrast_view.morph(scene, image_id, share, along_search)
    axis = "step of the search" if along_search else "step of the way"
    with st.container(key="contrast_morph"):
        figure = morph_figure(row, curves, axis, size, ink())
        st.plotly_chart(figure, config={"displayModeBar": False}, alt="The way from one class to the other")
    with st.container(horizontal=True, vertical_alignment="center"):  # lines that come late find room here
        parts = scene, image_id
        png, npz = lambda: contrast_view.to_png_file(*parts), lambda: contrast_view.to_npz_file(*parts)
        icon = ":material/download:"
        st.download_button("Picture (PNG)", png, f"{image_id}.png", "image/png", key="contrast_png", icon=icon)
        st.download_button("Raw arrays (npz)", npz, f"{image_id}.npz", key="contrast_npz", icon=icon)
    if notes := contrast_view.notes(scene, image_id):
        st.caption("  \n".join(notes))
    if mine.expanded is not None:
        (band, tile), mine.expanded = mine.expanded, None
        if band < len(rows) and tile < len(rows[band].tiles):
            chosen = rows[band].tiles[tile]
            over_picks.full_width(f"{rows[band].title} · {chosen.title}: {chosen.facts}", chosen.panel, size, 1.0)


def contrasts(trained: Trained) -> None:
    """What there is to see of the picks."""
    table = over_picks.answers("contrast")
    contrast_generator.pick_for_newcomers(table)
    over_picks.need_picks(table, "contrast")
    cards = state.cards()
    choice = choose(cards)
    image_id = pager()
    scene = Scene(choice, tuple(cards), images, table, trained)
    working.submit(scene)
    look = look_at()
    busy = over_picks.active_job([CONTRAST]) is not None
    st.fragment(show, run_every=0.4 if busy else None)(scene, image_id, look, busy)


mine, images = state.work(), state.images()
st.title("Why this and not that?")
try:
    in_use = contrast_generator.in_use(images)
    if in_use is None:
        contrast_generator.offer(images)
    else:
        above, below = st.container(), st.container()
        with below:  # first: where nothing is picked, the page stops, and the generator is there all the same
            contrast_generator.section(images, in_use)
        with above:
            contrasts(in_use)
except InputError as error:
    st.error(str(error), icon=":material/error:")
