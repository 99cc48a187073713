"""The events of a run. Their indexes are assigned when they are stored, not here.

Their data, as `engine/event_publisher.py` builds it: flow:started `nodes` and `attempt`, once per attempt. flow:paused
`reason` (`Paused`, or `Breakpoint` with `node`), and flow:resumed, alternating: a pause spans all engines and workers
of an attempt, and a step neither ends nor starts one. debug:breakpoint-hit `nodeId`, once per node and before it
starts; flow:paused follows, unless the run is paused already. A flow may end, fail or be cancelled without
flow:resumed. The `executionTime` of flow:completed and flow:failed is that of the attempt in milliseconds, without
pauses; that of a node is from its first try to its end. node:waiting `kind`, `until` in milliseconds since 1970
unless it waits without a time, and the name of the `signal` that it waits for; a retry has a log message instead.
signal:received `id`, `name` and the user, `by`, when it is known. edge:transfer-failed has `skipped: true` when the
source delivers nothing, which is not a failure of the edge: it was skipped, or failed, or did not fail. The ledger
writes flow:retried before the flow:started of an attempt that keeps a part of the journal alone, or takes another
revision of the flow: `attempt`, `node`, the number of nodes `kept`, the first ones of those in `runsAgain` and their
number, and the `flowRevision` with the `formerRevision`. child:completed and child:failed of a call, with `nodeId`, are
the engine's, when the node takes the end of its child. The ledger writes those of other children, child:spawned, and
worker:lost and worker:drained: `worker`, `attempt`, `nodes` that ran there, and the consequence (`next`: queued, paused
or failed).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

FLOW_STARTED: Final = "flow:started"
FLOW_COMPLETED: Final = "flow:completed"
FLOW_FAILED: Final = "flow:failed"
FLOW_CANCELLED: Final = "flow:cancelled"
FLOW_PAUSED: Final = "flow:paused"
FLOW_RESUMED: Final = "flow:resumed"
FLOW_RETRIED: Final = "flow:retried"
NODE_STARTED: Final = "node:started"
NODE_COMPLETED: Final = "node:completed"
NODE_FAILED: Final = "node:failed"
NODE_SKIPPED: Final = "node:skipped"
NODE_WAITING: Final = "node:waiting"
SIGNAL_RECEIVED: Final = "signal:received"
NODE_STATUS_CHANGED: Final = "node:status-changed"
NODE_DEBUG_LOG: Final = "node:debug-log-string"
EDGE_TRANSFER_STARTED: Final = "edge:transfer-started"
EDGE_TRANSFER_COMPLETED: Final = "edge:transfer-completed"
EDGE_TRANSFER_FAILED: Final = "edge:transfer-failed"
EXECUTION_CREATED: Final = "execution:created"
CHILD_SPAWNED: Final = "child:spawned"
CHILD_COMPLETED: Final = "child:completed"
CHILD_FAILED: Final = "child:failed"
BREAKPOINT_HIT: Final = "debug:breakpoint-hit"
WORKER_LOST: Final = "worker:lost"
WORKER_DRAINED: Final = "worker:drained"

EVENT_TYPES: Final = frozenset(
    (
        FLOW_STARTED,
        FLOW_COMPLETED,
        FLOW_FAILED,
        FLOW_CANCELLED,
        FLOW_PAUSED,
        FLOW_RESUMED,
        FLOW_RETRIED,
        NODE_STARTED,
        NODE_COMPLETED,
        NODE_FAILED,
        NODE_SKIPPED,
        NODE_WAITING,
        SIGNAL_RECEIVED,
        NODE_STATUS_CHANGED,
        NODE_DEBUG_LOG,
        EDGE_TRANSFER_STARTED,
        EDGE_TRANSFER_COMPLETED,
        EDGE_TRANSFER_FAILED,
        EXECUTION_CREATED,
        CHILD_SPAWNED,
        CHILD_COMPLETED,
        CHILD_FAILED,
        BREAKPOINT_HIT,
        WORKER_LOST,
        WORKER_DRAINED,
    )
)


@dataclass(frozen=True, slots=True)
class FlowEvent:
    """One event: its type, its time (milliseconds since 1970, UTC), and its data."""

    type: str
    timestamp: int
    data: dict[str, Any] = field(default_factory=dict)


def paused_data(node: str) -> dict[str, str]:
    """Return the data of flow:paused.

    Args:
        node: the node whose breakpoint was hit; '' for a command.
    """
    return {"reason": "Breakpoint", "node": node} if node else {"reason": "Paused"}
