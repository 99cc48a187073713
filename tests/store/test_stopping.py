"""STOP, in every phase that it can meet."""

from __future__ import annotations

import pytest

from chaingraph_store import creation, events, executions, runs, stopping
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.ids import ExecutionId, WorkflowId
from chaingraph_store.ledger import Connection, Ledger
from fixtures.new_executions import APP, create, dequeue

pytestmark = pytest.mark.integration
NOTHING = runs.Progress(total=1, completed=0, failed=0, skipped=0, running=0, current_nodes=[])


async def workflow_states(connection: Connection) -> dict[str, str]:
    cursor = await connection.execute("SELECT workflow_uuid, status FROM dbos.workflow_status")
    return dict(await cursor.fetchall())


async def stop(ledger: Ledger, execution: ExecutionId) -> bool:
    async with ledger.transaction() as connection:
        return await stopping.stop(connection, execution, reason="enough")


async def test_a_queued_execution_never_runs(ledger: Ledger) -> None:
    new = await create(ledger)
    assert await stop(ledger, new.id)
    async with ledger.connection() as connection:
        row = await executions.by_id(connection, new.id)
        log = await events.read(connection, new.id)
        assert await workflow_states(connection) == {new.id: "CANCELLED"}
    assert row is not None
    assert (row.phase, row.error_message) == ("Stopped", "enough")
    assert [(event.index, event.type, event.data) for event in log[1:]] == [(0, "flow:cancelled", {"reason": "enough"})]


async def test_a_held_execution_cannot_be_released_any_more(ledger: Ledger) -> None:
    new = await create(ledger, held=True)
    assert await stop(ledger, new.id)
    async with ledger.transaction() as connection:
        assert await workflow_states(connection) == {f"{new.id}-hold": "CANCELLED"}
        assert not await creation.start(connection, new.id)
        assert not await creation.release(connection, new.id, application_name=APP)


async def test_a_running_execution_is_fenced_and_its_worker_told(ledger: Ledger) -> None:
    new = await create(ledger)
    async with ledger.connection() as connection:
        assert await dequeue(connection, new.id, "worker-1")
        claim = await runs.claim(connection, new.id, workflow=WorkflowId(new.id), worker="worker-1")
    assert claim is not None
    async with ledger.connection() as ear:
        await ear.execute("LISTEN chaingraph_control")
        assert await stop(ledger, new.id)
        told = [notice.payload async for notice in ear.notifies(timeout=5, stop_after=1)]
    assert told == [new.id]
    async with ledger.connection() as connection:
        with pytest.raises(OwnershipLost):
            await runs.flush(connection, claim, journal=[], log=[], progress=NOTHING, end=runs.End("Completed"))
        row = await executions.by_id(connection, new.id)
        assert row is not None
        assert row.phase == "Stopped", "a stop is not overtaken by a completion"


async def test_what_has_ended_stays_as_it_is(ledger: Ledger) -> None:
    new = await create(ledger)
    assert await stop(ledger, new.id)
    assert not await stop(ledger, new.id)
    async with ledger.connection() as connection:
        assert len(await events.read(connection, new.id)) == 2


async def test_stopping_what_never_was_is_no_error(ledger: Ledger) -> None:
    assert not await stop(ledger, ExecutionId("EXNOTHING"))
