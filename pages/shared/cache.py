"""Every cache of the app: what a server keeps once for all its visitors, or for those of one workspace.

Models and image sets are found in the session's own workspace, then in the class's, then among those that come with
Parallax. Several workspaces may hold the same under different names; results, which are kept by digests, are shared.

Torch, which takes seconds to import, is wanted by a few functions alone: the first page is drawn without it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from common.errors import InputError
from common.files import mark_used
from common.settings import settings
from figures import layers
from figures.layers import Mosaic
from figures.maps import grey, shrink, to_webp
from images import digits, mnist, paintings
from images.image_set import ImageSet, to_jpeg
from images.paintings import demo_image_set
from jobs.queue import JobQueue, OwnJobs
from jobs.results import ResultStore
from models.card import ModelCard, OldCardError
from models.demo.cards import painting_cards
from models.kept_card import read_card
from models.libraries import import_libraries
from pages.server import content
from pages.server.address import is_digest
from pages.shared import workspace
from suggestion.table import Predictions

if TYPE_CHECKING:
    from explainers.attribution import AttributionRequest
    from models.memory import ModelMemory
    from models.store import ModelStore

#: The names of the image sets that come with Parallax, and lie in the data folder itself.
_OURS = {paintings.NAME, digits.NAME, digits.MARKED_NAME, *(source.title for source in mnist.SOURCES.values())}


@st.cache_resource(show_spinner=False)
def model_memory() -> ModelMemory:
    """The modules of all workspaces."""
    import_libraries()
    from models.memory import ModelMemory

    return ModelMemory(int(settings().max_models_gigabytes * 1e9))


@st.cache_resource(show_spinner=False, max_entries=100)
def _model_store(folder: Path) -> ModelStore:
    import_libraries()
    from models.store import ModelStore

    return ModelStore(folder, memory=model_memory())


def model_store() -> ModelStore:
    """The models of this session's workspace; modules in memory are shared by all."""
    return _model_store(workspace.current().folder)


@st.cache_resource(show_spinner=False)
def queue() -> JobQueue:
    """The server's workers: maps wait for no scoring. Trainings wait for each other within their jobs, in turns."""
    sys.setswitchinterval(0.0005)  # with the usual 5 ms, jobs of small steps nearly stand while a page's script runs
    now = settings()
    return JobQueue(now.max_running_jobs, now.max_waiting_jobs, background=2, interactive=4, training=16)


def jobs() -> OwnJobs:
    """The jobs of this session's workspace."""
    return queue().of(workspace.current().id)


@st.cache_resource(show_spinner=False)
def store() -> ResultStore:
    """Finished maps and activations."""
    return ResultStore(settings().data_folder / "results", int(settings().max_store_gigabytes * 1e9))


def predictions_folder() -> Path:
    """Where the tables of predictions are kept."""
    return settings().data_folder / "predictions"


@st.cache_resource(show_spinner="Loading the demo images …")
def demo_images() -> ImageSet:
    """The demo's paintings."""
    return demo_image_set(settings().data_folder)


@st.cache_resource(show_spinner=False)
def demo_cards() -> list[ModelCard]:
    """The four models of the demo."""
    return painting_cards()


def card(digest: str) -> ModelCard:
    """A model's card; raises `InputError` for one that this session may not use."""
    found = _find_card(digest)
    if found is None:
        raise InputError("a model of this workspace", digest, "Add the model again on the Upload page.")
    return found


def knows_model(digest: str) -> bool:
    """Whether this session may use a model with this digest."""
    return _find_card(digest) is not None


def known_cards() -> list[ModelCard]:
    """All models that this session may use: its own first, the latest before others; the class's; the demo's."""
    every = [card for folder in workspace.folders() for card in _model_store(folder).cards()] + demo_cards()
    return list({card.digest: card for card in reversed(every)}.values())[::-1]


def _find_card(digest: str) -> ModelCard | None:
    if not is_digest(digest):
        return None
    own = next(filter(None, (_card_in(folder, digest) for folder in workspace.folders())), None)
    if own is None and (ours := _card_in(settings().data_folder, digest)) is not None and ours.recipe.built_in:
        return ours
    return own or next((card for card in demo_cards() if card.digest == digest), None)  # even where its file is gone


