"""What has begun stays with its version of the workers: claims that are refused, runs that are sent on."""

from __future__ import annotations

from typing import Any

import pytest

from chaingraph_store.attempts import runs
from chaingraph_store.commands import retrying
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import leases, pinning, recovery
from chaingraph_store.queue.pinning import Build, PinnedElsewhere, WorkerCapacity, pin_queue
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import PLAIN, flush, park, steer, stop
from fixtures.ledger.new_executions import APP, create, dequeue
from fixtures.ledger.new_leases import take_lease

pytestmark = pytest.mark.integration
OLD, NEW = Build("default", "1"), Build("default", "2")
QUEUE = "chaingraph-executions"
RUNNING = runs.AttemptProgress(total=2, completed=1, failed=0, skipped=0, running=1, current_nodes=["b"])


async def worker(ledger: Ledger, name: str, build: Build, **said: Any) -> str:
    """A worker of this build, with a catalogue of the build's; `said` is what `new_lease` takes."""
    await take_lease(ledger, name, build=build, nodes=str(build), **said)
    return name


async def three_workers(ledger: Ledger) -> None:
    """Two of the old version, "old" and "old-too", and "new" of the new one."""
    for name, build in (("old", OLD), ("old-too", OLD), ("new", NEW)):
        await worker(ledger, name, build)


async def take(ledger: Ledger, execution: ExecutionId, worker: str, build: Build) -> runs.Claim | None:
    """DBOS gives it to the worker, from whatever queue, and the worker claims it."""
    row = await row_of(ledger, execution)
    async with ledger.connection() as connection:
        assert await dequeue(connection, row.workflow_id, worker)
        return await runs.claim(connection, execution, workflow=row.workflow_id, worker=worker, build=build)


async def begun(ledger: Ledger, worker: str, build: Build, **fields: object) -> ExecutionId:
    new = await create(ledger, **fields)
    claim = await take(ledger, new.id, worker, build)
    assert claim is not None
    async with ledger.connection() as connection:
        await runs.flush(connection, claim, journal=[], log=[], progress=RUNNING)
    return new.id


async def lost(ledger: Ledger, worker: str) -> None:
    async with ledger.transaction() as connection:
        await recovery.hand_back(connection, application_name=APP, executors=[worker])


async def lost_by_one_of_three(ledger: Ledger, **fields: object) -> ExecutionId:
    """What "old" had begun when it was lost; "old-too" is of its version, and "new" of another one."""
    await three_workers(ledger)
    execution = await begun(ledger, "old", OLD, **fields)
    await lost(ledger, "old")
    return execution


async def send(ledger: Ledger, row: ExecutionRow, worker: str) -> Build | None:
    async with ledger.transaction() as connection:
        return await pinning.send(connection, row.id, workflow=row.workflow_id, worker=worker, application_name=APP)


async def workflow(ledger: Ledger, row: ExecutionRow) -> tuple[str, str, int, int]:
    """Status, queue, priority and place of the execution's workflow."""
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT status, queue_name, priority, created_at FROM dbos.workflow_status WHERE workflow_uuid = %s",
            (row.workflow_id,),
        )
        found = await cursor.fetchone()
    assert found is not None
    return found[0], found[1], found[2], found[3]


async def release(ledger: Ledger) -> int:
    async with ledger.connection() as connection:
        return len(await pinning.release(connection))


async def builds(ledger: Ledger) -> pinning.Builds:
    async with ledger.connection() as connection:
        return await pinning.builds(connection, application_name=APP)


async def sent(ledger: Ledger, execution: ExecutionId) -> ExecutionRow:
    """What the other version has begun and lost, found by the worker "new" and sent on. Nobody else is told."""
    with pytest.raises(PinnedElsewhere, match=execution):
        await take(ledger, execution, "new", NEW)
    found = await row_of(ledger, execution)
    assert await send(ledger, found, "new") is not None
    return await row_of(ledger, execution)


async def test_unstarted_execution_runs_on_any_version(ledger: Ledger) -> None:
    await worker(ledger, "old", OLD)
    await worker(ledger, "new", NEW)
    new = await create(ledger)
    assert await take(ledger, new.id, "new", NEW) is not None
    row = await row_of(ledger, new.id)
    assert (row.worker_pool, row.worker_version) == ("default", "2")


