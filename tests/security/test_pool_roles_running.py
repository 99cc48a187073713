"""Workers under the role of their pool do everything that workers do, beside those of another pool."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures.flows.chains import WORK, running, steps
from fixtures.ledger.ledger import ended, row_of, wait_for
from fixtures.ledger.moves import log_of, pauses_alternate, retry, steer, stop
from fixtures.ledger.new_executions import create_of
from fixtures.ledger.pool_roles import queue_of
from fixtures.processes.programs import RunWorker, WorkerProcess
from fixtures.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.long]
PARENT = {
    "nodes": [
        {"id": "tell", "type": "EmitEach", "inputs": {"eventName": "part", "items": [1, 2, 3]}},
        {"id": "part", "type": "EventListener", "inputs": {"eventName": "part", "schema": "number"}},
        {"id": "twice", "type": "Math", "inputs": {"operation": "multiply", "b": 2}},
    ],
    "edges": [{"from": "part.payload", "to": "twice.a"}],
}
NAP = {"id": "nap", "type": "Sleep", "inputs": {"milliseconds": 60_000}}
CALL = {"id": "call", "type": "Call", "inputs": {"subflow": "part", "run": "Child"}}
CALLS = {
    "onExit": {"subflow": "bye"},
    "subflows": [
        {"name": "part", "nodes": [{**NAP, "inputs": {"milliseconds": 1000}}]},
        {"name": "bye", "nodes": [{**NAP, "inputs": {"milliseconds": 1}}]},
    ],
    "nodes": [CALL],
}
GIVES_UP = {"subflows": [{"name": "part", "nodes": [NAP]}], "nodes": [{**CALL, "timeoutSeconds": 2}]}
FAILS = {"nodes": [{"id": "no", "type": "Fail", "inputs": {"message": "no"}}]}


@pytest.fixture
def run_pool(pool_urls: dict[str, str], run_worker: RunWorker) -> Callable[..., WorkerProcess]:
    def start(pool: str, **environment: str) -> WorkerProcess:
        settings = {
            "DATABASE_URL_EXECUTIONS": pool_urls[pool],
            "CHAINGRAPH_POOL": pool,
            "CHAINGRAPH_QUEUES": queue_of(pool),
            "CHAINGRAPH_RECOVERY_SECONDS": "0.2",
            "CHAINGRAPH_PARK_SECONDS": "0.3",
            "DBOS_WORKER_CONCURRENCY": "12",
        }
        return run_worker(**settings | environment)

    return start


def quiet(worker: WorkerProcess) -> None:
    """Nothing was refused, and DBOS complained of nothing."""
    for trouble in ("permission denied", "row-level security", "Traceback"):
        assert trouble not in worker.log, worker.log[-5000:]


async def test_workers_of_two_pools_do_all_that_workers_do(
    ledger: Ledger, run_pool: Callable[..., WorkerProcess]
) -> None:
    workers = {pool: run_pool(pool) for pool in ("alpha", "beta")}
    for each in workers.values():
        each.wait_ready()
    await asyncio.gather(*(everything(ledger, queue_of(pool), worker) for pool, worker in workers.items()))
    for each in workers.values():
        quiet(each)
        assert each.terminate() == 0, each.log


async def everything(ledger: Ledger, queue: str, worker: WorkerProcess) -> None:
    async def new(flow: dict[str, Any], **changes: Any) -> ExecutionId:
        return await create_of(ledger, flow, queue=queue, **changes)

    paused = await new(steps(3, 2000))
    plain, parent, stopped, failing = await new(steps(3, 10)), await new(PARENT), await new(WORK), await new(FAILS)
    sleeping = await new({"nodes": [{"id": "nap", "type": "Sleep", "inputs": {"milliseconds": 3000}}]})
    calling, giving_up = await new(CALLS), await new(GIVES_UP)
    held, unstarted = [await new(steps(1, 10), held=True, start_timeout_seconds=each) for each in (300, 1)]
    await wait_for(ledger, paused, running)
    await steer(ledger, paused, paused=True)
    await wait_for(ledger, paused, lambda row: row.parked)
    await steer(ledger, paused, paused=False)
    row = await ended(ledger, paused)
    assert (row.phase, row.losses) == ("Completed", 0)
    assert pauses_alternate(await log_of(ledger, paused))
    assert (await ended(ledger, plain)).phase == "Completed"

    await wait_for(ledger, stopped, running)
    assert await stop(ledger, stopped)
    assert (await ended(ledger, stopped)).phase == "Stopped"

    assert (await ended(ledger, failing)).phase == "Failed"
    assert await retry(ledger, failing, "again") is True
    assert (await wait_for(ledger, failing, lambda row: row.ended and row.attempt == 2)).phase == "Failed"

    row = await ended(ledger, sleeping)
    assert (row.phase, row.run) == ("Completed", 2), "it was parked, and woken by a worker of its pool"

    await steer(ledger, held)
    assert (await ended(ledger, held)).phase == "Completed"
    assert (await ended(ledger, unstarted)).error_reason == "StartTimeout"

    row = await wait_for(ledger, calling, lambda row: row.ended and row.children_total == 2 and not row.children_active)
    assert (row.phase, row.run) == ("Completed", 2), "it was parked, and woken by the end of its child"
    row = await ended(ledger, giving_up)
    assert row.error_reason == "NodeTimeout"
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT phase FROM chaingraph.executions WHERE parent_id = %s", (giving_up,))
        assert await cursor.fetchall() == [("Stopped",)]

    row = await wait_for(ledger, parent, lambda row: row.ended and row.children_active == 0)
    assert (row.phase, row.children_spawned, row.worker) == ("Completed", 3, worker.executor_id), row
    assert (await log_of(ledger, parent)).count("child:completed") == 3


@pytest.mark.crash
async def test_a_lost_worker_is_recovered_by_its_pool_alone(
    ledger: Ledger, run_pool: Callable[..., WorkerProcess]
) -> None:
    """The parent is killed while its children run; the other pool's worker looks on, and then recovers its own."""
    first, other = run_pool("alpha").wait_ready(), run_pool("beta").wait_ready()
    mine = [await create_of(ledger, steps(3, 1500), queue=queue_of("alpha")) for _ in range(2)]
    parent = await create_of(ledger, PARENT, queue=queue_of("alpha"))
    theirs = await create_of(ledger, steps(4, 1500), queue=queue_of("beta"))
    for each in (*mine, theirs):
        await wait_for(ledger, each, running)
    first.kill()
    await asyncio.sleep(3)
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT revoked FROM chaingraph.workers WHERE executor_id = %s", (first.executor_id,)
        )
        assert await cursor.fetchone() == (False,), "nobody of another pool has dealt with it"
    second = run_pool("alpha").wait_ready()
    for each in mine:
        row = await ended(ledger, each, within=60)
        assert (row.phase, row.worker, row.losses, row.recoveries) == ("Completed", second.executor_id, 1, 0)
    assert (await wait_for(ledger, parent, lambda row: row.ended and row.children_active == 0)).phase == "Completed"
    row = await ended(ledger, theirs)
    assert (row.phase, row.worker, row.losses) == ("Completed", other.executor_id, 0)
    quiet(second)
    quiet(other)


