"""What a classifier takes for what: the confusion matrix, and the probabilities of all classes for one image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from common.escape import plotly
from figures.colours import IMAGES, RIGHT, TEXT_COLOUR, WRONG, translucent

#: A cell is at most and at least so wide, the smallest that shows its count, and what a digit of it takes.
_LARGEST_PX, _SMALLEST_PX, _COUNTED_PX, _DIGIT_PX = 54, 4, 13, 6.6

#: Letters of a class name that are shown beside a matrix or bars, what one takes, and what a line of them needs.
_NAME_LETTERS, _LETTER_PX, _NAME_PX = 16, 6.4, 13

#: Up to so many classes have bars with their names below each other; more stand side by side.
_NAMED_BARS = 12

#: From −1 to 1: errors that are all of a row to few, none, right answers that are few to all of a row. Dark words can
#: be read on all but the middle, which is clear.
_COLOURS = (
    (0.0, "#E2553D"), (0.4999, "#FBD9CC"), (0.4999, "rgba(127,127,127,0.10)"), (0.5001, "rgba(127,127,127,0.10)"),
    (0.5001, "#DCEBF6"), (1.0, "#5BA6DA"),
)  # fmt: skip


def confusion_matrix(
    counts: np.ndarray, classes: Sequence[str], chosen: tuple[int, int] | None = None, width_px: int = 560
) -> go.Figure:
    """How many images of each true class (rows) were taken for each class (columns), `counts` (K, K) int.

    Right answers are blue and errors red, the stronger the more of their row they are; errors by the root of their
    share, so that a single one shows. A cell carries [true, predicted] as its customdata; that of `chosen` is framed.
    """
    n = len(classes)
    totals = counts.sum(axis=1, keepdims=True)
    share = counts / np.maximum(totals, 1)
    diagonal = np.eye(n, dtype=bool)
    colour = np.where(diagonal, share, -np.sqrt(share))
    names = [_short(name) for name in classes]
    label_px = round(_LETTER_PX * max(map(len, names), default=1)) + 8
    left, below, above, right = label_px + 22, 0, 8, 8
    cell = float(np.clip((width_px - left - right) / max(n, 1), _SMALLEST_PX, _LARGEST_PX))
    upright = label_px > cell  # names do not fit side by side
    below = (label_px if upright else 20) + 22
    height = n * cell
    figure = go.Figure({
        "data": [{
            "type": "heatmap", "z": np.where(counts > 0, colour, 0.0).round(4), "zmin": -1, "zmax": 1,
            "colorscale": _COLOURS, "showscale": False, "xgap": 1 if cell > 9 else 0, "ygap": 1 if cell > 9 else 0,
            "customdata": [[[true, predicted] for predicted in range(n)] for true in range(n)],
            "text": [[str(value) if value else "" for value in row] for row in counts.tolist()],
            "texttemplate": "%{text}" if _fits(counts, cell) else "",
            "textfont": {"color": "#14222C", "size": 12 if cell > 24 else 10},
            "hovertext": _hover(counts, totals[:, 0], classes), "hoverinfo": "text",
        }],
        "layout": {
            "height": round(height) + above + below, "dragmode": False, "hovermode": "closest",
            "margin": {"l": left, "r": right, "t": above, "b": below},
            "plot_bgcolor": "rgba(0,0,0,0)", "paper_bgcolor": "rgba(0,0,0,0)",
            "xaxis": {
                **_names(names, cell, label_px), "range": [-0.5, n - 0.5], "tickangle": -90 if upright else 0,
                "constrain": "domain", "constraintoward": "left",
                "title": {"text": "predicted class", "font": {"size": 12}, "standoff": 4},
            },
            "yaxis": {
                **_names(names, cell, _NAME_PX), "range": [n - 0.5, -0.5], "scaleanchor": "x",
                "constrain": "domain", "constraintoward": "top",
                "title": {"text": "true class", "font": {"size": 12}, "standoff": 4},
            },
        },
    })  # fmt: skip
    if chosen is not None:
        true, predicted = chosen
        figure.add_shape(
            type="rect", x0=predicted - 0.5, x1=predicted + 0.5, y0=true - 0.5, y1=true + 0.5,
            line={"color": TEXT_COLOUR, "width": 2.5},
        )  # fmt: skip
    return figure


def probability_bars(
    probabilities: np.ndarray, classes: Sequence[str], true: int | None = None, height_px: int = 0
) -> go.Figure:
    """The probabilities of all classes, `probabilities` (K,) float in [0, 1], in the order of the classes.

    The predicted class is green where it is the class `true` and dark red where it is not; the true one has a check
    mark. A bar carries its class's number as its customdata. Without a height, it follows from the number of classes.
    """
    n = len(classes)
    predicted = int(np.argmax(probabilities)) if n else 0
    words = [f"{plotly(name)}: {percent(p)}" for name, p in zip(classes, probabilities.tolist(), strict=True)]
    if true is not None:
        words[true] += ", the true class"
    bar: dict[str, Any] = {
        "type": "bar", "customdata": list(range(n)), "hovertext": words, "hoverinfo": "text",
        "marker": {"color": bar_colours(probabilities, true), "line": {"width": 0}}, "cliponaxis": False,
    }  # fmt: skip
    layout: dict[str, Any] = {
        "dragmode": False, "showlegend": False, "bargap": 0.2,
        "plot_bgcolor": "rgba(0,0,0,0)", "paper_bgcolor": "rgba(0,0,0,0)",
    }  # fmt: skip
    marks = ["✓ " if number == true else "" for number in range(n)]
    still = {"fixedrange": True, "zeroline": False, "showgrid": False}
    if n <= _NAMED_BARS:
        names = [f"{mark}{plotly(_short(name))}" for mark, name in zip(marks, classes, strict=True)]
        shown = [name if number not in (true, predicted) else f"<b>{name}</b>" for number, name in enumerate(names)]
        bar |= {
            "x": probabilities, "y": list(range(n)), "orientation": "h", "textposition": "outside",
            "text": [percent(p) for p in probabilities.tolist()], "textfont": {"size": 11},
        }  # fmt: skip
        layout |= {
            "height": height_px or 16 + 22 * n, "hovermode": "y",
            "margin": {"l": 12 + round(_LETTER_PX * (max(map(len, map(_short, classes)), default=1) + 3)),
                       "r": 4, "t": 4, "b": 8},
            "xaxis": {**still, "range": [0, 1.32], "visible": False},
            "yaxis": {**still, "range": [n - 0.5, -0.5], "tickvals": list(range(n)), "ticktext": shown},
        }  # fmt: skip
        return go.Figure({"data": [bar], "layout": layout})
    told = sorted({predicted} | ({true} if true is not None else set()))
    top = {"y": float(probabilities[predicted]), "x": predicted}
    bar |= {"x": list(range(n)), "y": probabilities}
    names = [f"{marks[number]}{plotly(_short(classes[number]))}" for number in told]
    step = max(1, -(-n // 24))
    ticks = [number for number in range(0, n, step) if all(abs(number - one) >= step for one in told)] + told
    texts = [plotly(_short(classes[number])) for number in ticks[: len(ticks) - len(told)]]
    below_px = 16 + round(_LETTER_PX * (max(len(_short(classes[number])) for number in ticks) + 2))
    layout |= {
        "height": height_px or 132 + below_px, "hovermode": "x",
        "margin": {"l": 44, "r": 8, "t": 22, "b": below_px},
        "xaxis": {**still, "range": [-0.7, n - 0.3], "tickangle": -90, "tickvals": ticks,
                  "ticktext": [*texts, *(f"<b>{name}</b>" for name in names)]},
        "yaxis": {**still, "range": [0, 1.02], "tickformat": ".0%", "tickvals": [0, 0.5, 1], "showgrid": True,
                  "gridcolor": "rgba(128,128,128,0.2)"},
        "annotations": [{
            **top, "text": f"<b>{percent(top['y'])}</b>", "showarrow": False, "yanchor": "bottom", "yshift": 1,
            "xanchor": "left" if predicted < 0.1 * n else "right" if predicted > 0.9 * n else "center",
            "font": {"size": 11},
        }],
    }  # fmt: skip
    return go.Figure({"data": [bar], "layout": layout})


def bar_colours(probabilities: np.ndarray, true: int | None) -> list[str]:
    """The colours of the bars of `probabilities` (K,): the predicted class's stands out, by whether it is `true`."""
    colours = [translucent(IMAGES, 0.6)] * len(probabilities)
    if len(probabilities):
        predicted = int(np.argmax(probabilities))
        colours[predicted] = "#2F8FD0" if true is None else RIGHT if predicted == true else WRONG
    return colours


