"""Panels, images and words at places of a page: what figures of many maps are laid out on; one zoom moves all."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import plotly.graph_objects as go

from common.escape import plotly
from figures.maps import scale_bar

#: A plotly figure as plain data: `data` and `layout`, as `go.Figure` takes them.
PlainFigure = dict[str, Any]

#: Width in pixels that the layout is drawn for; panels keep their aspect at any other width.
PAGE_PX = 980

#: Room above a band for its title, and what a letter of a caption takes, on average.
BAND_PX, LETTER_PX = 30, 6.0

#: A line of a caption.
_LINE_PX = 15

_ANCHORS = {"xanchor": "left", "yanchor": "top", "align": "left", "showarrow": False}


@dataclass(frozen=True)
class Panel:
    """One map over its image, or the words that stand in its place, and its caption; images are addresses."""

    picture: str = ""
    overlay: str = ""
    words: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Tile:
    """A panel under its title (bold, behind a square in `colour` if there is one) and lines of facts."""

    title: str
    facts: str
    panel: Panel
    colour: str = ""


T = TypeVar("T", bound=Tile)


@dataclass(frozen=True)
class Band(Generic[T]):
    """Tiles side by side under one title; without one they stand by themselves."""

    title: str
    tiles: tuple[T, ...]


@dataclass
class PanelGrid:
    """Panels over images of `size` (height, width) and words, at places in pixels from the top left.

    All is collected as plain data, and stays it: to check it takes plotly longer than all else on a page.
    """

    height_px: float
    size: tuple[int, int]
    traces: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    words: list[dict[str, Any]] = field(default_factory=list)
    axes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def panel(self, left: float, top: float, width: float, height: float, toward: str = "top") -> dict[str, str]:
        """A subplot in the image's pixels; returns the references that its traces and images need.

        `toward` is where it stays when a narrower page makes it smaller.
        """
        shared = {"visible": False, "constrain": "domain", "showgrid": False, "zeroline": False}
        place = self.axes_at(
            left, top, width, height,
            {**shared, "range": [0, self.size[1]], "constraintoward": "left"},
            {**shared, "range": [self.size[0], 0], "constraintoward": toward},
        )  # fmt: skip
        x, y = (self.axes[f"{name}axis{place['xaxis'][1:]}"] for name in "xy")
        if place["xaxis"] == "x":
            y["scaleanchor"] = "x"
        else:
            x["matches"], y["matches"] = "x", "y"
        # A subplot without a trace is not drawn.
        self.traces.append({"type": "scatter", "x": [None], "y": [None], "hoverinfo": "skip", **place})
        return place

    def axes_at(
        self, left: float, top: float, width: float, height: float, x: dict[str, Any], y: dict[str, Any]
    ) -> dict[str, str]:
        """A subplot with axes of its own; the first of all must be a panel. Returns the references for its traces."""
        number = len(self.axes) // 2 + 1
        suffix = "" if number == 1 else str(number)
        x_domain = [left / PAGE_PX, min(1.0, (left + width) / PAGE_PX)]
        y_domain = [self._up(top + height), self._up(top)]
        self.axes[f"xaxis{suffix}"] = {"domain": x_domain, "anchor": f"y{suffix}", **x}
        self.axes[f"yaxis{suffix}"] = {"domain": y_domain, "anchor": f"x{suffix}", **y}
        return {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}

    def lay(self, place: dict[str, str], source: str, opacity: float | None = None) -> None:
        """Lay an image into a panel; one with an opacity lies over one without."""
        if source:
            self.images.append({
                "source": source, "xref": place["xaxis"], "yref": place["yaxis"], "layer": "below", "sizing": "stretch",
                "x": 0 if opacity is None else 1e-3,  # plotly draws only one of two images at the very same place
                "y": 0, "sizex": self.size[1], "sizey": self.size[0], "opacity": 1.0 if opacity is None else opacity,
            })  # fmt: skip

    def fill(self, place: dict[str, str], panel: Panel, width: float, opacity: float, mark: Sequence[Any] = ()) -> None:
        """A map over its image, or words over a faint one; a map gets the mark in its corner that carries `mark`."""
        self.lay(place, panel.picture, 0.25 if panel.words else None)
        self.lay(place, panel.overlay, opacity)
        if panel.words:
            words = "<br>".join(map(plotly, textwrap.wrap(panel.words, max(14, int(width / 8)))))
            self.say_at(place, 0.5, 0.5, words, 12, xanchor="center", yanchor="middle", align="center")
        if mark and panel.overlay:
            self.enlarge(place, mark)

    def draw(self, place: dict[str, str], tile: Tile, width: float, opacity: float, mark: Sequence[Any] = ()) -> None:
        """A tile: its panel between its heading and its caption."""
        self.fill(place, tile.panel, width, opacity, mark)
        n_letters = int(width / LETTER_PX)
        square = f"<span style='color:{tile.colour}'>■</span> " if tile.colour else ""
        title = plotly(textwrap.shorten(tile.title, max(8, n_letters - 2), placeholder="…"))
        lines = [textwrap.shorten(line, n_letters, placeholder="…") for line in tile.facts.splitlines()]
        facts = "<br>".join(map(plotly, lines))
        heading = f"{square}<b>{title}</b>" + (f"<br><span style='font-size:11px'>{facts}</span>" if facts else "")
        self.say_at(place, 0, 1, heading, 13, yanchor="bottom", yshift=2)
        self.caption(place, caption_lines(tile.panel.caption, n_letters))

    def caption(self, place: dict[str, str], lines: Sequence[str], hover: str = "", bold: bool = False) -> None:
        """Lines beneath a panel, the first of them `bold` if wanted; `hover`, which is HTML, shows under the mouse."""
        if lines:
            first, *others = map(plotly, lines)
            words = "<br>".join([f"<b>{first}</b>" if bold else first, *others])
            self.say_at(place, 0, 0, words, 11, yshift=-3, **({"hovertext": hover} if hover else {}))

    def enlarge(self, place: dict[str, str], mark: Sequence[Any]) -> None:
        """The mark in a panel's corner: a click on it carries `mark`, and asks for the panel at full width."""
        self._trace(place).update({
            "mode": "text", "text": ["⤢"], "x": [self.size[1]], "y": [0], "textposition": ["bottom left"],
            "textfont": {"size": [18], "color": "white", "shadow": "0 0 3px black, 0 0 3px black"},
            "customdata": [list(mark)], "hovertext": ["full width"], "hoverinfo": "text",
        })  # fmt: skip

    def link(self, place: dict[str, str], text: str, middle: float, hover: str, mark: Sequence[Any]) -> None:
        """Words at the foot of a panel that was given `enlarge`, their middle at a share of its width.

        A click near their middle carries `mark`.
        """
        trace = self._trace(place)
        for name, value in (
            ("text", text), ("x", middle * self.size[1]), ("y", self.size[0]), ("textposition", "top center"),
            ("customdata", list(mark)), ("hovertext", hover),
        ):  # fmt: skip
            trace[name] = [*trace[name], value]
        trace["textfont"] = {**trace["textfont"], "size": [18, 12]}

    def _trace(self, place: dict[str, str]) -> dict[str, Any]:
        return next(trace for trace in self.traces if trace["xaxis"] == place["xaxis"])

    def stamp(self, left: float, top: float, width: float, height: float, source: str, sizing: str = "contain") -> None:
        """An image that stands still when panels zoom."""
        self.images.append({
            "source": source, "xref": "paper", "yref": "paper", "sizing": sizing, "yanchor": "top", "x": left / PAGE_PX,
            "y": self._up(top), "sizex": width / PAGE_PX, "sizey": height / self.height_px,
        })  # fmt: skip

    def say(self, left: float, top: float, text: str, size_px: int = 13, **options: Any) -> None:
        """Words, as plotly's HTML, at a place of the page."""
        place = {"x": left / PAGE_PX, "y": self._up(top), "xref": "paper", "yref": "paper"}
        self.words.append({"text": text, "font": {"size": size_px}, **place, **_ANCHORS, **options})

    def say_at(self, place: dict[str, str], x: float, y: float, text: str, size_px: int, **options: Any) -> None:
        """Words at shares of a subplot, however wide the page is; they stand still when a panel pans."""
        where = {"x": x, "y": y, "xref": f"{place['xaxis']} domain", "yref": f"{place['yaxis']} domain"}
        self.words.append({"text": text, "font": {"size": size_px}, **where, **_ANCHORS, **options})

    def legend(self, left: float, top: float, length: float, words: tuple[str, str, str], signed: bool = True) -> None:
        """The strip of colours, and what its ends and its middle mean."""
        self.stamp(left, top, length, 10, scale_bar(signed), "stretch")
        for share, anchor, word in zip((0, 0.5, 1), ("left", "center", "right"), words, strict=True):
            if word:
                self.say(left + share * length, top + 11, word, 11, xanchor=anchor)

    def figure(self, above_px: int = 28, **layout: Any) -> PlainFigure:
        """All of it, with `above_px` free on top for a chart's own buttons; `layout` is added to what it lays out."""
        whole = {
            **self.axes,
            "images": self.images,
            "annotations": self.words,
            "height": self.height_px + above_px + 8,
            "margin": {"l": 4, "r": 4, "t": above_px, "b": 8},
            "showlegend": False,
            "dragmode": "pan",
            "hovermode": "closest",
            "plot_bgcolor": "rgba(0,0,0,0)",
        }
        return {"data": self.traces, "layout": {**whole, **layout}}

    def _up(self, top_px: float) -> float:
        return min(1.0, max(0.0, 1 - top_px / self.height_px))


