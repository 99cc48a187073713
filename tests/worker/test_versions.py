"""Workers of two versions at once: real processes that are killed, drained, retired and taken back."""

from __future__ import annotations

import asyncio

import pytest

from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import leases, pinning
from chaingraph_store.queue.leases import WorkerRow
from chaingraph_store.queue.pinning import Build
from fixtures.flows.chains import assert_each_node_completed_once, events_of, handing_back, running, steps
from fixtures.ledger.ledger import ended, row_of, wait_for
from fixtures.ledger.new_executions import create_of
from fixtures.processes.programs import RunWorker, WorkerProcess
from fixtures.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.crash, pytest.mark.long]
OLD = Build("default", "1")
OF_OLD, OF_NEW = {"CHAINGRAPH_WORKER_VERSION": "1"}, {"CHAINGRAPH_WORKER_VERSION": "2"}
LASTING = {"CHAINGRAPH_LEASE_SECONDS": "30"}
"""Of workers that nobody kills: a busy machine does not cost them their lease. They hear of things every 5 s."""
NODES = 12


async def begin(ledger: Ledger, count: int) -> list[ExecutionId]:
    """So many executions that run, at the second of their nodes or later."""
    made = [await create_of(ledger, steps(NODES, 1000)) for _ in range(count)]
    for each in made:
        await wait_for(ledger, each, lambda row: running(row) and row.nodes_completed > 0)
    return made


async def set_retired(ledger: Ledger, *workers: WorkerProcess, retired: bool = True) -> None:
    """Tells these workers alone, and waits until each says that it does so."""
    names = [each.executor_id for each in workers]
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE chaingraph.workers SET retired = %s WHERE executor_id = ANY(%s)", (retired, names)
        )

    async def done() -> bool:
        rows = await known(ledger)
        return all(rows[name].serving is not retired for name in names) and (
            retired or all("serving its queues again" in each.log for each in workers)
        )

    await eventually(done, what=lambda: "\n".join(each.log for each in workers))


async def known(ledger: Ledger) -> dict[str, WorkerRow]:
    async with ledger.connection() as connection:
        return {each.executor_id: each for each in await leases.all_workers(connection)}


async def all_ended(ledger: Ledger, executions: list[ExecutionId], version: str) -> list[ExecutionRow]:
    rows = [await ended(ledger, each, within=60) for each in executions]
    assert [(row.phase, row.worker_version, row.attempt) for row in rows] == [("Completed", version, 1)] * len(rows)
    for row in rows:
        assert_each_node_completed_once(await events_of(ledger, row.id), NODES)
    return rows


@pytest.mark.parametrize("end", ["kill", "terminate"])
async def test_work_stays_with_its_version_while_a_worker_lives(
    ledger: Ledger, run_worker: RunWorker, end: str
) -> None:
    first = run_worker(CHAINGRAPH_LEASE_SECONDS="5", **OF_OLD, CHAINGRAPH_DRAIN_SECONDS="0").wait_ready()
    second, other = run_worker(**LASTING, **OF_OLD).wait_ready(), run_worker(**LASTING, **OF_NEW).wait_ready()
    await set_retired(ledger, second, other)
    executions = await begin(ledger, 4)
    # So that all that is handed back is found by the other version, and sent on.
    await set_retired(ledger, other, retired=False)
    async with handing_back(ledger):
        if end == "kill":
            first.kill()
        else:
            assert first.terminate() == 0
        rows = await all_ended(ledger, executions, "1")
    assert {row.worker for row in rows} == {second.executor_id}
    assert {row.losses for row in rows} == {1 if end == "kill" else 0}, "to be sent on is no recovery"
    assert other.log.count("execution belongs to another worker version") == 4

    async def nothing_left() -> bool:
        async with ledger.connection() as connection:
            cursor = await connection.execute("SELECT DISTINCT status FROM dbos.workflow_status")
            return await cursor.fetchall() == [("SUCCESS",)]

    await eventually(nothing_left, what="the end of the workflows, also of those who sent runs on")


async def test_work_moves_to_another_version_when_its_own_is_gone(ledger: Ledger, run_worker: RunWorker) -> None:
    first = run_worker(CHAINGRAPH_LEASE_SECONDS="5", **OF_OLD).wait_ready()
    other = run_worker(**LASTING, **OF_NEW).wait_ready()
    # It looks so seldom that what is sent to its queue waits there until it is killed.
    last = run_worker(CHAINGRAPH_LEASE_SECONDS="5", **OF_OLD, CHAINGRAPH_PIN_QUEUE_POLL_SECONDS="60").wait_ready()
    await set_retired(ledger, last, other)
    executions = await begin(ledger, 2)
    await set_retired(ledger, other, retired=False)
    async with handing_back(ledger):
        first.kill()

        async def sent() -> bool:
            return [(await row_of(ledger, each)).run for each in executions] == [2, 2]

        await eventually(sent, what="both to be sent to their version")
        await asyncio.sleep(1)
        assert {(await row_of(ledger, each)).phase for each in executions} == {"Pending"}
        last.kill()
        rows = await all_ended(ledger, executions, "2")
    assert {row.worker for row in rows} == {other.executor_id}
    assert {row.losses for row in rows} == {1}


async def test_retired_worker_finishes_its_work_but_takes_no_new(ledger: Ledger, run_worker: RunWorker) -> None:
    old = run_worker(**LASTING, **OF_OLD).wait_ready()
    executions = await begin(ledger, 2)
    await set_retired(ledger, old)
    assert old.get("/readyz").status_code == 200
    following = await create_of(ledger, steps(1, 1))
    held = await create_of(ledger, steps(1, 1), held=True, start_timeout_seconds=1)
    await all_ended(ledger, executions, "1")
    assert (await row_of(ledger, following)).phase == "Pending", "nobody serves"
    assert (await row_of(ledger, held)).phase == "Created"
    new = run_worker(**LASTING, **OF_NEW).wait_ready()
    assert (await ended(ledger, following)).worker == new.executor_id
    assert (await ended(ledger, held)).error_reason == "StartTimeout"


async def test_reinstated_version_serves_again(ledger: Ledger, run_worker: RunWorker) -> None:
    old, new = run_worker(**LASTING, **OF_OLD).wait_ready(), run_worker(**LASTING, **OF_NEW).wait_ready()
    async with ledger.connection() as connection:
        await pinning.set_retired(connection, OLD, retired=True)
    await set_retired(ledger, old)
    late = run_worker(**LASTING, **OF_OLD).wait_ready()
    assert not (await known(ledger))[late.executor_id].serving, "it starts as its version is"
    executions = await begin(ledger, 2)
    async with ledger.connection() as connection:
        await pinning.set_retired(connection, OLD, retired=False)
    await set_retired(ledger, new)
    await all_ended(ledger, executions, "2")
    later = [await create_of(ledger, steps(1, 1)) for _ in range(8)]
    rows = [await ended(ledger, each) for each in later]
    assert {row.worker for row in rows} <= {old.executor_id, late.executor_id}
