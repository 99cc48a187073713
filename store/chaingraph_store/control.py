"""Commands: the row is made as the spec wants it, and who has the execution is told, in one transaction.

Called by the operator. Commands are numbered in the row, under its lock; a message carries them only while a worker
has the execution. See docs/decisions/0003, and `steering` for what each command means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from psycopg.types.json import Json

from chaingraph_store import dispatch
from chaingraph_store.ids import ExecutionId, WorkflowId, workflow_id
from chaingraph_store.ledger import CHANGES, Connection
from chaingraph_store.steering import Controls, Turn, Wanted, turn

__all__ = ["Steered", "Wanted", "steer"]


@dataclass(frozen=True, slots=True)
class Steered:
    """What came of it. All empty when the row was as wanted already."""

    commands: tuple[str, ...] = ()
    """Carried out: PAUSE, RESUME, STEP, BREAKPOINTS, START."""
    ignored: tuple[str, ...] = ()
    """STEP of what is not paused; RESUME by token of what is not paused, or is to be paused by `spec.paused`."""
    unknown_breakpoints: tuple[str, ...] = ()
    """New breakpoints that name no node of the flow."""


_LOCK: Final = """
SELECT phase, parked, run, wants_pause, paused, pause_reason, pause_logged, breakpoints, on_stop, step_token,
       resume_token, control_seq, step_seqs, workflow_id, queue, priority
FROM chaingraph.executions
WHERE id = %(id)s AND phase NOT IN ('Completed', 'Failed', 'Stopped')
FOR UPDATE
"""

_WRITE: Final = """
WITH steered AS (
  UPDATE chaingraph.executions
  SET phase = %(phase)s, parked = %(parked)s, run = %(run)s, workflow_id = %(workflow)s,
      owner_epoch = owner_epoch + %(fences)s::int,
      lost_worker = CASE WHEN %(parked)s THEN '' ELSE lost_worker END,
      wants_pause = %(wants_pause)s, paused = %(paused)s, pause_reason = %(pause_reason)s,
      pause_logged = %(pause_logged)s, breakpoints = %(breakpoints)s, on_stop = %(on_stop)s,
      step_token = %(step_token)s, resume_token = %(resume_token)s, control_seq = %(control_seq)s,
      step_seqs = %(step_seqs)s, next_event_index = next_event_index + (%(event)s::text IS NOT NULL)::int,
      change_seq = nextval('chaingraph.change_seq')
  WHERE id = %(id)s
  RETURNING id, next_event_index - 1 AS index
), logged AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, index, %(event)s, now(), %(data)s::json FROM steered WHERE %(event)s::text IS NOT NULL
)
SELECT pg_notify(%(changes)s, id) FROM steered
"""


async def steer(
    connection: Connection, execution: ExecutionId, wanted: Wanted, *, application_name: str
) -> Steered | None:
    """Carries out everything in which the spec differs from the row, inside the caller's transaction.

    A repetition changes nothing: what was carried out is in the row, and the row is locked.

    Returns:
        None when there is no such execution, or it has ended.
    """
    cursor = await connection.execute(_LOCK, {"id": execution})
    row = await cursor.fetchone()
    if row is None:
        return None
    before = _controls(row)
    todo = turn(before, wanted)
    if todo.controls == before and not todo.start:
        return Steered()
    await _write(connection, execution, before, todo)
    _, _, _, former, queue, priority = row[10:]
    if todo.cancel:
        await dispatch.cancel(connection, [WorkflowId(former)])
    if todo.enqueue:
        await dispatch.enqueue_run(
            connection,
            execution,
            run=todo.controls.run,
            queue=queue,
            priority=priority,
            application_name=application_name,
        )
    if todo.start:
        await dispatch.send_start_signal(connection, execution)
    if todo.messages:
        await dispatch.send_commands(connection, execution, WorkflowId(former), todo.messages)
    return Steered(
        tuple(todo.carried_out),
        tuple(todo.ignored),
        await _unknown(connection, execution, todo.controls.breakpoints)
        if "BREAKPOINTS" in todo.carried_out and todo.controls.breakpoints
        else (),
    )


def _controls(row: tuple[Any, ...]) -> Controls:
    return Controls(
        phase=row[0],
        parked=row[1],
        run=row[2],
        wants_pause=row[3],
        paused=row[4],
        pause_reason=row[5],
        pause_logged=row[6],
        breakpoints=tuple(row[7]),
        on_stop=row[8],
        step_token=row[9],
        resume_token=row[10],
        control_seq=row[11],
        step_seqs=tuple(row[12]),
    )


async def _write(connection: Connection, execution: ExecutionId, before: Controls, todo: Turn) -> None:
    after = todo.controls
    event, data = todo.event or (None, {})
    await connection.execute(
        _WRITE,
        {
            "id": execution,
            "phase": after.phase,
            "parked": after.parked,
            "run": after.run,
            "workflow": workflow_id(execution, after.run),
            "fences": after.phase != before.phase or after.parked != before.parked or after.run != before.run,
            "wants_pause": after.wants_pause,
            "paused": after.paused,
            "pause_reason": after.pause_reason,
            "pause_logged": after.pause_logged,
            "breakpoints": list(after.breakpoints),
            "on_stop": after.on_stop,
            "step_token": after.step_token,
            "resume_token": after.resume_token,
            "control_seq": after.control_seq,
            "step_seqs": list(after.step_seqs),
            "event": event,
            "data": Json(data),
            "changes": CHANGES,
        },
    )


async def _unknown(connection: Connection, execution: ExecutionId, breakpoints: tuple[str, ...]) -> tuple[str, ...]:
    cursor = await connection.execute(
        "SELECT node ->> 'id' FROM chaingraph.executions e"
        " JOIN chaingraph.flow_revisions f ON f.revision = e.flow_revision,"
        " json_array_elements(f.spec -> 'nodes') node WHERE e.id = %s",
        (execution,),
    )
    nodes = {row[0] for row in await cursor.fetchall()}
    return tuple(each for each in breakpoints if each not in nodes)
