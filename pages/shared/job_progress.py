"""Progress of a job: what is done, how fast, the time left, and the button that stops it."""

import streamlit as st

from jobs.queue import Job, State
from pages.shared import cache


def progress_words(job: Job) -> str:
    """`240 of 1,440 answers · 96/s · 12 s left`, or what is done beside that, such as learning from the images."""
    if job.note:
        return job.note
    if not job.done:
        return "getting ready …"
    words = [f"{int(job.done):,} of {job.total:,.0f} {job.unit}"]
    if job.rate >= 1:
        words.append(f"{job.rate:,.0f}/s")
    if job.seconds_left is not None:
        words.append(f"{duration(job.seconds_left)} left")
    return " · ".join(words)


def duration(seconds: float) -> str:
    """`12 s`, `3 min`, `1.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def progress_line(
    job: Job | None, key: str, polled: bool, hint: str = "", resume: str = "change any setting to continue"
) -> None:
    """How far a job is, and the way to stop it; runs the page again once when a job that was `polled` has ended.

    The line keeps its place then, so that nothing below it jumps: it tells how the job failed, or how to `resume` it
    once it was stopped, else the `hint`.
    """
    with st.container(height=64, border=False, horizontal=True, vertical_alignment="center"):
        if job is not None and job.active:
            st.progress(job.fraction, progress_words(job))
            st.button("Stop", icon=":material/stop:", key=f"{key}_stop", on_click=job.cancel, disabled=job.cancelling)
        elif polled:
            st.rerun()
        elif job is not None and job.state is State.FAILED:
            st.error(job.error, icon=":material/error:")
        elif job is not None and job.state is State.CANCELLED:
            st.caption(f"Stopped. What is finished is kept, also over a restart; {resume}.")
        else:
            st.caption(hint)


def wait_for(job: Job, key: str) -> None:
    """Show a job until it ends, then run the page again; a failed or stopped one leaves a line."""

    @st.fragment(run_every=0.4 if job.active else None)
    def draw() -> None:
        if job.state is State.DONE:
            st.rerun()
        if job.state is State.FAILED:
            st.error(job.error, icon=":material/error:")
        elif job.state is State.CANCELLED:
            st.info("Stopped. Finished results are kept; resume to continue.")
        else:
            st.progress(job.fraction, f"{job.title}: {progress_words(job)}")
            st.button("Stop", key=f"{key}_cancel", on_click=job.cancel)

    draw()


def run_and_wait(job: Job, key: str, lane: str = "background") -> None:
    """Show the job with this job's key; a button resumes one that was stopped or has failed.

    It is started now if there was none, or if one is done and its files have gone since.
    """
    found = cache.jobs().find(job.key)
    if found is None or found.state is State.DONE:
        found = cache.jobs().submit(job, lane)
    wait_for(found, key)
    if found.state in (State.CANCELLED, State.FAILED) and st.button("Resume", key=f"{key}_again"):
        cache.jobs().submit(job, lane)
        st.rerun()
