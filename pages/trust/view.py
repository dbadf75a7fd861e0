"""The trust page's jobs and drawings: the table over methods × models, and the strip of a model that forgets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from explainers.attribution import AttributionRequest
from explainers.evaluation.cascades import CascadeRequest, likeness
from explainers.evaluation.table import EXPOSING, LIFT, evaluate, exposed
from explainers.registry import METHODS
from explainers.results import Sources
from figures.maps import colour_map, grey, has_evidence, map_scale, over
from images.image_set import ImageSet
from jobs.queue import Job
from models.card import ModelCard
from pages.shared import cache, session

_SIDE_PX = 224

#: Heading, format and meaning of the table's columns.
COLUMNS = {
    "method": ("Method", None, "The explanation method, at its default settings."),
    "model": ("Model", None, "The model that is explained, each towards its own answer."),
    "images": ("Images", "%d", "Pictures measured."),
    "gap": ("Gap ↓", "%.1f %%", "Median share of the promised sum that is missing. 0 %: complete; empty: no promise."),
    "insertion": ("Insertion ↑", "%.2f", "Mean probability while the strongest pixels come back first; high is good."),
    "deletion": ("Deletion ↓", "%.2f", "Mean probability while the strongest pixels go first; low is good."),
    "randomisation": ("Random ↓", "%.2f", "Median rank correlation with the maps of the net with random weights."),
    "sensitivity": ("Shift ↓", "%.2f", "Median change of the map when the picture moves by two pixels."),
    "seconds": ("s / image", "%.3f", "Time for one map."),
}
#: The same for each kind of mask.
MASK_COLUMNS = {
    "pointing": ("Pointing: {}", "%.0f %%", "Share of maps whose strongest place lies on the mask “{}”."),
    "mass": ("Mass: {}", "%.1f %%", "Share of the positive relevance that lies on the mask “{}”."),
    "lift": ("Lift: {}", "%.1f ×", "Relevance on “{}”, against that of a map that says the same everywhere."),
}


def submit(cards: list[ModelCard], methods: Sequence[str], images: ImageSet, image_ids: Sequence[str]) -> Job:
    """Measure every method on every model and picture; the job's result grows row by row."""
    sources = Sources(cache.model_store(), cache.store(), images)
    chosen = [METHODS[name] for name in methods]

    def work(job: Job) -> pd.DataFrame:
        def show(rows: pd.DataFrame) -> None:
            job.result = rows

        return evaluate(sources, cards, chosen, image_ids, progress=job.report, show=show)

    names = " ".join([*(card.digest for card in cards), *methods, *image_ids])
    job = Job(f"Measuring {len(methods)} methods", work, unit="maps", key=f"trust table {images.digest} {names}")
    session.state().jobs["trust_table"] = cache.jobs().submit(job)
    return session.state().jobs["trust_table"]


def draw_table(rows: pd.DataFrame) -> None:
    """The table, sortable by a click on a heading; columns of which nothing is known are left out.

    What does not suit, or failed, is told beneath.
    """
    columns = COLUMNS | {
        f"{name}:{kind}": (title.format(kind), form, meaning.format(kind))
        for kind in _kinds(rows)
        for name, (title, form, meaning) in MASK_COLUMNS.items()
    }
    titled = rows.assign(method=[METHODS[name].title for name in rows["method"]])
    shown = titled[titled["images"] > 0]
    shown = shown[[name for name in columns if name in shown and shown[name].notna().any()]]
    shares = [name for name in shown if "%%" in (columns[name][1] or "")]
    shown = shown.assign(**{name: 100 * shown[name] for name in shares})
    config = {
        name: st.column_config.TextColumn(title, help=meaning, width={"method": 150, "model": 84}.get(name))
        if form is None
        else st.column_config.NumberColumn(title, help=meaning, format=form)
        for name, (title, form, meaning) in columns.items()
    }
    height = min(36 * (len(shown) + 1), 620)
    st.dataframe(shown, column_config=config, hide_index=True, height=height, placeholder="–")
    unsuited = titled.dropna(subset=["reason"])
    if len(unsuited):
        with st.expander(f"What is not measured, and why ({len(unsuited)})"):
            for reason, group in unsuited.groupby("reason", sort=False):
                st.markdown(f"- {', '.join(group['method'])}: {reason}")


def draw_exposed(rows: pd.DataFrame) -> None:
    """Which models lean on what the masks mark, and by how many methods that shows."""
    for kind, by_model in exposed(rows).items():
        if not by_model:
            continue
        st.markdown(
            f"**Which models lean on the {kind}?** A method shows it when the mask “{kind}” holds more than "
            f"{EXPOSING:.0f} times the relevance of a map that says the same everywhere."
        )
        measured = rows[rows[f"{LIFT}:{kind}"].notna()].groupby("model", sort=False).size()
        for model, names in by_model.items():
            titles = ", ".join(METHODS[name].title for name in names)
            found = f"shown by {len(names)} of {measured[model]} methods: {titles}" if names else None
            st.markdown(f"- **{model}**: {found or f'by none of {measured[model]}'}")


def _kinds(rows: pd.DataFrame) -> list[str]:
    return [name.removeprefix(f"{LIFT}:") for name in rows if name.startswith(f"{LIFT}:")]


def draw_strip(request: AttributionRequest, images: ImageSet) -> None:
    """The map, and what is left of it stage by stage, with the rank correlation to the first."""
    strip = CascadeRequest(request).load(cache.store())
    if strip is None:
        return
    picture = cache.picture(images.digest, request.image_id, _SIDE_PX)
    pairs = list(zip(strip, likeness(strip), strict=True))
    for column, (stage, correlation) in zip(st.columns(len(pairs), gap="small"), pairs, strict=True):
        with column:
            st.image(_laid_over(request, stage.maps, picture), width="stretch")
            words = [f"random from the answer down to {stage.layer}" if stage.layer else "as it was learnt"]
            if stage.maps is not None and not stage.maps.any():
                words.append("the map is empty")
            elif stage.layer and not np.isnan(correlation):
                words.append(f"rank correlation {correlation:.2f}")
            st.caption(" · ".join([*words, stage.reason] if stage.reason else words))


def _laid_over(request: AttributionRequest, maps: np.ndarray | None, picture: np.ndarray) -> np.ndarray:
    """The picture in grey, with the map over it where it says anything."""
    base = grey(picture)
    if maps is None:
        return base
    placed = request.card.preprocessing.to_image(maps[0], *picture.shape[:2])
    if not has_evidence(placed):
        return base
    return over(base, colour_map(placed, request.method.signed, map_scale([placed]), overlay=True), 0.9)
