"""Accuracy and loss of one or several trainings, epoch by epoch."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from common.escape import plotly
from figures.colours import TEXT_COLOUR
from figures.words import middle_cut
from playground.history import ACCURACY, LOSS, STANDARD, History

#: Room around and between the charts, in pixels: above for the names of runs and of charts, below for the axes.
_ABOVE_PX, _BELOW_PX, _LEFT_PX, _RIGHT_PX, _LINE_PX = 24, 40, 46, 8, 16

#: Between two charts, for the ticks of the right one.
_GAP_PX = 40

#: What a letter takes; lines of runs' names at most; letters of a name that is cut, and of what is said behind them.
_LETTER_PX, _MOST_LINES, _NAME_LETTERS, _MORE_LETTERS = 6.4, 2, 22, 10

#: What the two kinds of curves are.
_KINDS = "━ validation   ╌ training   ★ best"

#: The lowest accuracies that an axis may start at.
_FLOORS = (0.9, 0.8, 0.5, 0.0)

#: Fewer epochs than this are drawn as points, too.
_POINTS = 30

#: Of longer runs, points that are drawn of a curve, evenly spread: the last is among them.
_MOST_POINTS = 2000

#: A loss that rises to so many times of where it began is drawn on a logarithmic axis, so that the rest stays visible.
_BLOWN_UP = 20.0

_GRID = "rgba(128,128,128,0.2)"


def training_curves(
    histories: Sequence[History],
    colours: Sequence[str],
    current: int | None = None,
    last_epoch: int | None = None,
    measures: Sequence[str] = (ACCURACY, LOSS),
    height_px: int = 260,
    width_px: int = 560,
) -> go.Figure:
    """Curves of several trainings over their epochs, one chart for each of `measures`, side by side.

    Validation is a solid line and training a thin, dashed one, each in its run's colour; a star marks each run's best
    epoch, a dotted line the epoch `current`. Lines pass over epochs without a value. A point carries [run, epoch] as
    its customdata.

    Args:
        histories: the runs; those of one figure should count the same unit.
        colours: `#RRGGBB`, one for each run.
        current: the epoch that is on show elsewhere.
        last_epoch: where the epochs will end, so that the axis stays while they come in; the last so far without it.
        measures: "accuracy", "loss", or names of other values; one that no run has is left out if another is there.
        height_px: height of the figure.
        width_px: the narrowest that it may be drawn; as many names as fit there are said above it.
    """
    measures = [m for m in measures if any(_keys(h, m) for h in histories)] or list(measures)
    gap = _GAP_PX / (width_px - _LEFT_PX - _RIGHT_PX)
    width = (1 - gap * (len(measures) - 1)) / len(measures)
    traces: list[dict[str, Any]] = []
    names = _name_lines(histories, colours, int((width_px - 16) / _LETTER_PX))
    layout: dict[str, Any] = {"annotations": _key(names), "shapes": []}
    unit = " or ".join(dict.fromkeys(history.unit for history in histories)) or "epoch"
    for n, measure in enumerate(measures):
        suffix = "" if n == 0 else str(n + 1)
        place = {"xaxis": f"x{suffix}", "yaxis": f"y{suffix}"}
        left = n * (width + gap)
        scale = _scale(histories, measure)
        layout[f"xaxis{suffix}"] = _epochs_axis(histories, last_epoch, unit) | {
            "domain": [left, left + width], "anchor": f"y{suffix}",
        }  # fmt: skip
        layout[f"yaxis{suffix}"] = scale | {"anchor": f"x{suffix}", "gridcolor": _GRID, "zeroline": False}
        logarithmic = " (log)" if scale.get("type") == "log" else ""
        layout["annotations"].append({
            "text": f"<b>{plotly(textwrap.shorten(measure, 28, placeholder='…'))}</b>{logarithmic}", "x": left, "y": 1,
            "xref": "paper", "yref": "paper", "xanchor": "left", "yanchor": "bottom", "showarrow": False,
            "font": {"size": 12},
        })  # fmt: skip
        for run, (history, colour) in enumerate(zip(histories, colours, strict=True)):
            traces += [trace | place for trace in _curves(run, history, measure, colour, scale)]
        if not traces or traces[-1]["xaxis"] != place["xaxis"]:  # without a trace there would be no chart
            traces.append({"type": "scatter", "x": [None], "y": [None], "hoverinfo": "skip", **place})
        if current is not None:
            layout["shapes"].append({
                "type": "line", "x0": current, "x1": current, "y0": 0, "y1": 1, "xref": place["xaxis"],
                "yref": f"{place['yaxis']} domain", "line": {"color": TEXT_COLOUR, "width": 1.2, "dash": "dot"},
            })  # fmt: skip
    return go.Figure({
        "data": traces,
        "layout": {
            **layout, "height": height_px, "showlegend": False, "hovermode": "closest", "hoverdistance": 40,
            "margin": {"l": _LEFT_PX, "r": _RIGHT_PX, "t": _ABOVE_PX + _LINE_PX * len(names), "b": _BELOW_PX},
            "plot_bgcolor": "rgba(0,0,0,0)", "paper_bgcolor": "rgba(0,0,0,0)",
        },
    })  # fmt: skip


def other_measures(histories: Sequence[History]) -> list[str]:
    """What any of the runs measured beside accuracy and loss, in the order of their files."""
    return list(dict.fromkeys(key for history in histories for key in history.values if key not in STANDARD))


def _keys(history: History, measure: str) -> list[str]:
    """The values of a run that belong to a measure, training first."""
    return [key for key in (f"training {measure}", f"validation {measure}", measure) if key in history.values]


def _curves(run: int, history: History, measure: str, colour: str, scale: dict[str, Any]) -> list[dict[str, Any]]:
    """A run's curves of a measure, the values that lie above the chart, and the mark of its best epoch."""
    format_ = ".1%" if measure == ACCURACY else ".4~g"
    where = f"<b>{plotly(history.name)}</b><br>{history.unit} %{{x}}: "
    traces = []
    for key in _keys(history, measure):
        values = history.values[key]
        training = key == f"training {measure}"
        drawn = np.flatnonzero(np.isfinite(values) & ((values > 0) | (scale.get("type") != "log")))
        drawn = drawn[::-1][:: max(1, -(-len(drawn) // _MOST_POINTS))][::-1]
        line = {"color": colour, "width": 1.3, "dash": "4px,3px"} if training else {"color": colour, "width": 2.2}
        pointed = len(drawn) <= _POINTS
        common = {"type": "scatter", "name": plotly(f"{history.name}: {key}")}
        traces.append({
            **common, "mode": "lines+markers" if pointed else "lines", "x": history.epochs[drawn].tolist(),
            "y": values[drawn].tolist(), "customdata": [[run, epoch] for epoch in history.epochs[drawn].tolist()],
            "opacity": 0.8 if training else 1, "line": line,
            "marker": {"size": 3.5 if training else 5, "color": colour, "line": {"width": 0}},
            "hovertemplate": f"{where}{plotly(key)} %{{y:{format_}}}<extra></extra>",
        })  # fmt: skip
        if (beyond := np.isposinf(values)).any():
            traces.append({
                **common, "mode": "markers", "x": history.epochs[beyond].tolist(),
                "y": [_top(scale)] * int(beyond.sum()), "cliponaxis": False,
                "customdata": [[run, int(epoch)] for epoch in history.epochs[beyond]],
                "marker": {"symbol": "triangle-up", "size": 8, "color": colour},
                "hovertemplate": f"{where}{plotly(key)} is infinite<extra></extra>",
            })  # fmt: skip
    best = history.best()
    key = f"validation {measure}"
    if best is not None and key in history.values and np.isfinite(history.values[key][best]):
        traces.append({
            "type": "scatter", "mode": "markers", "x": [int(history.epochs[best])],
            "y": [float(history.values[key][best])], "customdata": [[run, int(history.epochs[best])]],
            "cliponaxis": False,
            "marker": {"symbol": "star", "size": 11, "color": colour, "line": {"color": TEXT_COLOUR, "width": 1}},
            "hovertemplate": f"{where}{key} %{{y:{format_}}}<br>its best {history.unit}<extra></extra>",
        })  # fmt: skip
    return traces


def _scale(histories: Sequence[History], measure: str) -> dict[str, Any]:
    """The axis of a measure's values, which stays as it is for as long as later epochs are better than the first."""
    runs = [history.values[key] for history in histories for key in _keys(history, measure)]
    runs = [values[np.isfinite(values)] for values in runs]
    runs = [values for values in runs if len(values)]
    low = min((float(values.min()) for values in runs), default=0.0)
    high = max((float(values.max()) for values in runs), default=1.0)
    if measure == ACCURACY:
        floor = next((floor for floor in _FLOORS if floor <= low), 0.0)
        return {"range": [floor - 0.03 * (1 - floor), 1 + 0.03 * (1 - floor)], "tickformat": ".0%", "nticks": 6}
    if measure == LOSS and low >= 0:
        began = max((float(values[0]) for values in runs), default=1.0)
        above_zero = [values[values > 0].min() for values in runs if (values > 0).any()]
        if high > _BLOWN_UP * began > 0 and above_zero:
            decades = np.floor(np.log10(min(above_zero))), np.ceil(np.log10(high) + 0.05)
            return {"type": "log", "range": [float(d) for d in decades], "nticks": 6, "exponentformat": "power"}
        return {"range": [-0.03 * _round_up(high), 1.03 * _round_up(high)], "nticks": 6}
    room = 0.06 * (high - low) or abs(high) * 0.1 or 1.0
    return {"range": [low - room, high + room], "nticks": 6}


def _top(scale: dict[str, Any]) -> float:
    top = scale["range"][1]
    return float(10**top if scale.get("type") == "log" else top)


def _round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 5, 7 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(step * power for step in (1, 1.5, 2, 3, 5, 7, 10) if value <= step * power * (1 + 1e-9)))


def _epochs_axis(histories: Sequence[History], last_epoch: int | None, unit: str) -> dict[str, Any]:
    """From the first epoch to the last that will be."""
    ends = [int(end) for history in histories if len(history.epochs) for end in history.epochs[[0, -1]]]
    first = min(ends, default=1)
    last = max([first, *ends] + ([] if last_epoch is None else [last_epoch]))
    room = max(0.03 * (last - first), 0.5 if last == first else 0.15)
    few = {"dtick": 1} if last - first <= 8 else {"nticks": 8}
    return {
        "range": [first - room, last + room], "title": {"text": unit, "font": {"size": 12}, "standoff": 4},
        "gridcolor": _GRID, "zeroline": False, "tickformat": "d", **few,
    }  # fmt: skip


def _name_lines(histories: Sequence[History], colours: Sequence[str], n_fit: int) -> list[str]:
    """The runs' names in their colours, as many as fit into lines of `n_fit` letters, and what their lines are."""
    whole = sum(len(history.name) + 5 for history in histories) <= n_fit
    names = [history.name if whole else middle_cut(history.name, _NAME_LETTERS) for history in histories]
    words = [(f"<span style='color:{c}'>■</span> {plotly(name)}", len(name) + 5)
             for name, c in zip(names, colours, strict=True)]  # fmt: skip
    lines: list[list[str]] = [[]]
    n_letters = 0
    for number, (word, n_word) in enumerate(words):
        n_letters += n_word
        if lines[-1] and n_letters > n_fit - _MORE_LETTERS * (len(lines) == _MOST_LINES):
            if len(lines) == _MOST_LINES:
                lines[-1].append(f"+ {len(histories) - number} more")
                n_letters += _MORE_LETTERS - n_word
                break
            lines.append([])
            n_letters = n_word
        lines[-1].append(word)
    kinds = {key.split()[0] for history in histories for key in history.values if key in STANDARD}
    if len(kinds) == 2:
        if n_letters + len(_KINDS) > n_fit:
            lines.append([])
        lines[-1].append(_KINDS)
    return ["   ".join(line) for line in lines if line]


def _key(names: Sequence[str]) -> list[dict[str, Any]]:
    """The lines of names, above all else."""
    return [
        {
            "text": line, "x": 0, "xref": "paper", "xanchor": "left", "xshift": 8 - _LEFT_PX, "y": 1, "yref": "paper",
            "yanchor": "bottom", "yshift": 20 + _LINE_PX * (len(names) - 1 - n), "showarrow": False,
            "font": {"size": 11},
        }
        for n, line in enumerate(names)
    ]  # fmt: skip
