"""Statements on DBOS's own tables, run inside our transactions.

DBOS is pinned to 3.4: `enqueue_workflow` and `send_message` are its public SQL functions; the UPDATEs follow its
`cancel_workflows` and the guarded statement that hands back a dead executor's work. The worker's tests run them against
the real DBOS, the store's against its schema.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from psycopg.types.json import Json

from chaingraph_crds import names
from chaingraph_store.ids import ExecutionId, WorkflowId, hold_workflow_id, workflow_id
from chaingraph_store.ledger import CONTROL, Connection
from chaingraph_store.queue import order

RUN_WORKFLOW: Final = "run_execution"
"""DBOS name of the workflow that runs an execution."""
HOLD_WORKFLOW: Final = "hold_execution"
"""DBOS name of the small workflow that waits for START_SIGNAL."""
RUN_QUEUE: Final = "chaingraph-executions"
"""The queue of an execution whose spec names none."""
HOLD_QUEUE: Final = names.HELD_QUEUE
"""The queue of executions that wait for their START_SIGNAL. It has no limits, so that waiting takes no run slot."""
START_TOPIC: Final = "START_SIGNAL"
LOOK: Final = "LOOK"
"""Message of that topic that starts nothing: the start timeout has changed."""
COMMAND_TOPIC: Final = "COMMAND"
"""Topic of the messages that carry commands to a running workflow: `{"commands": [{"seq", "kind", ...}]}`."""
TOP_PRIORITY: Final = 1000
"""The highest `spec.priority`. DBOS takes the lowest number first, `spec.priority` the highest."""


_ENQUEUE: Final = (
    "dbos.enqueue_workflow(workflow_name => %(workflow_name)s, queue_name => %(workflow_queue)s,"
    " positional_args => %(workflow_arguments)s::json[], workflow_id => %(workflow_id)s,"
    " priority => %(workflow_priority)s, application_name => %(application_name)s, queue_partition_key => "
)
ENQUEUE: Final = _ENQUEUE + "%(workflow_namespace)s)"
"""The call that enqueues a workflow, for use inside a statement, with the parameters of the functions below.

A repetition attaches to the existing workflow. No version is given: any worker of the latest version may take it, and
the claim pins it. `fair_share` divides a queue by namespace.
"""
_OWN_NAMESPACE: Final = "(SELECT namespace FROM chaingraph.executions WHERE id = %(execution)s)"


ENQUEUE_CHILD: Final = (
    "dbos.enqueue_workflow(workflow_name => %(child_workflow)s, queue_name => made.queue,"
    " positional_args => ARRAY[to_json(made.id), to_json(1)], workflow_id => made.id,"
    " priority => %(top_priority)s - made.priority, application_name => %(application_name)s,"
    " queue_partition_key => made.namespace)"
)
"""`ENQUEUE` of the first run of every row of `made`, with the parameters of `child_parameters`."""

GIVEN: Final = """JOIN dbos.workflow_status w ON w.workflow_uuid = %(workflow)s
  WHERE w.status = 'PENDING' AND w.executor_id = %(worker)s
  FOR SHARE OF w"""
"""Ends a query that has rows only if DBOS has given the workflow to this worker. That cannot change until the
transaction ends: after waiting for a hand-back, PostgreSQL reads the workflow again."""


def child_parameters(*, application_name: str) -> dict[str, Any]:
    """Return the parameters of `ENQUEUE_CHILD`, apart from the rows."""
    return {"child_workflow": RUN_WORKFLOW, "top_priority": TOP_PRIORITY, "application_name": application_name}


def run_parameters(
    execution: ExecutionId, *, run: int, queue: str, priority: int, application_name: str, namespace: str | None = None
) -> dict[str, Any]:
    """Return the parameters of `ENQUEUE` for a run."""
    return {
        "workflow_namespace": namespace,
        "workflow_name": RUN_WORKFLOW,
        "workflow_queue": queue,
        "workflow_arguments": [Json(execution), Json(run)],
        "workflow_id": workflow_id(execution, run),
        "workflow_priority": TOP_PRIORITY - priority,
        "application_name": application_name,
    }


async def enqueue_run(
    connection: Connection, execution: ExecutionId, *, run: int, queue: str, priority: int, application_name: str
) -> None:
    """Enqueue a run whose execution's row was written by this transaction."""
    cursor = await connection.execute(
        f"SELECT {_ENQUEUE}{_OWN_NAMESPACE}), {order.TURN}",
        run_parameters(execution, run=run, queue=queue, priority=priority, application_name=application_name)
        | {"execution": execution},
    )
    row = await cursor.fetchone()
    assert row is not None, "a SELECT without FROM has one row"
    if row[1] is not None:
        await order.give(connection, [(workflow_id(execution, run), row[1])])


