"""The operator stands in where no worker is left to hand back the work of lost ones."""

from __future__ import annotations

import pytest

from chaingraph_operator.loops import recovery
from chaingraph_operator.loops.recovery import LostWorkerRecovery
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import leases
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import take_from_queue
from fixtures.ledger.new_executions import APP, create
from fixtures.ledger.new_leases import new_lease

pytestmark = pytest.mark.integration


async def lost_execution(ledger: Ledger) -> ExecutionId:
    """One that runs in a worker whose lease has expired."""
    new = await create(ledger)
    async with ledger.transaction() as connection:
        await leases.take(connection, new_lease("worker-1"))
    await take_from_queue(ledger, new.id, "worker-1")
    async with ledger.connection() as connection:
        await connection.execute("UPDATE chaingraph.workers SET expires_at = now() - interval '1 second'")
    return new.id


async def test_operator_hands_back_when_no_worker_is_left(ledger: Ledger) -> None:
    execution = await lost_execution(ledger)
    (back,) = await LostWorkerRecovery(ledger, application_name=APP).recover()
    assert (back.execution_id, back.worker) == (execution, "worker-1")
    row = await row_of(ledger, execution)
    assert (row.phase, row.lost_worker) == ("Pending", "worker-1")


async def test_operator_leaves_lost_work_to_live_workers(ledger: Ledger) -> None:
    execution = await lost_execution(ledger)
    async with ledger.transaction() as connection:
        await leases.take(connection, new_lease("worker-2"))
    assert await LostWorkerRecovery(ledger, application_name=APP).recover() == []
    assert (await row_of(ledger, execution)).phase == "Running"


async def test_operator_hands_back_what_live_workers_may_not(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their database role is that of another pool."""
    execution = await lost_execution(ledger)
    async with ledger.transaction() as connection:
        await leases.take(connection, new_lease("worker-2"))
    operator = LostWorkerRecovery(ledger, application_name=APP)
    assert await operator.recover() == []
    monkeypatch.setattr(recovery, "_LEFT_SECONDS", 0.0)
    (back,) = await operator.recover()
    assert (back.execution_id, back.losses) == (execution, 1)