async def test_lost_run_moves_to_worker_of_same_version(ledger: Ledger) -> None:
    await three_workers(ledger)
    execution = await begun(ledger, "old", OLD, priority=7)
    place = (await workflow(ledger, await row_of(ledger, execution)))[3]
    await lost(ledger, "old")
    row = await sent(ledger, execution)
    assert row.workflow_id == f"{execution}-2"
    assert (row.phase, row.run, row.recoveries, row.attempt) == ("Pending", 2, 1, 1), "sending is no recovery"
    assert await workflow(ledger, row) == ("ENQUEUED", "chaingraph-executions@default/1", 993, place)
    assert await release(ledger) == 0, "there is a worker for it"
    claim = await take(ledger, execution, "old-too", OLD)
    assert claim is not None
    assert claim.run == 2


async def test_run_is_sent_on_only_once(ledger: Ledger) -> None:
    execution = await lost_by_one_of_three(ledger)
    with pytest.raises(PinnedElsewhere):
        await take(ledger, execution, "new", NEW)
    with pytest.raises(PinnedElsewhere):
        async with ledger.connection() as connection:
            await runs.claim(
                connection, execution, workflow=(await row_of(ledger, execution)).workflow_id, worker="new", build=NEW
            )
    found = await row_of(ledger, execution)
    assert await send(ledger, found, "old-too") is None, "DBOS gave it to another one"
    assert await send(ledger, found, "new") == OLD
    assert await send(ledger, found, "new") is None
    async with ledger.connection() as connection:
        assert await runs.claim(connection, execution, workflow=found.workflow_id, worker="new", build=NEW) is None
    assert (await row_of(ledger, execution)).run == 2


async def test_sender_lost_before_sending_loses_no_run(ledger: Ledger) -> None:
    execution = await lost_by_one_of_three(ledger)
    with pytest.raises(PinnedElsewhere):
        await take(ledger, execution, "new", NEW)
    await lost(ledger, "new")
    row = await row_of(ledger, execution)
    assert (row.phase, row.recoveries) == ("Pending", 1), "it had not begun there"
    assert (await workflow(ledger, row))[:2] == ("ENQUEUED", QUEUE)
    assert await take(ledger, execution, "old-too", OLD) is not None


async def test_sender_lost_after_sending_leaves_cancelled_workflow(ledger: Ledger) -> None:
    execution = await lost_by_one_of_three(ledger)
    row = await sent(ledger, execution)
    await lost(ledger, "new")
    assert (await workflow(ledger, row))[:2] == ("ENQUEUED", pin_queue(QUEUE, OLD))
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT status FROM dbos.workflow_status WHERE workflow_uuid = %s", (execution,)
        )
        assert await cursor.fetchone() == ("CANCELLED",)


@pytest.mark.parametrize("gone", ["lost", "draining", "expired", "never there", "of another queue", "of another pool"])
async def test_run_is_unpinned_without_workers_of_its_version(ledger: Ledger, gone: str) -> None:
    await worker(ledger, "new", NEW)
    await worker(ledger, "old", OLD)
    match gone:
        case "of another queue":
            await worker(ledger, "old-too", OLD, queues=("other",))
        case "of another pool":
            await worker(ledger, "old-too", Build("other", "1"))
        case "expired":
            await worker(ledger, "old-too", OLD, seconds=-1)
        case "draining":
            await worker(ledger, "old-too", OLD)
            async with ledger.connection() as connection:
                await leases.drain(connection, "old-too")
        case "lost":
            await lost(ledger, await worker(ledger, "old-too", OLD))
    execution = await begun(ledger, "old", OLD)
    await lost(ledger, "old")
    assert await take(ledger, execution, "new", NEW) is not None
    assert (await row_of(ledger, execution)).worker_version == "2"


