"""Retry: start the next attempt of a failed or stopped execution, in one transaction.

The journal keeps the completed nodes, unless the attempt starts from the beginning. The end of the earlier attempt goes
into the row's history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from psycopg.rows import class_row
from psycopg.types.json import Json

from chaingraph_store import events
from chaingraph_store.children import completion
from chaingraph_store.commands import journal_cut
from chaingraph_store.commands.journal_cut import JournalCut
from chaingraph_store.commands.observed_generation import Stale
from chaingraph_store.commands.tokens import TokenKind, asks, with_token
from chaingraph_store.errors import ConflictingRevision
from chaingraph_store.ids import ExecutionId, workflow_id
from chaingraph_store.ledger import CHANGES, Connection, plain
from chaingraph_store.queue import dispatch

RETRIABLE_PHASES: Final = frozenset({"Failed", "Stopped"})
MAX_ATTEMPTS_KEPT: Final = 10
"""Maximum earlier attempts in a row's history: the newest."""
MAX_MESSAGE: Final = 1024
"""Maximum characters of an earlier attempt's error message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRequest:
    """The spec's settings for the next attempt. `step` and `resume` are its tokens, which then request nothing.

    None keeps `priority` and `start_timeout_seconds`. `cut` says what becomes of the journal and of the
    flow's revision; without one the journal keeps the completed nodes, unless `from_start`.
    """

    token: str
    from_start: bool
    paused: bool
    options: Mapping[str, Any]
    breakpoints: Sequence[str] = ()
    step: str = ""
    resume: str = ""
    priority: int | None = None
    start_timeout_seconds: int | None = None
    cut: JournalCut | None = None


@dataclass(frozen=True, slots=True)
class RefusedRetry:
    """Why a retry is refused. `reason` is in CamelCase, as in the condition `RetryRefused`."""

    reason: str
    message: str


def refusal(phase: str) -> RefusedRetry | None:
    """Return why an execution in this phase cannot be retried; None when it can."""
    if phase in RETRIABLE_PHASES:
        return None
    if phase == "Completed":
        message = "the execution has completed. To run it again, create another Execution"
        return RefusedRetry("AlreadyCompleted", message)
    return RefusedRetry("StillRunning", f"the execution was {phase}. Stop it first, or wait for its end")


@dataclass(frozen=True, slots=True)
class _Former:
    """The columns that a retry reads, from the row before it."""

    phase: str
    attempt: int
    run: int
    error_reason: str
    error_message: str
    error_node: str
    started_at: datetime | None
    finished_at: datetime | None
    queue: str
    priority: int
    start_timeout_s: int
    attempts: list[dict[str, Any]]
    parent_id: str | None
    flow_revision: str | None
    step_token: str
    resume_token: str
    retry_token: str
    used_tokens: list[str]
    observed_generation: int

    @property
    def never_started(self) -> bool:
        return self.started_at is None and not any(each.get("startTime") for each in self.attempts)


_LOCK: Final = f"SELECT {', '.join(_Former.__dataclass_fields__)} FROM chaingraph.executions WHERE id = %s FOR UPDATE"  # noqa: S608 our own column names
_BEGIN: Final = f"""
WITH begun AS (
  UPDATE chaingraph.executions
  SET phase = %(phase)s, parked = %(parks)s, attempt = attempt + 1, priority = %(priority)s,
      start_timeout_s = %(start_timeout)s, held_at = CASE WHEN %(held)s THEN now() END, expired_at = NULL,
      run = %(run)s, workflow_id = %(workflow)s, owner_epoch = owner_epoch + 1, worker = '', lost_worker = '',
      worker_pool = '', worker_version = '', recoveries = 0, losses = 0,
      flow_revision = coalesce(%(revision)s, flow_revision), nodes_total = coalesce(%(total)s, nodes_total),
      inputs = coalesce(%(inputs)s, inputs),
      nodes_completed = coalesce(%(completed)s, nodes_completed), nodes_failed = 0,
      recovered_nodes = coalesce(%(completed)s, nodes_completed),
      nodes_skipped = 0, nodes_running = 0, nodes_waiting = 0, current_nodes = '{{}}', running_nodes = '[]',
      outputs = NULL, error_node = '', error_reason = '', error_message = '', error_details = NULL,
      started_at = NULL, start_logged = false, finished_at = NULL, ran_ms = 0,
      options = %(options)s,
      tree_stopped = false, breakpoints = %(breakpoints)s, wants_pause = %(paused)s, paused = %(parks)s,
      pause_node = '', pause_logged = %(parks)s,
      step_token = %(step)s, resume_token = %(resume)s, retry_token = %(token)s, used_tokens = %(used)s,
      observed_generation = %(generation)s, retry_refusal = '', retry_refusal_message = '',
      control_seq = control_seq + 1, applied_seq = control_seq + 1, pause_seq = control_seq + 1,
      step_seqs = '{{}}', attempts = %(attempts)s,
      next_event_index = next_event_index + %(cuts)s::int + %(parks)s::int,
      change_seq = nextval('chaingraph.change_seq')
  WHERE id = %(id)s
  RETURNING id, next_event_index - 1 AS index, pause_node
), logged AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, index - %(parks)s::int, '{events.RETRIED}', now(), %(retried)s FROM begun WHERE %(cuts)s
  UNION ALL
  SELECT id, index, '{events.PAUSED}', now(), {events.PAUSED_DATA} FROM begun WHERE %(parks)s
), forgotten AS (
  DELETE FROM chaingraph.journal WHERE execution_id = %(id)s AND (%(from_start)s OR node_id = ANY(%(dropped)s))
)
SELECT pg_notify(%(changes)s, id) FROM begun
"""  # noqa: S608 - put together of constants alone


async def retry(
    connection: Connection, execution: ExecutionId, asked: RetryRequest, *, generation: int, application_name: str
) -> bool | RefusedRetry | Stale:
    """Start the next attempt, inside the caller's transaction: enqueued, or parked when it starts paused.

    An execution that has never started is held again when it starts paused, with a new start timeout.

    Args:
        generation: that of the spec. It is recorded as observed.

    Returns:
        True when it has started; False when this token was used before, or the cut is for another attempt; the
        refusal, which is recorded with the token as used. Stale, without effect, when a later generation was observed.
    """
    await completion.hold_line(connection, execution)
    former = await _locked(connection, execution)
    if former is None:
        return RefusedRetry("NotInLedger", "the execution is not in the database. Create another Execution")
    in_vain = _in_vain(former, asked.token, generation)
    if in_vain is not None:
        return in_vain
    refused = refusal(former.phase)
    if refused is None and asked.cut is not None and asked.cut.attempt != former.attempt:
        return False
    if refused is None and asked.cut is not None and asked.cut.flow is not None:
        refused = await _add_revision(connection, asked.cut.flow)
    elif refused is None and former.flow_revision is None:
        refused = await _find_flow(connection, execution)
    if refused is not None:
        await _refuse(connection, execution, former, asked.token, refused, generation)
        return refused
    run = former.run + 1
    held = asked.paused and former.never_started
    parks = asked.paused and not held
    priority = former.priority if asked.priority is None else asked.priority
    start_timeout = former.start_timeout_s if asked.start_timeout_seconds is None else asked.start_timeout_seconds
    step, resume, used = _tokens(former, asked)
    await connection.execute(
        _BEGIN,
        {
            "id": execution,
            "run": run,
            "workflow": workflow_id(execution, run),
            "options": Json(asked.options),
            "breakpoints": list(asked.breakpoints),
            "phase": "Created" if held else "Paused" if parks else "Pending",
            "held": held,
            "parks": parks,
            "paused": asked.paused,
            "priority": priority,
            "start_timeout": start_timeout,
            "step": step,
            "resume": resume,
            "token": asked.token,
            "used": list(used),
            "generation": generation,
            "attempts": Json([*former.attempts, _end(former, asked)][-MAX_ATTEMPTS_KEPT:]),
            "from_start": asked.from_start,
            "cuts": asked.cut is not None,
            "retried": Json(asked.cut.event(former.attempt + 1, former.flow_revision) if asked.cut else {}),
            "changes": CHANGES,
        }
        | journal_cut.columns(asked.cut, from_start=asked.from_start),
    )
    if former.parent_id is not None:
        await completion.reopen(connection, execution)
    if held:
        await dispatch.enqueue_hold(
            connection,
            execution,
            attempt=former.attempt + 1,
            timeout_seconds=start_timeout,
            application_name=application_name,
        )
    elif not parks:
        await dispatch.enqueue_run(
            connection,
            execution,
            run=run,
            queue=former.queue,
            priority=priority,
            application_name=application_name,
        )
    return True


async def refuse_retry(
    connection: Connection, execution: ExecutionId, token: str, refused: RefusedRetry, *, generation: int
) -> bool | Stale:
    """Record that the retry with this token was refused, and why. The token counts as used.

    Returns:
        False when the token was used before, or there is no such execution; Stale, without effect, when a generation
        later than that of the spec was observed.
    """
    former = await _locked(connection, execution)
    if former is None:
        return False
    in_vain = _in_vain(former, token, generation)
    if in_vain is not None:
        return in_vain
    await _refuse(connection, execution, former, token, refused, generation)
    return True


async def _add_revision(connection: Connection, flow: journal_cut.NewRevision) -> RefusedRetry | None:
    try:
        await journal_cut.add_revision(connection, flow)
    except ConflictingRevision as conflict:
        return RefusedRetry("ConflictingRevision", str(conflict))
    return None


_PIN: Final = """
WITH named AS (
  SELECT e.id, e.flow_name, e.namespace, f.revision, f.nodes,
         CASE WHEN e.called_by = '' THEN f.inputs ELSE e.inputs END AS inputs,
         f.revision IS NOT NULL AND (f.problem = '' OR e.called_by <> '') AS runs,
         coalesce(f.problem, 'not found') AS problem,
         CASE WHEN f.name IS NULL THEN 'FlowNotFound' ELSE coalesce(nullif(f.reason, ''), 'FlowInvalid') END AS reason
  FROM chaingraph.executions e LEFT JOIN chaingraph.flows f ON f.namespace = e.namespace AND f.name = e.flow_name
  WHERE e.id = %s
), pinned AS (
  UPDATE chaingraph.executions e SET flow_revision = named.revision, nodes_total = named.nodes, inputs = named.inputs
  FROM named WHERE e.id = named.id AND named.runs
)
SELECT coalesce(runs, false), flow_name, namespace, problem, reason FROM named
"""


async def _find_flow(connection: Connection, execution: ExecutionId) -> RefusedRetry | None:
    """Pin the flow of a child that failed because its flow was missing. Returns why not, when it is still missing."""
    cursor = await connection.execute(_PIN, (execution,))
    row = await cursor.fetchone()
    assert row is not None, "it is locked by us"
    found, name, namespace, problem, reason = row
    if found:
        return None
    return RefusedRetry(
        reason,
        f"Flow {name!r} in namespace {namespace!r} cannot run: {problem}. Create or fix the Flow, then change "
        "spec.retry.token",
    )


async def _locked(connection: Connection, execution: ExecutionId) -> _Former | None:
    async with connection.cursor(row_factory=class_row(_Former)) as cursor:
        await cursor.execute(_LOCK, (execution,))
        return await cursor.fetchone()


def _in_vain(former: _Former, token: str, generation: int) -> Stale | Literal[False] | None:
    """Return why this requests nothing: a later generation was observed, or the token was used. None otherwise."""
    if former.observed_generation > generation:
        return Stale(former.observed_generation)
    return None if asks(TokenKind.RETRY, token, used=former.used_tokens, last=former.retry_token) else False


async def _refuse(
    connection: Connection, execution: ExecutionId, former: _Former, token: str, refused: RefusedRetry, generation: int
) -> None:
    used = with_token(TokenKind.RETRY, token, used=former.used_tokens, last=former.retry_token)
    await connection.execute(
        "UPDATE chaingraph.executions SET retry_token = %(token)s, retry_refusal = %(reason)s,"
        " retry_refusal_message = %(message)s,"
        " used_tokens = %(used)s, observed_generation = %(generation)s, change_seq = nextval('chaingraph.change_seq')"
        " WHERE id = %(id)s RETURNING pg_notify(%(changes)s, id)",
        {
            "id": execution,
            "token": token,
            "reason": refused.reason,
            "message": plain(refused.message),
            "used": list(used),
            "generation": generation,
            "changes": CHANGES,
        },
    )


def _tokens(former: _Former, asked: RetryRequest) -> tuple[str, str, tuple[str, ...]]:
    """Return the last step and resume tokens that were handled, and all used ones, once this retry has started."""
    used = with_token(TokenKind.RETRY, asked.token, used=former.used_tokens, last=former.retry_token)
    last = []
    for kind, token, former_token in (
        (TokenKind.STEP, asked.step, former.step_token),
        (TokenKind.RESUME, asked.resume, former.resume_token),
    ):
        last.append(token if asks(kind, token, used=used, last=former_token) else former_token)
        used = with_token(kind, token, used=used, last=former_token)
    return last[0], last[1], used


def _end(former: _Former, asked: RetryRequest) -> dict[str, Any]:
    return {
        "attempt": former.attempt,
        "phase": former.phase,
        "reason": former.error_reason,
        "message": former.error_message[:MAX_MESSAGE],
        "node": former.error_node,
        "startTime": _iso(former.started_at),
        "completionTime": _iso(former.finished_at),
        "retriedFrom": "Start" if asked.from_start else "Failed",
    } | (asked.cut.history(former.flow_revision) if asked.cut is not None else {})


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