async def test_a_hold_acts_on_no_execution_but_its_own(
    ledger: Ledger, pool_urls: dict[str, str], run_worker: RunWorker
) -> None:
    """All workers take holds from one queue: a row of a pool's own must not have another one's worker act for it."""
    victim = await create_of(ledger, steps(1, 10), queue=queue_of("beta"), held=True)
    mine = await create_of(ledger, steps(1, 10), queue=queue_of("alpha"), held=True)
    with psycopg.connect(pool_urls["alpha"], autocommit=True) as attacker:
        changed = attacker.execute(
            "UPDATE dbos.workflow_input SET inputs = %s WHERE workflow_uuid = %s",
            (json.dumps({"positionalArgs": [victim, 1], "namedArgs": {}}), f"{mine}-hold"),
        )
        assert changed.rowcount == 1
        attacker.execute("SELECT dbos.send_message(%s, '\"START\"', 'START_SIGNAL')", (f"{mine}-hold",))
    worker = run_worker().wait_ready()
    refused = f"workflow {mine}-hold names execution {victim!r}, which is not its own"
    await eventually(lambda: _seen(worker, refused), what=refused)
    assert (await row_of(ledger, victim)).phase == "Created"


async def _seen(worker: WorkerProcess, text: str) -> bool:
    return text in worker.log


def tells(worker: WorkerProcess) -> str:
    assert worker.process.wait(60) == 2, worker.log
    return str(worker.lines()[-1]["reason"])


def test_a_worker_is_told_which_queue_its_role_may_not_serve(run_pool: Callable[..., WorkerProcess]) -> None:
    said = tells(run_pool("alpha", CHAINGRAPH_QUEUES="alpha-work,beta-work"))
    assert said.startswith(
        "CHAINGRAPH_QUEUES has 'beta-work', but the database role 'chaingraph_worker_alpha' of DATABASE_URL_EXECUTIONS "
        "may only serve alpha-work. Remove the queue, or give it to the pool and run `chaingraph-worker migrate`"
    )
    said = tells(run_pool("alpha", CHAINGRAPH_POOL="beta"))
    assert said.startswith("CHAINGRAPH_POOL is 'beta', but the database role 'chaingraph_worker_alpha'")
