"""Hand-back: the work of lost workers goes back into its queue, in one transaction.

Every worker checks for others whose lease has expired, and a draining worker hands back its own work. The ledger
decides by the database's clock. The new owner epoch fences the former worker in the same transaction, so that a zombie
can write nothing from then on, and any number of processes may check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chaingraph_store import events, periodic
from chaingraph_store.ids import ExecutionId, WorkflowId
from chaingraph_store.ledger import CHANGES, Connection, Ledger
from chaingraph_store.queue import dispatch, leases, pinning

MAX_RECOVERIES: Final = 5
"""An execution fails after losing this many workers, alone in each, without finishing a node in between."""
STRANDED_SECONDS: Final = 15.0
"""Seconds between two searches for executions whose workflow has ended without them. That takes an error of ours or of
DBOS, and the search reads everything that waits, which may be a hundred thousand children."""
_ADVISORY_LOCK: Final = 0x_C4A1_46AB
"""The lock of the process that hands back. Others leave the work to it."""


@dataclass(frozen=True, slots=True)
class HandedBack:
    """An execution that was put back, parked because it is paused, or given up because it lost its worker too often."""

    execution_id: ExecutionId
    namespace: str
    name: str
    worker: str
    recoveries: int
    """Losses that count against it: of workers in which it ran alone."""
    given_up: bool
    parked: bool = False
    losses: int = 0
    """Workers lost since a node has ended, in any company."""

    @property
    def loses_repeatedly(self) -> bool:
        """Whether it keeps losing workers with others beside it, so that no loss counts and it does not fail."""
        return not self.given_up and self.losses >= MAX_RECOVERIES


@dataclass(frozen=True, slots=True)
class RecoveryPass:
    """The state of recovery, read at one moment. `clock`: the database's, in seconds."""

    lost: tuple[str, ...]
    stranded_due: bool
    pins_abandoned: bool
    clock: float


_LOST: Final = """
SELECT lost.executor_id FROM chaingraph.lost_executors(%(app)s) AS lost (executor_id)
"""
_LOOK: Final = f"""
SELECT ARRAY({_LOST}), {periodic.is_due("stranded")}, {pinning.ABANDONED}, extract(epoch FROM now())::float8
"""  # noqa: S608 - put together of constants alone


async def look(connection: Connection, *, application_name: str) -> RecoveryPass:
    """Check for work to hand back: one statement that reads a few index entries when there is none."""
    cursor = await connection.execute(_LOOK, {"app": application_name})
    row = await cursor.fetchone()
    assert row is not None, "a SELECT without FROM has one row"
    return RecoveryPass(tuple(row[0]), bool(row[1]), bool(row[2]), row[3])


async def lost_executors(connection: Connection, *, application_name: str) -> list[str]:
    """Return the executors that have claimed work and hold no valid lease.

    A PostgreSQL outage does not make a live worker lose its work here: by its own clock its lease ends no later than by
    the database's, and a worker whose lease has ended exits.
    """
    cursor = await connection.execute(_LOST, {"app": application_name})
    return sorted(row[0] for row in await cursor.fetchall())


async def recover(ledger: Ledger, *, application_name: str, max_recoveries: int = MAX_RECOVERIES) -> list[HandedBack]:
    """Hand back the work of all lost workers, unless another process is doing it.

    A worker that renews its lease meanwhile is not lost.

    Returns:
        What was handed back or given up.
    """
    async with ledger.transaction() as connection:
        if not await _is_first(connection):
            return []
        lost = await lost_executors(connection, application_name=application_name)
        # Executions first, as everywhere: then leases, then workflows.
        await connection.execute(_LOCK, {"app": application_name, "executors": lost})
        lost = await leases.revoke_expired(connection, lost)
        if not lost:
            return []
        return await hand_back(
            connection, application_name=application_name, executors=lost, max_recoveries=max_recoveries
        )


async def revive(ledger: Ledger, *, application_name: str) -> list[HandedBack]:
    """Call `revive_stranded`, unless another process has done so in the last `STRANDED_SECONDS`."""
    async with ledger.transaction() as connection:
        if not await periodic.begin(connection, "stranded", every_seconds=STRANDED_SECONDS):
            return []
        return await revive_stranded(connection, application_name=application_name)


async def _is_first(connection: Connection) -> bool:
    cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


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
    """Put the executors' work back into its queues, inside the caller's transaction.

    A paused execution without a pending step is parked instead: it would only wait in a slot.

    Args:
        counts: whether the workers were lost. A draining worker loses nothing. A loss counts as a recovery for an
            execution that ran alone in the worker. With several, the cause is unknown, so it counts for none.
        max_recoveries: executions that reach this many end Failed instead.
    """
    # Executions before workflows, as everywhere, so that a concurrent stop or claim waits for us, or we for it.
    await connection.execute(_LOCK, {"app": application_name, "executors": list(executors)})
    await leases.revoke(connection, executors)
    returned = await dispatch.hand_back(connection, application_name=application_name, executors=executors)
    if not returned:
        return []
    charges = _ALONE if counts else _NOBODY
    return await _move_on(connection, [workflow for workflow, _ in returned], charges, max_recoveries)