def _card_in(folder: Path, digest: str) -> ModelCard | None:
    path = folder / "models" / f"{digest}.json"
    mark_used(path)
    try:
        return _card(folder, digest, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return None


@st.cache_resource(show_spinner=False, max_entries=500)
def _card(folder: Path, digest: str, written_ns: int) -> ModelCard | None:
    try:
        return read_card(folder / "models" / f"{digest}.json")
    except OldCardError:
        return _model_store(folder).card(digest)  # which makes it anew


def image_set(digest: str) -> ImageSet:
    """An image set; raises `InputError` for one that this session may not use."""
    found = _find_images(digest)
    if found is None:
        raise InputError("an image set of this workspace", digest, "Add the images again on the Upload page.")
    return found


def knows_images(digest: str) -> bool:
    """Whether this session may use an image set with this digest."""
    return _find_images(digest) is not None


def known_image_sets() -> list[ImageSet]:
    """The image sets of this workspace, the latest first, then the class's."""
    paths = [
        path for folder in workspace.folders() for path in _latest_first((folder / "image-sets").glob("*.parquet"))
    ]
    return [image_set(path.stem) for path in paths if knows_images(path.stem)]


def _latest_first(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _find_images(digest: str) -> ImageSet | None:
    if not is_digest(digest):
        return None
    own = next(filter(None, (_image_set_in(folder, digest) for folder in workspace.folders())), None)
    if own is None and (ours := _image_set_in(settings().data_folder, digest)) is not None and ours.name in _OURS:
        return ours
    return demo_images() if own is None and digest == demo_images().digest else own


def _image_set_in(folder: Path, digest: str) -> ImageSet | None:
    path = folder / "image-sets" / f"{digest}.parquet"
    mark_used(path)
    try:
        return _image_set(path, path.stat().st_mtime_ns)
    except (FileNotFoundError, InputError):  # the latter where the file is damaged: it has been set aside
        return None


@st.cache_resource(show_spinner=False, max_entries=20)
def _image_set(path: Path, written_ns: int) -> ImageSet:
    """Read again when the index is written again: files may have moved, or columns been added."""
    return ImageSet.read(path)


def predictions(cards: list[ModelCard], images: ImageSet) -> Predictions | None:
    """The models' predictions on the images; `None` until all are scored."""
    from suggestion import scoring

    if not cards or not all(scoring.scored(card, images, predictions_folder()) for card in cards):
        return None
    versions = tuple(scoring.version(card, images, predictions_folder()) for card in cards)
    names = tuple(card.name for card in cards)  # which others may have given them
    return _predictions(tuple(card.digest for card in cards), names, images.digest, versions)


@st.cache_resource(show_spinner=False, max_entries=20)
def _predictions(
    models: tuple[str, ...], names: tuple[str, ...], images: str, versions: tuple[int, ...]
) -> Predictions | None:
    from suggestion import scoring

    return scoring.load([card(digest) for digest in models], image_set(images), predictions_folder())


def unit_activations(card: ModelCard, images: ImageSet, layer: str | None) -> np.ndarray | None:
    """(N, units) float32: mean activations on the data set (scores for no layer); `None` until they are measured."""
    from suggestion import activations

    through = activations.through(card, images, layer, store())
    return _unit_activations(card.digest, images.digest, layer) if through else None


@st.cache_resource(show_spinner=False, max_entries=50)
def _unit_activations(model: str, images: str, layer: str | None) -> np.ndarray | None:
    from suggestion import activations

    return activations.measured(card(model), image_set(images), layer, store())


def thumbnail(images: str, index: int, side_px: int = 192) -> bytes:
    """A small JPEG of one image of the set with this digest; plain grey where it cannot be read."""
    try:
        return _thumbnail(images, index, side_px)
    except InputError:
        return _no_thumbnail(side_px)


def _no_thumbnail(side_px: int) -> bytes:
    return to_jpeg(np.full((side_px, side_px, 3), 128, dtype=np.uint8))


@st.cache_data(show_spinner=False, max_entries=5000)
def _thumbnail(images: str, index: int, side_px: int) -> bytes:
    return image_set(images).thumbnail(index, side_px)


@st.cache_data(show_spinner=False, max_entries=200)
def image(images: str, image_id: str, side_px: int) -> np.ndarray:
    """(h, w, 3) uint8: an image shrunk for the screen."""
    whole_set = image_set(images)
    return shrink(whole_set.image(whole_set.index(image_id)), side_px)


def image_uri(images: str, image_id: str, side_px: int, in_grey: bool = False) -> str:
    """The address of a shrunk image."""

    def draw() -> np.ndarray:
        pixels = image(images, image_id, side_px)
        return grey(pixels) if in_grey else pixels

    return drawn(f"image {images} {image_id} {side_px} {in_grey}", draw)


def thumbnail_uri(images: str, index: int, side_px: int) -> str:
    """The address of a small JPEG of one image of the set with this digest; plain grey where it cannot be read."""
    key = f"thumbnail {images} {index} {side_px}"
    try:
        return content.find(key, lambda: _thumbnail(images, index, side_px), "jpg")
    except InputError:
        return content.put(_no_thumbnail(side_px), "jpg")


@st.cache_data(show_spinner=False, max_entries=500)
def placed_map(version: str, size: tuple[int, int], _request: AttributionRequest) -> np.ndarray | None:
    """A raw map laid over an image of `size` (height, width): float32, NaN where unseen."""
    attribution = _request.load(store())
    return None if attribution is None else _request.card.preprocessing.to_image(attribution.maps[0], *size)


def drawn(key: str, draw: Callable[[], np.ndarray]) -> str:
    """The address of what `draw` gives, (h, w, 3 or 4) uint8; `key` stands for all that it is made of."""
    return content.find(key, lambda: to_webp(draw()), "webp")


@st.cache_data(show_spinner=False, max_entries=200)
def image_file(key: str, _draw: Callable[[], np.ndarray]) -> bytes:
    """What `_draw` gives, (h, w, 3 or 4) uint8, as a file for `st.image`; `key` stands for all that it is made of."""
    return to_webp(_draw())


@st.cache_resource(show_spinner=False, max_entries=100)
def mosaic(key: str, by: str, n_columns: int, shared: bool, _values: np.ndarray, _order: np.ndarray) -> Mosaic:
    """The maps `_values` with this key as tiles in the order that `by` stands for."""
    return layers.mosaic(_values, _order, n_columns, shared)
