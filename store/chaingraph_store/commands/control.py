"""Update the row to match the spec, and send commands to the worker, in one transaction.

Commands are numbered in the row, under its lock. Messages carry them only while a worker has the execution. See
docs/decisions/0003, and `transitions` for the meaning of each command.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final

from psycopg.types.json import Json

from chaingraph_store import signals
from chaingraph_store.commands.observed_generation import Stale
from chaingraph_store.commands.transitions import ControlState, DesiredControl, Transition, transition
from chaingraph_store.ids import ExecutionId, WorkflowId, workflow_id
from chaingraph_store.ledger import CHANGES, Connection
from chaingraph_store.queue import dispatch
from chaingraph_store.queue.waking import ASLEEP_MS

__all__ = ["ControlUpdate", "DesiredControl", "Stale", "apply"]


@dataclass(frozen=True, slots=True)
class ControlUpdate:
    """The result. All empty when the row matched already."""

    commands: tuple[str, ...] = ()
    """Carried out: PAUSE, RESUME, STEP, BREAKPOINTS, START, PRIORITY, START_TIMEOUT, OPTIONS, SIGNAL."""
    ignored: tuple[str, ...] = ()
    """STEP when not paused; RESUME by token when not paused, or while `spec.paused` is true."""


_COLUMNS: Final = tuple(field.name for field in fields(ControlState))
_LISTS: Final = ("breakpoints", "step_seqs", "used_tokens")
_WRITTEN: Final = tuple(column for column in _COLUMNS if column != "started_at")

_LOCK: Final = f"""
SELECT {", ".join(_COLUMNS)}, workflow_id, queue, attempt FROM chaingraph.executions
WHERE id = %(id)s AND phase NOT IN ('Completed', 'Failed', 'Stopped')
FOR UPDATE
"""  # noqa: S608 - put together of constants alone

_WRITE: Final = f"""
WITH updated AS (
  UPDATE chaingraph.executions
  SET {", ".join(f"{column} = %({column})s" for column in _WRITTEN)},
      workflow_id = %(workflow)s, owner_epoch = owner_epoch + %(fences)s::int,
      ran_ms = ran_ms + CASE WHEN %(asleep)s THEN 0 ELSE {ASLEEP_MS} END,
      asleep_at = CASE WHEN %(asleep)s THEN asleep_at END, wake_at = CASE WHEN %(asleep)s THEN wake_at END,
      lost_worker = CASE WHEN %(parked)s THEN '' ELSE lost_worker END,
      next_event_index = next_event_index + (%(event)s::text IS NOT NULL)::int,
      change_seq = nextval('chaingraph.change_seq')
  WHERE id = %(id)s
  RETURNING id, next_event_index - 1 AS index
), logged AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, index, %(event)s, now(), %(data)s::json FROM updated WHERE %(event)s::text IS NOT NULL
)
SELECT pg_notify(%(changes)s, id) FROM updated
"""  # noqa: S608 - put together of constants alone


async def apply(
    connection: Connection, execution: ExecutionId, wanted: DesiredControl, *, generation: int, application_name: str
) -> ControlUpdate | Stale | None:
    """Carry out all differences between spec and row, inside the caller's transaction.

    A repetition changes nothing: the row records what was carried out, and it is locked.

    Args:
        generation: that of the spec. It is recorded as observed.

    Returns:
        Stale, without effect, when a later generation was observed. None when there is no such execution, or it has
        ended.
    """
    cursor = await connection.execute(_LOCK, {"id": execution})
    row = await cursor.fetchone()
    if row is None:
        return None
    before = _controls(row)
    if before.observed_generation > generation:
        return Stale(before.observed_generation)
    wanted = replace(wanted, signals=tuple(await signals.unknown(connection, execution, wanted.signals)))
    todo = transition(replace(before, observed_generation=generation), wanted)
    if todo.controls == before and not todo.start:
        return ControlUpdate()
    await _write(connection, execution, before, todo)
    sent = {seq: await signals.add(connection, execution, seq, signal) for seq, signal in todo.signals.items()}
    messages = [each | sent.get(each["seq"], {}) for each in todo.messages]
    former, queue, attempt = row[-3:]
    if todo.cancel:
        await dispatch.cancel(connection, [WorkflowId(former)])
    if todo.enqueue:
        await dispatch.enqueue_run(
            connection,
            execution,
            run=todo.controls.run,
            queue=queue,
            priority=todo.controls.priority,
            application_name=application_name,
        )
    elif todo.requeue:
        await dispatch.change_priority(connection, WorkflowId(former), todo.controls.priority)
    if todo.start:
        await dispatch.send_start_signal(connection, execution, attempt=attempt)
    elif todo.sooner:
        await dispatch.send_look(connection, execution, attempt=attempt, generation=generation)
    if messages:
        await dispatch.send_commands(connection, execution, WorkflowId(former), messages)
    return ControlUpdate(tuple(todo.applied), tuple(todo.ignored))


def _controls(row: tuple[Any, ...]) -> ControlState:
    columns = dict(zip(_COLUMNS, row, strict=False))
    return ControlState(**columns | {name: tuple(columns[name]) for name in _LISTS})


async def _write(connection: Connection, execution: ExecutionId, before: ControlState, todo: Transition) -> None:
    after = todo.controls
    event, data = todo.event or (None, {})
    await connection.execute(
        _WRITE,
        {
            "id": execution,
            "workflow": workflow_id(execution, after.run),
            "fences": (after.phase, after.parked, after.run) != (before.phase, before.parked, before.run),
            "asleep": after.parked and after.phase == "Running",
            "event": event,
            "data": Json(data),
            "changes": CHANGES,
        }
        | {column: getattr(after, column) for column in _WRITTEN}
        | {name: list(getattr(after, name)) for name in _LISTS}
        | {"options": Json(after.options)},
    )
