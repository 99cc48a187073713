"""What the gateway says of executions, in JSON; names and forms as in the status of the resources. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from chaingraph_gateway.parameters import cursor
from chaingraph_store.details import Details, JournalRow
from chaingraph_store.tree import Place, TreeRow


def details(row: Details) -> dict[str, Any]:
    """One execution, without its inputs."""
    error = {"node": row.error_node, "reason": row.error_reason, "message": row.error_message}
    return {
        "executionID": row.id,
        "uid": row.uid,
        "namespace": row.namespace,
        "name": row.name,
        "flow": row.flow_name,
        "flowRevision": row.flow_revision,
        "queue": row.queue,
        "priority": row.priority,
        "parentID": row.parent_id,
        "rootExecutionID": row.root_id,
        "depth": row.depth,
        "phase": row.phase,
        "attempt": row.attempt,
        "attempts": row.attempts,
        "paused": row.paused,
        "pauseReason": row.pause_reason,
        "parked": row.parked,
        "breakpoints": row.breakpoints,
        "currentNodes": row.current_nodes,
        "nodes": {
            "total": row.nodes_total,
            "completed": row.nodes_completed,
            "failed": row.nodes_failed,
            "skipped": row.nodes_skipped,
            "running": row.nodes_running,
        },
        "outputs": row.outputs,
        "error": error if any(error.values()) else None,
        "worker": row.worker,
        "recoveries": row.recoveries,
        "createdTime": time(row.created_at),
        "startTime": time(row.started_at),
        "completionTime": time(row.finished_at),
        "durationSeconds": row.seconds,
        "nextEventIndex": row.next_event_index,
        "children": {"total": sum(row.children.values()), **row.children},
    }


def journal(rows: Sequence[JournalRow]) -> dict[str, Any]:
    """How nodes ended."""
    return {"nodes": [_record(each) for each in rows]}


def _record(row: JournalRow) -> dict[str, Any]:
    record: dict[str, Any] = {
        "node": row.node_id,
        "attempt": row.attempt,
        "outcome": row.outcome,
        "startTime": time(_moment(row.started_at)),
        "completionTime": time(_moment(row.finished_at)),
        "durationSeconds": (row.finished_at - row.started_at) / 1000,
        "tries": row.tries,
        "reason": row.reason,
        "error": row.error,
    }
    if row.outputs is not None:
        record["outputs"] = row.outputs
        record["emissions"] = row.emissions
    return record


def page(rows: Sequence[TreeRow], limit: int) -> dict[str, Any]:
    """Some executions, and the cursor of those that follow; null when these are the last."""
    shown = rows[:limit]
    return {
        "executions": [_short(each) for each in shown],
        "cursor": cursor(Place.of(shown[-1])) if len(rows) > limit else None,
    }


def _short(row: TreeRow) -> dict[str, Any]:
    return {
        "executionID": row.id,
        "namespace": row.namespace,
        "name": row.name,
        "flow": row.flow_name,
        "parentID": row.parent_id,
        "rootExecutionID": row.root_id,
        "depth": row.depth,
        "phase": row.phase,
        "attempt": row.attempt,
        "createdTime": time(row.created_at),
        "startTime": time(row.started_at),
        "completionTime": time(row.finished_at),
        "durationSeconds": row.seconds,
        "children": row.children,
    }


def time(value: datetime | None) -> str | None:
    """RFC 3339 with milliseconds, in UTC."""
    if value is None:
        return None
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _moment(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
