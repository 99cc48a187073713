"""Workers alone keep the work going: recovery with no operator, leases at a distance, whom a loss is charged to."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaingraph_store import events
from chaingraph_store.clock import SteadyClock
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import leases, recovery
from fixtures.flows.chains import running, steps
from fixtures.ledger.ledger import ended, row_of, wait_for
from fixtures.ledger.moves import flush, take_from_queue
from fixtures.ledger.new_executions import APP, create, create_of
from fixtures.ledger.new_leases import take_lease
from fixtures.processes.programs import RunWorker
from fixtures.processes.proxy import MakeProxy

pytestmark = pytest.mark.integration
ONE_WAY_SECONDS = 0.15


@pytest.mark.long
async def test_distant_worker_starts_keeps_lease_and_runs(
    ledger: Ledger, run_worker: RunWorker, make_proxy: MakeProxy, database_url: str
) -> None:
    """300 ms for a round trip to PostgreSQL, with the lease that workers have by default."""
    distant = make_proxy(database_url, delay=ONE_WAY_SECONDS).url
    worker = run_worker(DATABASE_URL_EXECUTIONS=distant, CHAINGRAPH_LEASE_SECONDS="6").wait_ready()
    execution = await create_of(ledger, steps(2, 4000))
    row = await ended(ledger, execution, within=120)
    assert (row.phase, row.worker, row.losses) == ("Completed", worker.executor_id, 0)
    assert worker.process.poll() is None, worker.log
    assert "cannot renew" not in worker.log
    assert worker.terminate() == 0, worker.log


@pytest.mark.crash
async def test_worker_hands_back_with_no_operator(ledger: Ledger, run_worker: RunWorker) -> None:
    first = run_worker().wait_ready()
    execution = await create_of(ledger, steps(3, 1500))
    await wait_for(ledger, execution, running)
    second = run_worker().wait_ready()
    first.kill()
    row = await ended(ledger, execution, within=60)
    assert (row.phase, row.worker, row.losses) == ("Completed", second.executor_id, 1)
    assert "handed back: its worker or its workflow was lost" in second.log
    second.wait_figure('chaingraph_worker_recoveries_total{result="handed back"} 1.0')


async def lost_together(ledger: Ledger, number: int, *, worker: str, **recover: Any) -> list[recovery.HandedBack]:
    """A worker that runs so many executions, all that are waiting, is lost."""
    for id_ in await _waiting(ledger, number):
        await take_from_queue(ledger, id_, worker)
    return await recovery.recover(ledger, application_name=APP, **recover)


async def _waiting(ledger: Ledger, number: int) -> list[Any]:
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT id FROM chaingraph.executions WHERE phase = 'Pending' ORDER BY id LIMIT %s", (number,)
        )
        return [row[0] for row in await cursor.fetchall()]


async def test_loss_in_company_charges_nobody(ledger: Ledger) -> None:
    for _ in range(3):
        await create(ledger)
    for loss in range(1, 8):
        back = await lost_together(ledger, 3, worker=f"w{loss}")
        assert [(each.recoveries, each.losses, each.given_up) for each in back] == [(0, loss, False)] * 3
        assert [each.loses_repeatedly for each in back] == [loss >= 5] * 3, "it is reported from the fifth on"


async def test_lone_execution_is_charged_and_told_why(ledger: Ledger) -> None:
    new = await create(ledger)
    for loss in range(1, 6):
        claim = await take_from_queue(ledger, new.id, f"w{loss}")
        await flush(ledger, claim, current=["huge"])
        (back,) = await recovery.recover(ledger, application_name=APP)
        assert (back.recoveries, back.given_up) == (loss, loss == 5)
    row = await row_of(ledger, new.id)
    assert (row.phase, row.error_reason) == ("Failed", "TooManyRecoveries")
    assert "lost its worker 5 times while it ran alone there, last w5" in row.error_message
    assert "Nodes running at the last loss: huge" in row.error_message
    async with ledger.connection() as connection:
        assert (await events.read(connection, new.id))[-1].type == "flow:failed"


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 3), min_size=1, max_size=6))
async def test_charges_count_losses_alone(ledger: Ledger, companies: list[int]) -> None:
    """Whatever the order of losses alone and in company: the first execution is charged for those alone."""
    async with ledger.connection() as connection:
        await connection.execute("DELETE FROM chaingraph.executions")
        await connection.execute("DELETE FROM dbos.workflow_status")
    for _ in range(3):
        await create(ledger)
    first = (await _waiting(ledger, 1))[0]
    for turn, company in enumerate(companies):
        await lost_together(ledger, company, worker=f"w{turn}", max_recoveries=100)
    row = await row_of(ledger, first)
    assert (row.recoveries, row.losses) == (companies.count(1), len(companies))


async def test_renewed_lease_keeps_its_work(ledger: Ledger) -> None:
    """The guard is in the statement: a worker that renews between the look and the hand-back is not lost."""
    await take_lease(ledger, "late", seconds=0.05)
    new = await create(ledger)
    await take_from_queue(ledger, new.id, "late")
    await asyncio.sleep(0.1)
    async with ledger.connection() as connection:
        assert await recovery.lost_executors(connection, application_name=APP) == ["late"]
        assert await leases.renew(connection, "late", seconds=60)
        assert await leases.revoke_expired(connection, ["late"]) == []
    assert await recovery.recover(ledger, application_name=APP) == []
    assert (await row_of(ledger, new.id)).phase == "Running"


async def test_many_recoverers_hand_back_once(ledger: Ledger) -> None:
    for number in range(6):
        await take_from_queue(ledger, (await create(ledger)).id, f"w{number % 2}")
    rounds = await asyncio.gather(*(recovery.recover(ledger, application_name=APP) for _ in range(5)))
    handed = [each.execution_id for back in rounds for each in back]
    assert len(handed) == len(set(handed)) == 6


async def test_stranded_search_runs_once_for_all_workers(ledger: Ledger) -> None:
    new = await create(ledger)
    await take_from_queue(ledger, new.id, "w")
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE dbos.workflow_status SET status = 'ERROR', updated_at = 0 WHERE workflow_uuid = %s", (new.id,)
        )
    rounds = await asyncio.gather(*(recovery.revive(ledger, application_name=APP) for _ in range(4)))
    assert [each.execution_id for back in rounds for each in back] == [new.id]
    async with ledger.connection() as connection:
        assert not (await recovery.look(connection, application_name=APP)).stranded_due, "not again for a while"


async def test_look_is_cheap_beside_many_holds(ledger: Ledger) -> None:
    """Twenty thousand executions that wait for their start are PENDING in DBOS, of one executor: one index probe."""
    await take_lease(ledger, "alive")
    async with ledger.connection() as connection:
        await connection.execute(
            "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, application_name, executor_id)"
            " SELECT 'h' || n, 'PENDING', 'hold_execution', %s, 'alive' FROM generate_series(1, 20000) n",
            (APP,),
        )
        await connection.execute("ANALYZE dbos.workflow_status")
        seen = await recovery.look(connection, application_name=APP)
        assert seen.lost == ()
        cursor = await connection.execute(
            f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {recovery._LOOK}",
            {"app": APP},
        )
        row = await cursor.fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 200, plan


def test_clock_jump_of_the_database_loses_nobody() -> None:
    clock = SteadyClock(patience=600)
    assert clock.judge(1000.0)
    assert clock.judge(1000.5)
    assert not clock.judge(5000.0), "leases of live workers look expired, and they all renew in a moment"
    assert not clock.judge(5000.1)
