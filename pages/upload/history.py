"""The training history of a model: given as a file, kept by the model's digest, drawn on its card."""

from pathlib import Path

import streamlit as st

from common.errors import InputError, in_one_line
from common.escape import markdown
from figures.training_curves import other_measures, training_curves
from models.card import ModelCard
from pages.shared import session, workspace
from pages.shared.chart.component import chart
from pages.shared.job_progress import error_line
from pages.shared.widgets import select
from playground.history import ACCURACY, LOSS, History
from playground.history_files import check_size, read_files
from playground.kept_histories import KeptHistories

_KINDS = "CSV, JSON or TensorBoard's event files, as Keras, Lightning, fastai, timm and Hugging Face write them."

#: The least width of the curves on a card and in the dialog.
_CARD_PX, _DIALOG_PX = 330, 560

#: What is drawn unless another curve is chosen.
_FIRST = "Accuracy and loss"


def kept() -> KeptHistories:
    """The histories of this server's models."""
    return KeptHistories(workspace.current().folder / "histories")


def on_card(card: ModelCard) -> None:
    """The history that a model was given, as curves; nothing where it was given none."""
    path = kept().path(card.digest)
    if not path.exists():
        return
    try:
        _show(_read(path, path.stat().st_mtime_ns), card, _CARD_PX)
    except InputError as error:
        error_line(str(error))


@st.dialog("Training history", width="large")
def dialog(card: ModelCard) -> None:
    """Give a model the history of its training, or take it away."""
    form(card)


def form(card: ModelCard) -> None:
    """A file or a run's folder, how it looks, and the button that keeps it."""
    st.caption(f"What was measured after each epoch of the training of **{markdown(card.name)}**. {_KINDS}")
    folder = st.toggle("A whole folder", key=f"upload_history_folder_{card.digest}", help="A run of TensorBoard.")
    files = st.file_uploader(
        "The folder of one run" if folder else "History, or the event files of one run",
        accept_multiple_files="directory" if folder else True,
        key=f"upload_history_{card.digest}_{folder}",
    )
    if files:
        try:
            check_size(sum(file.size for file in files), files[0].name)
            paths = [file.name for file in files if not folder or "tfevents" in file.name]
            title = files[0].name if len(files) == 1 else f"{len(paths)} files"
            by_path = {file.name: file.getvalue() for file in files if file.name in paths}
            history = read_files(by_path, title) if by_path else None
            if history is None or len(paths) > len(by_path):
                raise InputError("the event files of one run", f"{len(files)} files", "Upload its folder.")
        except InputError as error:
            error_line(str(error))
            return
        _show(history, card, _DIALOG_PX)
        if st.button("Keep this history", type="primary", key=f"upload_history_keep_{card.digest}"):
            try:
                kept().put(card.digest, history)
            except OSError as error:
                error_line(in_one_line(error))
                return
            st.rerun()
    elif kept().path(card.digest).exists() and st.button("Remove", key=f"upload_history_remove_{card.digest}"):
        kept().remove(card.digest)
        st.rerun()


def _show(history: History, card: ModelCard, width_px: int) -> None:
    """The curves, of accuracy and loss at first, and how the file was read."""
    key = f"upload_curves_{card.digest}_{width_px}"
    others = other_measures([history])
    standard = [_FIRST] if len(others) < len(history.values) else []
    options = [*standard, *others]
    several = len(options) > 1
    chosen = select("Curves", options, f"{key}_measure", label_visibility="collapsed") if several else options[0]
    figure = training_curves(
        [history], [session.state().colour(card.digest)], height_px=240, width_px=width_px,
        measures=(ACCURACY, LOSS) if chosen == _FIRST and standard else (chosen,),
    )  # fmt: skip
    alt = f"Training history of {card.name}, {len(history.epochs)} {history.unit}s"
    chart(figure, key=key, alt=alt, title="Training history", toolbar=False)
    st.caption("  \n".join(map(markdown, history.remarks)))


@st.cache_resource(show_spinner=False, max_entries=50)
def _read(path: Path, written_ns: int) -> History:
    """Read again when the file is written again."""
    history = KeptHistories(path.parent).get(path.stem)
    if history is None:
        raise InputError("the history of a model", "none", "Upload it again.")
    return history
