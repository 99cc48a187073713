"""A running attempt in the ledger: claim, flush, end. Called by the worker.

Every write is fenced: it names the owner epoch that the claim took, and finds no row once another worker, a stop or
a hand-back has moved it on. A flush is one statement, so one round trip and one transaction: the journal, the events
with their dense indices, and the row change together or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.types.json import Json

from chaingraph_store.errors import OwnershipLost
from chaingraph_store.ids import ExecutionId, WorkflowId
from chaingraph_store.ledger import CHANGES, Connection, dumps, plain


@dataclass(frozen=True, slots=True)
class Claim:
    """An attempt that this worker owns: what to run, and the epoch that fences its writes."""

    execution_id: ExecutionId
    epoch: int
    namespace: str
    name: str
    attempt: int
    flow_spec: dict[str, Any]
    inputs: dict[str, Any]
    events: list[dict[str, Any]]
    integration: dict[str, Any]
    options: dict[str, Any]
    root_id: ExecutionId
    parent_id: ExecutionId | None
    depth: int
    started_at: datetime
    started_before: bool
    journal: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A node that has ended. `record` is the engine's own, as JSON."""

    node_id: str
    outcome: str
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An event that has no index yet. `timestamp` in milliseconds since the epoch."""

    type: str
    timestamp: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """The node counts and the names of the nodes that run now."""

    total: int
    completed: int
    failed: int
    skipped: int
    running: int
    current_nodes: Sequence[str]


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended. `phase`: Completed, Failed or Stopped."""

    phase: str
    outputs: Mapping[str, Any] | None = None
    error_node: str = ""
    error_reason: str = ""
    error_message: str = ""


_CLAIM: Final = """
WITH before AS (
  SELECT id, started_at FROM chaingraph.executions
  WHERE id = %(id)s AND attempt = %(attempt)s AND workflow_id = %(workflow)s
    AND phase IN ('Pending', 'Running')
  FOR UPDATE
), given AS (
  -- Locked, so that it is looked at again, and refused, when a hand-back that we waited for has taken it away.
  SELECT before.id FROM before JOIN dbos.workflow_status w ON w.workflow_uuid = %(workflow)s
  WHERE w.status = 'PENDING' AND w.executor_id = %(worker)s
  FOR SHARE OF w
), run AS (
  UPDATE chaingraph.executions e
  SET phase = 'Running', owner_epoch = owner_epoch + 1, worker = %(worker)s, lost_worker = '',
      started_at = coalesce(e.started_at, now()), change_seq = nextval('chaingraph.change_seq')
  FROM before JOIN given USING (id) WHERE e.id = before.id
  RETURNING e.*, before.started_at IS NOT NULL AS started_before
)
SELECT run.id, run.owner_epoch, run.namespace, run.name, run.attempt,
       (SELECT spec FROM chaingraph.flow_revisions f WHERE f.revision = run.flow_revision),
       run.inputs, run.events, run.integration, run.options, run.root_id, run.parent_id, run.depth,
       run.started_at, run.started_before,
       (SELECT coalesce(json_agg(j.record), '[]') FROM chaingraph.journal j WHERE j.execution_id = run.id),
       pg_notify(%(channel)s, run.id)
FROM run
"""

