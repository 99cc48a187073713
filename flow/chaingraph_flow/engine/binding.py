"""Which nodes a run concerns: event binding.

A listener binds itself, what hangs on it, and whatever feeds any of those. Without a trigger the unbound nodes run,
and what feeds them; with one, the nodes bound to the events of the trigger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from chaingraph_flow.context import Trigger
from chaingraph_flow.graph import Graph


def active_nodes(graph: Graph, trigger: Trigger | None) -> frozenset[str]:
    """The ids of the nodes that a run with this trigger concerns. Closed under what feeds them."""
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
