"""From what is known of contrasts to the rows, curves, notes and files of the contrast page."""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from explainers.contrastive.method import ContrastParams
from explainers.contrastive.request import LARGE_RESIDUAL, Contrast, ContrastRequest
from explainers.contrastive.rule import BESIDE, WEIGHTS, RuleContrastRequest
from explainers.registry import METHODS
from figures.contrast_grid import Curves, Row, Small
from figures.maps import changed_over, colour_map, crisp, map_scale, paled, to_png
from figures.panel_grid import Panel, Tile
from figures.sheet import sheet
from models.card import ModelCard
from pages.contrast.jobs import CONTRAST, ContrastRequests
from pages.shared import cache, session, session_jobs
from pages.shared.page_state import PageState
from pages.shared.panels import OVERLAY, ViewOptions
from pages.shared.widgets import to_npz

#: Longer side of an image on the screen, in pixels, and the residual that gets the full colour.
SIDE_PX, _FULL_RESIDUAL = 448, 0.5

#: What to read under a method's title.
_CDEEPEX = "What to change until the model finds both classes equally likely, and no third one likelier."
_XGEMS = "The same without a word about third classes (Joshi et al. 2018)."
_BY_RULE = "By the paper's rule: the two classes' maps, one less the other at weights 0.005 to 2."

#: What stands where nothing is yet.
_WAITING = "waiting for its turn …"

#: Letters of a line over a tile: of three models side by side, and of more.
_LETTERS, _FEW_LETTERS = 38, 28

#: A residual below this is an image rebuilt well.
_SMALL_RESIDUAL = 0.05


def rows(contrasts: ContrastRequests, options: ViewOptions) -> list[Row]:
    """CDeepEx, xGEMs and the other methods, each with a tile for every model."""
    found = []
    for params in contrasts.settings:
        small, words = _rebuilt(contrasts) if params.constraints else ((), _XGEMS)
        tiles = _contrast_tiles(contrasts, params, options)
        found.append(Row("CDeepEx" if params.constraints else "xGEMs", words, tiles, small))
    for name in BESIDE if contrasts.spec.rule else ():
        tiles = tuple(_rule_tile(contrasts, card, name, options) for card in contrasts.page_state.cards)
        found.append(Row(METHODS[name].title, _BY_RULE, tiles))
    return found


def _rebuilt(contrasts: ContrastRequests) -> tuple[tuple[Small, ...], str]:
    """The input, what the generator rebuilt of it and the residual, which all models share; and words on them."""
    page_state = contrasts.page_state
    pixels, image_id = page_state.pixels(SIDE_PX), page_state.image_id
    input_ = Small("input", cache.drawn(f"crisp {image_id} {pixels.shape}", lambda: crisp(pixels)))
    found = (one.load(cache.store()) for one in contrasts.requests())
    contrast = next((one for one in found if one is not None), None)
    if contrast is None:
        return (input_, Small("rebuilt", ""), Small("residual", "")), _CDEEPEX
    key = f"{image_id} {contrasts.trained.key} {contrast.z0[:4].tolist()}"
    rebuilt = Small("rebuilt", cache.drawn(f"rebuilt {key}", lambda: crisp(_rgb(contrast.rebuilt))))
    off = contrast.residual.mean(2)
    colours = cache.drawn(f"off {key}", lambda: crisp(colour_map(off, True, _FULL_RESIDUAL, overlay=False)))
    return (input_, rebuilt, Small("residual", colours)), residual_words(contrast)


def residual_words(contrast: Contrast) -> str:
    """How well the image was rebuilt."""
    if contrast.error > LARGE_RESIDUAL:
        verdict = "large: off the data's manifold, the change may be of something beside the image."
    elif contrast.error > _SMALL_RESIDUAL:
        verdict = "rebuilt roughly."
    else:
        verdict = "rebuilt well."
    return f"residual {contrast.error:.2f}\n{verdict}"


def _found(request: ContrastRequest | str) -> Contrast | None:
    """What is known; `None` for a reason in a request's place."""
    return None if isinstance(request, str) else request.load(cache.store())


