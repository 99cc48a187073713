"""Event binding: determine which nodes take part in a run.

A listener binds itself, the nodes that depend on it, and the nodes that feed any of these. Without a trigger the
unbound nodes run, and the nodes that feed them. With one, the nodes bound to its events run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping

from chaingraph_flow.context import Trigger
from chaingraph_flow.graph import Graph

Neighbours = Callable[[str], Iterable[str]]


def active_nodes(graph: Graph, trigger: Trigger | None) -> frozenset[str]:
    """Return the ids of the nodes that take part in a run with this trigger, including all nodes that feed them."""
    nodes = graph.nodes
    return bound_to(
        None if trigger is None else {event.name for event in trigger},
        nodes.keys(),
        graph.listeners,
        targets=lambda id_: (each.target for each in nodes[id_].outgoing),
        sources=lambda id_: (each.source for each in nodes[id_].incoming if each.source is not None),
    )


def bound_to(
    events: Collection[str] | None,
    nodes: Collection[str],
    listeners: Mapping[str, Iterable[str]],
    *,
    targets: Neighbours,
    sources: Neighbours,
) -> frozenset[str]:
    """Return the nodes that take part in a run that these events started; None for a start without any.

    Args:
        listeners: the ids of the listeners by the event's name.
        targets: the nodes that depend on a node directly.
        sources: the nodes that feed it directly.
    """

    def bound(to: Iterable[str]) -> set[str]:
        hanging = reach(to, targets)
        return hanging | reach(hanging, sources)

    if events is None:
        unbound = set(nodes) - bound(id_ for ids in listeners.values() for id_ in ids)
        return frozenset(unbound | reach(unbound, sources))
    return frozenset(bound(id_ for name in events for id_ in listeners.get(name, ())))


def reach(start: Iterable[str], neighbours: Neighbours) -> set[str]:
    """Return these nodes, and all that their neighbours lead to."""
    reached = set(start)
    waiting = list(reached)
    while waiting:
        for each in neighbours(waiting.pop()):
            if each not in reached:
                reached.add(each)
                waiting.append(each)
    return reached