_FLUSH: Final = """
WITH run AS (
  UPDATE chaingraph.executions
  SET nodes_total = %(total)s, nodes_completed = %(completed)s, nodes_failed = %(failed)s,
      nodes_skipped = %(skipped)s, nodes_running = %(running)s, current_nodes = %(current)s,
      next_event_index = next_event_index + %(events)s,
      phase = coalesce(%(phase)s, phase), outputs = coalesce(%(outputs)s::json, outputs),
      error_node = coalesce(%(error_node)s, error_node),
      error_reason = coalesce(%(error_reason)s, error_reason),
      error_message = coalesce(%(error_message)s, error_message),
      finished_at = CASE WHEN %(phase)s::text IS NULL THEN finished_at ELSE now() END,
      change_seq = nextval('chaingraph.change_seq')
  WHERE id = %(id)s AND owner_epoch = %(epoch)s AND phase = 'Running'
  RETURNING id, attempt, next_event_index - %(events)s AS base
), journaled AS (
  INSERT INTO chaingraph.journal (execution_id, node_id, attempt, outcome, record)
  SELECT run.id, entry.node_id, run.attempt, entry.outcome, entry.record::json
  FROM run, unnest(%(nodes)s::text[], %(outcomes)s::text[], %(records)s::text[]) AS entry (node_id, outcome, record)
  ON CONFLICT (execution_id, node_id)
  DO UPDATE SET attempt = excluded.attempt, outcome = excluded.outcome, record = excluded.record
), published AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT run.id, run.base + entry.position - 1, entry.type, to_timestamp(entry.at / 1000.0), entry.data::json
  FROM run, unnest(%(types)s::text[], %(times)s::bigint[], %(datas)s::text[])
       WITH ORDINALITY AS entry (type, at, data, position)
)
SELECT base, pg_notify(%(channel)s, id) FROM run
"""


async def claim(
    connection: Connection, execution: ExecutionId, *, attempt: int, workflow: WorkflowId, worker: str
) -> Claim | None:
    """Takes the attempt for this worker: phase Running, a new owner epoch, everything needed to run it.

    Returns:
        None when there is nothing to run: the execution has ended, another attempt is current, or DBOS has given
        the workflow to another executor.
    """
    cursor = await connection.execute(
        _CLAIM,
        {"id": execution, "attempt": attempt, "workflow": workflow, "worker": worker, "channel": CHANGES},
    )
    row = await cursor.fetchone()
    return None if row is None else Claim(*row[:16])


async def flush(
    connection: Connection,
    claimed: Claim,
    *,
    journal: Sequence[JournalEntry],
    log: Sequence[LogEntry],
    progress: Progress,
    end: End | None = None,
) -> int:
    """Writes what has happened since the last flush and, with `end`, the attempt's end.

    Returns:
        The index of the first of these events.

    Raises:
        OwnershipLost: the attempt is no longer this worker's; nothing was written.
    """
    cursor = await connection.execute(
        _FLUSH,
        {
            "id": claimed.execution_id,
            "epoch": claimed.epoch,
            "channel": CHANGES,
            "total": progress.total,
            "completed": progress.completed,
            "failed": progress.failed,
            "skipped": progress.skipped,
            "running": progress.running,
            "current": list(progress.current_nodes),
            "events": len(log),
            "phase": end.phase if end else None,
            "outputs": Json(end.outputs) if end and end.outputs is not None else None,
            "error_node": end.error_node if end else None,
            "error_reason": end.error_reason if end else None,
            "error_message": plain(end.error_message) if end else None,
            "nodes": [entry.node_id for entry in journal],
            "outcomes": [entry.outcome for entry in journal],
            "records": [_json(entry.record) for entry in journal],
            "types": [entry.type for entry in log],
            "times": [entry.timestamp for entry in log],
            "datas": [_json(entry.data) for entry in log],
        },
    )
    row = await cursor.fetchone()
    if row is None:
        raise OwnershipLost(claimed.execution_id, claimed.epoch)
    return int(row[0])


def _json(value: Mapping[str, Any]) -> str:
    return dumps(value).decode()


async def not_ours(connection: Connection, claims: Sequence[Claim]) -> dict[ExecutionId, str]:
    """Which of these attempts were moved on from outside, each with the phase that its row has now."""
    cursor = await connection.execute(
        "SELECT mine.id, coalesce(e.phase, 'deleted') FROM unnest(%s::text[], %s::bigint[]) AS mine (id, epoch)"
        " LEFT JOIN chaingraph.executions e ON e.id = mine.id"
        " WHERE e.owner_epoch IS DISTINCT FROM mine.epoch OR e.phase <> 'Running'",
        ([claim.execution_id for claim in claims], [claim.epoch for claim in claims]),
    )
    return {ExecutionId(row[0]): row[1] for row in await cursor.fetchall()}
