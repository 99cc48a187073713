"""STOP: the row turns Stopped, the workflow is cancelled and the engine told, in one transaction.

Called by the operator for `spec.stop` and for deleted resources.
"""

from __future__ import annotations

from chaingraph_store import dispatch, events
from chaingraph_store.ids import ExecutionId, WorkflowId, hold_workflow_id
from chaingraph_store.ledger import CHANGES, CONTROL, Connection, plain


async def stop(connection: Connection, execution: ExecutionId, *, reason: str) -> bool:
    """Stops an execution that has not ended, inside the caller's transaction.

    The new owner epoch fences the worker's next flush; the notification makes it cancel the nodes in flight at once.

    Returns:
        Whether it was stopped now; False when it had ended before or never existed.
    """
    cursor = await connection.execute(
        "UPDATE chaingraph.executions SET phase = 'Stopped', owner_epoch = owner_epoch + 1,"
        " finished_at = now(), nodes_running = 0, current_nodes = '{}', error_reason = 'Stopped',"
        " error_message = %(reason)s, next_event_index = next_event_index + 1,"
        " change_seq = nextval('chaingraph.change_seq')"
        " WHERE id = %(id)s AND phase NOT IN ('Completed', 'Failed', 'Stopped')"
        " RETURNING workflow_id, next_event_index - 1,"
        " pg_notify(%(changes)s, id), pg_notify(%(control)s, id)",
        {"id": execution, "reason": plain(reason), "changes": CHANGES, "control": CONTROL},
    )
    row = await cursor.fetchone()
    if row is None:
        return False
    await events.append_at(connection, execution, row[1], "flow:cancelled", {"reason": reason})
    await dispatch.cancel(connection, [WorkflowId(row[0]), hold_workflow_id(execution)])
    return True


async def fail_unstarted(connection: Connection, execution: ExecutionId, *, reason: str, message: str) -> bool:
    """Ends a held execution as Failed: its START_SIGNAL never came. Called by the hold's workflow.

    Returns:
        Whether it was ended now; False when it had started or ended before.
    """
    cursor = await connection.execute(
        "UPDATE chaingraph.executions SET phase = 'Failed', owner_epoch = owner_epoch + 1, finished_at = now(),"
        " error_reason = %(reason)s, error_message = %(message)s, next_event_index = next_event_index + 1,"
        " change_seq = nextval('chaingraph.change_seq')"
        " WHERE id = %(id)s AND phase = 'Created' RETURNING next_event_index - 1, pg_notify(%(changes)s, id)",
        {"id": execution, "reason": reason, "message": message, "changes": CHANGES},
    )
    row = await cursor.fetchone()
    if row is None:
        return False
    await events.append_at(connection, execution, row[0], "flow:failed", {"error": message, "reason": reason})
    return True
