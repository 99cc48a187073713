"""The quota of a namespace holds for trees too, and no child is lost by it (H5)."""

from __future__ import annotations

import pytest

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import recovery
from fixtures.ledger.ledger import ended, row_of
from fixtures.ledger.new_executions import APP, create, create_of
from fixtures.ledger.shares import many, register_queues, set_policy, take
from fixtures.processes.programs import RunWorker
from fixtures.trees.children import complete
from fixtures.trees.forest import active, forest, spawn_batch
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration
EMITS = {
    "nodes": [
        {"id": "tell", "type": "EmitEach", "inputs": {"eventName": "part", "items": list(range(12))}},
        {"id": "part", "type": "EventListener", "inputs": {"eventName": "part", "schema": "number"}},
        {"id": "twice", "type": "Math", "inputs": {"operation": "multiply", "b": 2}},
    ],
    "edges": [{"from": "part.payload", "to": "twice.a"}],
}


async def parent_of(ledger: Ledger, children: int) -> ExecutionId:
    parent = (await create(ledger)).id
    await complete(ledger, parent, children=children)
    return parent


async def test_children_are_made_as_there_is_room(ledger: Ledger) -> None:
    await register_queues(ledger)
    await set_policy(ledger, "team", max_waiting=5)
    await many(ledger, "team", 2)
    parent = await parent_of(ledger, 7)
    made = []
    while (batch := await spawn_batch(ledger, parent, 7)) is not None:
        made.append((batch.made, batch.barred))
        if batch.barred:
            await take(ledger, 3)
            async with ledger.connection() as connection:
                await connection.execute(
                    "UPDATE chaingraph.executions SET phase = 'Running' WHERE phase = 'Pending' AND id IN"
                    " (SELECT workflow_uuid FROM dbos.workflow_status WHERE status = 'PENDING')"
                )
    assert made == [(3, True), (3, True), (1, False)]
    assert (await row_of(ledger, parent)).children_spawned == 7


async def test_ledger_bytes_bar_children(ledger: Ledger) -> None:
    await set_policy(ledger, "team", max_ledger_bytes=10)
    parent = await parent_of(ledger, 2)
    async with ledger.connection() as connection:
        await connection.execute("INSERT INTO chaingraph.ledger_sizes VALUES (%s, 'team', 10, 0)", (parent,))
    batch = await spawn_batch(ledger, parent, 2)
    assert batch is not None
    assert (batch.made, batch.barred) == (0, True)


async def test_default_quota_holds_for_children(ledger: Ledger) -> None:
    await set_policy(ledger, "", max_waiting=1)
    batch = await spawn_batch(ledger, await parent_of(ledger, 4), 4)
    assert batch is not None
    assert (batch.made, batch.barred) == (1, True)


async def test_worker_makes_barred_children_later(ledger: Ledger, run_worker: RunWorker) -> None:
    """The slot is free meanwhile: the only one has to run the children that make the room."""
    run_worker(DBOS_WORKER_CONCURRENCY="1", DBOS_QUEUE_CONCURRENCY="1").wait_ready()
    await set_policy(ledger, "team", max_waiting=5)
    root = await create_of(ledger, EMITS)
    await ended(ledger, root)

    async def all_made() -> bool:
        async with ledger.transaction() as connection:  # as an operator does, and workers
            await recovery.revive_stranded(connection, application_name=APP)
        return (await row_of(ledger, root)).children_spawned == 12

    async def at_rest() -> bool:
        return not await active(ledger)

    await eventually(all_made, within=60, what="the last child")
    # One that DBOS has given to the worker and that the worker has not claimed yet would be counted as lost.
    await eventually(at_rest, within=60, what="the ends of all children")
    (await forest(ledger)).check()