def _contrast_tiles(contrasts: ContrastRequests, params: ContrastParams, options: ViewOptions) -> tuple[Tile, ...]:
    page_state = contrasts.page_state
    requests = [contrasts.request(card, params) for card in page_state.cards]
    answers = [_found(request) for request in requests]
    shared = map_scale([one.difference for one in answers if one is not None]) if options.shared else None
    tiles = []
    for card, request, contrast in zip(page_state.cards, requests, answers, strict=True):
        if isinstance(request, str) or contrast is None:
            tiles.append(_empty(page_state, card, request))
            continue
        scale = shared or map_scale([contrast.difference])
        caption = _caption(request, contrast, scale)
        panel = _panel(page_state, contrast.difference, scale, options, request.key, caption)
        tiles.append(_tile(card, _why(request, contrast.before), panel))
    return tuple(tiles)


def _rule_tile(contrasts: ContrastRequests, card: ModelCard, name: str, options: ViewOptions) -> Tile:
    page_state, request = contrasts.page_state, contrasts.rule_request(card, name)
    known = None if isinstance(request, str) else request.load(cache.store())
    if isinstance(request, str) or known is None:
        return _empty(page_state, card, request)
    if not known.n_kept:
        words = "None of the 400 weights makes a change that lowers the one class and raises the other."
        return _tile(card, _why(request), Panel(_ground(page_state), words=words))
    placed = card.preprocessing.to_image(known.change, *page_state.size(SIDE_PX))
    scale = map_scale([placed])
    caption = f"{known.n_kept} of {len(WEIGHTS)} weights kept\nrange ± {scale:.2g}"
    return _tile(card, _why(request), _panel(page_state, placed, scale, options, request.key, caption))


def _tile(card: ModelCard, facts: str, panel: Panel) -> Tile:
    return Tile(card.name, facts, panel, session.state().colour(card.digest))


def _empty(page_state: PageState, card: ModelCard, request: ContrastRequest | RuleContrastRequest | str) -> Tile:
    """Words in a map's place."""
    if isinstance(request, str):
        return _tile(card, "", Panel(_ground(page_state), words=request))
    words = session_jobs.words(CONTRAST, request, _WAITING)
    return _tile(card, _why(request), Panel(_ground(page_state), words=words))


def _why(request: ContrastRequest | RuleContrastRequest, before: np.ndarray | None = None) -> str:
    """The two classes, with the likelihoods `before` anything is changed where they are known."""
    columns = request.true, request.probe
    likely = ["" if before is None else f" ({before[column]:.2f})" for column in columns]
    true, probe = (request.card.class_names[c] + words for c, words in zip(columns, likely, strict=True))
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


def _ground(page_state: PageState) -> str:
    """The image in pale grey, to lay a change over."""
    pixels = page_state.pixels(SIDE_PX)
    return cache.drawn(f"paled {page_state.image_id} {pixels.shape}", lambda: crisp(paled(pixels)))


def _panel(
    page_state: PageState, change: np.ndarray, scale: float, options: ViewOptions, key: str, caption: str
) -> Panel:
    """A change (h, w), stretched over the image."""
    size, overlay = page_state.size(SIDE_PX), options.view == OVERLAY

    def draw() -> np.ndarray:
        return crisp(colour_map(_stretched(change, size), True, scale, overlay))

    colours = cache.drawn(f"contrast {key} {size} {scale} {overlay}", draw)
    return Panel(_ground(page_state) if overlay else "", colours, caption=caption)


