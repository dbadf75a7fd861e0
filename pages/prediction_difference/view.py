"""From a person's choice to the questions, tiles and files of the prediction difference page."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from common.errors import InputError
from explainers.output import LOGIT, PROBABILITY, UNIT, Output
from explainers.prediction_difference.keeping import Asked
from explainers.prediction_difference.method import CONDITIONAL, PredictionDifference, PredictionDifferenceParams
from figures.compare import Panel
from figures.maps import colour_map, grey, has_evidence, map_scale, over, to_png
from figures.prediction_difference import Band, Tile
from figures.sheet import sheet
from images.image_set import ImageSet
from models.card import ModelCard
from pages.prediction_difference import jobs as working
from pages.prediction_difference.jobs import Known
from pages.shared import cache, session
from pages.shared.job_progress import duration
from pages.shared.target_picker import TargetSpec
from suggestion.table import Predictions

#: What the values are in, by the kind of output.
IN_WORDS = {PROBABILITY: "bits", LOGIT: "logits", UNIT: "activation"}

#: Longer side of a picture on the screen, in pixels.
SIDE_PX = 448

#: Where incremental inference saves less than this, it is said that nothing is saved.
_WORTH_SAYING = 1.25

#: The default window is this share of the shorter side of a model's input, and even, so that its half is a stride.
_WINDOWS_PER_SIDE, _SMALLEST_PX, _LARGEST_PX = 22, 4, 64


@dataclass(frozen=True)
class Choice:
    """What the toolbar says; `window` and `stride` in pixels of each model's input, `None` for what suits it."""

    target: TargetSpec
    window: int | None = None
    stride: int | None = None
    settings: dict[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Look:
    """How maps are drawn."""

    view: str = "overlay"
    shared: bool = False
    opacity: float = 0.8

    @property
    def strength(self) -> float:
        """The opacity of what is laid over the picture."""
        return self.opacity if self.view == "overlay" else 1.0


@dataclass(frozen=True)
class Shot:
    """One map to show: row `row` of what is asked, or the reason why there is none."""

    title: str
    facts: str
    asked: Asked | str
    row: int = 0
    colour: str = ""


def default_window(card: ModelCard) -> int:
    """Pixels: 10 for an input of 224 as in the paper, 4 for one of 64."""
    even = 2 * round(min(card.input_size) / (2 * _WINDOWS_PER_SIDE))
    return min(max(even, _SMALLEST_PX), _LARGEST_PX)


def params_of(choice: Choice, card: ModelCard) -> PredictionDifferenceParams:
    """The settings for one model; raises `InputError` for those that do not go together."""
    window = choice.window or default_window(card)
    return PredictionDifferenceParams(window=window, stride=choice.stride or half(window), **choice.settings)


def half(window: int) -> int:
    """The stride that goes with a window: neighbours overlap by half."""
    return max(1, window // 2)


def asked_of(
    choice: Choice, card: ModelCard, images: ImageSet, image_id: str, table: Predictions, **changes: Any
) -> Asked | str:
    """The question to one model, with some settings changed; or the reason why it cannot be asked."""
    if reason := PredictionDifference().applies(card):
        return reason
    aimed = choice.target.output_for(card, table, images.index(image_id))
    if isinstance(aimed, str):
        return aimed
    output, target = aimed if card.classifies else (Output(LOGIT), aimed[1])
    return ask(choice, card, images, image_id, (target,), (output,), **changes)


def ask(
    choice: Choice,
    card: ModelCard,
    images: ImageSet,
    image_id: str,
    targets: Sequence[int],
    outputs: Sequence[Output],
    **changes: Any,
) -> Asked | str:
    """A question about some columns of some outputs, or what is wrong with the settings."""
    try:
        params = replace(params_of(choice, card), **changes)
        asked = Asked(card, image_id, params, tuple(targets), tuple(outputs), images.digest)
        _ = asked.grid
    except InputError as error:
        return str(error)
    return asked


def only_asked(shots: Sequence[Shot]) -> list[Asked]:
    """What of it can be worked out."""
    return [shot.asked for shot in shots if not isinstance(shot.asked, str)]


def per_model(
    choice: Choice, cards: Sequence[ModelCard], images: ImageSet, image_id: str, table: Predictions, **changes: Any
) -> list[Shot]:
    """The chosen target of every model."""
    return [
        shot_of(asked_of(choice, card, images, image_id, table, **changes), card, images, image_id, table)
        for card in cards
    ]


def shot_of(asked: Asked | str, card: ModelCard, images: ImageSet, image_id: str, table: Predictions) -> Shot:
    """A model's map under its name and colour; the target is told beside it."""
    facts = ""
    if not isinstance(asked, str):
        name, value = card.class_names[asked.targets[0]], probability(card, images, image_id, asked.targets[0], table)
        facts = name if value is None else f"{name} {value:.2f}"
    return Shot(card.name, facts, asked, colour=session.state().colour(card.digest))


def probability(card: ModelCard, images: ImageSet, image_id: str, column: int, table: Predictions) -> float | None:
    """What the model gives a class, where the table knows: it keeps the top answers."""
    if not card.classifies:
        return None
    row, position = images.index(image_id), table.models.index(card.digest)
    names = [table.class_name(int(number)) for number in table.top[row, position]]
    name = card.class_names[column]
    return float(table.probability[row, position, names.index(name)]) if name in names else None


def picture_tile(images: ImageSet, image_id: str) -> Tile:
    """The picture itself."""
    label = images.labels[images.index(image_id)]
    return Tile("picture", label or "", Panel(cache.picture_uri(images.digest, image_id, SIDE_PX)))


def size_of(images: ImageSet, image_id: str) -> tuple[int, int]:
    """(height, width) of the picture as it is drawn."""
    picture = cache.picture(images.digest, image_id, SIDE_PX)
    return picture.shape[0], picture.shape[1]


def band(title: str, shots: Sequence[Shot], look: Look, images: ImageSet, image_id: str) -> Band:
    """Shots side by side, with whatever is known of them."""
    found = [None if isinstance(shot.asked, str) else working.known(shot.asked) for shot in shots]
    maps = [one.maps[shot.row] for shot, one in zip(shots, found, strict=True) if one is not None]
    shared = map_scale(maps) if look.shared else None
    pairs = zip(shots, found, strict=True)
    return Band(title, tuple(_tile(shot, one, shared, look, images, image_id) for shot, one in pairs))


def _tile(shot: Shot, found: Known | None, shared: float | None, look: Look, images: ImageSet, image_id: str) -> Tile:
    return Tile(shot.title, shot.facts, _panel(shot, found, shared, look, images, image_id), shot.colour)


def _panel(shot: Shot, found: Known | None, shared: float | None, look: Look, images: ImageSet, image_id: str) -> Panel:
    pale = cache.picture_uri(images.digest, image_id, SIDE_PX, in_grey=True)
    asked = shot.asked
    if isinstance(asked, str):
        return Panel(pale, words=asked)
    if failure := session.state().failures.get(asked.key):
        return Panel(pale, words=failure)
    values = None if found is None else found.maps[shot.row]
    if found is None or values is None or not np.isfinite(values).any():
        return Panel(pale, words="not asked yet", caption=window_words(asked))
    caption = _caption(shot, found, shared or map_scale([values]))
    if not has_evidence(values) and found.stride is not None:
        return Panel(pale, words="No evidence found: the map is zero everywhere.", caption=caption)
    picture = cache.picture_uri(images.digest, image_id, SIDE_PX)
    beneath = {"overlay": pale, "map": "", "picture": picture}[look.view]
    scale, size = shared or map_scale([values]), size_of(images, image_id)

    def draw() -> np.ndarray:
        placed = asked.card.preprocessing.to_image(values, *size)
        return colour_map(placed, signed=True, scale=scale, overlay=look.view == "overlay")

    key = f"difference {asked.key} {shot.row} {found.amount} {scale} {look.view}"
    return Panel(beneath, "" if look.view == "picture" else cache.drawn(key, draw), caption=caption)


def _caption(shot: Shot, found: Known, scale: float) -> str:
    """The window, how far it is, how sure, and the range of the colours: a line each, so that nothing moves."""
    goal = found.goal
    unit, seconds = IN_WORDS[goal.outputs[shot.row // len(goal.targets)].kind], working.facts(goal).seconds
    took = [f"{seconds:.1f} s" if seconds < 10 else duration(seconds)] if seconds else []
    known = found.errors[shot.row][np.isfinite(found.errors[shot.row])]
    sure = f"error ± {number(float(known.mean()))} {unit}" if known.size else "error not known yet"
    far = " · ".join([stride_words(found), *took])
    return "\n".join([window_words(goal), far, sure, f"range ± {number(scale)} {unit}"])


def number(value: float) -> str:
    """Two digits that say something, without an exponent."""
    if value < 1e-8:
        return "0"
    return f"{value:.0f}" if value >= 10 else f"{value:.{max(0, 1 - math.floor(math.log10(value)))}f}"


def stride_words(found: Known) -> str:
    """`stride 4 of 8 → 1` on the way, `stride 1` there."""
    strides = found.goal.grid.strides
    if found.stride is None:
        return f"first round, stride {strides[0]}"
    if found.stride > strides[-1]:
        return f"stride {found.stride} of {max(strides[0], found.stride)} → {strides[-1]}"
    return f"stride {found.stride}"


def window_words(asked: Asked) -> str:
    """`window 10 px of 224`."""
    return f"window {asked.params.window} px of {min(asked.card.input_size)}"


def drawn_from(images: ImageSet, sampling: str) -> str:
    """Which data set the windows' contents come from, and how."""
    whose = "the demo's" if images.digest == cache.demo_images().digest else "your"
    pictures = f"{whose} **{images.name}** ({len(images):,} pictures)"
    if sampling != CONDITIONAL:
        return f"What may have been in a window is taken from other pictures of {pictures}, at the same place."
    words = f"What may have been in a window is drawn to fit its rim, by a Gaussian of the patches of {pictures}"
    return f"{words}, fitted at the first run and kept."


def found_on_the_way(all_asked: Sequence[Asked]) -> list[str]:
    """Lines on what only the work brought out: a Gaussian of too few patches, models that ran in full, and why."""
    shrunk = max((working.facts(asked).shrunk for asked in all_asked), default=0.0)
    few = [f"Few pictures for patches of this size: their Gaussian is shrunk {shrunk:.0%} towards its diagonal."]
    by_digest = {asked.card.digest: asked for asked in all_asked}
    in_full = [
        f"{asked.card.name}: every window runs the whole net ({_why_in_full(asked.card)})."
        for asked in by_digest.values()
        if (saving := working.saving(asked)) is not None and saving < _WORTH_SAYING
    ]
    return (few if round(100 * shrunk) else []) + in_full


def _why_in_full(card: ModelCard) -> str:
    """What joins the picture: a layer of a kind that does, else layers that patches do not go through."""
    kinds = {layer.kind for layer in card.layers}
    if any("Attention" in kind for kind in kinds):
        return "attention joins the picture"
    if any("SqueezeExcite" in kind for kind in kinds):
        return "squeeze-and-excitation joins the picture"
    return "incremental inference cannot follow its first layers"


def to_npz_file(shots: Sequence[Shot]) -> bytes:
    """The raw maps that are known, as `MODEL`, and their Monte Carlo errors, as `MODEL/error`."""
    arrays: dict[str, Any] = {}
    for shot in shots:
        found = None if isinstance(shot.asked, str) else working.known(shot.asked)
        if found is not None:
            arrays |= {shot.title: found.maps[shot.row], f"{shot.title}/error": found.errors[shot.row]}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def to_png_file(shots: Sequence[Shot], look: Look, images: ImageSet, image_id: str) -> bytes:
    """Picture and maps as one picture, the maps laid over the photograph."""
    picture = cache.picture(images.digest, image_id, SIDE_PX)
    found = [None if isinstance(shot.asked, str) else working.known(shot.asked) for shot in shots]
    maps = [one.maps[shot.row] for shot, one in zip(shots, found, strict=True) if one is not None]
    shared = map_scale(maps) if look.shared else None
    line: list[np.ndarray | str] = [picture]
    for shot, one in zip(shots, found, strict=True):
        if isinstance(shot.asked, str) or one is None:
            line.append(shot.asked if isinstance(shot.asked, str) else "not ready")
            continue
        values = one.maps[shot.row]
        placed = shot.asked.card.preprocessing.to_image(values, *picture.shape[:2])
        colours = colour_map(placed, signed=True, scale=shared or map_scale([values]), overlay=True)
        line.append(over(grey(picture), colours, look.opacity))
    titles = ["picture", *(f"{shot.title}: {shot.facts}" for shot in shots)]
    return to_png(sheet(titles, ["Prediction difference"], [line]))
