"""From what is known of contrasts to the rows, curves, notes and files of the contrast page."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from explainers.contrastive.method import ContrastParams
from explainers.contrastive.request import LARGE_RESIDUAL, Contrast, ContrastRequest
from explainers.contrastive.rule import BESIDE, WEIGHTS, RuleContrastRequest
from explainers.registry import METHODS
from figures.contrast_grid import Curves, Row, Small
from figures.contrastive import changed_over, crisp, paled
from figures.maps import colour_map, map_scale, to_png
from figures.panel_grid import Panel, Tile
from figures.sheet import sheet
from models.card import ModelCard
from pages.contrast import jobs as working
from pages.contrast.jobs import Scene
from pages.shared import cache, session

#: Longer side of a picture on the screen, in pixels, and the residual that gets the full colour.
SIDE_PX, _FULL_RESIDUAL = 448, 0.5

#: What to read under a method's title.
_CDEEPEX = "What to change until the model finds both classes equally likely, and no third one likelier."
_XGEMS = "The same without a word about third classes (Joshi et al. 2018)."
_BY_RULE = "By the paper's rule: the two classes' maps, one less the other at weights 0.005 to 2."

#: What stands where nothing is yet.
_WAITING = "waiting for its turn …"

#: Letters of a line over a tile: of three models side by side, and of more.
_LETTERS, _FEW_LETTERS = 38, 28

#: A residual below this is a picture rebuilt well.
_SMALL_RESIDUAL = 0.05


@dataclass(frozen=True)
class Look:
    """How changes are drawn: `view` is "overlay" or "change"; with one scale for all or each its own."""

    view: str = "overlay"
    shared: bool = False


def size_of(scene: Scene, image_id: str) -> tuple[int, int]:
    """(height, width) of the picture as it is drawn."""
    picture = cache.picture(scene.images.digest, image_id, SIDE_PX)
    return picture.shape[0], picture.shape[1]


def rows(scene: Scene, image_id: str, look: Look) -> list[Row]:
    """CDeepEx, xGEMs and the other methods, each with a tile for every model."""
    found = []
    for number, params in enumerate(scene.settings):
        tiles = _contrast_tiles(scene, image_id, params, look)
        title = "CDeepEx" if params.constraints else "xGEMs"
        small, words = _pictures(scene, image_id) if number == 0 else ((), _XGEMS)
        found.append(Row(title, words, tiles, small))
    if scene.choice.rule:
        found += [Row(METHODS[name].title, _BY_RULE, _ruled_tiles(scene, image_id, name, look)) for name in BESIDE]
    return found


def _pictures(scene: Scene, image_id: str) -> tuple[tuple[Small, ...], str]:
    """The input, what the generator rebuilt of it and the residual, which all models share; and words on them."""
    picture = cache.picture(scene.images.digest, image_id, SIDE_PX)
    input_ = Small("input", cache.drawn(f"crisp {image_id} {picture.shape}", lambda: crisp(picture)))
    contrast = next((one for request in scene.requests(image_id) if (one := working.known(request)) is not None), None)
    if contrast is None:
        return (input_, Small("rebuilt", ""), Small("residual", "")), f"{_CDEEPEX}"
    key = f"{image_id} {scene.trained.key} {contrast.z0[:4].tolist()}"
    rebuilt = Small("rebuilt", cache.drawn(f"rebuilt {key}", lambda: crisp(_rgb(contrast.rebuilt))))
    off = contrast.residual.mean(2)
    colours = cache.drawn(f"off {key}", lambda: crisp(colour_map(off, True, _FULL_RESIDUAL, overlay=False)))
    return (input_, rebuilt, Small("residual", colours)), residual_words(contrast)


def residual_words(contrast: Contrast) -> str:
    """How well the picture was rebuilt."""
    if contrast.error > LARGE_RESIDUAL:
        verdict = "large: off the data's manifold, the change may be of something beside the picture."
    elif contrast.error > _SMALL_RESIDUAL:
        verdict = "rebuilt roughly."
    else:
        verdict = "rebuilt well."
    return f"residual {contrast.error:.2f}\n{verdict}"


def _contrast_tiles(scene: Scene, image_id: str, params: ContrastParams, look: Look) -> tuple[Tile, ...]:
    questions = [scene.request(card, image_id, params) for card in scene.cards]
    answers = [None if isinstance(request, str) else working.known(request) for request in questions]
    shared = map_scale([one.difference for one in answers if one is not None]) if look.shared else None
    tiles = []
    for card, request, contrast in zip(scene.cards, questions, answers, strict=True):
        if isinstance(request, str) or contrast is None:
            tiles.append(_empty(scene, card, image_id, request))
            continue
        scale = shared or map_scale([contrast.difference])
        panel = _panel(
            scene, image_id, contrast.difference, scale, look, request.key, _caption(request, contrast, scale)
        )
        tiles.append(_tile(card, _why(request, contrast), panel))
    return tuple(tiles)


def _ruled_tiles(scene: Scene, image_id: str, name: str, look: Look) -> tuple[Tile, ...]:
    tiles = []
    for card in scene.cards:
        request = scene.request(card, image_id, scene.settings[0])
        ruled = request if isinstance(request, str) else scene.rule_request(request, name)
        known = None if isinstance(ruled, str) else working.known_rule(ruled)
        if isinstance(ruled, str) or known is None:
            tiles.append(_empty(scene, card, image_id, ruled))
            continue
        names = card.class_names
        facts = f"why {names[ruled.true]}\nand not {names[ruled.probe]}"
        if not known.n_kept:
            words = "None of the 400 weights makes a change that lowers the one class and raises the other."
            tiles.append(_tile(card, facts, Panel(_ground(scene, image_id), words=words)))
            continue
        placed = card.preprocessing.to_image(known.change, *size_of(scene, image_id))
        scale = map_scale([placed])
        caption = f"{known.n_kept} of {len(WEIGHTS)} weights kept\nrange ± {scale:.2g}"
        tiles.append(_tile(card, facts, _panel(scene, image_id, placed, scale, look, ruled.key, caption)))
    return tuple(tiles)


def _tile(card: ModelCard, facts: str, panel: Panel) -> Tile:
    return Tile(card.name, facts, panel, session.state().colour(card.digest))


def _empty(scene: Scene, card: ModelCard, image_id: str, request: ContrastRequest | RuleContrastRequest | str) -> Tile:
    """Words in a map's place."""
    words = request if isinstance(request, str) else session.state().failures.get(request.key, _WAITING)
    facts, names = "", card.class_names
    if not isinstance(request, str):
        facts = f"why {names[request.true]}\nand not {names[request.probe]}"
    return _tile(card, facts, Panel(_ground(scene, image_id), words=words))


