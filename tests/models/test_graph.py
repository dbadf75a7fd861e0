"""Who feeds whom, on nets whose graph is known."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import resnet18

from models.graph import INPUT, OUTPUT, Graph, Node, graph
from models.layers import layer_tree
from tests.explainers.nets import NETS, normalised, seeded, state_of


def found(module: nn.Module, px: int = 32) -> Graph:
    probe = normalised(2, px)
    return graph(module, probe, {layer.name for layer in layer_tree(module, probe)[0]})


def fed_by(result: Graph) -> dict[str, set[str]]:
    """By the name of a node (`name#2` for its second run), the names of those that feed it."""
    names = [node.name + (f"#{node.call + 1}" if node.call else "") for node in result.nodes]
    return {name: {names[start] for start, stop in result.links if stop == at} for at, name in enumerate(names)}


def test_a_sequential_net_is_a_chain():
    result = found(seeded(NETS["plain"]))
    assert [node.name for node in result.nodes] == [INPUT, *map(str, range(9)), OUTPUT]
    assert result.links == tuple((at, at + 1) for at in range(10))


def test_a_resnets_skips_meet_what_runs_beside_them():
    feeds = fed_by(found(seeded(NETS["resnet"])))
    assert feeds["layer1.0.conv1"] == feeds["layer1.0.downsample.0"] == {"maxpool"}
    assert feeds["layer2.0.act2"] == {"layer2.0.bn2", "layer2.0.downsample.1"}


def test_a_layer_that_runs_twice_has_two_nodes():
    feeds = fed_by(found(resnet18().eval()))
    assert feeds["layer1.0.conv2"] == {"layer1.0.relu"}
    assert feeds["layer1.0.relu#2"] == {"layer1.0.bn2", "maxpool"}
    assert feeds["layer1.1.conv1"] == {"layer1.0.relu#2"}


def test_a_block_that_ends_in_a_sum_is_where_its_branches_meet():
    feeds = fed_by(found(seeded(NETS["mobile"])))
    assert feeds["3"] == {"2", "3.bn3"} or feeds["3"] == {"2.bn2", "3.bn3"}
    assert feeds["4.conv_pw"] == {"3"}


def test_a_transformers_stream_is_met_block_by_block():
    feeds = fed_by(found(seeded(NETS["vit"])))
    assert feeds["blocks.0"] == {"patch_embed.proj", "blocks.0.attn.proj", "blocks.0.mlp.fc2"}
    assert feeds["blocks.1.norm1"] == {"blocks.0"}
    assert feeds["blocks.0.norm2"] == {"patch_embed.proj", "blocks.0.attn.proj"}


def test_functions_between_layers_are_followed():
    feeds = fed_by(found(seeded(NETS["functional"])))
    assert feeds == {INPUT: set(), "first": {INPUT}, "second": {"first"}, "head": {"second"}, OUTPUT: {"head"}}


def test_concatenation_and_changes_in_place_are_followed():
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.last = (nn.Conv2d(3, 3, 1) for _ in range(3))
            self.head = nn.Linear(6, 2)

        def forward(self, x):
            left = F.relu_(self.left(x))
            right = self.right(x)
            right += x
            return self.head(torch.cat([self.last(left), right], 1).mean((2, 3)))

    feeds = fed_by(found(Branches()))
    assert feeds["last"] == {"left"}
    assert feeds["head"] == {"last", "right", INPUT}


def test_every_family_has_a_graph_from_input_to_output_and_is_given_back_as_it_was():
    for name, build in NETS.items():
        module = seeded(build)
        before = state_of(module)
        result = found(module)
        assert state_of(module) == before, name
        assert all(start < stop for start, stop in result.links), name
        reached = {0}
        for start, stop in sorted(result.links, key=lambda link: link[1]):
            reached |= {stop} if start in reached else set()
        assert len(result.nodes) - 1 in reached, name


def test_hooks_are_removed_after_a_failing_forward():
    class Failing(nn.Sequential):
        def forward(self, x):
            super().forward(x)
            raise RuntimeError("out of order")

    module = Failing(nn.Conv2d(3, 4, 1))
    before = state_of(module)
    with pytest.raises(RuntimeError, match="out of order"):
        graph(module, normalised(), {"0"})
    assert state_of(module) == before


def test_blocks_are_folded_as_deep_as_there_is_room_and_open_on_demand():
    full = found(resnet18().eval())
    folded = full.folded(most=20)
    assert Node("layer1.0", 0, 6) in folded.nodes
    assert fed_by(folded)["layer2.0"] == {"layer1.1"}
    opened = full.folded({"layer2.0"}, most=20)
    assert fed_by(opened)["layer2.0.relu#2"] == {"layer2.0.bn2", "layer2.0.downsample"}
    assert Node("layer2.0.downsample", 0, 2) in opened.nodes
    assert full.folded(most=1000) == full
    assert len(full.folded(most=1).nodes) == 12, "no block can be folded further than to its first name"
