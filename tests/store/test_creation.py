"""Creation: one transaction, repeatable, also where it is held."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chaingraph_store import events, executions
from chaingraph_store.commands import creation
from chaingraph_store.errors import ConflictingExecution
from chaingraph_store.ledger import Connection, Ledger
from chaingraph_store.queue import releasing
from fixtures.ledger.new_executions import APP, create, new_execution

pytestmark = pytest.mark.integration


async def workflows(connection: Connection) -> list[tuple[str, str, str, str]]:
    cursor = await connection.execute(
        "SELECT workflow_uuid, name, queue_name, status FROM dbos.workflow_status ORDER BY created_at, workflow_uuid"
    )
    return [(row[0], row[1], row[2], row[3]) for row in await cursor.fetchall()]


async def test_creation_writes_row_event_and_workflow_together(ledger: Ledger) -> None:
    new = await create(ledger, priority=7)
    async with ledger.connection() as connection:
        row = await executions.by_id(connection, new.id)
        log = await events.read(connection, new.id)
        queued = await workflows(connection)
        cursor = await connection.execute("SELECT priority, application_name FROM dbos.workflow_status")
        dispatch = await cursor.fetchone()
    assert row is not None
    assert (row.phase, row.attempt, row.nodes_total, row.root_id) == ("Pending", 1, 1, new.id)
    assert [(event.index, event.type) for event in log] == [(-1, "execution:created")]
    assert queued == [(new.id, "run_execution", "chaingraph-executions", "ENQUEUED")]
    assert dispatch == (993, APP), "DBOS takes the lowest number first"


async def test_creation_repeat_changes_nothing(ledger: Ledger) -> None:
    new = await create(ledger)
    for _ in range(3):
        async with ledger.transaction() as connection:
            assert not await creation.create(connection, new, application_name=APP)
    async with ledger.connection() as connection:
        assert len(await workflows(connection)) == 1
        assert len(await events.read(connection, new.id)) == 1


async def test_creation_crash_leaves_nothing(ledger: Ledger) -> None:
    new = new_execution()

    async def crash_after_the_last_statement() -> None:
        async with ledger.transaction() as connection:
            await creation.create(connection, new, application_name=APP)
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        await crash_after_the_last_statement()
    async with ledger.connection() as connection:
        assert await executions.by_id(connection, new.id) is None
        assert await workflows(connection) == []
        assert await events.read(connection, new.id) == []


async def test_creation_rejects_id_of_another_resource(ledger: Ledger) -> None:
    new = await create(ledger)
    with pytest.raises(ConflictingExecution, match=new.uid):
        async with ledger.transaction() as connection:
            await creation.create(connection, replace(new, uid="somebody-else"), application_name=APP)


async def test_a_held_execution_waits_on_the_queue_without_limits(ledger: Ledger) -> None:
    new = await create(ledger, held=True)
    async with ledger.connection() as connection:
        row = await executions.by_id(connection, new.id)
        assert row is not None
        assert row.phase == "Created"
        assert await workflows(connection) == [(f"{new.id}-hold", "hold_execution", "chaingraph-held", "ENQUEUED")]


async def test_the_release_enqueues_the_run_once(ledger: Ledger) -> None:
    new = await create(ledger, held=True)
    async with ledger.transaction() as connection:
        assert await releasing.release(connection, new.id, application_name=APP)
    async with ledger.transaction() as connection:
        assert not await releasing.release(connection, new.id, application_name=APP)
    async with ledger.connection() as connection:
        row = await executions.by_id(connection, new.id)
        names = [name for _, name, _, _ in await workflows(connection)]
    assert row is not None
    assert row.phase == "Pending"
    assert sorted(names) == ["hold_execution", "run_execution"]
