"""The table of metrics over methods × models, and the maps of a model whose weights are randomised."""

import numpy as np
import pandas as pd
import streamlit as st

from common.escape import markdown
from explainers.attribution import AttributionRequest
from explainers.evaluation.cascades import CascadeRequest, likeness
from explainers.evaluation.table import EXPOSING, LIFT, exposed
from explainers.registry import METHODS
from figures.maps import grey, has_evidence, map_over, map_scale
from images.image_set import ImageSet
from pages.shared import cache

_SIDE_PX = 224

#: Height of a row in pixels, and the rows on show, the heading among them.
_ROW_PX, _N_ROWS = 35, 17

#: Heading, format and meaning of the table's columns.
_COLUMNS = {
    "method": ("Method", None, "The attribution method, at its default settings."),
    "model": ("Model", None, "The model that is explained; the target is its predicted class."),
    "gap": ("Gap ↓", "%.1f %%", "Completeness: median share of the promised sum that is missing. Empty: no promise."),
    "insertion": ("Insertion ↑", "%.2f", "Mean probability while pixels are inserted, the most relevant first."),
    "deletion": ("Deletion ↓", "%.2f", "Mean probability while pixels are deleted, the most relevant first."),
    "infidelity": (
        "Infidelity ↓",
        "%.2f",
        "Median share of what the score loses without a square of the image that the map does not predict; 1: nothing "
        "predicted (Yeh et al. 2019).",
    ),
    "randomisation": ("Random ↓", "%.2f", "Median rank correlation with the maps of the model with random weights."),
    "sensitivity": ("Shift ↓", "%.2f", "Median relative change of the map when the image shifts by two pixels."),
    "max_sensitivity": (
        "Max-sens. ↓",
        "%.2f",
        "Max-sensitivity: median of the map's largest relative change under invisible noise (Yeh et al. 2019).",
    ),
}
#: The same for each kind of mask.
_MASK_COLUMNS = {
    "pointing": ("Pointing: {}", "%.0f %%", "Pointing game: share of maps whose maximum lies on the mask “{}”."),
    "mass": ("Mass: {}", "%.1f %%", "Relevance mass: share of the positive relevance on the mask “{}”."),
    "lift": ("Lift: {}", "%.1f ×", "Relevance mass on the mask “{}”, divided by that of a uniform map."),
}
_LAST_COLUMNS = {
    "images": ("Images", "%d", "Number of images measured."),
    "seconds": ("s / map", "%.3f", "Seconds for one map."),
}


def metrics_table(rows: pd.DataFrame) -> None:
    """The table, sortable by a click on a heading, without empty columns; beneath it, what was not measured."""
    on_masks = {
        f"{name}:{kind}": (title.format(kind), form, meaning.format(markdown(kind)))
        for kind in _mask_kinds(rows)
        for name, (title, form, meaning) in _MASK_COLUMNS.items()
    }
    columns = _COLUMNS | on_masks | _LAST_COLUMNS
    titled = rows.assign(method=[METHODS[name].title for name in rows["method"]])
    shown = titled[titled["images"] > 0]
    shown = shown[[name for name in columns if name in shown and shown[name].notna().any()]]
    shares = [name for name in shown if "%%" in (columns[name][1] or "")]
    shown = shown.assign(**{name: 100 * shown[name] for name in shares})
    config = {
        name: st.column_config.TextColumn(title, help=meaning, width=150 if name == "method" else 84, pinned=True)
        if form is None
        else st.column_config.NumberColumn(title, help=meaning, format=form)
        for name, (title, form, meaning) in columns.items()
    }
    height = _ROW_PX * min(len(shown) + 1, _N_ROWS) + 2
    st.dataframe(shown, column_config=config, hide_index=True, height=height, placeholder="–")
    not_measured = titled.dropna(subset=["reason"])
    if len(not_measured):
        with st.expander(f"Not measured ({len(not_measured)})"):
            for reason, group in not_measured.groupby("reason", sort=False):
                unnamed = [title for title in group["method"].unique() if title not in str(reason)]
                line = markdown(str(reason))
                st.markdown(f"- {', '.join(unnamed)}: {line}" if unnamed else f"- {line}")


def relied_on(rows: pd.DataFrame) -> None:
    """Which models rely on what the masks mark, and by how many methods that shows."""
    for kind, by_model in exposed(rows).items():
        if not by_model:
            continue
        st.markdown(
            f"**Which models rely on the {markdown(kind)}?** The methods that put more than {EXPOSING:.0f} times as "
            f"much relevance on the mask “{markdown(kind)}” as a uniform map does:"
        )
        measured = rows[rows[f"{LIFT}:{kind}"].notna()].groupby("model", sort=False).size()
        lines = []
        for model, names in by_model.items():
            titles = f" ({', '.join(METHODS[name].title for name in names)})" if names else ""
            lines.append(f"**{markdown(model)}**: {len(names)} of {measured[model]} methods{titles}")
        st.markdown("  \n".join(lines))


def _mask_kinds(rows: pd.DataFrame) -> list[str]:
    return [name.removeprefix(f"{LIFT}:") for name in rows if name.startswith(f"{LIFT}:")]


def stages(request: CascadeRequest, images: ImageSet) -> None:
    """The map, and the maps of each stage of randomisation, with their rank correlation with the first."""
    strip = request.load(cache.store())
    if strip is None:
        return
    pixels = cache.image(images.digest, request.attribution.image_id, _SIDE_PX)
    pairs = list(zip(strip, likeness(strip), strict=True))
    for column, (stage, correlation) in zip(st.columns(len(pairs), gap="small"), pairs, strict=True):
        with column:
            st.image(_overlay(request.attribution, stage.maps, pixels), width="stretch")
            words = [f"random down to {stage.layer}" if stage.layer else "trained model"]
            if stage.maps is not None and not stage.maps.any():
                words.append("empty map")
            elif stage.layer and not np.isnan(correlation):
                words.append(f"ρ = {correlation:.2f}")
            if stage.reason:
                words.append(stage.reason)
            st.caption("  \n".join(map(markdown, words)))


def _overlay(request: AttributionRequest, maps: np.ndarray | None, pixels: np.ndarray) -> np.ndarray:
    """The image in grey, with the map over it where it has evidence."""
    placed = None if maps is None else request.card.preprocessing.to_image(maps[0], *pixels.shape[:2])
    if placed is None or not has_evidence(placed):
        return grey(pixels)
    return map_over(pixels, placed, request.method.signed, map_scale([placed]), 0.9)
