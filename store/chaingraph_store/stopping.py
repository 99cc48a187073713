"""STOP: the row turns Stopped, the workflow is cancelled and the engine told, in one transaction, down the tree.

Called by the operator for `spec.stop` and for deleted resources.
"""

from __future__ import annotations

from typing import Final

from chaingraph_store import dispatch, events
from chaingraph_store.ids import ExecutionId, WorkflowId, hold_workflow_id
from chaingraph_store.ledger import CHANGES, CONTROL, Connection, plain

_STOP: Final = """
WITH RECURSIVE tree AS (
  SELECT e.id, %(children)s::boolean AS deeper FROM chaingraph.executions e WHERE e.id = %(id)s
  UNION ALL
  SELECT child.id, child.on_stop = 'Stop' FROM chaingraph.executions child
  JOIN tree ON child.parent_id = tree.id WHERE tree.deeper
), active AS MATERIALIZED (
  -- In the order of ids, as everywhere, so that two stops in one tree cannot wait for each other.
  SELECT e.id FROM chaingraph.executions e
  WHERE e.id IN (SELECT id FROM tree) AND e.phase NOT IN ('Completed', 'Failed', 'Stopped')
  ORDER BY e.id FOR UPDATE
), stopped AS (
  UPDATE chaingraph.executions e
  SET phase = 'Stopped', owner_epoch = owner_epoch + 1, finished_at = now(), nodes_running = 0, current_nodes = '{}',
      error_node = '', error_reason = 'Stopped',
      error_message = CASE WHEN e.id = %(id)s THEN %(reason)s ELSE %(inherited)s END,
      parked = false, paused = false, pause_reason = '', pause_logged = false, step_seqs = '{}',
      next_event_index = next_event_index + 1, change_seq = nextval('chaingraph.change_seq')
  FROM active WHERE e.id = active.id AND EXISTS (SELECT FROM active WHERE id = %(id)s)
  RETURNING e.id, e.workflow_id, e.next_event_index - 1 AS index, e.error_message
), logged AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, index, 'flow:cancelled', now(), json_build_object('reason', error_message) FROM stopped
)
SELECT id, workflow_id, pg_notify(%(changes)s, id), pg_notify(%(control)s, id) FROM stopped
"""


async def stop(connection: Connection, execution: ExecutionId, *, reason: str, children: bool = True) -> bool:
    """Stops an execution that has not ended, and what is active below it, inside the caller's transaction.

    The new owner epoch fences the worker's next flush; the notification makes it cancel the nodes in flight at once.

    Args:
        children: whether its children are stopped too (`spec.children.onStop`). Of theirs, their own rows say.

    Returns:
        Whether it was stopped now; False when it had ended before or never existed: then nothing is stopped.
    """
    cursor = await connection.execute(
        _STOP,
        {
            "id": execution,
            "children": children,
            "reason": plain(reason),
            "inherited": plain(f"{execution}, which it belongs to, was stopped: {reason}"),
            "changes": CHANGES,
            "control": CONTROL,
        },
    )
    stopped = await cursor.fetchall()
    if not stopped:
        return False
    runs = [WorkflowId(row[1]) for row in stopped]
    await dispatch.cancel(connection, runs + [hold_workflow_id(ExecutionId(row[0])) for row in stopped])
    return True


async def fail_unstarted(connection: Connection, execution: ExecutionId, *, reason: str, message: str) -> bool:
    """Ends a held execution as Failed: its START_SIGNAL never came. Called by the hold's workflow.

    Returns:
        Whether it was ended now; False when it had started or ended before.
    """
    cursor = await connection.execute(
        "UPDATE chaingraph.executions SET phase = 'Failed', owner_epoch = owner_epoch + 1, finished_at = now(),"
        " error_reason = %(reason)s, error_message = %(message)s, paused = false, pause_reason = '', step_seqs = '{}',"
        " next_event_index = next_event_index + 1,"
        " change_seq = nextval('chaingraph.change_seq')"
        " WHERE id = %(id)s AND phase = 'Created' RETURNING next_event_index - 1, pg_notify(%(changes)s, id)",
        {"id": execution, "reason": reason, "message": message, "changes": CHANGES},
    )
    row = await cursor.fetchone()
    if row is None:
        return False
    await events.append_at(connection, execution, row[0], "flow:failed", {"error": message, "reason": reason})
    return True
