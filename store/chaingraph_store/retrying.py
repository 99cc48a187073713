"""Retry: the next attempt of an execution that failed or was stopped, in one transaction. Called by the operator.

The journal keeps the nodes that completed, unless the attempt begins from the start. How the earlier attempt ended
goes into the row's history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from psycopg.types.json import Json

from chaingraph_store import dispatch, events
from chaingraph_store.ids import ExecutionId, workflow_id
from chaingraph_store.ledger import CHANGES, Connection, plain
from chaingraph_store.steering import PAUSE_REASON

RETRIABLE_PHASES: Final = frozenset({"Failed", "Stopped"})
MAX_ATTEMPTS_KEPT: Final = 10
"""Earlier attempts in a row's history: the newest."""
MAX_MESSAGE: Final = 1024
"""Characters of an earlier attempt's error message that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """What the spec says of the next attempt. `step` and `resume` are its tokens, which ask for nothing then."""

    token: str
    from_start: bool
    paused: bool
    options: Mapping[str, Any]
    breakpoints: Sequence[str] = ()
    step: str | None = None
    resume: str | None = None


def refusal(phase: str) -> str | None:
    """Why an execution of this phase cannot be retried; None when it can be."""
    if phase in RETRIABLE_PHASES:
        return None
    if phase == "Completed":
        return "it is Completed, and only what failed or was stopped is run again: create another Execution"
    return f"it was {phase}: stop it first, or wait for its end"


_LOCK: Final = """
SELECT phase, attempt, run, error_reason, error_message, error_node, started_at, finished_at, retry_token, queue,
       priority, attempts
FROM chaingraph.executions WHERE id = %(id)s FOR UPDATE
"""

_BEGIN: Final = f"""
WITH begun AS (
  UPDATE chaingraph.executions
  SET phase = CASE WHEN %(paused)s THEN 'Paused' ELSE 'Pending' END, parked = %(paused)s, attempt = attempt + 1,
      run = %(run)s, workflow_id = %(workflow)s, owner_epoch = owner_epoch + 1, worker = '', lost_worker = '',
      recoveries = 0,
      nodes_completed = CASE WHEN %(from_start)s THEN 0 ELSE nodes_completed END, nodes_failed = 0,
      recovered_nodes = CASE WHEN %(from_start)s THEN 0 ELSE nodes_completed END,
      nodes_skipped = 0, nodes_running = 0, current_nodes = '{{}}', outputs = NULL, error_node = '', error_reason = '',
      error_message = '', started_at = NULL, start_logged = false, finished_at = NULL, ran_ms = 0,
      options = %(options)s,
      breakpoints = %(breakpoints)s, wants_pause = %(paused)s, paused = %(paused)s,
      pause_reason = CASE WHEN %(paused)s THEN %(pause_reason)s ELSE '' END, pause_logged = %(paused)s,
      step_token = coalesce(%(step)s, step_token), resume_token = coalesce(%(resume)s, resume_token),
      retry_token = %(token)s, retry_refusal = '', control_seq = control_seq + 1, applied_seq = control_seq + 1,
      pause_seq = control_seq + 1,
      step_seqs = '{{}}', attempts = %(attempts)s, next_event_index = next_event_index + %(paused)s::int,
      change_seq = nextval('chaingraph.change_seq')
  WHERE id = %(id)s
  RETURNING id, next_event_index - 1 AS index, pause_reason
), logged AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, index, '{events.PAUSED}', now(), json_build_object('reason', pause_reason) FROM begun WHERE %(paused)s
), forgotten AS (
  DELETE FROM chaingraph.journal WHERE execution_id = %(id)s AND %(from_start)s
)
SELECT pg_notify(%(changes)s, id) FROM begun
"""  # noqa: S608 - put together of constants alone


async def retry(connection: Connection, execution: ExecutionId, asked: Retry, *, application_name: str) -> bool | str:
    """Begins the next attempt, inside the caller's transaction: enqueued, or parked when it is to begin paused.

    Returns:
        True when it has begun; False when this token was used before; why not, when it is refused. A refused token is
        recorded as used.
    """
    cursor = await connection.execute(_LOCK, {"id": execution})
    row = await cursor.fetchone()
    if row is None:
        return "the ledger has no such execution: create another Execution"
    phase, _, former_run, _, _, _, _, _, last_token, queue, priority, attempts = row
    if last_token == asked.token:
        return False
    reason = refusal(phase)
    if reason is not None:
        await refuse_retry(connection, execution, asked.token, reason)
        return reason
    run = former_run + 1
    await connection.execute(
        _BEGIN,
        {
            "id": execution,
            "run": run,
            "workflow": workflow_id(execution, run),
            "options": Json(asked.options),
            "breakpoints": list(asked.breakpoints),
            "paused": asked.paused,
            "pause_reason": PAUSE_REASON,
            "step": asked.step,
            "resume": asked.resume,
            "token": asked.token,
            "attempts": Json([*attempts, _end(row, asked)][-MAX_ATTEMPTS_KEPT:]),
            "from_start": asked.from_start,
            "changes": CHANGES,
        },
    )
    if not asked.paused:
        await dispatch.enqueue_run(
            connection, execution, run=run, queue=queue, priority=priority, application_name=application_name
        )
    return True


async def refuse_retry(connection: Connection, execution: ExecutionId, token: str, reason: str) -> bool:
    """Records that the retry of this token was refused, and why. The token is used up.

    Returns:
        False when the token was used before, or there is no such execution.
    """
    cursor = await connection.execute(
        "UPDATE chaingraph.executions SET retry_token = %(token)s, retry_refusal = %(reason)s,"
        " change_seq = nextval('chaingraph.change_seq') WHERE id = %(id)s AND retry_token <> %(token)s"
        " RETURNING pg_notify(%(changes)s, id)",
        {"id": execution, "token": token, "reason": plain(reason), "changes": CHANGES},
    )
    return await cursor.fetchone() is not None


def _end(row: tuple[Any, ...], asked: Retry) -> dict[str, Any]:
    phase, attempt, _, reason, message, node, started, finished = row[:8]
    return {
        "attempt": attempt,
        "phase": phase,
        "reason": reason,
        "message": message[:MAX_MESSAGE],
        "node": node,
        "startTime": _iso(started),
        "completionTime": _iso(finished),
        "retriedFrom": "Start" if asked.from_start else "Failed",
    }


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
