"""The data set's own images of the highest and the lowest activation of a unit, or logit of a class."""

import html

import numpy as np
import streamlit as st

from images.image_set import ImageSet
from jobs.queue import Job
from models.card import ModelCard
from pages.shared import cache, session, session_jobs
from pages.shared.job_progress import error_line, wait_for
from suggestion import activations

#: Image sets up to this size are measured without being asked to.
_UNASKED = 2000

#: Two strips with their captions, in pixels, so that nothing jumps when they come.
_HEIGHT_PX = 290

#: Side of a thumbnail in pixels, where there is room for it, and how strips look: squares that share the width.
_SIDE_PX = 96
_FIGURE = f"flex:1 1 0;min-width:0;max-width:{_SIDE_PX}px"
_IMAGE = "width:100%;aspect-ratio:1;object-fit:cover;border-radius:4px;display:block"
_SMALL = "font-size:0.8rem;opacity:0.75;overflow:hidden;text-overflow:ellipsis"


def show(card: ModelCard, layer: str | None, unit: int, key: str, n: int = 4) -> None:
    """The `n` images of the highest and the `n` of the lowest activation of unit `unit` of `layer`, with the values.

    A unit's value is its mean activation over space; for no layer, `unit` is a class and the value its logit. What is
    not measured yet is measured in the background, in place of the images; large image sets only when asked for.
    """
    with st.container(height=_HEIGHT_PX, border=False, key=f"{key}_top_images"):
        values = measured(card, layer, key)
        if values is None:
            return
        images = session.images()
        most, least = activations.extremes(values[:, unit], n)
        _strip("Highest activation", most, values[:, unit], images)
        _strip("Lowest activation", least, values[:, unit], images)


def measured(card: ModelCard, layer: str | None, key: str, asked: bool = False) -> np.ndarray | None:
    """(N, units) float32 over the image set at work, as `cache.unit_activations`; draws the job until it is through.

    The job that measures another layer of this model for this place of the page is stopped. Large sets are
    measured when a button is pressed, unless somebody has `asked` for it already.
    """
    images = session.images()
    values = cache.unit_activations(card, images, layer)
    if values is not None:
        return values
    name, job_key = f"top images {key} {card.digest}", f"activation {card.digest} {images.digest} {layer}"
    found = cache.jobs().find(job_key)
    jobs = session.state().jobs
    if found is None or not found.active:
        ended_here = found is not None and found is jobs.get(name)
        if (ended_here or (not asked and len(images) > _UNASKED)) and not st.button(
            f"Measure {len(images):,} images", key=f"{key}_measure", icon=":material/play_arrow:"
        ):
            if found is not None and found.error:
                error_line(found.error)
            return None
        model_store, store = cache.model_store(), cache.store()

        def work(job: Job) -> None:
            activations.measure(model_store, card, images, layer, store, job.report_in_between)

        title = f"{layer or 'classes'} of {card.name}"
        if name in jobs and not jobs[name].active:
            session_jobs.resume(name)
        session_jobs.submit_work(name, job_key, title, "images", work)
        found = jobs[name]
    wait_for(found, f"{key}_top_images")
    return None


def _strip(title: str, rows: np.ndarray, values: np.ndarray, images: ImageSet) -> None:
    """Thumbnails in a row, however narrow it is, each with its value; more about it under the mouse."""
    figures = []
    for row in map(int, rows):
        name = html.escape(f"{images.names[row]} · {images.labels[row] or 'no label'}", quote=True)
        address = cache.thumbnail_uri(images.digest, row, _SIDE_PX)
        image = f"<img src='{address}' alt='{name}' title='{name}' style='{_IMAGE}'>"
        figures.append(f"<div style='{_FIGURE}'>{image}<div style='{_SMALL}'>{values[row]:.3g}</div></div>")
    words = f"<div style='{_SMALL};font-weight:600'>{title}</div>"
    st.html(f"{words}<div style='display:flex;gap:6px'>{''.join(figures)}</div>")
