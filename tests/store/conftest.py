"""A ledger on a database of its own, and the moves of the others: DBOS's claim, an operator's creation."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from chaingraph_store import creation
from chaingraph_store.creation import NewExecution
from chaingraph_store.ids import ExecutionId, WorkflowId, execution_id
from chaingraph_store.ledger import Connection, Ledger

APP = "chaingraph-executor"


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    ledger = Ledger(database_url, application_name="tests", pool_size=6)
    await ledger.open()
    yield ledger
    await ledger.close()


def new_execution(**changes: object) -> NewExecution:
    uid = str(uuid.uuid4())
    new = NewExecution(
        id=execution_id(uid),
        uid=uid,
        namespace="team",
        name="nightly",
        flow_name="report",
        flow_revision="0123456789abcdef",
        flow_spec={"nodes": [{"id": "a", "type": "Text"}]},
        nodes_total=1,
        inputs={"city": "Seattle"},
        events=[],
        integration={},
        options={"maxConcurrency": 5},
        queue="chaingraph-executions",
        priority=0,
        start_timeout_seconds=300,
        held=False,
    )
    return replace(new, **changes)  # type: ignore[arg-type]


async def create(ledger: Ledger, **changes: object) -> NewExecution:
    new = new_execution(**changes)
    async with ledger.transaction() as connection:
        assert await creation.create(connection, new, application_name=APP)
    return new


async def dequeue(connection: Connection, workflow: WorkflowId | ExecutionId, executor: str) -> None:
    """What DBOS's queue does when it gives a workflow to an executor."""
    cursor = await connection.execute(
        "UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = %s, owner_xid = gen_random_uuid()::text"
        " WHERE workflow_uuid = %s AND status = 'ENQUEUED'",
        (executor, workflow),
    )
    assert cursor.rowcount == 1
