"""Hand-back: the work of lost workers goes back into its queue, in one transaction.

Called by the operator for workers whose lease has run out, and by a worker that drains, for itself. The new owner
epoch fences the former worker in the same transaction, so that a zombie can write nothing from this moment on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chaingraph_store import dispatch, events, leases
from chaingraph_store.ids import ExecutionId, WorkflowId
from chaingraph_store.ledger import CHANGES, Connection

MAX_RECOVERIES: Final = 5
"""An execution that lost this many workers without ending a node in between is taken to kill them, and fails."""
RESTART_GRACE_SECONDS: Final = 10
"""After a start of PostgreSQL nobody is lost for as long: no worker could renew its lease while it was away."""


@dataclass(frozen=True, slots=True)
class HandedBack:
    """An execution that was put back, parked because it is paused, or given up because it lost its worker too often."""

    execution_id: ExecutionId
    namespace: str
    name: str
    worker: str
    recoveries: int
    given_up: bool
    parked: bool = False


async def lost_executors(
    connection: Connection, *, application_name: str, restart_grace: float = RESTART_GRACE_SECONDS
) -> list[str]:
    """The executors that have claimed work and hold no lease that is still good.

    Args:
        restart_grace: seconds after a start of PostgreSQL in which nobody is.
    """
    cursor = await connection.execute(
        "SELECT now() < pg_postmaster_start_time() + make_interval(secs => %s)", (restart_grace,)
    )
    row = await cursor.fetchone()
    if row is None or row[0]:
        return []
    pending = await dispatch.pending_executors(connection, application_name=application_name)
    if not pending:
        return []
    cursor = await connection.execute(
        "SELECT executor_id FROM chaingraph.workers WHERE executor_id = ANY(%s) AND expires_at > now()",
        (list(pending),),
    )
    return sorted(pending - {row[0] for row in await cursor.fetchall()})


_LOCK: Final = """
SELECT 1 FROM chaingraph.executions
WHERE workflow_id IN (SELECT workflow_uuid FROM dbos.workflow_status
                      WHERE status = 'PENDING' AND application_name = %(app)s AND executor_id = ANY(%(executors)s))
ORDER BY id FOR NO KEY UPDATE
"""


async def hand_back(
    connection: Connection,
    *,
    application_name: str,
    executors: Sequence[str],
    counts: bool = True,
    max_recoveries: int = MAX_RECOVERIES,
) -> list[HandedBack]:
    """Puts the executors' work back into its queues, inside the caller's transaction.

    What is paused and owes no step is parked instead: it would take a slot only to wait in it.

    Args:
        counts: whether it counts as a recovery. A worker that drains loses nothing, so it does not.
        max_recoveries: executions that reach this many end Failed instead.
    """
    # Executions before workflows, as everywhere: a stop or a claim that runs meanwhile waits for us, or we for it.
    await connection.execute(_LOCK, {"app": application_name, "executors": list(executors)})
    await leases.revoke(connection, executors)
    returned = await dispatch.hand_back(connection, application_name=application_name, executors=executors)
    if not returned:
        return []
    return await _move_on(connection, [workflow for workflow, _ in returned], counts, max_recoveries)


async def revive_stranded(
    connection: Connection, *, application_name: str, max_recoveries: int = MAX_RECOVERIES
) -> list[HandedBack]:
    """Puts executions back whose workflow has ended without ending them, inside the caller's transaction.

    That takes a fault of ours or of DBOS: whatever it was, an execution must not wait for ever for a workflow that
    is over. It counts as a recovery, so one that strands again and again ends Failed.
    """
    revived = await dispatch.revive_ended(connection, application_name=application_name)
    return await _move_on(connection, revived, True, max_recoveries, pending=True) if revived else []


_MOVE_ON: Final = f"""
WITH before AS (
  SELECT id, worker, current_nodes, paused AND step_seqs = '{{}}' AS parks, paused <> pause_logged AS untold
  FROM chaingraph.executions
  WHERE workflow_id = ANY(%(workflows)s) AND phase IN ('Pending', 'Running', 'Paused') AND NOT parked
    AND (phase <> 'Pending' OR %(pending)s)
  ORDER BY id FOR NO KEY UPDATE
), moved AS (
  UPDATE chaingraph.executions e
  SET phase = CASE WHEN before.parks THEN 'Paused' ELSE 'Pending' END, parked = before.parks,
      owner_epoch = owner_epoch + 1, worker = '',
      lost_worker = CASE WHEN %(counted)s > 0 AND NOT before.parks THEN before.worker ELSE '' END,
      recoveries = CASE WHEN e.nodes_completed + e.nodes_failed + e.nodes_skipped > e.recovered_nodes
                        THEN %(counted)s ELSE recoveries + %(counted)s END,
      recovered_nodes = e.nodes_completed + e.nodes_failed + e.nodes_skipped, nodes_running = 0,
      -- These have passed their breakpoints, or are held at them: the next run is told so.
      current_nodes = CASE WHEN e.paused OR e.pause_logged OR e.breakpoints <> '{{}}' THEN e.current_nodes
                           ELSE '{{}}' END,
      pause_logged = e.paused, next_event_index = next_event_index + before.untold::int,
      change_seq = nextval('chaingraph.change_seq')
  FROM before WHERE e.id = before.id
  RETURNING e.*, before.worker AS former_worker, before.current_nodes AS last_nodes, before.untold
), logged AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, next_event_index - 1, CASE WHEN paused THEN '{events.PAUSED}' ELSE '{events.RESUMED}' END, now(),
         CASE WHEN paused THEN json_build_object('reason', pause_reason) ELSE '{{}}' END
  FROM moved WHERE untold
)
SELECT id, namespace, name, former_worker, recoveries, parked, workflow_id, last_nodes, pg_notify(%(changes)s, id)
FROM moved ORDER BY id
"""  # noqa: S608 - put together of constants alone


async def _move_on(
    connection: Connection, workflows: Sequence[WorkflowId], counts: bool, max_recoveries: int, *, pending: bool = False
) -> list[HandedBack]:
    cursor = await connection.execute(
        _MOVE_ON,
        {"counted": int(counts), "workflows": list(workflows), "changes": CHANGES, "pending": pending},
    )
    results = []
    for row in await cursor.fetchall():
        back = HandedBack(
            execution_id=ExecutionId(row[0]),
            namespace=row[1],
            name=row[2],
            worker=row[3],
            recoveries=row[4],
            parked=row[5],
            given_up=counts and row[4] >= max_recoveries,
        )
        if back.given_up:
            await _give_up(connection, back, WorkflowId(row[6]), row[7])
        results.append(back)
    await dispatch.cancel_superseded(connection, workflows)
    return results


async def _give_up(connection: Connection, lost: HandedBack, workflow: WorkflowId, last_nodes: Sequence[str]) -> None:
    seen = f"; when it was lost last, these nodes ran: {', '.join(last_nodes)}" if last_nodes else ""
    message = (
        f"lost its worker {lost.recoveries} times, last {lost.worker or 'before it could start'}: it, or another "
        f"execution beside it, probably exhausts the worker's memory or crashes it{seen}"
    )
    cursor = await connection.execute(
        "UPDATE chaingraph.executions SET phase = 'Failed', finished_at = now(), error_reason = 'TooManyRecoveries',"
        " error_message = %s, next_event_index = next_event_index + 1, parked = false, paused = false,"
        " pause_reason = '', pause_logged = false, step_seqs = '{}', current_nodes = '{}'"
        " WHERE id = %s RETURNING next_event_index - 1",
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
