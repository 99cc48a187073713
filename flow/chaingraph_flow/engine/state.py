"""The state machine of a run: which nodes have ended, which edges deliver, and which nodes can be decided next.

No I/O, no clock, no tasks: the scheduler passes the ends of nodes to it and asks it for decisions.

Every edge is delivered or refused once its source has ended. Completed: all but the error ports deliver. Failed: only
the error ports deliver. Skipped: none delivers. An edge whose path leads to no value delivers nothing either. When all
edges of a node have settled, the node is decided: it runs, or it is skipped because something was refused into a port
that does not tolerate it, or because `__execute` is not true.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaingraph_crds.flow import INPUTS_NODE_ID
from chaingraph_flow.catalogue import ERROR, ERROR_MESSAGE, ERROR_PORTS, EXECUTE, SUCCESS
from chaingraph_flow.engine.records import NodeRecord, Outcome
from chaingraph_flow.errors import JournalMismatch
from chaingraph_flow.field_errors import suggestion
from chaingraph_flow.graph import Graph
from chaingraph_flow.ports.types import BARE, AnyPortType, Nowhere, found_at
from chaingraph_flow.validation.wiring import Connection


class RunState:
    """The ends of the nodes so far. Every active node is decided exactly once."""

    def __init__(self, graph: Graph, active: frozenset[str], inputs: Mapping[str, Any]) -> None:
        self._graph = graph
        self._inputs = inputs
        self.active = active
        self.ended: dict[str, NodeRecord] = {}
        self._unsettled = {
            id_: sum(each.source is not None for each in graph.nodes[id_].incoming)
            for id_ in graph.nodes
            if id_ in active
        }

    def open_nodes(self) -> list[str]:
        """Return the nodes that have not ended and wait for nothing, in the order of the spec."""
        return [id_ for id_, count in self._unsettled.items() if count == 0 and id_ not in self.ended]

    def restore(self, record: NodeRecord) -> None:
        """Restore a node's end from a journal. Raises JournalMismatch for a node not of this run, or a repeated one."""
        id_ = record.node_id
        if id_ not in self.active:
            hint = suggestion(id_, self.active)
            raise JournalMismatch(f"the journal has a node {id_!r} that does not take part in this run{hint}")
        if id_ in self.ended:
            raise JournalMismatch(f"the journal has the node {id_!r} twice")
        self.settle(record)

    def settle(self, record: NodeRecord) -> list[str]:
        """Process the end of a node. Returns the nodes that can be decided now, each of them once."""
        self.ended[record.node_id] = record
        decidable = []
        for connection in self._graph.nodes[record.node_id].outgoing:
            target = connection.target
            if target in self._unsettled:
                self._unsettled[target] -= 1
                if self._unsettled[target] == 0 and target not in self.ended:
                    decidable.append(target)
        return decidable

    @property
    def finished(self) -> bool:
        """Whether every active node has ended."""
        return len(self.ended) == len(self._unsettled)

    def refusal(self, connection: Connection) -> str | None:
        """Return why an edge whose source has ended delivers nothing, or None when it delivers."""
        refused = self._refused_by_source(connection)
        if refused is None and connection.source_segments:
            found = self._found(connection)
            return found.reason if isinstance(found, Nowhere) else None
        return refused

    def _refused_by_source(self, connection: Connection) -> str | None:
        if connection.source is None:
            return None
        source = self.ended[connection.source]
        wanted = connection.source_port
        if source.outcome is Outcome.SKIPPED:
            return f"{connection.source} was skipped"
        if source.outcome is Outcome.FAILED:
            return None if wanted in ERROR_PORTS else f"{connection.source} failed"
        return f"{connection.source} did not fail" if wanted in ERROR_PORTS else None

    def value(self, connection: Connection) -> Any:
        """Return the value that an edge delivers. It is shared with the source: copy it before changing it."""
        found = self._found(connection)
        assert not isinstance(found, Nowhere), "such an edge is refused"
        return found

    def _found(self, connection: Connection) -> Any | Nowhere:
        port, segments = connection.source_port, connection.source_segments
        type_: AnyPortType = BARE
        if connection.source is None:
            value = self._inputs.get(port)
        else:
            value = _port_value(self.ended[connection.source], port)
            type_ = self._graph.nodes[connection.source].outputs.get(port, BARE)
        return found_at(type_, value, segments, f"{connection.source or INPUTS_NODE_ID}.{port}") if segments else value

    def skip_reason(self, id_: str) -> str | None:
        """Return why a node with all edges settled is skipped; None when it runs."""
        node = self._graph.nodes[id_]
        if not node.execute:
            return "__execute is false"
        for connection in node.incoming:
            refused = self.refusal(connection)
            if refused is not None:
                if not connection.tolerant:
                    return f"{connection.target_port}: no value from {connection.from_}: {refused}"
            elif connection.target_port == EXECUTE and not connection.of_error and self.value(connection) is not True:
                return f"__execute: {connection.from_} is not true"
        return None


def _port_value(source: NodeRecord, port: str) -> Any:
    if port == SUCCESS:
        return True
    if port == ERROR:
        fields = {"node": source.node_id, "reason": source.reason, "message": source.error}
        return fields | {"details": source.details}
    if port == ERROR_MESSAGE:
        return source.error
    return source.outputs.get(port)


def output_value(record: NodeRecord, port: str) -> tuple[bool, Any]:
    """Return whether a port of an ended node has a value for the flow's outputs, and the value."""
    if port in ERROR_PORTS:
        return record.outcome is Outcome.FAILED, _port_value(record, port)
    return record.outcome is Outcome.COMPLETED, _port_value(record, port)
