"""Progress of a job: what is done, how fast, the time left, and the button that stops it."""

from typing import Any

import streamlit as st

from common.escape import markdown
from common.settings import without_paths
from jobs.queue import Job, State
from pages.shared import cache


def progress_words(job: Job) -> str:
    """`240 of 1,440 answers · 96/s · 12 s left`, or what is done beside that, such as learning from the images.

    What is not counted in whole things is told as a share.
    """
    if job.cancelling:
        return "stopping …"
    if job.state is State.WAITING:
        return "waiting for its turn …"
    if job.note:
        return markdown(job.note)
    if not job.done:
        return "getting ready …"
    counted = job.total >= 2 and job.done >= 1
    words = [f"{int(job.done):,} of {job.total:,.0f} {job.unit}" if counted else f"{job.fraction:.0%}"]
    if counted and job.rate >= 1:
        words.append(f"{job.rate:,.0f}/s")
    if job.seconds_left is not None:
        words.append(f"{duration(job.seconds_left)} left")
    return " · ".join(words)


def stop_button(job: Job, key: str, **more: Any) -> None:
    """The button that stops a job; pressed once, it waits with everybody until the job has stopped."""
    words = "Stopping …" if job.cancelling else "Stop"
    st.button(words, key=key, on_click=job.stop, disabled=job.cancelling, **more)


def duration(seconds: float) -> str:
    """`12 s`, `3 min`, `1.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def progress_line(job: Job | None, key: str, polled: bool, hint: str = "", resume: str = "", halted: str = "") -> None:
    """How far a job is, and the way to stop it; runs the page again once when a job that was `polled` has ended.

    The line keeps its place then, so that nothing below it jumps: it tells how the job failed, or how to `resume` it
    once it was stopped, else the `hint`. Where pages begin jobs by themselves, `halted` is the name of theirs: what
    was stopped or has failed then waits for a button.
    """
    from pages.shared import session_jobs  # which stands on torch: the first page is drawn without it

    with st.container(height=64, border=False, horizontal=True, vertical_alignment="center"):
        if job is not None and job.active:
            st.progress(job.fraction, progress_words(job))
            stop_button(job, f"{key}_stop", icon=":material/stop:")
            return
        if polled:
            st.rerun()
        lines = dict.fromkeys(session_jobs.halted(halted).values()) if halted else {}
        failed = [line for line in lines if line != session_jobs.STOPPED]
        if failed or (job is not None and job.state is State.FAILED):
            error_line(failed[0] if failed or job is None else job.error)
        elif lines or (job is not None and job.stopped and job.state is State.CANCELLED):
            st.caption("Stopped. What is finished is kept, also over a restart" + (f"; {resume}." if resume else "."))
        else:
            st.caption(hint)
        if lines:
            resume_button(halted, f"{key}_resume", "Try again" if failed else "Resume")


def resume_button(name: str, key: str, words: str) -> None:
    """The button that lets the job `name` begin again: in the page's own run, wherever the button stands."""
    from pages.shared import session_jobs

    if st.button(words, key=key):
        session_jobs.resume(name)
        st.rerun()


def error_line(line: str) -> None:
    """A mistake or a failure, in the words that tell of it."""
    st.error(markdown(without_paths(line)), icon=":material/error:")


def wait_for(job: Job, key: str) -> None:
    """Show a job until it ends, then run the page again; a failed or stopped one leaves a line."""
    polled = job.active

    @st.fragment(run_every=0.4 if polled else None)
    def draw() -> None:
        if job.state is State.DONE or (polled and not job.active):
            st.rerun()
        if job.state is State.FAILED:
            error_line(job.error)
        elif job.state is State.CANCELLED:
            st.info("Stopped. Finished results are kept.")
        else:
            st.progress(job.fraction, f"{markdown(job.title)}: {progress_words(job)}")
            stop_button(job, f"{key}_cancel")

    draw()


def run_and_wait(job: Job, key: str, lane: str = "background") -> None:
    """Show the job with this job's key; a button resumes one that was stopped or has failed.

    It is started now if there was none, or if one is done and its files have gone since; but not where the last job
    that shares a part with it was stopped or has failed.
    """
    found = cache.jobs().find(job.key) or cache.jobs().last_at(job.parts)
    if found is None or found.state is State.DONE or (found.active and found.key != job.key):
        found = cache.jobs().submit(job, lane)
    ended_early = found.state in (State.FAILED, State.CANCELLED)  # before it is waited for: it may end meanwhile
    wait_for(found, key)
    if ended_early and st.button("Resume", key=f"{key}_again", icon=":material/play_arrow:"):
        cache.jobs().submit(job, lane)
        st.rerun()
