import json

import numpy as np

from figures.network import layout, network_figure
from models.card import Layer
from models.graph import Graph, Node

#: input → a → b → c → output, with d beside b, and a skip from a to c.
DIAMOND = Graph(
    (Node("input"), Node("a"), Node("b.0"), Node("d"), Node("c", 0, 3), Node("output")),
    ((0, 1), (1, 2), (1, 3), (1, 4), (2, 4), (3, 4), (4, 5)),
)
LAYERS = [
    Layer("a", "Conv2d", (8, 4, 4), "CHW", 120, 0),
    Layer("b.0", "BatchNorm2d", (8, 4, 4), "CHW", 16, 1),
    Layer("d", "ReLU", (8, 4, 4), "CHW", 0, 2),
    Layer("c", "Sequential", (8,), "C", 1200, 3),
]


def marks(figure) -> dict[str, tuple[float, float]]:
    """Where the nodes that can be clicked lie, by name."""
    found = {}
    for trace in figure.data:
        for place, x, y in zip(
            trace.customdata if trace.customdata is not None else [], trace.x, trace.y, strict=False
        ):
            found[place[0]] = (x, y)
    return found


def test_a_node_stands_below_all_that_feed_it_and_branches_side_by_side():
    rows, columns = layout(DIAMOND)
    assert rows.tolist() == [0, 1, 2, 2, 3, 4]
    assert sorted(columns[2:4].tolist()) == [0, 1]
    assert columns[[0, 1, 4, 5]].tolist() == [0, 0, 0, 0]


def test_links_that_lead_back_do_not_count():
    loop = Graph((Node("input"), Node("a"), Node("b")), ((0, 1), (1, 2), (2, 1)))
    assert layout(loop)[0].tolist() == [0, 1, 2]


def test_no_two_nodes_lie_on_each_other():
    wide = Graph(tuple(Node(str(n)) for n in range(12)), (*((0, n) for n in range(1, 11)), (10, 11)))
    places = {tuple(place) for place in np.stack(layout(wide), axis=1).tolist()}
    assert len(places) == 12


def test_layers_and_blocks_can_be_clicked_and_the_chosen_one_has_a_ring():
    figure = network_figure(DIAMOND, LAYERS, "b.0")
    places = marks(figure)
    assert set(places) == {"a", "b.0", "c", "d"}
    assert [trace.customdata[0][1] for trace in figure.data if trace.name and trace.name.startswith("block")] == [True]
    ring = figure.data[-1]
    assert (ring.x[0], ring.y[0]) == places["b.0"]
    words = " ".join(text for trace in figure.data if trace.text for text in trace.text)
    assert "a · 8×4×4" in words
    tooltips = " ".join(text for trace in figure.data if trace.hovertext for text in trace.hovertext)
    assert "1,200 parameters" in tooltips
    assert "3 layers inside" in tooltips
    json.loads(figure.to_json())


def test_a_chosen_block_is_ringed_at_its_last_layer_and_a_folded_layer_at_its_block():
    assert network_figure(DIAMOND, LAYERS, "b").data[-1].y == (2,)
    assert network_figure(DIAMOND, LAYERS, "c.1.conv").data[-1].y == (3,)
    assert network_figure(DIAMOND, LAYERS, None).data[-1].y == ()


def test_a_link_that_skips_a_row_bows_out_and_one_to_the_next_row_is_straight():
    links = network_figure(DIAMOND, LAYERS).data[0]
    ends = [at for at, x in enumerate(links.x) if x is None]
    first = links.x[: ends[0]]
    assert set(first) == {0}
    skip = links.x[ends[2] + 1 : ends[3]]
    start, stop = links.y[ends[2] + 1], links.y[ends[3] - 1]
    assert (start, stop) in {(1, 3), (1, 2)}
    bows = [min(links.x[a + 1 : b]) for a, b in zip([-1, *ends], ends, strict=False)]
    assert min(bows) < -20
    assert len(skip) == len(first)