def hold_parameters(
    execution: ExecutionId, *, timeout_seconds: int, application_name: str, attempt: int = 1
) -> dict[str, Any]:
    """Return the parameters of `ENQUEUE` for the wait for START_SIGNAL. It counts for no share of a queue."""
    arguments = [Json(execution), Json(timeout_seconds)]
    return {
        "workflow_namespace": None,
        "workflow_name": HOLD_WORKFLOW,
        "workflow_queue": HOLD_QUEUE,
        # Workers of the former release do not know the attempt, and have only first ones.
        "workflow_arguments": arguments if attempt == 1 else [*arguments, Json(attempt)],
        "workflow_id": hold_workflow_id(execution, attempt),
        "workflow_priority": 0,
        "application_name": application_name,
    }


async def enqueue_hold(
    connection: Connection, execution: ExecutionId, *, attempt: int, timeout_seconds: int, application_name: str
) -> None:
    """Enqueue the wait for the START_SIGNAL of an attempt."""
    await connection.execute(
        f"SELECT {ENQUEUE}",
        hold_parameters(execution, timeout_seconds=timeout_seconds, application_name=application_name, attempt=attempt),
    )


async def change_priority(connection: Connection, workflow: WorkflowId, priority: int) -> None:
    """Move a run in its queue. For a run on a worker, the priority applies when it returns to the queue."""
    await connection.execute(
        "UPDATE dbos.workflow_status SET priority = %s WHERE workflow_uuid = %s AND status IN ('ENQUEUED', 'PENDING')",
        (TOP_PRIORITY - priority, workflow),
    )


async def send_look(connection: Connection, execution: ExecutionId, *, attempt: int, generation: int) -> None:
    """Make the execution's hold check its start timeout again. The generation makes a repetition harmless."""
    hold = hold_workflow_id(execution, attempt)
    await connection.execute(
        "SELECT dbos.send_message(%s, %s::json, %s, %s)",
        (hold, Json(LOOK), START_TOPIC, f"{hold}/{LOOK}/{generation}"),
    )


async def send_start_signal(connection: Connection, execution: ExecutionId, *, attempt: int = 1) -> None:
    """Send START_SIGNAL to the execution's hold. Its idempotency key makes a repetition harmless."""
    hold = hold_workflow_id(execution, attempt)
    await connection.execute(
        "SELECT dbos.send_message(%s, %s::json, %s, %s)",
        (hold, Json("START"), START_TOPIC, f"{hold}/{START_TOPIC}"),
    )


async def send_commands(
    connection: Connection, execution: ExecutionId, workflow: WorkflowId, commands: Sequence[Mapping[str, Any]]
) -> None:
    """Send numbered commands as one message, and a notification. The last number makes it idempotent."""
    await connection.execute(
        "SELECT dbos.send_message(%s, %s::json, %s, %s), pg_notify(%s, %s)",
        (
            workflow,
            Json({"commands": list(commands)}),
            COMMAND_TOPIC,
            f"{workflow}/{COMMAND_TOPIC}/{commands[-1]['seq']}",
            CONTROL,
            execution,
        ),
    )