async def test_release_requeues_runs_of_a_version_without_workers(ledger: Ledger) -> None:
    execution = await lost_by_one_of_three(ledger, priority=7)
    place = (await workflow(ledger, await sent(ledger, execution)))[3]
    await lost(ledger, "old-too")
    assert await release(ledger) == 1
    assert await release(ledger) == 0
    row = await row_of(ledger, execution)
    assert await workflow(ledger, row) == ("ENQUEUED", QUEUE, 993, place)
    assert (row.phase, row.recoveries) == ("Pending", 1)
    assert await take(ledger, execution, "new", NEW) is not None


async def test_lost_worker_returns_sent_run_to_main_queue(ledger: Ledger) -> None:
    execution = await lost_by_one_of_three(ledger)
    await sent(ledger, execution)
    claim = await take(ledger, execution, "old-too", OLD)
    assert claim is not None
    await lost(ledger, "old-too")
    row = await row_of(ledger, execution)
    assert (await workflow(ledger, row))[:2] == ("ENQUEUED", QUEUE)
    assert row.recoveries == 2
    async with ledger.connection() as connection:
        with pytest.raises(OwnershipLost):
            await runs.flush(connection, claim, journal=[], log=[], progress=RUNNING)


async def test_pinned_run_can_be_paused_resumed_and_stopped(ledger: Ledger) -> None:
    execution = await lost_by_one_of_three(ledger)
    await sent(ledger, execution)
    await steer(ledger, execution, PLAIN, 2, paused=True)
    row = await row_of(ledger, execution)
    assert (row.phase, row.parked) == ("Paused", True)
    assert (await workflow(ledger, row))[0] == "CANCELLED"
    assert OLD not in (await builds(ledger)).loads, "a parked execution keeps no version"
    await steer(ledger, execution, PLAIN, 3)
    row = await row_of(ledger, execution)
    assert (row.run, row.phase) == (3, "Pending")
    assert (await workflow(ledger, row))[:2] == ("ENQUEUED", QUEUE)
    assert (await builds(ledger)).loads[OLD].waiting == 1, "resumed, it does"
    await sent(ledger, execution)
    assert await stop(ledger, execution)
    row = await row_of(ledger, execution)
    assert (row.phase, (await workflow(ledger, row))[0]) == ("Stopped", "CANCELLED")
    assert OLD not in (await builds(ledger)).loads


async def test_parked_execution_resumes_elsewhere_without_its_version(ledger: Ledger) -> None:
    await worker(ledger, "old", OLD)
    await worker(ledger, "new", NEW)
    new = await create(ledger, breakpoints=("a",))
    claim = await take(ledger, new.id, "old", OLD)
    assert claim is not None
    await flush(ledger, claim, "flow:started", "flow:paused", paused=True, node="a", current=["a"])
    assert await park(ledger, claim)
    await lost(ledger, "old")
    await steer(ledger, new.id, PLAIN, 2, resume="on", breakpoints=("a",))
    assert await take(ledger, new.id, "new", NEW) is not None


async def test_a_retry_is_not_pinned(ledger: Ledger) -> None:
    await worker(ledger, "old", OLD)
    await worker(ledger, "new", NEW)
    new = await create(ledger)
    claim = await take(ledger, new.id, "old", OLD)
    assert claim is not None
    async with ledger.connection() as connection:
        end = runs.AttemptEnd("Failed", error_reason="NodeFailed", error_message="it is Monday")
        await runs.flush(connection, claim, journal=[], log=[], progress=RUNNING, end=end)
    assert (await row_of(ledger, new.id)).worker_version == "1", "an ended one says who ran it"
    async with ledger.transaction() as connection:
        asked = retrying.RetryRequest(token="again", from_start=False, paused=False, options={})
        assert await retrying.retry(connection, new.id, asked, generation=2, application_name=APP)
    assert await take(ledger, new.id, "new", NEW) is not None