def _why(request: ContrastRequest, contrast: Contrast) -> str:
    names, before = request.card.class_names, contrast.before
    true, probe = (f"{names[column]} ({before[column]:.2f})" for column in (request.true, request.probe))
    return f"why {true}\nand not {probe}"


def _caption(request: ContrastRequest, contrast: Contrast, scale: float) -> str:
    """Whether the constraints hold, the likelihoods there, how far it is, and the range of the colours."""
    mark, status = "✓" if contrast.feasible else "✗", contrast.status(request)
    names, after, third = request.card.class_names, contrast.after, contrast.third(request)
    columns = [request.true, request.probe, *([] if third is None else [third])]
    there = " · ".join(f"{names[column]} ({after[column]:.2f})" for column in columns)
    third_wins = " (a third class wins)" if contrast.third_wins(request) else ""
    far = f"distance {contrast.distance:.2f} · {contrast.iterations} steps"
    return f"{mark} {status}{third_wins}\nthere: {there}\n{far}\nrange ± {scale:.2g}"


def _ground(scene: Scene, image_id: str) -> str:
    """The picture in pale grey, to lay a change over."""
    picture = cache.picture(scene.images.digest, image_id, SIDE_PX)
    return cache.drawn(f"paled {image_id} {picture.shape}", lambda: crisp(paled(picture)))


def _panel(scene: Scene, image_id: str, change: np.ndarray, scale: float, look: Look, key: str, caption: str) -> Panel:
    """A change (h, w), stretched over the picture."""
    size, overlay = size_of(scene, image_id), look.view == "overlay"

    def draw() -> np.ndarray:
        return crisp(colour_map(_stretched(change, size), True, scale, overlay))

    colours = cache.drawn(f"contrast {key} {size} {scale} {overlay}", draw)
    return Panel(_ground(scene, image_id) if overlay else "", colours, caption=caption)


def morph(scene: Scene, image_id: str, share: float, along_search: bool) -> tuple[Row, list[Curves | None]]:
    """The pictures at a share (0 to 1) of the way from z0 to z_e as the models see them, and their likelihoods."""
    tiles, curves = list[Tile](), list[Curves | None]()
    for card in scene.cards:
        request = scene.request(card, image_id, scene.settings[0])
        contrast = None if isinstance(request, str) else working.known(request)
        if isinstance(request, str) or contrast is None:
            tiles.append(_empty(scene, card, image_id, request))
            curves.append(None)
            continue
        step = round(share * (len(contrast.strip) - 1))
        picture = cache.drawn(f"seen {request.key} {step}", _seen(contrast, step))
        names = _names(request, contrast)
        shares = zip(names, contrast.strip_shares[step], strict=True)
        tiles.append(
            _tile(
                card,
                _in_lines([f"{name} ({value:.2f})" for name, value in shares if name], len(scene.cards)),
                Panel(picture),
            )
        )
        drawn = contrast.path if along_search else contrast.strip_shares
        curves.append(Curves(names, drawn, None if along_search else step))
    words = "The picture on its way from the input to where both classes are equally likely, as the models see it."
    return Row("On the way", words, tuple(tiles)), curves