async def cancel(connection: Connection, workflows: Sequence[WorkflowId]) -> None:
    """Cancel unfinished workflows and remove them from their queues."""
    await connection.execute(
        "UPDATE dbos.workflow_status SET status = 'CANCELLED', owner_xid = NULL, queue_name = NULL,"
        " deduplication_id = NULL, started_at_epoch_ms = NULL,"
        " updated_at = (extract(epoch FROM now()) * 1000)::bigint,"
        " completed_at = (extract(epoch FROM now()) * 1000)::bigint"
        " WHERE workflow_uuid = ANY(%s) AND status NOT IN ('SUCCESS', 'ERROR', 'CANCELLED')",
        (list(workflows),),
    )


async def hand_back(
    connection: Connection, *, application_name: str, executors: Sequence[str]
) -> list[tuple[WorkflowId, str]]:
    """Put the pending workflows of these executors back into their queues, for any version.

    The version pin is removed too: the journal carries an attempt on, and the version may have no worker left.

    Returns:
        The workflows put back, each with the executor that had it.
    """
    cursor = await connection.execute(
        "WITH lost AS (SELECT workflow_uuid, executor_id FROM dbos.workflow_status"
        "   WHERE status = 'PENDING' AND application_name = %(app)s AND executor_id = ANY(%(dead)s) FOR UPDATE)"
        " UPDATE dbos.workflow_status w SET status = 'ENQUEUED', owner_xid = NULL, started_at_epoch_ms = NULL,"
        "   application_version = NULL, updated_at = (extract(epoch FROM now()) * 1000)::bigint,"
        # Not into the queue of a version, whose workers may be gone: whichever worker claims it sends it there.
        "   queue_name = split_part(coalesce(w.queue_name, '_dbos_internal_queue'), '@', 1)"
        " FROM lost WHERE w.workflow_uuid = lost.workflow_uuid"
        " RETURNING w.workflow_uuid, lost.executor_id",
        {"app": application_name, "dead": list(executors)},
    )
    return [(WorkflowId(row[0]), row[1]) for row in await cursor.fetchall()]


_HOLD_ID: Final = "{row}id || '-hold' || CASE WHEN {row}attempt = 1 THEN '' ELSE '-' || {row}attempt END"
"""`hold_workflow_id` in SQL."""
# The arrays keep the planner, which overestimates the stranded workflows, from reading all of them.
_REVIVE: Final = f"""
WITH waiting AS MATERIALIZED (
  SELECT id, CASE WHEN phase = 'Created' THEN {_HOLD_ID.format(row="")} ELSE workflow_id END AS workflow
  FROM chaingraph.executions WHERE phase NOT IN ('Completed', 'Failed', 'Stopped') AND NOT parked
  UNION ALL
  SELECT id, workflow_id FROM chaingraph.executions WHERE children_unspawned > 0
), stranded AS MATERIALIZED (
  SELECT waiting.id, waiting.workflow FROM waiting JOIN dbos.workflow_status w ON w.workflow_uuid = waiting.workflow
  WHERE w.application_name = %(app)s AND w.status IN ('ERROR', 'SUCCESS', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')
    AND w.updated_at < (extract(epoch FROM now()) * 1000)::bigint - %(settled_ms)s
), ended AS (
  SELECT w.workflow_uuid, e.queue, e.phase FROM chaingraph.executions e
  JOIN dbos.workflow_status w
    ON w.workflow_uuid = CASE WHEN e.phase = 'Created' THEN {_HOLD_ID.format(row="e.")} ELSE e.workflow_id END
  WHERE e.id = ANY(ARRAY(SELECT id FROM stranded)) AND w.workflow_uuid = ANY(ARRAY(SELECT workflow FROM stranded))
    AND (e.phase NOT IN ('Completed', 'Failed', 'Stopped') AND NOT e.parked OR e.children_unspawned > 0)
    AND w.status IN ('ERROR', 'SUCCESS', 'MAX_RECOVERY_ATTEMPTS_EXCEEDED')
  ORDER BY e.id FOR UPDATE OF e, w
), steps AS (
  DELETE FROM dbos.operation_outputs o USING ended WHERE o.workflow_uuid = ended.workflow_uuid
), outcomes AS (
  DELETE FROM dbos.workflow_output o USING ended WHERE o.workflow_uuid = ended.workflow_uuid
)
UPDATE dbos.workflow_status w
SET status = 'ENQUEUED', owner_xid = NULL, started_at_epoch_ms = NULL, completed_at = NULL, application_version = NULL,
    recovery_attempts = 0,
    updated_at = (extract(epoch FROM now()) * 1000)::bigint,
    queue_name = CASE WHEN ended.phase = 'Created' THEN %(hold_queue)s ELSE ended.queue END
FROM ended WHERE w.workflow_uuid = ended.workflow_uuid
RETURNING w.workflow_uuid
"""  # noqa: S608 - put together of constants alone
_SETTLED_MS: Final = 5000
"""How long ago a workflow must have ended before it counts as not having ended its execution."""


