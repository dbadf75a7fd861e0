"""Who feeds whom in a model: its layers as the nodes of a graph, found by one probe forward."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from models.layers import hooks

#: The two ends of every graph, which are no layers.
INPUT, OUTPUT = "input", "output"

#: Nodes that a drawing shows at most before blocks are folded.
MOST_NODES = 48


@dataclass(frozen=True)
class Node:
    """One run of a layer, or with `n_inside` > 1 a folded block; `name` is the layer's or block's."""

    name: str
    call: int = 0
    n_inside: int = 1


@dataclass(frozen=True)
class Graph:
    """Nodes in running order, and links as pairs (from, to) of their positions, sorted.

    A layer that runs twice has two nodes. Modules that change nothing (dropout at rest, identities) have none. Where a
    block ends in a sum or a concatenation of its own, the block is the node at which its branches meet.
    """

    nodes: tuple[Node, ...]
    links: tuple[tuple[int, int], ...]

    def folded(self, opened: Collection[str] = (), most: int = MOST_NODES) -> Graph:
        """The same with blocks as single nodes, as deep as `most` nodes allow, but for the blocks in `opened`."""
        depth = self._depth(most)
        groups: dict[tuple[str, int], list[int]] = {}
        for position, node in enumerate(self.nodes):
            groups.setdefault(_group(node, depth, opened), []).append(position)
        place = {position: at for at, members in enumerate(groups.values()) for position in members}
        nodes = []
        for (block, _), members in groups.items():
            first = self.nodes[members[0]]
            nodes.append(first if len(members) == 1 else Node(block, 0, len(members)))
        links = {(place[start], place[stop]) for start, stop in self.links if place[start] != place[stop]}
        return Graph(tuple(nodes), tuple(sorted(links)))

    def _depth(self, most: int) -> int:
        """The greatest number of name parts at which at most `most` nodes are left; 1 where none is."""
        deepest = max(len(node.name.split(".")) for node in self.nodes)
        for depth in range(deepest, 1, -1):
            if len({_group(node, depth) for node in self.nodes}) <= most:
                return depth
        return 1


def _group(node: Node, depth: int, opened: Collection[str] = ()) -> tuple[str, int]:
    """The block that a node is folded into, or the node itself, each run of its own."""
    block = _block(node.name, depth, opened)
    return block, node.call if block == node.name else 0


def _block(name: str, depth: int, opened: Collection[str] = ()) -> str:
    """The first `depth` parts of a layer's name, more where the block so named is opened."""
    parts = name.split(".")
    while depth < len(parts) and ".".join(parts[:depth]) in opened:
        depth += 1
    return ".".join(parts[:depth])


def graph(module: nn.Module, probe: Tensor, layers: Collection[str]) -> Graph:
    """The graph of `module` over those of its modules that are named in `layers`, by a forward pass of `probe`.

    `probe` (N, C, H, W) as the model is fed. Every tensor carries the nodes that it was made of since they gave their
    output, whatever functions it went through, so that skip connections are seen wherever they are added.
    """
    names = {child: name for name, child in module.named_modules() if name in layers}
    found = _Found()
    with torch.no_grad(), _Origins() as origins, _watched(names, origins, found):
        origins.made_of[probe] = frozenset([found.add(INPUT, ())])
        answer = module(probe)
        found.add(OUTPUT, origins.of(answer))
    return Graph(tuple(found.nodes), tuple(sorted(found.links)))


@dataclass
class _Found:
    """The graph as far as the pass has come."""

    nodes: list[Node] = field(default_factory=list)
    links: set[tuple[int, int]] = field(default_factory=set)
    calls: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, sources: Collection[int]) -> int:
        """One more node, fed by the nodes at `sources`; returns its position."""
        position = len(self.nodes)
        self.calls[name] = self.calls.get(name, -1) + 1
        self.nodes.append(Node(name, self.calls[name]))
        self.links |= {(source, position) for source in sources}
        return position


class _Origins(TorchDispatchMode):
    """Follows every operation: what it gives is made of all that its arguments are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.made_of = WeakTensorKeyDictionary()

    def of(self, values: Any) -> frozenset[int]:
        """Positions of the nodes that the tensors among `values` are made of."""
        tensors = [value for value in tree_leaves(values) if isinstance(value, Tensor)]
        return frozenset().union(*(self.made_of.get(tensor, frozenset()) for tensor in tensors))

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        origins = self.of((args, kwargs))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                self.made_of[value] = origins
        return result


@contextmanager
def _watched(names: dict[nn.Module, str], origins: _Origins, found: _Found) -> Iterator[None]:
    """Make a node of every module that answers with something new, as it does."""
    running: list[tuple[int, frozenset[int], list[tuple[Tensor, int]]]] = []

    def arrive(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = [(value, value._version) for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        running.append((len(found.nodes), origins.of((args, kwargs)), given))

    def leave(module: nn.Module, _args: tuple[Any, ...], _kwargs: dict[str, Any], output: Any) -> None:
        n_before, sources, given = running.pop()
        if not isinstance(output, Tensor):
            return
        nothing_inside = len(found.nodes) == n_before
        untouched = any(output is value and output._version == version for value, version in given)
        if nothing_inside and not untouched:
            origins.made_of[output] = frozenset([found.add(names[module], sources)])
        elif not nothing_inside and len(origins.of(output)) > 1:
            origins.made_of[output] = frozenset([found.add(names[module], origins.of(output))])

    before_each = hooks(child.register_forward_pre_hook(arrive, with_kwargs=True) for child in names)
    with before_each, hooks(child.register_forward_hook(leave, with_kwargs=True) for child in names):
        yield
