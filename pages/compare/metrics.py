"""Metrics of the maps on show: measured by a job on demand, shown beneath each map."""

from collections.abc import Iterable
from math import isnan

import streamlit as st

from common.errors import InputError
from common.escape import markdown
from explainers.attribution import AttributionRequest
from explainers.base import part_of
from explainers.evaluation import trust
from explainers.results import reason_for
from images.image_set import ImageSet
from jobs.queue import Job
from pages.shared import cache, session, session_jobs

#: The short names of the metrics beneath a map, and what they mean.
_MEANINGS = {
    "gap": ("gap", "Completeness: the share of the sum promised by the method that is missing. 0 %: complete."),
    "insertion": (
        "ins",
        "Insertion: mean probability of the target, 0 to 1, while a blurred image gets its pixels back, the most "
        "relevant first; higher is better.",
    ),
    "deletion": (
        "del",
        "Deletion: mean probability of the target, 0 to 1, while pixels turn grey, the most relevant first; lower is "
        "better.",
    ),
    "infidelity": (
        "infid",
        "Infidelity: share of what the score loses without a square of the image that the map does not predict. 0: all "
        "predicted; 1: nothing.",
    ),
    "randomisation": (
        "random",
        "Rank correlation with the map of the same model with random weights, -1 to 1. Near 0 is good; above 0.5 the "
        "map shows the image more than what the model has learnt.",
    ),
    "sensitivity": (
        "shift",
        "Sensitivity: relative change of the map when the image shifts by two pixels. 0: none; 1: another map.",
    ),
}

#: The name of the job.
JOB = "trust"


def submit(found: Iterable[AttributionRequest | str], images: ImageSet) -> None:
    """Measure the maps that were `found`, except those that failed; the job's note says why one cannot be measured."""
    sources, failures = session_jobs.sources(images), session.state().failures
    requests = [one for one in found if isinstance(one, AttributionRequest) and one.key not in failures]

    def work(job: Job) -> None:
        for done, request in enumerate(requests):
            job.report_in_between(done, len(requests))
            try:
                figures, inside = (*_MEANINGS, trust.MASKS), part_of(job.report, done, 1, len(requests))
                trust.measure(sources, request, figures, inside)
            except (InputError, RuntimeError) as error:
                job.say(reason_for(error))
        job.report(len(requests), len(requests))

    key = "trust " + " ".join(sorted(request.key for request in requests))
    job = Job(f"Measuring {len(requests)} maps", work, unit="maps", key=key)
    session.state().jobs[JOB] = cache.jobs().submit(job, "interactive")


def words(images: ImageSet, request: AttributionRequest) -> tuple[str, str]:
    """What has been measured: `ins 0.81 · del 0.12 · random 0.30`, and a line `subject 62% (peak in)` for each mask."""
    figures = trust.found(cache.store(), images, request)
    on_map = " · ".join(
        f"{short} {_figure(name, value)}"
        for name, (short, _) in _MEANINGS.items()
        if (value := getattr(figures, name)) is not None and not isnan(value)
    )
    on_masks = "\n".join(
        f"{kind} {one.mass:.0%} (peak {'in' if one.pointing >= 0.5 else 'out'})"
        for kind, one in figures.masks.items()
        if not isnan(one.mass)
    )
    return on_map, on_masks


def _figure(name: str, value: float) -> str:
    return f"{value:.1%}" if name == "gap" else f"{value:.2f}"


def meanings(images: ImageSet) -> None:
    """What the metrics mean, for a popover."""
    for short, meaning in _MEANINGS.values():
        st.markdown(f"**{short}** · {meaning}")
    if images.mask_kinds:
        st.markdown(
            f"**{markdown(', '.join(images.mask_kinds))}** · Share of the map's positive relevance on the mask of that "
            "name, and whether the map's maximum lies on it."
        )
    st.caption("No single metric is the truth: each tests one property of the map.")
