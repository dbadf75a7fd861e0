"""From the targets to tiles, curves, one image at full resolution, files, and the way to Reason."""

import io
import zipfile
from collections.abc import Iterator
from functools import partial

import numpy as np
import streamlit as st

from common.escape import markdown
from common.files import safe_file_name
from explainers.maxout.request import MaxOutImages, MaxOutRequest
from explainers.output import UNIT
from figures.maps import to_png, to_webp
from figures.maxout import N_IMAGES, Curve, TargetTile, curves_figure
from figures.panel_grid import Band, Panel, single_figure
from pages.maxout.jobs import MAXOUT, TargetGrid, image_values, layer_of
from pages.server import content
from pages.shared import cache, session, session_jobs, site_map, top_images
from pages.shared.chart.component import chart
from suggestion import activations

#: Side of the data set's images beside them, in pixels, and how many of those become picks where there are none.
_THUMB_PX, _N_PICKS = 72, 6

#: An image at full resolution is shown at least this large, in pixels.
_FULL_PX = 640


def bands(grid: TargetGrid, images: bool) -> list[Band[TargetTile]]:
    """A band for each target, its models side by side; for a single model, all targets in one."""
    if len(grid.cards) == 1:
        return [Band("", tuple(tile for row in grid.rows for tile in _tiles(row.title, row.cells[0], images, "")))]
    found = []
    for row in grid.rows:
        tiles: list[TargetTile] = []
        for card, cell in zip(grid.cards, row.cells, strict=True):
            tiles += _tiles(card.name, cell, images, session.state().colour(card.digest))
        found.append(Band(row.title, tuple(tiles)))
    return found


def target_at(grid: TargetGrid, band: int, tile: int) -> tuple[MaxOutRequest, int]:
    """What a tile of `bands` that shows an image is of, and which of the target's images it is."""
    rows = grid.rows if len(grid.cards) == 1 else [grid.rows[band]]
    shown = [
        (cell, number)
        for row in rows
        for cell in row.cells
        for number in range(1 if isinstance(cell, str) else cell.params.pictures)
    ]
    request, number = shown[tile]
    assert isinstance(request, MaxOutRequest)
    return request, number


def _tiles(title: str, cell: MaxOutRequest | str, images: bool, colour: str) -> Iterator[TargetTile]:
    """A tile for each of a target's images."""
    if isinstance(cell, str):
        yield TargetTile(title, "", Panel(words=cell), colour)
        return
    most, least = _images(cell) if images else ((), ())
    made, failure = session_jobs.known(cell), session.state().failures.get(cell.key, "")
    for number in range(cell.params.pictures):
        if made is None:
            words = "waiting for its turn …" if session_jobs.active(MAXOUT) else "not begun yet"
            yield TargetTile(title, "", Panel(words=failure or words), colour, most, least)
            continue
        image = cache.drawn(f"{cell.key} {made.step} {number}", partial(made.pictures.__getitem__, number))
        facts = (failure, *made.notes) if failure else _facts(cell, made, number)
        yield TargetTile(title, "", Panel(image, caption="\n".join(facts)), colour, most, least)


def _facts(request: MaxOutRequest, made: MaxOutImages, number: int) -> tuple[str, ...]:
    """The value beside those of the data set, what the model takes the image for, and what went wrong."""
    unit = "activation" if request.output.kind == UNIT else request.output.kind
    value = f"{unit} {made.values[number]:.3g}"
    images = image_values(request)
    if images is not None and request.output.kind != "probability" and request.output.place is None:
        value += f" · images up to {np.nanmax(images):.3g}"
    how_far = f"step {made.step}"
    if made.answers[number] >= 0 and request.card.classifies:
        how_far += f" · {request.card.class_names[made.answers[number]]} {made.probability[number]:.2f}"
    return value, how_far, *made.notes


def _images(request: MaxOutRequest) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Images of the highest and lowest activation, as addresses, if they are known."""
    values, images = image_values(request), session.images()
    if values is None:
        return (), ()
    most, least = (
        tuple(cache.thumbnail_uri(images.digest, int(row), _THUMB_PX) for row in rows)
        for rows in activations.extremes(values, N_IMAGES)
    )
    return most, least


def curves(grid: TargetGrid) -> list[Curve]:
    """How the values of all targets on show grew."""
    found = []
    for row in grid.rows:
        for card, cell in zip(grid.cards, row.cells, strict=True):
            made = None if isinstance(cell, str) else session_jobs.known(cell)
            if made is not None:
                colour = session.state().colour(card.digest)
                found += [Curve(f"{card.name} · {row.title}", colour, values) for values in made.curve.T]
    return found


def value_title(grid: TargetGrid) -> str:
    """What the curves' axis shows."""
    kinds = {request.output.kind for request in grid.requests}
    return "activation" if kinds == {UNIT} else " or ".join(sorted(kinds))


def to_reason(request: MaxOutRequest) -> None:
    """Open Reason for the same model and target; where nothing is picked, on the images of its highest activation."""
    state, images = session.state(), session.images()
    values = image_values(request)
    if not state.picks and values is not None:
        state.pick([images.ids[row] for row in activations.extremes(values, _N_PICKS)[0]])
        state.position = 0
    digest, target = request.card.digest, request.target
    st.session_state["reason_model"] = digest
    st.session_state[f"reason_targets_{digest}"] = [target]
    if request.output.layer is not None:
        unit = (request.output.layer, target, request.output.place)
        state.reason_units[digest] = list(dict.fromkeys([*state.reason_units.get(digest, []), unit]))
        st.session_state[f"reason_targets_{digest}"] = [unit]
    site_map.go("reason")


@st.dialog("Full resolution", width="large")
def full_resolution(request: MaxOutRequest, number: int) -> None:
    """One image as large as the window lets it be, its curve, and the data set's images of extreme activation."""
    made = session_jobs.known(request)
    if made is None:
        return
    image = made.pictures[number]
    size = (image.shape[0], image.shape[1])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{markdown(request.title)}** · {markdown(request.card.name)} · {size[1]} × {size[0]} px")
        icon = ":material/arrow_forward:"
        if st.button("See Reason for this target", icon=icon, key="maxout_reason", type="primary"):
            to_reason(request)
        name = _file_name(request, number)
        st.download_button("PNG", to_png(image), name, "image/png", key="maxout_png", icon=":material/download:")
    st.caption(markdown(" · ".join(_facts(request, made, number))))
    times = max(1, _FULL_PX // max(size))
    enlarged = image.repeat(times, 0).repeat(times, 1)  # every pixel is to be seen
    source = content.put(to_webp(enlarged), "webp")
    chart(single_figure(Panel(source), size), key="maxout_full", alt=request.title, wheel=True)
    colour = session.state().colour(request.card.digest)
    figure = curves_figure([Curve(request.title, colour, made.curve[:, number])], request.output.kind)
    chart(figure, key="maxout_full_curve", alt="Its value after each step", toolbar=False)
    top_images.show(request.card, layer_of(request.output), request.target, "maxout_full", 8)


def to_zip_file(grid: TargetGrid) -> bytes:
    """All images on show as PNG files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for request in grid.requests:
            made = session_jobs.known(request)
            for number, image in enumerate(made.pictures if made is not None else ()):
                archive.writestr(_file_name(request, number), to_png(image))
    return buffer.getvalue()


def _file_name(request: MaxOutRequest, number: int) -> str:
    plain = safe_file_name(f"{request.card.name}-{request.title}")
    return f"{plain}-{number}.png" if request.params.pictures > 1 else f"{plain}.png"
