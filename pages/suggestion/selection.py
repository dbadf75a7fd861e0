"""One image at a glance, and the selected images: what can be done with them, and a gallery."""

import streamlit as st

from common.escape import markdown
from images.image_set import ImageSet
from pages.shared import cache, session, site_map
from pages.shared.page_state import PageState
from suggestion.table import Predictions
from suggestion.views import mean_confidence, n_predicted_classes

_HEIGHT_PX = 450
_RIGHT, _WRONG, _NOT_ITS_CLASS = (
    " :green[:material/check:]",
    " :red[:material/close:]",
    " :small[(lacks the true class)]",
)


def preview(page_state: PageState, row: int | None) -> None:
    """The image in `row` of the table with every model's prediction, or a hint; the height never changes."""
    table, images = page_state.table, page_state.images
    with st.container(height=_HEIGHT_PX, border=True, key="preview"):
        if row is None:
            st.caption("Hover over a point to see the image and what each model predicts.")
            return
        st.image(cache.thumbnail(images.digest, row), alt=images.names[row])
        n_classes, confidence = n_predicted_classes(table)[row], mean_confidence(table)[row]
        st.caption(f"{markdown(images.names[row])} · {n_classes} classes predicted · mean confidence {confidence:.3f}")
        lines = [f"**true class** {markdown(table.class_name(int(table.true[row])) or 'unknown')}"]
        for m, (digest, name) in enumerate(zip(table.models, table.model_names, strict=True)):
            said = markdown(f"{name}: {table.class_name(int(table.predicted[row, m]))}")
            mark = _WRONG if table.errors[row, m] else _RIGHT if table.judged[row, m] else _NOT_ITS_CLASS
            mark = mark if table.labelled[row] else ""
            lines.append(f"{session.square(digest)} {said} {table.confidence[row, m]:.2f}{mark}")
        st.markdown("  \n".join(lines))


def selection_bar(images: ImageSet) -> None:
    """The number of selected images, and the buttons for them."""
    state = session.state()
    with st.container(horizontal=True, horizontal_alignment="right", vertical_alignment="center", width="content"):
        st.markdown(f"**{len(state.picks)}** selected", width="content")
        if st.button(
            "Compare", type="primary", icon=":material/arrow_forward:", key="gallery_compare", disabled=not state.picks
        ):
            state.position = 0
            site_map.go("compare")
        names = "\n".join(images.names[images.index(image_id)] for image_id in state.picks)
        st.download_button("Save list", names, "selected-images.txt", key="gallery_save", disabled=not state.picks)
        st.button("Clear", key="gallery_clear", disabled=not state.picks, on_click=state.picks.clear)


def gallery(page_state: PageState, hint: str = "click a point, or drag a box around several") -> None:
    """The selected images, each with its true class, the predicted classes, and the button that removes it."""
    images, table, picks = page_state.images, page_state.table, session.state().picks
    if not picks:
        st.caption(f"No image is selected: {hint}.")
        return
    with st.container(key="gallery"), st.grid("auto", min_column_width=112, gap="small"):
        for image_id in picks:
            row = images.index(image_id)
            with st.container(gap="xxsmall"):
                st.image(cache.thumbnail(images.digest, row, 144), alt=images.names[row])
                st.button(
                    "Remove", key=f"gallery_remove_{image_id}", type="tertiary", on_click=picks.remove, args=(image_id,)
                )
                true = table.class_name(int(table.true[row]))
                st.caption(f"**{markdown(true or 'no label')}**  \n{answers(table, row)}")


def answers(table: Predictions, row: int) -> str:
    """What each model predicts for the image in `row`: its mark before the class, models that agree in one line."""
    by_class: dict[str, list[str]] = {}
    for digest, number in zip(table.models, table.predicted[row], strict=True):
        by_class.setdefault(table.class_name(int(number)) or "nothing", []).append(session.square(digest))
    return "  \n".join(f"{''.join(squares)} {markdown(name)}" for name, squares in by_class.items())