def percent(probability: float) -> str:
    """A probability in [0, 1] in few letters that never say 0 or 100 % of what is neither."""
    if not np.isfinite(probability):
        return "–"
    if 0 < probability < 0.001:
        return "<0.1%"
    if 0.999 < probability < 1:
        return ">99.9%"
    return f"{probability:.1%}" if 0 < probability < 1 else f"{probability:.0%}"


def _fits(counts: np.ndarray, cell_px: float) -> bool:
    """Whether the counts can be read in the cells."""
    n_digits = len(str(int(counts.max(initial=0))))
    return cell_px >= max(_COUNTED_PX, n_digits * _DIGIT_PX + 2)


def _hover(counts: np.ndarray, totals: np.ndarray, classes: Sequence[str]) -> list[list[str]]:
    """A line for each cell that has images; the others need none."""
    names = [plotly(name) for name in classes]
    lines = [[""] * len(names) for _ in names]
    for true, predicted in np.argwhere(counts > 0).tolist():
        count, total = int(counts[true, predicted]), int(totals[true])
        answer = "right" if true == predicted else f"taken for <b>{names[predicted]}</b>"
        lines[true][predicted] = f"<b>{names[true]}</b>: {count:,} of {total:,} images {answer} ({count / total:.1%})"
    return lines


def _names(names: Sequence[str], cell_px: float, needed_px: float) -> dict[str, Any]:
    """An axis of classes, every one or every so many, as there is room for."""
    step = max(1, -(-min(needed_px, _NAME_PX) // cell_px))
    ticks = list(range(0, len(names), int(step)))
    return {
        "tickvals": ticks, "ticktext": [plotly(names[tick]) for tick in ticks], "tickfont": {"size": 11},
        "showgrid": False, "zeroline": False, "fixedrange": True, "automargin": False, "ticks": "",
    }  # fmt: skip


def _short(name: str) -> str:
    """A class name, cut where it is long."""
    return name if len(name) <= _NAME_LETTERS else name[: _NAME_LETTERS - 1].rstrip() + "…"
