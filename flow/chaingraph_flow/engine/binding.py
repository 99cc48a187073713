"""Event binding: determine which nodes take part in a run.

A listener binds itself, the nodes that depend on it, and the nodes that feed any of these. Without a trigger the
unbound nodes run, and the nodes that feed them. With one, the nodes bound to its events run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from chaingraph_flow.context import Trigger
from chaingraph_flow.graph import Graph


def active_nodes(graph: Graph, trigger: Trigger | None) -> frozenset[str]:
    """Return the ids of the nodes that take part in a run with this trigger, including all nodes that feed them."""
    if trigger is None:
        listeners = [id_ for ids in graph.listeners.values() for id_ in ids]
        unbound = graph.nodes.keys() - _bound(graph, listeners)
        return frozenset(unbound | _upstream(graph, unbound))
    names = {event.name for event in trigger}
    return frozenset(_bound(graph, [id_ for name in names for id_ in graph.listeners.get(name, ())]))


def _bound(graph: Graph, listeners: Iterable[str]) -> set[str]:
    hanging = _downstream(graph, listeners)
    return hanging | _upstream(graph, hanging)


def _downstream(graph: Graph, start: Iterable[str]) -> set[str]:
    return _reach(start, lambda id_: (each.target for each in graph.nodes[id_].outgoing))


def _upstream(graph: Graph, start: Iterable[str]) -> set[str]:
    return _reach(start, lambda id_: (each.source for each in graph.nodes[id_].incoming if each.source is not None))


def _reach(start: Iterable[str], neighbours: Callable[[str], Iterable[str]]) -> set[str]:
    reached = set(start)
    waiting = list(reached)
    while waiting:
        for each in neighbours(waiting.pop()):
            if each not in reached:
                reached.add(each)
                waiting.append(each)
    return reached
