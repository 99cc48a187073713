"""The creation of an execution: its row, its announcement, its enqueue or its hold, in one transaction.

Called by the operator. Every statement can be repeated: the ids are derived, so a crash between any two of the
operator's steps leaves nothing half done and a repetition changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Json

from chaingraph_store import dispatch, events
from chaingraph_store.errors import ConflictingExecution
from chaingraph_store.ids import ExecutionId, WorkflowId, workflow_id
from chaingraph_store.ledger import CHANGES, Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class NewExecution:
    """What an execution is made of. `held`: created, announced, and not started until its START_SIGNAL comes."""

    id: ExecutionId
    uid: str
    namespace: str
    name: str
    flow_name: str
    flow_revision: str
    flow_spec: Mapping[str, Any]
    nodes_total: int
    inputs: Mapping[str, Any]
    events: Sequence[Mapping[str, Any]]
    integration: Mapping[str, Any]
    options: Mapping[str, Any]
    queue: str
    priority: int
    start_timeout_seconds: int
    held: bool


async def create(connection: Connection, new: NewExecution, *, application_name: str) -> bool:
    """Makes the execution, inside the caller's transaction.

    Returns:
        Whether the row is new; False when it was there already.

    Raises:
        ConflictingExecution: the id belongs to another resource, which derived ids rule out.
    """
    await connection.execute(
        "INSERT INTO chaingraph.flow_revisions (revision, spec) VALUES (%s, %s) ON CONFLICT (revision) DO NOTHING",
        (new.flow_revision, Json(new.flow_spec)),
    )
    if not await _insert_row(connection, new):
        await _check_same(connection, new)
        return False
    await events.announce(
        connection,
        new.id,
        {
            "executionId": new.id,
            "namespace": new.namespace,
            "name": new.name,
            "flow": {"name": new.flow_name, "revision": new.flow_revision, "nodes": new.nodes_total},
            "rootExecutionId": new.id,
            "parentExecutionId": None,
            "depth": 0,
        },
    )
    if new.held:
        await dispatch.enqueue_hold(
            connection,
            execution=new.id,
            timeout_seconds=new.start_timeout_seconds,
            application_name=application_name,
        )
    else:
        await _enqueue_first(connection, new.id, new.queue, new.priority, application_name)
    await connection.execute("SELECT pg_notify(%s, %s)", (CHANGES, new.id))
    return True


async def _insert_row(connection: Connection, new: NewExecution) -> bool:
    cursor = await connection.execute(
        "INSERT INTO chaingraph.executions (id, uid, namespace, name, flow_name, flow_revision, inputs, events,"
        " integration, options, queue, priority, start_timeout_s, root_id, phase, workflow_id, nodes_total)"
        " VALUES (%(id)s, %(uid)s, %(namespace)s, %(name)s, %(flow)s, %(revision)s, %(inputs)s, %(events)s,"
        " %(integration)s, %(options)s, %(queue)s, %(priority)s, %(timeout)s, %(id)s, %(phase)s, %(workflow)s,"
        " %(total)s) ON CONFLICT DO NOTHING",
        {
            "id": new.id,
            "uid": new.uid,
            "namespace": new.namespace,
            "name": new.name,
            "flow": new.flow_name,
            "revision": new.flow_revision,
            "inputs": Json(new.inputs),
            "events": Json(new.events),
            "integration": Json(new.integration),
            "options": Json(new.options),
            "queue": new.queue,
            "priority": new.priority,
            "timeout": new.start_timeout_seconds,
            "phase": "Created" if new.held else "Pending",
            "workflow": workflow_id(new.id, 1),
            "total": new.nodes_total,
        },
    )
    return cursor.rowcount == 1


async def _check_same(connection: Connection, new: NewExecution) -> None:
    cursor = await connection.execute("SELECT uid FROM chaingraph.executions WHERE id = %s", (new.id,))
    row = await cursor.fetchone()
    if row is None or row[0] != new.uid:
        raise ConflictingExecution(
            f"execution {new.id} of {new.namespace}/{new.name} (UID {new.uid}) is taken by "
            f"{'another id with the same UID' if row is None else f'the resource with UID {row[0]}'}"
        )


async def start(connection: Connection, execution: ExecutionId) -> bool:
    """Sends START_SIGNAL to a held execution. The row stays `Created` until its hold has enqueued the run.

    Returns:
        Whether there was a held execution of this id.
    """
    cursor = await connection.execute(
        "SELECT 1 FROM chaingraph.executions WHERE id = %s AND phase = 'Created' FOR UPDATE", (execution,)
    )
    if await cursor.fetchone() is None:
        return False
    await dispatch.send_start_signal(connection, execution)
    return True


async def release(connection: Connection, execution: ExecutionId, *, application_name: str) -> bool:
    """Enqueues the run of a held execution: its START_SIGNAL has come. Called by the hold's workflow.

    Returns:
        Whether it was still held; False when it was released before, or stopped.
    """
    cursor = await connection.execute(
        "UPDATE chaingraph.executions SET phase = 'Pending', change_seq = nextval('chaingraph.change_seq')"
        " WHERE id = %s AND phase = 'Created' RETURNING queue, priority, pg_notify(%s, id)",
        (execution, CHANGES),
    )
    row = await cursor.fetchone()
    if row is None:
        return False
    await _enqueue_first(connection, execution, row[0], row[1], application_name)
    return True


async def _enqueue_first(
    connection: Connection, execution: ExecutionId, queue: str, priority: int, application_name: str
) -> None:
    workflow: WorkflowId = workflow_id(execution, 1)
    await dispatch.enqueue_run(
        connection,
        workflow=workflow,
        execution=execution,
        attempt=1,
        queue=queue,
        priority=priority,
        application_name=application_name,
    )
