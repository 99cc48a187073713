"""Random lives of workers of three builds and of executions that they take, lose, send on and end, against a model."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

import pytest

from chaingraph_store.attempts import runs
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId, WorkflowId
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import leases, pinning, recovery
from chaingraph_store.queue.pinning import NO_BUILD, Build, PinnedElsewhere, pin_queue
from fixtures import soak
from fixtures.ledger.ledger import row_of
from fixtures.ledger.new_executions import APP, create, dequeue
from fixtures.ledger.new_leases import take_lease

pytestmark = pytest.mark.integration
BUILDS = [Build("a", "1"), Build("a", "2"), Build("b", "2")]
QUEUE = "chaingraph-executions"
STEPS = 150
DONE = runs.AttemptProgress(total=1, completed=1, failed=0, skipped=0, running=0, current_nodes=[])


@dataclass
class Known:
    """What the model knows of an execution."""

    place: int
    priority: int
    build: Build = NO_BUILD
    claim: runs.Claim | None = None
    worker: str = ""
    losses: int = 0
    sent: int = 0
    ended: bool = False


@dataclass
class Model:
    ledger: Ledger
    chance: random.Random
    workers: dict[str, Build] = field(default_factory=dict)
    retired: set[Build] = field(default_factory=set)
    executions: dict[ExecutionId, Known] = field(default_factory=dict)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def lives(self, build: Build) -> bool:
        return build in self.workers.values()

    async def start(self) -> None:
        name, build = f"w{next(self.numbers)}", self.chance.choice(BUILDS)
        retired = await take_lease(self.ledger, name, build=build)
        known = any(each == build for each in self.workers.values())
        assert not known or retired == (build in self.retired), "it begins as its build is"
        (self.retired.add if retired else self.retired.discard)(build)
        self.workers[name] = build

    async def lose(self, name: str, *, drains: bool) -> None:
        del self.workers[name]
        async with self.ledger.transaction() as connection:
            if drains:
                await leases.drain(connection, name)
            await recovery.hand_back(
                connection, application_name=APP, executors=[name], counts=not drains, max_recoveries=1000
            )
        for each in self.executions.values():
            if each.worker == name:
                each.worker, each.claim = "", None
                each.losses += not drains

    async def retire(self) -> None:
        build = self.chance.choice(BUILDS)
        async with self.ledger.connection() as connection:
            await pinning.set_retired(connection, build, retired=build not in self.retired)
        self.retired ^= {build}

    async def make(self) -> None:
        priority = self.chance.randrange(5)
        new = await create(self.ledger, priority=priority)
        _, _, _, place = await self.workflow((await row_of(self.ledger, new.id)).workflow_id)
        self.executions[new.id] = Known(place, priority)

    async def take(self, name: str) -> None:
        """DBOS gives a worker something from one of the queues that it listens to."""
        build = self.workers[name]
        queues = [pin_queue(QUEUE, build), *(() if build in self.retired else (QUEUE,))]
        async with self.ledger.connection() as connection:
            cursor = await connection.execute(
                "SELECT e.id FROM dbos.workflow_status w"
                " JOIN chaingraph.executions e ON e.workflow_id = w.workflow_uuid"
                " WHERE w.status = 'ENQUEUED' AND w.queue_name = ANY(%s) ORDER BY w.priority, w.created_at LIMIT 1",
                (queues,),
            )
            found = await cursor.fetchone()
        if found is not None:
            await self.claim(name, ExecutionId(found[0]))

    async def claim(self, name: str, execution: ExecutionId) -> None:
        build, known = self.workers[name], self.executions[execution]
        row = await row_of(self.ledger, execution)
        async with self.ledger.connection() as connection:
            assert await dequeue(connection, row.workflow_id, name)
            try:
                claim = await runs.claim(connection, execution, workflow=row.workflow_id, worker=name, build=build)
            except PinnedElsewhere:
                assert known.build not in (NO_BUILD, build)
                assert self.lives(known.build), "it is kept for somebody who lives"
                await self.send(name, row, known)
                return
        assert known.build in (NO_BUILD, build) or not self.lives(known.build), "it stays with its build"
        assert claim is not None
        known.build, known.claim, known.worker = build, claim, name

    async def send(self, name: str, row: ExecutionRow, known: Known) -> None:
        fate = self.chance.choice(("sends", "sends", "dies before", "dies after", "sends twice"))
        if fate != "dies before":
            for time in range(1 + (fate == "sends twice")):
                async with self.ledger.transaction() as connection:
                    to = await pinning.send(
                        connection, row.id, workflow=row.workflow_id, worker=name, application_name=APP
                    )
                assert to == (None if time else known.build)
            known.sent += 1
        if fate.startswith("dies"):
            await self.lose(name, drains=False)
            return
        async with self.ledger.connection() as connection:
            await connection.execute(
                "UPDATE dbos.workflow_status SET status = 'SUCCESS' WHERE workflow_uuid = %s AND status = 'PENDING'",
                (row.workflow_id,),
            )

    async def end(self) -> None:
        running = [(each, known) for each, known in self.executions.items() if known.claim is not None]
        if not running:
            return
        execution, known = self.chance.choice(running)
        assert known.claim is not None
        async with self.ledger.connection() as connection:
            await runs.flush(
                connection, known.claim, journal=[], log=[], progress=DONE, end=runs.AttemptEnd("Completed")
            )
            await connection.execute(
                "UPDATE dbos.workflow_status SET status = 'SUCCESS' WHERE workflow_uuid = %s",
                ((await row_of(self.ledger, execution)).workflow_id,),
            )
        known.claim, known.worker, known.ended = None, "", True

    async def release(self) -> None:
        async with self.ledger.transaction() as connection:
            await pinning.release(connection)

    async def workflow(self, workflow: WorkflowId) -> tuple[str, str, int, int]:
        async with self.ledger.connection() as connection:
            cursor = await connection.execute(
                "SELECT status, queue_name, priority, created_at FROM dbos.workflow_status WHERE workflow_uuid = %s",
                (workflow,),
            )
            found = await cursor.fetchone()
        assert found is not None
        return found[0], found[1], found[2], found[3]

    async def check(self) -> None:
        for execution, known in self.executions.items():
            row = await row_of(self.ledger, execution)
            status, queue, priority, place = await self.workflow(row.workflow_id)
            assert (row.losses, row.run) == (known.losses, 1 + known.sent)
            assert Build(row.worker_pool, row.worker_version) == known.build
            if known.ended:
                assert row.phase == "Completed"
                continue
            assert (priority, place) == (1000 - known.priority, known.place), "it keeps its place"
            if known.claim is not None:
                assert (row.phase, status, row.worker) == ("Running", "PENDING", known.worker)
            else:
                assert (row.phase, status) == ("Pending", "ENQUEUED")
                assert queue in (QUEUE, pin_queue(QUEUE, known.build))
        await self.check_builds()

    async def check_builds(self) -> None:
        async with self.ledger.connection() as connection:
            found = await pinning.builds(connection, application_name=APP)
        for build in BUILDS:
            having = [each for each in self.executions.values() if each.build == build and not each.ended]
            load = found.loads.get(build, pinning.Load(0, 0))
            assert load.waiting == sum(each.claim is None for each in having)
            assert load.running == sum(each.claim is not None for each in having)
            live = sum(each == build for each in self.workers.values())
            assert found.workers.get(build, pinning.WorkerCapacity(0, 0, 0)).live == live

    async def step(self) -> None:
        names = list(self.workers)
        moves = ["make", "start", "start", *["take"] * 6, "lose", "drain", "retire", "end", "release"]
        match self.chance.choice(moves):
            case "make" if len(self.executions) < 6:
                await self.make()
            case "start" if len(names) < 6:
                await self.start()
            case "take" if names:
                await self.take(self.chance.choice(names))
            case "lose" | "drain" as how if names and self.chance.random() < 0.6:
                await self.lose(self.chance.choice(names), drains=how == "drain")
            case "retire":
                await self.retire()
            case "end" if self.chance.random() < 0.3:
                await self.end()
            case "release":
                await self.release()
                await self.check_released()

    async def check_released(self) -> None:
        for execution, known in self.executions.items():
            if known.claim is None and not known.ended and not self.lives(known.build):
                row = await row_of(self.ledger, execution)
                assert (await self.workflow(row.workflow_id))[1] == QUEUE, "nobody of its build lives"


USUAL = range(4)


@pytest.mark.soak
@pytest.mark.parametrize("seed", soak.seeds(*USUAL))
async def test_work_stays_on_its_living_build_and_is_never_lost(ledger: Ledger, seed: int) -> None:
    model = Model(ledger, random.Random(seed))
    for _ in range(STEPS):
        await model.step()
        await model.check()
    for name in list(model.workers):
        await model.lose(name, drains=True)
    await model.release()
    await model.start()
    (last,) = model.workers
    async with ledger.connection() as connection:
        await pinning.set_retired(connection, model.workers[last], retired=False)
    model.retired.clear()
    for _ in model.executions:
        await model.take(last)
    await model.check()
    assert all(known.ended or known.worker == last for known in model.executions.values())
    # Any other seed may happen to play without such a move.
    assert seed not in USUAL or sum(known.sent for known in model.executions.values()) > 0, "they prove nothing"
