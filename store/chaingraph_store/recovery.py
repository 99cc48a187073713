"""Hand-back: the work of lost workers goes back into its queue, in one transaction.

Called by the operator for workers whose lease has run out, and by a worker that drains, for itself. The new owner
epoch fences the former worker in the same transaction, so that a zombie can write nothing from this moment on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chaingraph_store import dispatch, events
from chaingraph_store.ids import ExecutionId, WorkflowId
from chaingraph_store.ledger import CHANGES, Connection

MAX_RECOVERIES: Final = 5
"""An execution that lost this many workers is taken to be what kills them, and fails."""


@dataclass(frozen=True, slots=True)
class HandedBack:
    """An execution that was put back, or given up because it lost its worker too often."""

    execution_id: ExecutionId
    namespace: str
    name: str
    worker: str
    recoveries: int
    given_up: bool


async def lost_executors(connection: Connection, *, application_name: str) -> list[str]:
    """The executors that have claimed work and hold no lease that is still good."""
    pending = await dispatch.pending_executors(connection, application_name=application_name)
    if not pending:
        return []
    cursor = await connection.execute(
        "SELECT executor_id FROM chaingraph.workers WHERE executor_id = ANY(%s) AND expires_at > now()",
        (list(pending),),
    )
    return sorted(pending - {row[0] for row in await cursor.fetchall()})


async def hand_back(
    connection: Connection,
    *,
    application_name: str,
    executors: Sequence[str],
    counts: bool = True,
    max_recoveries: int = MAX_RECOVERIES,
) -> list[HandedBack]:
    """Puts the executors' work back into its queues, inside the caller's transaction.

    Args:
        counts: whether it counts as a recovery. A worker that drains loses nothing, so it does not.
        max_recoveries: executions that reach this many end Failed instead.
    """
    returned = await dispatch.hand_back(connection, application_name=application_name, executors=executors)
    if not returned:
        return []
    cursor = await connection.execute(
        "UPDATE chaingraph.executions SET phase = 'Pending', owner_epoch = owner_epoch + 1, lost_worker = worker,"
        " worker = '', recoveries = recoveries + %(counted)s, nodes_running = 0, current_nodes = '{}',"
        " change_seq = nextval('chaingraph.change_seq')"
        " WHERE workflow_id = ANY(%(workflows)s) AND phase = 'Running'"
        " RETURNING id, namespace, name, lost_worker, recoveries, workflow_id, pg_notify(%(changes)s, id)",
        {
            "counted": int(counts),
            "workflows": [workflow for workflow, _ in returned],
            "changes": CHANGES,
        },
    )
    results = []
    for row in await cursor.fetchall():
        back = HandedBack(
            execution_id=ExecutionId(row[0]),
            namespace=row[1],
            name=row[2],
            worker=row[3],
            recoveries=row[4],
            given_up=counts and row[4] >= max_recoveries,
        )
        if back.given_up:
            await _give_up(connection, back, WorkflowId(row[5]))
        results.append(back)
    return results


async def _give_up(connection: Connection, lost: HandedBack, workflow: WorkflowId) -> None:
    message = (
        f"lost its worker {lost.recoveries} times, last {lost.worker}: it probably exhausts the worker's memory or "
        "crashes it; look at the nodes that ran last, then retry"
    )
    cursor = await connection.execute(
        "UPDATE chaingraph.executions SET phase = 'Failed', finished_at = now(), error_reason = 'TooManyRecoveries',"
        " error_message = %s, next_event_index = next_event_index + 1 WHERE id = %s RETURNING next_event_index - 1",
        (message, lost.execution_id),
    )
    row = await cursor.fetchone()
    assert row is not None, "the row was updated by this transaction"
    await events.append_at(
        connection,
        lost.execution_id,
        row[0],
        "flow:failed",
        {"error": message, "reason": "TooManyRecoveries"},
    )
    await dispatch.cancel(connection, [workflow])
