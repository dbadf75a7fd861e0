"""A network as nodes and links, from the input at the top to the output at the bottom; nodes can be clicked."""

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from common.escape import plotly
from figures.colours import TEXT_COLOUR
from models.card import Layer
from models.graph import INPUT, OUTPUT, Graph, Node

#: Width in pixels, height of a row, and room at the left for links that skip rows.
_WIDTH_PX, _ROW_PX, _LEFT_PX, _COLUMN_PX = 560, 27, 90, 235

#: What a layer does, by its module's name; the first that fits. Colours are told apart by colour-blind people.
_KINDS = (
    ("convolution", re.compile("conv", re.IGNORECASE), "#0072B2"),
    ("normalisation", re.compile("norm|bn", re.IGNORECASE), "#8C8C8C"),
    ("attention", re.compile("attention|attn", re.IGNORECASE), "#CC79A7"),
    ("linear", re.compile("linear|dense", re.IGNORECASE), "#D55E00"),
    ("pooling", re.compile("pool", re.IGNORECASE), "#56B4E9"),
    ("activation", re.compile("relu|gelu|silu|swish|sigmoid|tanh|elu|softmax|mish", re.IGNORECASE), "#009E73"),
)
_OTHER, _BLOCK, _END = ("other", "#8C8C4A"), ("block (click: unfold)", "#7F6BB3"), ("input, output", "#8C8C8C")


def network_figure(graph: Graph, layers: Sequence[Layer], chosen: str | None = None) -> go.Figure:
    """The nodes of `graph` row by row, each with its layer's shape; `chosen` gets a ring.

    A node that can be clicked carries its name, and whether it is a folded block, as its customdata.
    """
    rows, columns = layout(graph)
    by_name = {layer.name: layer for layer in layers}
    figure = go.Figure([_links(graph, rows, columns)])
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for position, node in enumerate(graph.nodes):
        groups[_kind(node, by_name.get(node.name))].append(position)
    for (kind, colour), members in groups.items():
        figure.add_trace(_nodes(graph, members, rows, columns, by_name, kind, colour))
    ring = _chosen_nodes(graph, chosen)
    marker = {"size": 22, "color": "rgba(0,0,0,0)", "line": {"color": TEXT_COLOUR, "width": 2.5}}
    x, y = [columns[p] * _COLUMN_PX for p in ring], [rows[p] for p in ring]
    figure.add_trace(go.Scatter(x=x, y=y, mode="markers", marker=marker, hoverinfo="skip", showlegend=False))
    n_rows = int(rows.max()) + 1
    hidden = {"visible": False, "fixedrange": True}
    width = max(_WIDTH_PX, _LEFT_PX + _COLUMN_PX * (int(columns.max()) + 1))
    figure.update_layout(
        width=width,
        height=n_rows * _ROW_PX + 60,
        margin={"l": 0, "r": 0, "t": 50, "b": 5},
        dragmode=False,
        hovermode="closest",
        plot_bgcolor="rgba(0,0,0,0)",
        xaxis={**hidden, "range": [-_LEFT_PX, width - _LEFT_PX]},
        yaxis={**hidden, "range": [n_rows - 0.5, -0.5]},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "itemclick": False},
    )
    figure.update_layout(legend_itemdoubleclick=False)
    return figure


