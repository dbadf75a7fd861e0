"""The charts of the suggestion page."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from common.escape import plotly
from figures.colours import IMAGES
from suggestion.views import CONFIDENT, QUADRANTS, Scatter

_LINE = "rgba(128,128,128,0.9)"


def scatter_figure(scatter: Scatter, n_models: int) -> go.Figure:
    """Mean confidence against number of predicted classes (iNNvestigate-GUI, Fig. 2), with the quadrants named.

    Drawn by WebGL: 50,000 points stay fluid. Points are in the order of `scatter.index`.
    """
    figure = go.Figure()
    figure.add_trace(
        go.Scattergl(
            x=scatter.confidence,
            y=scatter.y,
            mode="markers",
            marker={"size": 7 if len(scatter.index) < 5000 else 4, "color": IMAGES, "opacity": 0.55},
            hoverinfo="none",
            name="images",
        )
    )
    top = max(2, n_models)
    low = min(float(scatter.confidence.min(initial=1.0)) - 0.03, CONFIDENT - 0.12)
    figure.add_shape(
        type="line",
        x0=CONFIDENT,
        x1=CONFIDENT,
        y0=0.25,
        y1=top + 0.65,
        line={"color": _LINE, "width": 1, "dash": "dot"},
    )
    figure.add_shape(type="line", x0=low, x1=1.02, y0=1.5, y1=1.5, line={"color": _LINE, "width": 1, "dash": "dot"})
    for (confident, agree), words in QUADRANTS.items():
        figure.add_annotation(
            x=1.015 if confident else low,
            y=0.28 if agree else top + 0.62,
            xanchor="right" if confident else "left",
            yanchor="bottom" if agree else "top",
            text=f"<b>{words}</b> ({scatter.counts[words]:,})",
            showarrow=False,
            font={"size": 13},
            bgcolor="rgba(127,127,127,0.14)",
        )
    figure.update_layout(
        height=450,
        margin={"l": 50, "r": 10, "t": 32, "b": 45},
        showlegend=False,
        dragmode="select",
        hovermode="closest",
        xaxis={"title": "mean confidence (top-1 probability)", "range": [low, 1.02], "zeroline": False},
        yaxis={
            "title": "classes predicted",
            "range": [0.25, top + 0.65],
            "tickvals": list(range(1, top + 1)),
            "zeroline": False,
            "showgrid": False,
        },
    )
    return figure


def histogram_figure(
    edges: np.ndarray, bins: np.ndarray, groups: dict[str, np.ndarray], colours: dict[str, str], title: str
) -> go.Figure:
    """Stacked bars over `edges` (B + 1,): how many images of each group, (N,) bool each, fall into each bin."""
    figure = go.Figure()
    for name, members in groups.items():
        figure.add_trace(histogram_bars(edges, bins[members], colours[name], name))
    figure.update_layout(
        barmode="stack",
        height=360,
        margin={"l": 50, "r": 10, "t": 10, "b": 45},
        clickmode="event+select",
        dragmode=False,
        legend={"orientation": "h", "y": 1.08, "x": 0},
        xaxis={"title": plotly(title)},
        yaxis={"title": "images"},
    )
    return figure


def histogram_bars(edges: np.ndarray, bins: np.ndarray, colour: str, name: str = "") -> go.Bar:
    """How many images fall into each bin: `edges` (B + 1,), `bins` (N,) int, -1 for those that fall into none."""
    images = f"images, {name}" if name else "images"
    return go.Bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=np.bincount(bins[bins >= 0], minlength=len(edges) - 1),
        width=np.diff(edges) * 0.94,
        name=name,
        marker={"color": colour},
        customdata=np.stack([edges[:-1], edges[1:]], axis=1),
        hovertemplate=f"%{{y}} {images}<br>%{{customdata[0]:.3g}} to %{{customdata[1]:.3g}}<extra></extra>",
    )


def accuracy_figure(
    names: Sequence[str], accuracy: np.ndarray, n_counted: np.ndarray, colours: Sequence[str]
) -> go.Figure:
    """One bar per model: share of right answers (M,) in [0, 1] over `n_counted` (M,) labelled images."""
    texts = [f"{a:.1%} of {n:,}" if n else "no label it knows" for a, n in zip(accuracy, n_counted, strict=True)]
    figure = go.Figure(
        go.Bar(
            x=np.nan_to_num(accuracy),
            y=list(range(len(names))),
            orientation="h",
            marker={"color": list(colours)},
            text=texts,
            textposition=["auto" if a > 0 else "outside" for a in accuracy],
            insidetextanchor="start",
            hoverinfo="skip",
        )
    )
    figure.update_layout(
        height=70 + 34 * len(names),
        margin={"l": 10, "r": 10, "t": 10, "b": 40},
        xaxis={"range": [0, 1], "tickformat": ".0%", "title": "right answers"},
        yaxis={"autorange": "reversed", "automargin": True, **_named(names)},
    )
    return figure


def agreement_figure(names: Sequence[str], agreement: np.ndarray) -> go.Figure:
    """A matrix (M, M) in [0, 1] of how often each pair of models gives the same answer; cells can be clicked."""
    n_models = len(names)
    rows, columns = np.divmod(np.arange(n_models * n_models), n_models)
    values = agreement.reshape(-1)
    span = values.min(), max(values[rows != columns].max(initial=0), values.min() + 1e-6)
    figure = go.Figure(
        go.Scatter(  # squares instead of a heatmap, whose cells cannot be selected
            x=columns,
            y=rows,
            mode="markers+text",
            marker={
                "symbol": "square",
                "size": max(34, min(64, 260 // n_models)),
                "color": [
                    _tint((v - span[0]) / (span[1] - span[0])) if r != c else "rgba(127,127,127,0.12)"
                    for v, r, c in zip(values, rows, columns, strict=True)
                ],
            },
            text=[f"{v:.0%}" if r != c else "" for v, r, c in zip(values, rows, columns, strict=True)],
            textfont={"color": "#102A3A"},
            customdata=np.stack([rows, columns], axis=1),
            hovertext=[
                f"{plotly(f'{names[r]} and {names[c]}')}: {v:.1%} the same"
                for v, r, c in zip(values, rows, columns, strict=True)
            ],
            hoverinfo="text",
        )
    )
    ticks = {**_named(names), "showgrid": False, "zeroline": False}
    figure.update_layout(
        height=80 + 62 * n_models,
        margin={"l": 10, "r": 10, "t": 10, "b": 30},
        clickmode="event+select",
        dragmode=False,
        xaxis={**ticks, "range": [-0.6, n_models - 0.4], "automargin": True},
        yaxis={**ticks, "range": [n_models - 0.4, -0.6], "automargin": True},
    )
    return figure


def _named(names: Sequence[str]) -> dict[str, list[int] | list[str]]:
    """An axis with a name at each whole number: two models may have the same one, or a number."""
    return {"tickvals": list(range(len(names))), "ticktext": [plotly(name) for name in names]}


def _tint(share: float) -> str:
    """A blue that dark words can be read on, stronger for a larger `share` in [0, 1]; the same on both themes."""
    return str(sample_colorscale([[0, "#E4EFF7"], [1, "#6FB1DD"]], [float(share)])[0])