async def test_builds_report_workers_and_pinned_loads(ledger: Ledger) -> None:
    await three_workers(ledger)
    lasting = await begun(ledger, "old-too", OLD)
    execution = await begun(ledger, "old", OLD)
    unclaimed = await create(ledger)
    async with ledger.connection() as connection:
        assert await dequeue(connection, unclaimed.id, "new")
        await pinning.set_retired(connection, OLD, retired=True)
    found = await builds(ledger)
    assert found.workers == {OLD: WorkerCapacity(2, 2, 2), NEW: WorkerCapacity(1, 1, 0)}
    assert found.loads == {OLD: pinning.Load(2, 0), NEW: pinning.Load(1, 0)}
    await lost(ledger, "old")
    assert (await builds(ledger)).loads[OLD] == pinning.Load(1, 1), "handed back, and still waited for"
    await sent(ledger, execution)
    assert (await builds(ledger)).loads[OLD] == pinning.Load(1, 1)
    await lost(ledger, "old-too")
    for each in (lasting, execution):
        assert await release(ledger) <= 1
        assert await take(ledger, each, "new", NEW) is not None
    found = await builds(ledger)
    assert found.workers == {NEW: WorkerCapacity(1, 1, 0)}
    assert found.loads == {NEW: pinning.Load(4, 0)}, "with the workflow that has sent one on, until DBOS ends it"


async def test_lease_renewal_reports_retirement_and_serving_state(ledger: Ledger) -> None:
    await worker(ledger, "old", OLD)
    await worker(ledger, "new", NEW)
    async with ledger.connection() as connection:
        assert await leases.renew(connection, "old", seconds=60, serving=False) == leases.Renewal(retired=False)
        assert await leases.served_queues(connection) == {QUEUE}
        assert await leases.catalogues_in_force(connection) == [{"name": "default/1"}, {"name": "default/2"}]
        assert await pinning.set_retired(connection, OLD, retired=True) == 1
        assert await pinning.set_retired(connection, OLD, retired=True) == 0
        assert await leases.catalogues_in_force(connection) == [{"name": "default/2"}]
        assert await leases.renew(connection, "old", seconds=60, serving=True) == leases.Renewal(retired=True)
        assert (await builds(ledger)).workers[OLD] == WorkerCapacity(1, 1, 1)
        assert await leases.renew(connection, "old", seconds=60, serving=False) == leases.Renewal(retired=True)
        assert (await builds(ledger)).workers[OLD] == WorkerCapacity(1, 0, 1)
        await leases.release(connection, "new")
        assert await leases.served_queues(connection) == set()
        assert await leases.catalogues_in_force(connection) == [{"name": "default/1"}], "none other lives"
        # Back again: before the worker has heard of it, it counts as serving.
        await pinning.set_retired(connection, OLD, retired=False)
        assert await leases.renew(connection, "old", seconds=60, serving=False) == leases.Renewal(retired=False)
        assert (await builds(ledger)).workers[OLD] == WorkerCapacity(1, 1, 0)


async def test_later_worker_inherits_retirement_of_its_version(ledger: Ledger) -> None:
    await worker(ledger, "old", OLD)
    async with ledger.connection() as connection:
        await pinning.set_retired(connection, OLD, retired=True)
    await worker(ledger, "later", OLD)
    await worker(ledger, "new", NEW)
    assert (await builds(ledger)).workers == {OLD: WorkerCapacity(2, 1, 2), NEW: WorkerCapacity(1, 1, 0)}
    async with ledger.connection() as connection:
        await pinning.set_retired(connection, OLD, retired=False)
    await worker(ledger, "last", OLD)
    assert (await builds(ledger)).workers[OLD].retired == 0


async def test_pin_queue_is_forgotten_with_its_last_worker(ledger: Ledger) -> None:
    await worker(ledger, "old", OLD)
    async with ledger.connection() as connection:
        for name in (QUEUE, pin_queue(QUEUE, OLD), pin_queue(QUEUE, NEW)):
            await connection.execute(
                "INSERT INTO dbos.queues (queue_id, name, polling_interval_sec, created_at, updated_at)"
                " VALUES (gen_random_uuid()::text, %s, 1, 1, 1)",
                (name,),
            )
        assert await pinning.forget_queues(connection) == 1
        cursor = await connection.execute("SELECT name FROM dbos.queues ORDER BY name")
        assert [row[0] for row in await cursor.fetchall()] == [QUEUE, pin_queue(QUEUE, OLD)]