async def revive_ended(connection: Connection, *, application_name: str) -> list[WorkflowId]:
    """Enqueue again the workflows that have ended while their executions have not, or have yet to spawn.

    Their recorded steps are dropped.

    Returns:
        The workflows that were enqueued.
    """
    cursor = await connection.execute(
        _REVIVE, {"app": application_name, "hold_queue": HOLD_QUEUE, "settled_ms": _SETTLED_MS}
    )
    return [WorkflowId(row[0]) for row in await cursor.fetchall()]


async def cancel_superseded(connection: Connection, workflows: Sequence[WorkflowId]) -> None:
    """Cancel those of the workflows that have nothing to do: the execution has ended and spawned all its children, is
    parked, or has a later run.

    The caller has locked their executions, so that this cannot change.
    """
    cursor = await connection.execute(
        "SELECT w.workflow_uuid FROM dbos.workflow_status w"
        " WHERE w.workflow_uuid = ANY(%s) AND w.name = %s AND NOT EXISTS ("
        "   SELECT FROM chaingraph.executions e WHERE e.workflow_id = w.workflow_uuid"
        "   AND (e.phase NOT IN ('Completed', 'Failed', 'Stopped') AND NOT e.parked"
        "        OR e.children_unspawned > 0))",
        (list(workflows), RUN_WORKFLOW),
    )
    superseded = [WorkflowId(row[0]) for row in await cursor.fetchall()]
    if superseded:
        await cancel(connection, superseded)


async def pending_runs(connection: Connection, *, executor: str) -> int:
    """Count the runs that DBOS has given to this executor and that have not ended yet."""
    cursor = await connection.execute(
        "SELECT count(*) FROM dbos.workflow_status WHERE status = 'PENDING' AND executor_id = %s AND name = %s",
        (executor, RUN_WORKFLOW),
    )
    row = await cursor.fetchone()
    return row[0] if row else 0


# DBOS 3.4 has no foreign keys on the first three; the rest (notifications, events, streams) goes with the status.
_REMOVE: Final = """
WITH inputs AS (DELETE FROM dbos.workflow_input WHERE workflow_uuid = ANY(%(workflows)s)),
outputs AS (DELETE FROM dbos.workflow_output WHERE workflow_uuid = ANY(%(workflows)s)),
steps AS (DELETE FROM dbos.operation_outputs WHERE workflow_uuid = ANY(%(workflows)s))
DELETE FROM dbos.workflow_status WHERE workflow_uuid = ANY(%(workflows)s)
"""


async def remove(connection: Connection, executions: Sequence[tuple[ExecutionId, int]]) -> None:
    """Remove all workflows that the executions can have had. Each comes with the number of its last run."""
    # Each attempt starts with its own run, so there are no more attempts than runs.
    workflows = [
        of(execution, number)
        for execution, run in executions
        for of in (hold_workflow_id, workflow_id)
        for number in range(1, run + 1)
    ]
    await connection.execute(_REMOVE, {"workflows": workflows})
