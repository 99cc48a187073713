"""The signals of a run: which node each is for, and which a node has taken. No I/O, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable

from chaingraph_flow.context import Signal
from chaingraph_flow.graph import GraphNode


class Mailbox:
    """Gives each signal to its node, in the order of their numbers. A node takes one in each run of its graph.

    The name of a signal says which node it is for. One that no node takes is kept: the node may be in a call that has
    not begun.

    Args:
        attempt: the attempt of the execution. An approval of an earlier one does not count.
        signals: those that were accepted before, in their order.
        used: the numbers of those that nodes of the journal have taken.
    """

    def __init__(self, attempt: int, signals: Iterable[Signal], used: Collection[int]) -> None:
        self._attempt = attempt
        self._free: dict[str, deque[Signal]] = {}
        self._taken: dict[str, Signal] = {}
        for each in signals:
            if each.seq not in used:
                self.put(each)

    def put(self, signal: Signal) -> None:
        """Keep a signal for its node."""
        self._free.setdefault(signal.name, deque()).append(signal)

    def take(self, node: GraphNode) -> Signal | None:
        """Take the next signal for a node: the one that it has already, if it is tried again."""
        taken = self._taken.get(node.id)
        free = self._free.get(node.signal or "")
        while taken is None and free:
            signal = free.popleft()
            if not node.type.approval or signal.attempt == self._attempt:
                taken = self._taken[node.id] = signal
        return taken

    def taken(self, node: GraphNode) -> int | None:
        """Return the number of the signal that a node has taken, or None."""
        signal = self._taken.get(node.id)
        return None if signal is None else signal.seq
