"""The engine's events and their data. Keeps their format out of the scheduler."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from chaingraph_flow import events
from chaingraph_flow.calls import ChildEnd
from chaingraph_flow.context import Signal
from chaingraph_flow.engine.recorder import Recorder
from chaingraph_flow.engine.records import NodeRecord, Outcome, WaitRecord
from chaingraph_flow.engine.result import NodeError
from chaingraph_flow.events import FlowEvent
from chaingraph_flow.graph import GraphNode
from chaingraph_flow.validation.wiring import Connection

_LONGEST_ERROR: Final = 1024
"""Maximum characters of a child's error in an event."""


def wall_clock() -> int:
    """Return the milliseconds since 1970, UTC."""
    return time.time_ns() // 1_000_000


class EventPublisher:
    """Publishes to a recorder, with the time of a clock in milliseconds since 1970."""

    def __init__(self, recorder: Recorder, clock: Callable[[], int], *, debug: bool) -> None:
        self._publish = recorder.publish
        self._clock = clock
        self._debug = debug
        self._waited: set[str] = set()
        """Nodes whose wait was published, so that their end is."""

    def mutes(self, node: GraphNode) -> bool:
        """Whether the life of a node is not published: it has no effects and is in a loop."""
        return node.muted and not self._debug

    def flow_started(self, total: int, attempt: int) -> None:
        """Publish the start of an attempt; `total` nodes take part."""
        self._send(events.FLOW_STARTED, {"nodes": total, "attempt": attempt})

    def flow_paused(self, node: str) -> None:
        """Publish a pause, at the breakpoint of a node or by a command: no node starts except by a step."""
        self._send(events.FLOW_PAUSED, events.paused_data(node))

    def flow_resumed(self) -> None:
        """Publish the end of a pause."""
        self._send(events.FLOW_RESUMED, {})

    def breakpoint_hit(self, node_id: str) -> None:
        """Publish that a node is held at a breakpoint."""
        self._send(events.BREAKPOINT_HIT, {"nodeId": node_id})

    def flow_completed(self, milliseconds: int) -> None:
        """Publish that every node has ended. The time is the attempt's, without pauses."""
        self._send(events.FLOW_COMPLETED, {"executionTime": milliseconds})

    def flow_failed(self, error: NodeError, milliseconds: int) -> None:
        """Publish that the run has failed."""
        told = {"error": error.message, "reason": str(error.reason), "executionTime": milliseconds}
        self._send(events.FLOW_FAILED, {"nodeId": error.node} | told if error.node else told)

    def flow_cancelled(self, reason: str) -> None:
        """Publish that the run was stopped."""
        self._send(events.FLOW_CANCELLED, {"reason": reason})

    def status(self, node_id: str, old: str, new: str) -> None:
        """Publish a change of a node's status, in debug mode only."""
        if self._debug:
            self._send(events.NODE_STATUS_CHANGED, {"nodeId": node_id, "oldStatus": old, "newStatus": new})

    def node_started(self, node: GraphNode) -> None:
        """Publish that a node starts to run."""
        if self.mutes(node):
            return
        self._send(events.NODE_STARTED, {"nodeId": node.id, "nodeType": node.type.type})

    def node_ended(self, node: GraphNode, record: NodeRecord) -> None:
        """Publish that a node has ended."""
        if self.mutes(node) and record.outcome is not Outcome.FAILED and record.node_id not in self._waited:
            return
        self._waited.discard(record.node_id)
        data: dict[str, Any] = {"nodeId": record.node_id}
        if record.outcome is Outcome.SKIPPED:
            self._send(events.NODE_SKIPPED, data | {"reason": record.reason})
            return
        data["executionTime"] = record.finished_at - record.started_at
        if record.outcome is Outcome.COMPLETED:
            self._send(events.NODE_COMPLETED, data)
        else:
            told = {"error": record.error, "reason": record.reason, "attempts": record.attempts}
            self._send(events.NODE_FAILED, data | told)

    def node_waiting(self, record: WaitRecord) -> None:
        """Publish that a node waits, and until when."""
        self._waited.add(record.node_id)
        data: dict[str, Any] = {"nodeId": record.node_id, "kind": str(record.kind)}
        if record.until is not None:
            data["until"] = record.until
        if record.signal:
            data["signal"] = record.signal
        self._send(events.NODE_WAITING, data)

    def waited_before(self, record: WaitRecord) -> None:
        """Take note that the wait of a node was published by an earlier engine."""
        self._waited.add(record.node_id)

    def signal_received(self, signal: Signal) -> None:
        """Publish that a signal has come, for a node that waits for it now or later."""
        data = {"id": signal.id, "name": signal.name}
        self._send(events.SIGNAL_RECEIVED, data | {"by": signal.by} if signal.by else data)

    def child_ended(self, end: ChildEnd) -> None:
        """Publish the end of an execution that a node has called."""
        data: dict[str, Any] = {"childExecutionId": end.execution_id, "name": end.name, "nodeId": end.call}
        if end.phase == "Completed":
            self._send(events.CHILD_COMPLETED, data)
        else:
            told = {"phase": end.phase, "reason": end.reason, "node": end.node, "error": end.message[:_LONGEST_ERROR]}
            self._send(events.CHILD_FAILED, data | told)

    def log(self, node_id: str, message: str) -> None:
        """Publish a log message of a node, or of the engine about a node."""
        self._send(events.NODE_DEBUG_LOG, {"nodeId": node_id, "log": message})

    def transfer_started(self, connection: Connection) -> None:
        """Publish that a value is about to be copied, in debug mode only."""
        if self._debug:
            self._send(events.EDGE_TRANSFER_STARTED, _edge(connection))

    def not_delivered(self, connection: Connection, why: str) -> None:
        """Publish that an edge delivers nothing because of how its source ended. This is not a failure of the edge."""
        self._send(events.EDGE_TRANSFER_FAILED, _edge(connection) | {"error": why, "skipped": True})

    def transferred(self, connection: Connection, refused: str | None, milliseconds: float) -> None:
        """Publish that an edge has delivered, or why it could not. The time is that of filling the target's inputs."""
        if refused is None:
            data = _edge(connection)
            data["transferTime"] = milliseconds
            self._send(events.EDGE_TRANSFER_COMPLETED, data)
        else:
            self._send(events.EDGE_TRANSFER_FAILED, _edge(connection) | {"error": refused})

    def _send(self, type_: str, data: dict[str, Any]) -> None:
        self._publish(FlowEvent(type_, self._clock(), data))


def _edge(connection: Connection) -> dict[str, Any]:
    return {"from": connection.from_, "to": connection.to}