def layout(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of every node, (N,) int64 each.

    A node stands below all that feed it; the longest way through the net is column 0, what runs beside it gets columns
    of its own. Links that lead back (a block that is used twice) do not count.
    """
    n_nodes = len(graph.nodes)
    forward = [(start, stop) for start, stop in graph.links if start < stop]
    rows, below = np.zeros(n_nodes, np.int64), np.zeros(n_nodes, np.int64)
    for start, stop in sorted(forward, key=lambda link: link[1]):
        rows[stop] = max(rows[stop], rows[start] + 1)
    for start, stop in sorted(forward, key=lambda link: -link[0]):
        below[start] = max(below[start], below[stop] + 1)
    following: dict[int, list[int]] = defaultdict(list)
    for start, stop in forward:
        following[start].append(stop)
    trunk, at = {0}, 0
    while following[at]:
        at = max(following[at], key=lambda node: (below[node], -rows[node], -node))
        trunk.add(at)
    columns = np.zeros(n_nodes, np.int64)
    taken: dict[int, set[int]] = defaultdict(set)
    for node in sorted(range(n_nodes), key=lambda node: (node not in trunk, rows[node], node)):
        free = 0 if node in trunk else 1
        while free in taken[int(rows[node])]:
            free += 1
        columns[node] = free
        taken[int(rows[node])].add(free)
    return rows, columns


def _chosen_nodes(graph: Graph, chosen: str | None) -> list[int]:
    """Every run of the chosen layer; else the last node inside it, which answers for it; else what it is folded in."""
    if chosen is None:
        return []
    exact = [position for position, node in enumerate(graph.nodes) if node.name == chosen]
    inside = [position for position, node in enumerate(graph.nodes) if node.name.startswith(f"{chosen}.")]
    around = [position for position, node in enumerate(graph.nodes) if chosen.startswith(f"{node.name}.")]
    return exact or inside[-1:] or around[-1:]


def _kind(node: Node, layer: Layer | None) -> tuple[str, str]:
    if node.name in (INPUT, OUTPUT):
        return _END
    if node.n_inside > 1:
        return _BLOCK
    for kind, pattern, colour in _KINDS:
        if layer is not None and pattern.search(layer.kind):
            return kind, colour
    return _OTHER


def _nodes(
    graph: Graph,
    members: Sequence[int],
    rows: np.ndarray,
    columns: np.ndarray,
    by_name: dict[str, Layer],
    kind: str,
    colour: str,
) -> go.Scatter:
    """The nodes of one kind with their names beside them."""
    nodes = [graph.nodes[member] for member in members]
    symbol = "square" if kind == _BLOCK[0] else "circle-open" if kind == _END[0] else "circle"
    clickable = kind != _END[0]
    return go.Scatter(
        x=columns[members] * _COLUMN_PX,
        y=rows[members],
        mode="markers+text",
        marker={"size": 13, "color": colour, "symbol": symbol, "opacity": 1},
        text=[_label(node, by_name.get(node.name)) for node in nodes],
        textposition="middle right",
        textfont={"size": 12},
        customdata=[[node.name, node.n_inside > 1] for node in nodes] if clickable else None,
        hovertext=[_tooltip(node, by_name.get(node.name)) for node in nodes],
        hoverinfo="text",
        name=kind,
    )


def _label(node: Node, layer: Layer | None) -> str:
    """`  layer1.0 · 64×20×20`; a long name keeps its end."""
    name = node.name if len(node.name) <= 24 else "…" + node.name[-23:]
    shape = f" · {shape_words(layer)}" if layer is not None else ""
    return f"  {plotly(name)}{shape}"


def _tooltip(node: Node, layer: Layer | None) -> str:
    if layer is None:
        name = plotly(node.name)
        return name if node.n_inside == 1 else f"{name}<br>{node.n_inside} layers inside"
    lines = [
        f"<b>{plotly(node.name)}</b>",
        plotly(layer.kind),
        f"output {shape_words(layer)}",
        f"{layer.n_parameters:,} parameters",
    ]
    if node.n_inside > 1:
        lines.append(f"{node.n_inside} layers inside")
    if node.call:
        lines.append(f"run number {node.call + 1} of this layer")
    return "<br>".join(lines)


def shape_words(layer: Layer) -> str:
    """`64×20×20`, as the layer's output has it without its batch axis."""
    return "×".join(map(str, layer.shape))


def _links(graph: Graph, rows: np.ndarray, columns: np.ndarray) -> go.Scatter:
    """All links as one line with gaps.

    One that skips rows bows out to the left, the farther the longer it is; one to another column crosses between two
    rows, where no names are: right below its start on its way out, right above its end on its way back.
    """
    x: list[Any] = []
    y: list[Any] = []
    steps = np.linspace(0, 1, 33)
    for start, stop in graph.links:
        left, right = float(columns[start] * _COLUMN_PX), float(columns[stop] * _COLUMN_PX)
        top, bottom = float(rows[start]), float(rows[stop])
        span = bottom - top
        height = top + span * steps
        if left != right and span > 0:
            crossed = (height - top if left < right else height - bottom + 1).clip(0, 1)
            places = left + (right - left) * (3 * crossed**2 - 2 * crossed**3)
        else:
            bow = min(_LEFT_PX * 0.85, 20 + 7 * abs(span)) if abs(span) > 1 or span <= 0 else 0.0
            places = left + (right - left) * steps - bow * 4 * steps * (1 - steps)
        x += [*places, None]
        y += [*height, None]
    line = {"color": "rgba(128,128,128,0.75)", "width": 1.5}
    return go.Scatter(x=x, y=y, mode="lines", line=line, hoverinfo="skip", showlegend=False)
