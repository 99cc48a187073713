"""Tell an execution that others have ended which its nodes have called."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chaingraph_store.ids import ExecutionId, WorkflowId
from chaingraph_store.ledger import CHANGES, Connection
from chaingraph_store.queue import dispatch
from chaingraph_store.queue.waking import ASLEEP_MS

# Not the columns that only the operator may change: workers do this.
_NUMBER: Final = f"""
WITH held AS (
  SELECT id, workflow_id, parked AND phase = 'Running' AS asleep,
         phase IN ('Running', 'Paused') AND NOT parked AS active
  FROM chaingraph.executions WHERE id = %(id)s AND phase NOT IN ('Completed', 'Failed', 'Stopped')
  FOR NO KEY UPDATE
), numbered AS (
  UPDATE chaingraph.executions e
  SET control_seq = e.control_seq + %(count)s,
      phase = CASE WHEN held.asleep THEN 'Pending' ELSE e.phase END, parked = e.parked AND NOT held.asleep,
      run = e.run + held.asleep::int, owner_epoch = e.owner_epoch + held.asleep::int,
      workflow_id = CASE WHEN held.asleep THEN e.id || '-' || e.run + 1 ELSE e.workflow_id END,
      ran_ms = e.ran_ms + CASE WHEN held.asleep THEN {ASLEEP_MS} ELSE 0 END,
      asleep_at = CASE WHEN NOT held.asleep THEN e.asleep_at END,
      wake_at = CASE WHEN NOT held.asleep THEN e.wake_at END,
      change_seq = nextval('chaingraph.change_seq')
  FROM held WHERE e.id = held.id
  RETURNING e.id, e.control_seq, e.run, e.queue, e.priority, held.workflow_id, held.asleep, held.active
)
SELECT control_seq, run, queue, priority, workflow_id, asleep, active, pg_notify(%(changes)s, id) FROM numbered
"""  # noqa: S608 - put together of constants alone


async def deliver(
    connection: Connection, execution: ExecutionId, children: Sequence[ExecutionId], *, application_name: str
) -> None:
    """Give an unfinished execution the ends of its children, inside the caller's transaction.

    Each is a numbered command, which a worker that has the execution gets as a message: it reads the ends then. An
    execution that is asleep wakes; a paused one, and one that no worker has, asks for its calls when it is claimed.
    """
    given = {"id": execution, "count": len(children), "changes": CHANGES}
    cursor = await connection.execute(_NUMBER, given)
    row = await cursor.fetchone()
    if row is None:
        return
    seq, run, queue, priority, workflow, asleep, active, _ = row
    if asleep:
        await dispatch.enqueue_run(
            connection, execution, run=run, queue=queue, priority=priority, application_name=application_name
        )
    if active:
        first = seq - len(children) + 1
        messages = [{"seq": number, "kind": "CHILD_ENDED"} for number in range(first, seq + 1)]
        await dispatch.send_commands(connection, execution, WorkflowId(workflow), messages)
