"""Build the gateway's JSON documents; names and forms as in the status of the resources. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from chaingraph_crds.standing import RETRY
from chaingraph_gateway.reads.parameters import cursor
from chaingraph_store.ids import ExecutionId
from chaingraph_store.reads.details import Details
from chaingraph_store.reads.tree import RootCursor, RootRow, TreeCursor, TreeRow
from chaingraph_store.reads.visibility import NamespaceIdentity

_LAST_MILLISECOND: Final = 253_402_300_800_000
"""The year 10000, beyond all dates."""


def details(row: Details) -> dict[str, Any]:
    """Build the document of one execution, without its inputs."""
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
        "parentName": row.parent_name,
        "rootExecutionID": row.root_id,
        "depth": row.depth,
        "position": row.position,
        "subflow": row.subflow,
        "calledBy": row.called_by,
        "resources": row.resources,
        "phase": row.phase,
        "attempt": row.attempt,
        "attempts": row.attempts,
        "paused": row.paused,
        "pauseNode": row.pause_node,
        "parked": row.parked,
        "breakpoints": row.breakpoints,
        "currentNodes": row.current_nodes,
        "runningNodes": _running(row.running_nodes),
        "nodes": {
            "total": row.nodes_total,
            "done": row.nodes_completed + row.nodes_failed + row.nodes_skipped,
            "completed": row.nodes_completed,
            "failed": row.nodes_failed,
            "skipped": row.nodes_skipped,
            "running": row.nodes_running,
            "waiting": row.nodes_waiting,
        },
        # Sent as stored in the ledger.
        "outputs": None if row.outputs is None else orjson.Fragment(row.outputs),
        "error": error if any(error.values()) else None,
        "worker": row.worker,
        "workerVersion": row.worker_version,
        "recoveries": row.recoveries,
        "createdTime": time(row.created_at),
        "startTime": time(row.started_at),
        "completionTime": time(row.finished_at),
        "durationSeconds": row.seconds,
        "nextEventIndex": row.next_event_index,
        "children": _children(row),
        **(_large_outputs(row) if row.omitted_outputs else {}),
    }


def _large_outputs(row: Details) -> dict[str, Any]:
    omitted = [{"name": name, "bytes": size} for name, size in row.omitted_outputs.items()]
    return {"omittedOutputs": omitted, "outputsBytes": row.outputs_bytes}


def following(rows: Sequence[TreeRow], limit: int, *, head: ExecutionId) -> str | None:
    """Return the cursor after a page of a tree; None when it is the last.

    Args:
        head: the execution whose tree it is.
    """
    return cursor(TreeCursor.of(rows[limit - 1], head=head)) if len(rows) > limit else None


def roots(rows: Sequence[RootRow], limit: int, *, current: Mapping[str, NamespaceIdentity]) -> dict[str, Any]:
    """Build a page of roots, each with its descendants' counts, and the next cursor; null on the last page.

    Args:
        current: the namespaces that exist now. Roots of former ones are left out, so a page may be short.
    """
    page = rows[:limit]
    after = cursor(RootCursor.of(page[-1])) if len(rows) > limit else None
    shown = [
        row
        for row in page
        if row.namespace in current and current[row.namespace].owns(row.namespace_uid, row.created_at)
    ]
    return {"executions": [short(each) | {"below": _below(each)} for each in shown], "cursor": after}


def short(row: TreeRow) -> dict[str, Any]:
    """Build the short form of an execution."""
    error = {"node": row.error_node, "reason": row.error_reason, "message": row.error_message}
    return {
        "executionID": row.id,
        "uid": row.uid,
        "namespace": row.namespace,
        "name": row.name,
        "flow": row.flow_name,
        "parentID": row.parent_id,
        "rootExecutionID": row.root_id,
        "depth": row.depth,
        "position": row.position,
        "subflow": row.subflow,
        "calledBy": row.called_by,
        "phase": row.phase,
        "attempt": row.attempt,
        "currentNodes": row.current_nodes,
        "runningNodes": _running(row.running_nodes),
        "error": error if any(error.values()) else None,
        "createdTime": time(row.created_at),
        "startTime": time(row.started_at),
        "completionTime": time(row.finished_at),
        "durationSeconds": row.seconds,
        "children": _children(row),
    }


def _children(row: Details | TreeRow) -> dict[str, int]:
    counts = _counts(row.children_total, row.children_unspawned, row.children_suppressed, row.children or {})
    return counts | ({"open": row.children_active} if row.children_active else {})


def _below(row: RootRow) -> dict[str, int]:
    return _counts(row.below_total, row.below_unspawned, row.below_suppressed, row.below or {})


def _counts(total: int, unspawned: int, suppressed: int, made: Mapping[str, int]) -> dict[str, int]:
    """Return the total, and the count of each phase that is not 0.

    Children yet to be created are pending; those that never will be are under `Barred`.
    """
    counts = {**made, "Pending": made.get("Pending", 0) + unspawned, "Barred": suppressed}
    return {"total": total, **{phase: number for phase, number in counts.items() if number}}


def _running(nodes: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """Return the state of nodes that are running or waiting, or were interrupted, without times beyond the calendar."""
    return [
        {
            "node": each["node"],
            "try": each["tries"],
            "maxTries": each["max_tries"],
            "startTime": moment(each["since"]),
            "nextTryTime": moment(each["next_at"]) if waits_for in ("", RETRY) else None,
            **({"waitsFor": waits_for, "untilTime": moment(each["next_at"])} if waits_for else {}),
            **{name: each[name] for name in ("signal", "prompt") if each.get(name)},
        }
        for each in nodes or ()
        for waits_for in (each.get("waits_for", ""),)
    ]


def moment(milliseconds: int | None) -> str | None:
    """Format milliseconds since 1970 the same way; None beyond the calendar."""
    if milliseconds is None or not 0 <= milliseconds < _LAST_MILLISECOND:
        return None
    return time(datetime.fromtimestamp(milliseconds / 1000, UTC))


def time(value: datetime | None) -> str | None:
    """Format a time as RFC 3339 with milliseconds, in UTC."""
    if value is None:
        return None
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