def morph(contrasts: ContrastRequests, share: float, along_search: bool) -> tuple[Row, list[Curves | None]]:
    """The images at a share (0 to 1) of the way from z0 to z_e as the models see them, and their likelihoods."""
    tiles, curves, cards = list[Tile](), list[Curves | None](), contrasts.page_state.cards
    n_letters = _LETTERS if len(cards) <= 3 else _FEW_LETTERS
    for card in cards:
        request = contrasts.request(card)
        contrast = _found(request)
        if isinstance(request, str) or contrast is None:
            tiles.append(_empty(contrasts.page_state, card, request))
            curves.append(None)
            continue
        step = round(share * (len(contrast.strip) - 1))
        panel = Panel(cache.drawn(f"seen {request.key} {step}", _seen(contrast, step)))
        third = "next" if len(contrast.after) > 2 else ""
        names = card.class_names[request.true], card.class_names[request.probe], third
        shares = zip(names, contrast.strip_shares[step], strict=True)
        facts = [f"{name} ({value:.2f})" for name, value in shares if name]
        line = " · ".join(facts)
        tiles.append(_tile(card, line if len(line) <= n_letters else f"{facts[0]}\n{' · '.join(facts[1:])}", panel))
        drawn = contrast.path if along_search else contrast.strip_shares
        curves.append(Curves(names, drawn, None if along_search else step))
    words = "The image on its way from the input to where both classes are equally likely, as the models see it."
    return Row("On the way", words, tuple(tiles)), curves


def _seen(contrast: Contrast, step: int) -> Callable[[], np.ndarray]:
    return lambda: crisp(_rgb(contrast.seen(step)))


def notes(contrasts: ContrastRequests) -> list[str]:
    """What a person should know before believing what is on show; what holds for several models is said once."""
    models: dict[str, list[str]] = {}
    for request in contrasts.requests():
        contrast, name = _found(request), request.card.name
        for note in [] if contrast is None else contrast.notes(request):
            models.setdefault(note, []).append(name if request.params.constraints else f"{name} (xGEMs)")
    side = contrasts.trained.shape.side
    cards = [card for card in contrasts.page_state.cards if card.input_size != (side, side)]
    others = [f"{card.name} {card.input_size[1]} × {card.input_size[0]}" for card in cards]
    lines = [f"{', '.join(dict.fromkeys(names))}: {note}" for note, names in models.items()]
    if others:
        lines.append(
            f"The generator makes {side} × {side} pixels, and models read others ({', '.join(others)}): changes are "
            "resized on the way to them, and cannot be finer than the generator's own."
        )
    return lines


def to_npz_file(contrasts: ContrastRequests) -> bytes:
    """What is known, as `MODEL/METHOD/ARRAY`: input, rebuilt, difference, strip, paths, z0 and z_e."""
    arrays: dict[str, Any] = {}
    for request in contrasts.requests():
        if (contrast := _found(request)) is not None:
            start = f"{request.card.name}/{'cdeepex' if request.params.constraints else 'xgems'}"
            for name in ("picture", "rebuilt", "changed", "difference", "strip", "strip_shares", "path", "z0", "z"):
                arrays[f"{start}/{name}"] = getattr(contrast, name)
    for by_rule in contrasts.rule_requests():
        if (known := by_rule.load(cache.store())) is not None:
            arrays[f"{by_rule.card.name}/{by_rule.method.name}/change"] = known.change
    return to_npz(arrays)


def to_png_file(contrasts: ContrastRequests) -> bytes:
    """Input and the models' changes in one file, a line for each of CDeepEx and xGEMs."""
    page_state = contrasts.page_state
    pixels, size = page_state.pixels(SIDE_PX), page_state.size(SIDE_PX)
    lines: list[list[np.ndarray | str]] = []
    for params in contrasts.settings:
        line: list[np.ndarray | str] = [crisp(pixels)]
        for request in (contrasts.request(card, params) for card in page_state.cards):
            contrast = _found(request)
            if contrast is None:
                line.append(request if isinstance(request, str) else "not ready")
            else:
                line.append(crisp(changed_over(pixels, _stretched(contrast.difference, size))))
        lines.append(line)
    titles = ["input"]
    for card in page_state.cards:
        request = contrasts.request(card)
        titles.append(f"{card.name}: {'' if isinstance(request, str) else request.title}")
    return to_png(sheet(titles, ["CDeepEx", "xGEMs"][: len(lines)], lines))


def _stretched(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Values (h, w) float32 over an image of `size` (height, width), NaN kept; bilinear where the sizes differ."""
    if values.shape == size:
        return values
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize(size[::-1], Image.Resampling.BILINEAR))


def _rgb(image: np.ndarray) -> np.ndarray:
    """(h, w, 1 or 3) float32 in [0, 1] -> (h, w, 3) uint8."""
    pixels = (image * 255).round().astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3))
