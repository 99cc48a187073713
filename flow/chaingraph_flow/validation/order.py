"""Order a graph's nodes and find its cycles, with the standard library's topological sorter."""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from chaingraph_flow.validation.wiring import Connection

MOST_CYCLES = 20
"""Maximum cycles that are reported."""


def cycles_and_order(
    nodes: Sequence[str], connections: Sequence[Connection]
) -> tuple[list[list[Connection]], list[str]]:
    """Return the cycles, each as its edges, and an order with sources before targets.

    Each cycle is broken at its last edge of the spec to find the next one, so an edge that closes several is reported
    once. With cycles, the order leaves those edges out. After MOST_CYCLES, all remaining cycles are broken in one walk.
    """
    edges: dict[tuple[str, str], Connection] = {}
    for each in connections:
        if each.source is not None:
            edges.setdefault((each.source, each.target), each)
    cycles: list[list[Connection]] = []
    while True:
        before: dict[str, list[str]] = {node: [] for node in nodes}
        for source, target in edges:
            before[target].append(source)
        try:
            order = list(TopologicalSorter(before).static_order())
        except CycleError as error:
            # args[1] is a walk along the edges: each node is a predecessor of the one after it
            walk: list[str] = error.args[1]
            cycle = [edges[pair] for pair in pairwise(walk)]
            last = max(range(len(cycle)), key=lambda position: cycle[position].index)
            cycle = cycle[last + 1 :] + cycle[: last + 1]
            cycles.append(cycle)
            del edges[(cycle[-1].source or "", cycle[-1].target)]
            if len(cycles) == MOST_CYCLES:
                _break_cycles(nodes, edges)
        else:
            return cycles, order


def _break_cycles(nodes: Sequence[str], edges: dict[tuple[str, str], Connection]) -> None:
    """Remove each edge that leads back into the current walk."""
    after: dict[str, list[str]] = {node: [] for node in nodes}
    for source, target in edges:
        after[source].append(target)
    left: set[str] = set()
    for start in nodes:
        if start in left:
            continue
        way, on_way = [(start, iter(after[start]))], {start}
        while way:
            node, targets = way[-1]
            target = next(targets, "")
            if not target:
                way.pop()
                on_way.discard(node)
                left.add(node)
            elif target in on_way:
                del edges[(node, target)]
            elif target not in left:
                way.append((target, iter(after[target])))
                on_way.add(target)
