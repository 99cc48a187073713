"""The graphs that a run executes: the flow's own, and one for each call that is live."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from chaingraph_crds.flow import FlowSpec, SubflowSpec
from chaingraph_crds.node_paths import is_call
from chaingraph_flow.calls import CallFailure
from chaingraph_flow.engine.binding import active_nodes
from chaingraph_flow.engine.records import NodeRecord
from chaingraph_flow.engine.state import RunState
from chaingraph_flow.graph import Graph, GraphNode

MOST_CALLS: Final = 10_000
"""Maximum calls of one execution that are live at a time."""


class Frame:
    """One graph that runs.

    Attributes:
        call: the path of the call; '' for the flow itself.
        caller: the id of the node that makes the call.
        number: the number of the call among those of its node; None for the only one.
        begun_at: when it began, in milliseconds since 1970.
        stale_until: failures up to this time are those of an earlier try of a node that calls it; 0 without one.
        running: the number of its nodes that have a task or call.
        failure: the first failure that it does not handle. No node of it starts any more.
    """

    def __init__(
        self,
        graph: Graph,
        inputs: Mapping[str, Any],
        *,
        active: frozenset[str],
        call: str = "",
        caller: str = "",
        number: int | None = None,
        begun_at: int = 0,
        stale_until: int = 0,
    ) -> None:
        self.graph = graph
        self.state = RunState(graph, active, inputs)
        self.call = call
        self.caller = caller
        self.number = number
        self.begun_at = begun_at
        self.stale_until = stale_until
        self.running = 0
        self.failure: CallFailure | None = None
        self.journaled = False
        """Whether ends of its nodes are in the journal."""
        self.halted = False
        """Whether nothing of it starts any more because another call of its caller failed."""

    @property
    def stopped(self) -> bool:
        """Whether none of its nodes starts any more."""
        return self.halted or self.failure is not None

    @property
    def over(self) -> bool:
        """Whether it has ended, and nothing of it runs."""
        return not self.running and (self.stopped or self.state.finished)


class Frames:
    """The frames by their nodes."""

    def __init__(self, root: Frame) -> None:
        self.root = root
        self._of: dict[str, Frame] = dict.fromkeys(root.graph.nodes, root)
        self._calls: dict[str, Frame] = {}
        self.emitted = 0
        """The emissions of all nodes that have ended."""
        self.journal_bytes = 0
        """The size of the outputs and payloads of all nodes that have ended."""

    def __contains__(self, id_: str) -> bool:
        return id_ in self._of

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._calls.values())

    def of(self, id_: str) -> Frame:
        """Return the frame of a node."""
        return self._of[id_]

    def node(self, id_: str) -> GraphNode:
        """Return a node of a live frame."""
        return self._of[id_].graph.nodes[id_]

    def open(
        self,
        subflow: str,
        call: str,
        inputs: Mapping[str, Any],
        *,
        caller: str,
        number: int | None,
        begun_at: int,
        stale_until: int,
        records: Iterable[NodeRecord],
    ) -> Frame:
        """Open the frame of a call, with the ends of its nodes in an earlier engine or try."""
        graph = self.root.graph.subflows[subflow].of_call(call)
        frame = Frame(
            graph,
            bound(graph.spec, inputs),
            active=active_nodes(graph, None),
            call=call,
            caller=caller,
            number=number,
            begun_at=begun_at,
            stale_until=stale_until,
        )
        for record in records:
            frame.state.restore(record)
        self._calls[call] = frame
        self._of.update(dict.fromkeys(graph.nodes, frame))
        return frame

    def close(self, frame: Frame) -> None:
        """Forget a frame. What it has journaled still counts."""
        del self._calls[frame.call]
        for id_ in frame.graph.nodes:
            del self._of[id_]

    def count(self, record: NodeRecord) -> None:
        """Count what the end of a node adds to the journal. A node that calls repeats the emissions of its calls."""
        if not is_call(record.node_id) and self.root.graph.subflow_of(record.node_id) is None:
            self.emitted += len(record.emissions)
        self.journal_bytes += record.measured_size()


def bound(spec: FlowSpec | SubflowSpec, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every input of a graph. One without a value has its default."""
    return {each.name: each.default if (value := inputs.get(each.name)) is None else value for each in spec.inputs}
