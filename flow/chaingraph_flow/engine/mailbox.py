"""The signals of a run: which node each is for, and which a node has taken. No I/O, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from chaingraph_flow.context import Signal
from chaingraph_flow.graph import Graph


class Mailbox:
    """Gives each signal to its node, in the order of their numbers. A node takes one in each run of the graph.

    Args:
        attempt: the attempt of the execution. An approval of an earlier one does not count.
        signals: those that were accepted before, in their order.
        used: the numbers of those that nodes of the journal have taken.
    """

    def __init__(self, graph: Graph, attempt: int, signals: Iterable[Signal], used: Collection[int]) -> None:
        self._graph = graph
        self._attempt = attempt
        self._free: dict[str, deque[Signal]] = {}
        self._taken: dict[str, Signal] = {}
        for each in signals:
            if each.seq not in used:
                self.put(each)

    def put(self, signal: Signal) -> str | None:
        """Keep a signal for its node. Returns the node; None when no node takes it."""
        node_id = self._graph.signals.get(signal.name)
        if node_id is None:
            return None
        if self._graph.nodes[node_id].type.approval and signal.attempt != self._attempt:
            return None
        self._free.setdefault(node_id, deque()).append(signal)
        return node_id

    def take(self, node_id: str) -> Signal | None:
        """Take the next signal for a node: the one that it has already, if it is tried again."""
        taken = self._taken.get(node_id)
        if taken is None and (free := self._free.get(node_id)):
            taken = self._taken[node_id] = free.popleft()
        return taken

    def taken(self, node_id: str) -> int | None:
        """Return the number of the signal that a node has taken, or None."""
        signal = self._taken.get(node_id)
        return None if signal is None else signal.seq