async def revive_stranded(
    connection: Connection, *, application_name: str, max_recoveries: int = MAX_RECOVERIES
) -> list[HandedBack]:
    """Put executions back whose workflow has ended without ending them, inside the caller's transaction.

    That takes an error of ours or of DBOS. In any case an execution must not wait forever for a workflow that is over.
    It counts as a recovery, so an execution that strands again and again ends Failed.
    """
    revived = await dispatch.revive_ended(connection, application_name=application_name)
    return await _move_on(connection, revived, _EACH, max_recoveries, pending=True) if revived else []


_NOBODY: Final = "nobody"
_ALONE: Final = "alone"
_EACH: Final = "each"
"""For whom a loss counts: no execution, those that ran alone in their worker, or each."""

_MOVE_ON: Final = f"""
WITH held AS (
  SELECT id, worker, current_nodes, paused AND step_seqs = '{{}}' AS parks, paused <> pause_logged AS untold
  FROM chaingraph.executions
  WHERE workflow_id = ANY(%(workflows)s) AND phase IN ('Pending', 'Running', 'Paused') AND NOT parked
    AND (phase <> 'Pending' OR %(pending)s)
  ORDER BY id FOR NO KEY UPDATE
), before AS (
  SELECT held.*, (%(charges)s = 'each' OR %(charges)s = 'alone' AND count(*) OVER (PARTITION BY worker) = 1)::int
         AS charged
  FROM held
), moved AS (
  UPDATE chaingraph.executions e
  SET phase = CASE WHEN before.parks THEN 'Paused' ELSE 'Pending' END, parked = before.parks,
      owner_epoch = owner_epoch + 1, worker = '',
      lost_worker = CASE WHEN %(lost)s > 0 AND NOT before.parks THEN before.worker ELSE '' END,
      recoveries = before.charged + CASE WHEN e.nodes_completed + e.nodes_failed + e.nodes_skipped > e.recovered_nodes
                                         THEN 0 ELSE recoveries END,
      losses = %(lost)s + CASE WHEN e.nodes_completed + e.nodes_failed + e.nodes_skipped > e.recovered_nodes
                               THEN 0 ELSE losses END,
      recovered_nodes = e.nodes_completed + e.nodes_failed + e.nodes_skipped, nodes_running = 0,
      nodes_waiting = 0,
      -- These have passed their breakpoints, or are held at them: the next run must know.
      current_nodes = CASE WHEN e.paused OR e.pause_logged OR e.breakpoints <> '{{}}' THEN e.current_nodes
                           ELSE '{{}}' END,
      running_nodes = '[]',
      pause_logged = e.paused, next_event_index = next_event_index + 1 + before.untold::int,
      change_seq = nextval('chaingraph.change_seq')
  FROM before WHERE e.id = before.id
  RETURNING e.*, before.worker AS former_worker, before.current_nodes AS last_nodes, before.untold, before.charged
), left_behind AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, next_event_index - 1 - untold::int,
         CASE WHEN %(lost)s > 0 THEN '{events.WORKER_LOST}' ELSE '{events.WORKER_DRAINED}' END, now(),
         json_build_object(
           'worker', former_worker, 'attempt', attempt, 'nodes', last_nodes[:10], 'losses', losses,
           'next', CASE WHEN charged > 0 AND recoveries >= %(most)s THEN 'failed' WHEN parked THEN 'paused'
                        ELSE 'queued' END)
  FROM moved
), logged AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, next_event_index - 1, CASE WHEN paused THEN '{events.PAUSED}' ELSE '{events.RESUMED}' END, now(),
         CASE WHEN paused THEN {events.PAUSED_DATA} ELSE '{{}}' END
  FROM moved WHERE untold
)
SELECT id, namespace, name, former_worker, recoveries, parked, workflow_id, last_nodes, losses, charged,
       pg_notify(%(changes)s, id)
FROM moved ORDER BY id
"""  # noqa: S608 - put together of constants alone


async def _move_on(
    connection: Connection, workflows: Sequence[WorkflowId], charges: str, max_recoveries: int, *, pending: bool = False
) -> list[HandedBack]:
    cursor = await connection.execute(
        _MOVE_ON,
        {"charges": charges, "lost": int(charges != _NOBODY), "workflows": list(workflows)}
        | {"changes": CHANGES, "pending": pending, "most": max_recoveries},
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
            given_up=row[9] > 0 and row[4] >= max_recoveries,
            losses=row[8],
        )
        if back.given_up:
            await _give_up(connection, back, WorkflowId(row[6]), row[7])
        results.append(back)
    await dispatch.cancel_superseded(connection, workflows)
    return results


async def _give_up(connection: Connection, lost: HandedBack, workflow: WorkflowId, last_nodes: Sequence[str]) -> None:
    seen = f". Nodes running at the last loss: {', '.join(last_nodes)}" if last_nodes else ""
    message = (
        f"lost its worker {lost.recoveries} times while it ran alone there, last "
        f"{lost.worker or 'before it could start'}. It probably exhausts the worker's memory or crashes it{seen}"
    )
    cursor = await connection.execute(
        "UPDATE chaingraph.executions SET phase = 'Failed', finished_at = now(), error_reason = 'TooManyRecoveries',"
        " error_message = %s, next_event_index = next_event_index + 1, parked = false, paused = false,"
        " pause_node = '', pause_logged = false, step_seqs = '{}', current_nodes = '{}'"
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