def _in_lines(facts: list[str], n_models: int) -> str:
    """Facts in one line where they fit, else in two."""
    whole = " · ".join(facts)
    return (
        whole if len(whole) <= (_LETTERS if n_models <= 3 else _FEW_LETTERS) else f"{facts[0]}\n{' · '.join(facts[1:])}"
    )


def _seen(contrast: Contrast, step: int) -> Callable[[], np.ndarray]:
    return lambda: crisp(_rgb(contrast.seen(step)))


def _names(request: ContrastRequest, contrast: Contrast) -> tuple[str, str, str]:
    """The explained class, the probe, and a word for the likeliest other; empty where there is none."""
    names = request.card.class_names
    return names[request.true], names[request.probe], "next" if len(contrast.after) > 2 else ""


def notes(scene: Scene, image_id: str) -> list[str]:
    """What a person should know before believing what is on show; what holds for several models is said once."""
    models: dict[str, list[str]] = {}
    for name, note in _notes(scene, image_id):
        models.setdefault(note, []).append(name)
    side = scene.trained.shape.side
    cards = [card for card in scene.cards if card.input_size != (side, side)]
    others = [f"{card.name} {card.input_size[1]} × {card.input_size[0]}" for card in cards]
    lines = [f"{', '.join(dict.fromkeys(names))}: {note}" for note, names in models.items()]
    if others:
        lines.append(
            f"The generator makes {side} × {side} pixels, and models read others ({', '.join(others)}): changes are "
            "resized on the way to them, and cannot be finer than the generator's own."
        )
    return lines


def _notes(scene: Scene, image_id: str) -> Iterator[tuple[str, str]]:
    """Models, and what to know of their contrasts."""
    for request in scene.requests(image_id):
        if (contrast := working.known(request)) is not None:
            name = request.card.name if request.params.constraints else f"{request.card.name} (xGEMs)"
            yield from ((name, note) for note in contrast.notes(request))


def to_npz_file(scene: Scene, image_id: str) -> bytes:
    """What is known, as `MODEL/METHOD/ARRAY`: input, rebuilt, difference, strip, paths, z0 and z_e."""
    arrays: dict[str, Any] = {}
    for request in scene.requests(image_id):
        if (contrast := working.known(request)) is not None:
            start = f"{request.card.name}/{'cdeepex' if request.params.constraints else 'xgems'}"
            for name in ("picture", "rebuilt", "changed", "difference", "strip", "strip_shares", "path", "z0", "z"):
                arrays[f"{start}/{name}"] = getattr(contrast, name)
    for ruled in scene.rule_requests(image_id):
        if (known := working.known_rule(ruled)) is not None:
            arrays[f"{ruled.card.name}/{ruled.method.name}/change"] = known.change
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def to_png_file(scene: Scene, image_id: str) -> bytes:
    """Input, rebuilt and the models' changes as one picture, a line for each of CDeepEx and xGEMs."""
    picture, size = cache.picture(scene.images.digest, image_id, SIDE_PX), size_of(scene, image_id)
    lines: list[list[np.ndarray | str]] = []
    for params in scene.settings:
        line: list[np.ndarray | str] = [crisp(picture)]
        for card in scene.cards:
            request = scene.request(card, image_id, params)
            contrast = None if isinstance(request, str) else working.known(request)
            if isinstance(request, str) or contrast is None:
                line.append(request if isinstance(request, str) else "not ready")
            else:
                line.append(crisp(changed_over(picture, _stretched(contrast.difference, size))))
        lines.append(line)
    titles = ["input", *(f"{card.name}: {_title(scene, card, image_id)}" for card in scene.cards)]
    return to_png(sheet(titles, ["CDeepEx", "xGEMs"][: len(lines)], lines))


def _title(scene: Scene, card: ModelCard, image_id: str) -> str:
    request = scene.request(card, image_id, scene.settings[0])
    return "" if isinstance(request, str) else request.title


def _stretched(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Values (h, w) float32 over a picture of `size` (height, width), NaN kept; bilinear where the sizes differ."""
    if values.shape == size:
        return values
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size[::-1], Image.Resampling.BILINEAR))


def _rgb(picture: np.ndarray) -> np.ndarray:
    """(h, w, 1 or 3) float32 in [0, 1] -> (h, w, 3) uint8."""
    pixels = (picture * 255).round().astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))