def per_line(n_panels: int, most: int = 6) -> int:
    """How many panels stand side by side, `most` at most, so that lines are equally full."""
    n_lines = -(-n_panels // most)
    return -(-n_panels // n_lines)


def bands_px(bands: Sequence[Band[Any]], n_columns: int, line_px: float) -> float:
    """The height of bands whose tiles stand in lines of `n_columns`, each line `line_px` high."""
    n_lines = sum(-(-len(band.tiles) // n_columns) for band in bands)
    return n_lines * line_px + BAND_PX * sum(bool(band.title) for band in bands)


def in_bands(
    grid: PanelGrid, bands: Sequence[Band[T]], n_columns: int, column_px: float, line_px: float
) -> Iterator[tuple[tuple[int, int], T, float, float]]:
    """Each tile's numbers (band, tile), the tile, and where it stands: left, top. Says the bands' titles."""
    top = 0.0
    for b, band in enumerate(bands):
        if band.title:
            grid.say(0, top, f"<b>{plotly(band.title)}</b>", 14)
            top += BAND_PX
        for t, tile in enumerate(band.tiles):
            yield (b, t), tile, t % n_columns * column_px, top + t // n_columns * line_px
        top += line_px * -(-len(band.tiles) // n_columns)


def caption_lines(caption: str, n_letters: int) -> list[str]:
    """A caption's lines, broken between facts where they can be, none longer than `n_letters`."""
    facts = caption.replace(" ", "\N{NO-BREAK SPACE}").replace("\N{NO-BREAK SPACE}·\N{NO-BREAK SPACE}", " · ")
    return [part for line in facts.splitlines() for part in textwrap.wrap(line, n_letters)]


def captions_px(tiles: Iterable[Tile], width: float, n_lines: int) -> float:
    """Room for the captions beneath tiles of a width, and for `n_lines` at least."""
    captions = [caption_lines(tile.panel.caption, int(width / LETTER_PX)) for tile in tiles]
    return _LINE_PX * max([n_lines, *map(len, captions)]) + 12


def line_chart(traces: list[dict[str, Any]], title: str, height_px: int) -> go.Figure:
    """Lines over steps; `title` names their values."""
    axis = {"gridcolor": "rgba(128,128,128,0.2)", "zerolinecolor": "rgba(128,128,128,0.4)"}
    layout = {
        "height": height_px,
        "margin": {"l": 50, "r": 8, "t": 8, "b": 40},
        "showlegend": False,
        "hovermode": "closest",
        "xaxis": {**axis, "title": "step", "rangemode": "tozero"},
        "yaxis": {**axis, "title": plotly(title)},
        "plot_bgcolor": "rgba(0,0,0,0)",
        "paper_bgcolor": "rgba(0,0,0,0)",
    }
    lines = [{"type": "scatter", "mode": "lines", **trace} for trace in traces]
    return go.Figure({"data": lines, "layout": layout})


def single_figure(panel: Panel, size: tuple[int, int], opacity: float = 1.0) -> PlainFigure:
    """One panel of an image of `size` (height, width), at full width."""
    grid = PanelGrid(640, size)
    place = grid.panel(0, 0, PAGE_PX, 640, "middle")
    grid.axes["xaxis"]["constraintoward"] = "center"
    grid.fill(place, panel, PAGE_PX, opacity)
    return grid.figure(height=640, margin=dict.fromkeys("lrtb", 0))
