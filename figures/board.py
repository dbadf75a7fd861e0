"""Panels, pictures and words at places of a page: what figures of many maps are laid out on; one zoom moves all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import plotly.graph_objects as go

from figures.compare import scale_bar

#: Width in pixels that the layout is drawn for; panels keep their aspect at any other width.
PAGE_PX = 980

_MOST_IN_LINE = 6

_ANCHORS = {"xanchor": "left", "yanchor": "top", "align": "left", "showarrow": False}


@dataclass
class Board:
    """Panels and words at places in pixels, collected as plain data: plotly checks them once, in the figure."""

    height_px: float
    size: tuple[int, int]
    traces: list[dict[str, Any]] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    words: list[dict[str, Any]] = field(default_factory=list)
    axes: dict[str, dict[str, Any]] = field(default_factory=dict)

    def panel(self, left: float, top: float, width: float, height: float, toward: str = "bottom") -> dict[str, str]:
        """A subplot in the picture's pixels; returns the references that its traces and images need.

        `toward` is where it stays when a narrower page makes it smaller: at its caption.
        """
        number = len(self.traces) + 1
        suffix = "" if number == 1 else str(number)
        shared = {"visible": False, "constrain": "domain", "showgrid": False, "zeroline": False}
        x = {**shared, "range": [0, self.size[1]], "domain": [left / PAGE_PX, (left + width) / PAGE_PX]}
        y = {**shared, "range": [self.size[0], 0], "domain": [self._up(top + height), self._up(top)]}
        y |= {"anchor": f"x{suffix}", "constraintoward": toward}
        x |= {"anchor": f"y{suffix}", "constraintoward": "left"}
        if suffix:
            x["matches"], y["matches"] = "x", "y"
        else:
            y["scaleanchor"] = "x"
        self.axes[f"xaxis{suffix}"], self.axes[f"yaxis{suffix}"] = x, y
        place = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        # A subplot without a trace is not drawn.
        self.traces.append({"type": "scatter", "x": [None], "y": [None], "hoverinfo": "skip", **place})
        return place

    def lay(self, place: dict[str, str], source: str, opacity: float | None = None) -> None:
        """Lay a picture into a panel; one with an opacity lies over one without."""
        if source:
            self.images.append({
                "source": source, "xref": place["xaxis"], "yref": place["yaxis"], "layer": "below", "sizing": "stretch",
                "x": 0 if opacity is None else 1e-3,  # plotly draws only one of two images at the very same place
                "y": 0, "sizex": self.size[1], "sizey": self.size[0], "opacity": 1.0 if opacity is None else opacity,
            })  # fmt: skip

    def enlarge(self, place: dict[str, str], row: int, column: int, *more: str) -> None:
        """The mark in a panel's corner that a click on shows it at full width; the click carries row, column, more."""
        trace = self.traces[int(place["xaxis"][1:] or 1) - 1]
        trace |= {
            "mode": "text", "text": ["⤢"], "x": [self.size[1]], "y": [0], "textposition": "bottom left",
            "textfont": {"size": 18, "color": "white", "shadow": "0 0 3px black, 0 0 3px black"},
            "customdata": [[row, column, *more]], "hovertext": ["full width"], "hoverinfo": "text",
        }  # fmt: skip

    def link(self, place: dict[str, str], text: str, middle: float, hover: str, data: list[Any]) -> None:
        """Words at the foot of a panel that was given `enlarge`, their middle at a share of its width.

        A click near their middle carries `data`.
        """
        trace = self.traces[int(place["xaxis"][1:] or 1) - 1]
        trace |= {
            "text": [*trace["text"], text], "x": [*trace["x"], middle * self.size[1]], "y": [*trace["y"], self.size[0]],
            "textposition": [trace["textposition"], "top center"], "customdata": [*trace["customdata"], data],
            "hovertext": [*trace["hovertext"], hover], "textfont": {**trace["textfont"], "size": [18, 12]},
        }  # fmt: skip

    def stamp(self, left: float, top: float, side: float, source: str) -> None:
        """A small picture that stands still when panels zoom."""
        self.images.append({
            "source": source, "xref": "paper", "yref": "paper", "sizing": "contain", "yanchor": "top",
            "x": left / PAGE_PX, "y": self._up(top), "sizex": side / PAGE_PX, "sizey": side / self.height_px,
        })  # fmt: skip

    def say(self, left: float, top: float, text: str, size_px: int = 13, **options: Any) -> None:
        """Words at a place of the page."""
        place = {"x": left / PAGE_PX, "y": self._up(top), "xref": "paper", "yref": "paper"}
        self.words.append({"text": text, "font": {"size": size_px}, **place, **_ANCHORS, **options})

    def say_at(self, place: dict[str, str], x: float, y: float, text: str, size_px: int, **options: Any) -> None:
        """Words at shares of a panel, however wide the page is; they stand still when the panel pans."""
        where = {"x": x, "y": y, "xref": f"{place['xaxis']} domain", "yref": f"{place['yaxis']} domain"}
        self.words.append({"text": text, "font": {"size": size_px}, **where, **_ANCHORS, **options})

    def legend(self, left: float, top: float) -> None:
        """The strip of colours and what its ends mean."""
        width = 150
        self.images.append({
            "source": scale_bar(signed=False), "xref": "paper", "yref": "paper", "sizing": "stretch", "yanchor": "top",
            "x": left / PAGE_PX, "y": self._up(top), "sizex": width / PAGE_PX, "sizey": 10 / self.height_px,
        })  # fmt: skip
        self.say(left, top + 11, "nothing", 11)
        self.say(left + width, top + 11, "much", 11, xanchor="right")

    def figure(self, above_px: int = 28) -> go.Figure:
        """All of it, with `above_px` free on top for a chart's own buttons."""
        layout = {
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
        return go.Figure({"data": self.traces, "layout": layout})

    def _up(self, top_px: float) -> float:
        return min(1.0, max(0.0, 1 - top_px / self.height_px))


def per_line(n_panels: int) -> int:
    """How many panels stand side by side, so that lines are equally full and panels big enough to see something."""
    n_lines = -(-n_panels // _MOST_IN_LINE)
    return -(-n_panels // n_lines)
