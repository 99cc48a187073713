"""Workers of two versions that are killed, drained, frozen and replaced at random, while their versions are retired and
taken back: every execution completes, and no node twice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import pinning, recovery
from chaingraph_store.queue.pinning import Build
from fixtures import soak
from fixtures.flows.chains import assert_each_node_completed_once, events_of, steps
from fixtures.ledger.ledger import row_of
from fixtures.ledger.new_executions import APP, create_of
from fixtures.processes.programs import RunWorker, WorkerProcess
from fixtures.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.crash, pytest.mark.long]
BUILDS = (Build("default", "1"), Build("default", "2"))
NODES = 8
EXECUTIONS = 10
STRIKES = 6


async def for_ever(act: Callable[[], Awaitable[None]], seconds: float) -> None:
    while True:
        await act()
        await asyncio.sleep(seconds)


class Crew:
    """Two workers of each version, kept at strength."""

    def __init__(self, ledger: Ledger, run_worker: RunWorker, chance: random.Random) -> None:
        self._ledger = ledger
        self._run_worker = run_worker
        self._chance = chance
        self._workers = [(build, self._start(build)) for build in BUILDS for _ in range(2)]

    def _start(self, build: Build) -> WorkerProcess:
        drain = self._chance.choice(("0", "1"))
        return self._run_worker(
            CHAINGRAPH_LEASE_SECONDS="4", CHAINGRAPH_WORKER_VERSION=build.version, CHAINGRAPH_DRAIN_SECONDS=drain
        )

    async def operate(self) -> None:
        """What the operator does; losses are this test's doing, so nothing is given up for them."""
        async with self._ledger.transaction() as connection:
            lost = await recovery.lost_executors(connection, application_name=APP)
            await recovery.hand_back(connection, application_name=APP, executors=lost, max_recoveries=1000)
        async with self._ledger.transaction() as connection:
            await pinning.release(connection)

    async def retire_one(self) -> None:
        """One version, or none: never both."""
        retired = self._chance.choice((*BUILDS, None))
        async with self._ledger.transaction() as connection:
            for build in BUILDS:
                await pinning.set_retired(connection, build, retired=build == retired)

    async def strike(self) -> str:
        """Ends one or two workers, of one version maybe, and starts others in their place."""
        number = self._chance.randrange(len(self._workers))
        struck = {number, number ^ self._chance.choice((0, 1))}
        what = self._chance.choice(("kill", "kill", "terminate"))
        for each in struck:
            build, worker = self._workers[each]
            if what == "kill":
                worker.kill()
            else:
                worker.process.terminate()
            self._workers[each] = build, self._start(build)
        return f"{what} {sorted(struck)}"


@pytest.mark.soak
@pytest.mark.parametrize("seed", soak.seeds(6))
async def test_executions_complete_despite_version_kills_and_changes(
    ledger: Ledger, run_worker: RunWorker, seed: int
) -> None:
    chance = random.Random(seed)
    crew = Crew(ledger, run_worker, chance)
    tasks = [
        asyncio.create_task(for_ever(crew.operate, 0.3)),
        asyncio.create_task(for_ever(crew.retire_one, 2.0)),
    ]
    executions: list[ExecutionId] = []
    try:
        for _ in range(EXECUTIONS):
            executions.append(await create_of(ledger, steps(NODES, chance.randrange(100, 900))))
        await eventually(lambda: any_runs(ledger, executions), within=60, what="a start")
        for _ in range(STRIKES):
            await asyncio.sleep(chance.uniform(0.5, 5))
            print(await crew.strike())
        await eventually(lambda: all_ended(ledger, executions), within=180, what=lambda: "the end of all")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        assert task.cancelled() or task.result() is None
    for each in executions:
        row = await row_of(ledger, each)
        assert (row.phase, row.attempt, row.nodes_completed) == ("Completed", 1, NODES)
        assert_each_node_completed_once(await events_of(ledger, each), NODES)
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FROM dbos.workflow_status WHERE status = 'ENQUEUED' AND strpos(queue_name, '@') > 0"
        )
        assert await cursor.fetchone() == (0,), "nothing waits for a version any more"


async def any_runs(ledger: Ledger, executions: list[ExecutionId]) -> bool:
    return any([(await row_of(ledger, each)).nodes_completed > 0 for each in executions])


async def all_ended(ledger: Ledger, executions: list[ExecutionId]) -> bool:
    return all([(await row_of(ledger, each)).ended for each in executions])
