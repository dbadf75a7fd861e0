"""Every cache of the app: what a server keeps once for all its visitors."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import streamlit as st

from common.errors import InputError
from common.settings import settings
from explainers.attribution import AttributionRequest
from figures import layers
from figures.layers import Mosaic
from figures.maps import grey, shrink, to_webp
from images.image_set import ImageSet, to_jpeg
from images.paintings import demo_image_set
from jobs.queue import JobQueue
from jobs.results import ResultStore
from models.card import ModelCard
from models.demo.demo_models import PAINTING_MODELS
from models.loaders import demo
from models.store import ModelStore
from pages.shared import content
from suggestion import activations, scoring
from suggestion.table import Predictions


@st.cache_resource(show_spinner=False)
def model_store() -> ModelStore:
    """The server's models, each loaded once."""
    return ModelStore()


@st.cache_resource(show_spinner=False)
def jobs() -> JobQueue:
    """The server's workers: maps wait neither for scoring nor for the many maps of another visitor.

    Trainings wait for each other within their jobs, in turns.
    """
    return JobQueue(background=1, interactive=4, training=16)


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


@st.cache_resource(show_spinner="Loading the demo models …")
def demo_cards() -> list[ModelCard]:
    """The four models of the demo."""
    return [model_store().add(demo.PAINTINGS.load(name)) for name in PAINTING_MODELS]


@st.cache_resource(show_spinner=False, max_entries=500)
def card(digest: str) -> ModelCard:
    """A model's card; raises `InputError` for one that this server does not know."""
    found = model_store().card(digest)
    if found is None:
        raise InputError("a model of this server", digest, "Add the model again on the Upload page.")
    return found


def image_set(digest: str) -> ImageSet:
    """An image set; raises `InputError` for one that this server does not know."""
    path = _image_set_path(digest)
    if not path.exists():
        raise InputError("an image set of this server", digest, "Add the images again on the Upload page.")
    return _image_set(path, path.stat().st_mtime_ns)


@st.cache_resource(show_spinner=False, max_entries=20)
def _image_set(path: Path, written_ns: int) -> ImageSet:
    """Read again when the index is written again: files may have moved, or columns been added."""
    return ImageSet.read(path)


def knows_model(digest: str) -> bool:
    """Whether a model with this digest was ever added here."""
    return digest.isalnum() and model_store().card(digest) is not None


def knows_images(digest: str) -> bool:
    """Whether an image set with this digest was ever added here."""
    return digest.isalnum() and _image_set_path(digest).exists()


def _image_set_path(digest: str) -> Path:
    return settings().data_folder / "image-sets" / f"{digest}.parquet"


def predictions(cards: list[ModelCard], images: ImageSet) -> Predictions | None:
    """The models' predictions on the images; `None` until all are scored."""
    if not cards or not all(scoring.scored(card, images, predictions_folder()) for card in cards):
        return None
    versions = tuple(scoring.version(card, images, predictions_folder()) for card in cards)
    return _predictions(tuple(card.digest for card in cards), images.digest, versions)


@st.cache_resource(show_spinner=False, max_entries=20)
def _predictions(models: tuple[str, ...], images: str, versions: tuple[int, ...]) -> Predictions | None:
    return scoring.load([card(digest) for digest in models], image_set(images), predictions_folder())


def unit_activations(card: ModelCard, images: ImageSet, layer: str | None) -> np.ndarray | None:
    """(N, units) float32: mean activations on the data set (scores for no layer); `None` until they are measured."""
    through = activations.through(card, images, layer, store())
    return _unit_activations(card.digest, images.digest, layer) if through else None


@st.cache_resource(show_spinner=False, max_entries=50)
def _unit_activations(model: str, images: str, layer: str | None) -> np.ndarray | None:
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
        return content.STORE.find(key, lambda: _thumbnail(images, index, side_px), "jpg")
    except InputError:
        return content.STORE.put(_no_thumbnail(side_px), "jpg")


@st.cache_data(show_spinner=False, max_entries=500)
def placed_map(version: str, size: tuple[int, int], _request: AttributionRequest) -> np.ndarray | None:
    """A raw map laid over an image of `size` (height, width): float32, NaN where unseen."""
    attribution = _request.load(store())
    return None if attribution is None else _request.card.preprocessing.to_image(attribution.maps[0], *size)


def drawn(key: str, draw: Callable[[], np.ndarray]) -> str:
    """The address of what `draw` gives, (h, w, 3 or 4) uint8; `key` stands for all that it is made of."""
    return content.STORE.find(key, lambda: to_webp(draw()), "webp")


@st.cache_data(show_spinner=False, max_entries=200)
def image_file(key: str, _draw: Callable[[], np.ndarray]) -> bytes:
    """What `_draw` gives, (h, w, 3 or 4) uint8, as a file for `st.image`; `key` stands for all that it is made of."""
    return to_webp(_draw())


@st.cache_resource(show_spinner=False, max_entries=100)
def mosaic(key: str, by: str, n_columns: int, shared: bool, _values: np.ndarray, _order: np.ndarray) -> Mosaic:
    """The maps `_values` with this key as tiles in the order that `by` stands for."""
    return layers.mosaic(_values, _order, n_columns, shared)
