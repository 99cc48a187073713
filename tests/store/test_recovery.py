"""Leases, and the hand-back of the work of workers whose lease has run out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chaingraph_store import events, executions
from chaingraph_store.attempts import runs
from chaingraph_store.commands import stopping
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.ids import ExecutionId, WorkflowId, hold_workflow_id
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import leases, recovery
from fixtures.ledger import moves
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import claimed, flush, log_of, steer, take_from_queue, workflows
from fixtures.ledger.new_executions import APP, create, dequeue
from fixtures.ledger.new_leases import take_lease

pytestmark = pytest.mark.integration
NOTHING = runs.AttemptProgress(total=1, completed=0, failed=0, skipped=0, running=0, current_nodes=[])


async def hand_back(ledger: Ledger, **options: Any) -> list[recovery.HandedBack]:
    async with ledger.transaction() as connection:
        lost = await recovery.lost_executors(connection, application_name=APP)
        return await recovery.hand_back(
            connection,
            application_name=APP,
            executors=lost,
            **options,
        )


async def test_expired_lease_can_be_renewed_until_hand_back(ledger: Ledger) -> None:
    await take_lease(ledger, "worker-1", seconds=0.05)
    new = await create(ledger)
    await take_from_queue(ledger, new.id, "worker-1")
    await asyncio.sleep(0.1)
    async with ledger.connection() as connection:
        assert await leases.renew(connection, "worker-1", seconds=0.05), "an outage alone costs no lease"
    await asyncio.sleep(0.1)
    assert len(await hand_back(ledger)) == 1
    async with ledger.connection() as connection:
        assert not await leases.renew(connection, "worker-1", seconds=60)


async def test_lease_can_be_renewed_until_released(ledger: Ledger) -> None:
    await take_lease(ledger, "worker-1")
    async with ledger.connection() as connection:
        assert await leases.renew(connection, "worker-1", seconds=60)
        await leases.release(connection, "worker-1")
        assert not await leases.renew(connection, "worker-1", seconds=60)


async def test_hand_back_takes_only_work_of_lost_workers(ledger: Ledger) -> None:
    await take_lease(ledger, "alive")
    await take_lease(ledger, "dead", seconds=0.05)
    kept, lost, orphan = await create(ledger), await create(ledger), await create(ledger)
    await take_from_queue(ledger, kept.id, "alive")
    zombie = await take_from_queue(ledger, lost.id, "dead")
    await take_from_queue(ledger, orphan.id, "never-had-a-lease")
    await asyncio.sleep(0.1)
    returned = await hand_back(ledger)
    assert {(back.execution_id, back.worker) for back in returned} == {
        (lost.id, "dead"),
        (orphan.id, "never-had-a-lease"),
    }
    async with ledger.connection() as connection:
        rows = await executions.by_ids(connection, [kept.id, lost.id])
        assert rows[kept.id].phase == "Running"
        assert (rows[lost.id].phase, rows[lost.id].lost_worker, rows[lost.id].recoveries) == ("Pending", "dead", 1)
        with pytest.raises(OwnershipLost):
            await runs.flush(connection, zombie, journal=[], log=[], progress=NOTHING)
    assert await hand_back(ledger) == [], "once"
    again = await take_from_queue(ledger, lost.id, "alive")
    assert again.epoch > zombie.epoch
    async with ledger.connection() as connection:
        row = await executions.by_id(connection, lost.id)
    assert row is not None
    assert (row.phase, row.worker, row.lost_worker) == ("Running", "alive", "")


async def test_a_drain_does_not_count_as_a_recovery(ledger: Ledger) -> None:
    new = await create(ledger)
    await take_from_queue(ledger, new.id, "draining")
    (back,) = await hand_back(ledger, counts=False)
    assert (back.recoveries, back.given_up) == (0, False)
    assert (await log_of(ledger, new.id))[-1] == "worker:drained"


async def test_execution_fails_after_too_many_recoveries(ledger: Ledger) -> None:
    new = await create(ledger)
    for loss in range(1, 4):
        await take_from_queue(ledger, new.id, f"victim-{loss}")
        (back,) = await hand_back(ledger, max_recoveries=3)
        assert (back.recoveries, back.given_up) == (loss, loss == 3)
    async with ledger.connection() as connection:
        row = await executions.by_id(connection, new.id)
        log = await events.read(connection, new.id)
        cursor = await connection.execute("SELECT status FROM dbos.workflow_status")
        assert await cursor.fetchall() == [("CANCELLED",)]
    assert row is not None
    assert (row.phase, row.error_reason) == ("Failed", "TooManyRecoveries")
    assert "victim-3" in row.error_message
    assert log[-1].type == "flow:failed"
    lost = [event.data for event in log if event.type == "worker:lost"]
    assert [(each["worker"], each["attempt"], each["next"]) for each in lost] == [
        ("victim-1", 1, "queued"),
        ("victim-2", 1, "queued"),
        ("victim-3", 1, "failed"),
    ]
    assert [event.index for event in log] == list(range(-1, len(log) - 1)), "no gap, and none twice"


async def test_catalogues_of_live_workers_are_in_force(ledger: Ledger) -> None:
    await take_lease(ledger, "old", seconds=0.05, nodes="old")
    await asyncio.sleep(0.1)
    async with ledger.connection() as connection:
        assert await leases.catalogues_in_force(connection) == [{"name": "old"}], "nobody lives: the one seen last"
        await take_lease(ledger, "a", nodes="new")
        await take_lease(ledger, "b", nodes="other")
        await take_lease(ledger, "c", nodes="other")
        assert await leases.catalogues_in_force(connection) == [{"name": "new"}, {"name": "other"}]
        assert await leases.served_queues(connection) == {"chaingraph-executions"}


async def test_dead_workers_are_forgotten_except_the_last(ledger: Ledger) -> None:
    for name in ("first", "second", "third"):
        await take_lease(ledger, name, seconds=0.01)
    await asyncio.sleep(0.05)
    async with ledger.connection() as connection:
        assert await leases.forget_dead(connection, after_seconds=3600) == 0
        assert await leases.forget_dead(connection, after_seconds=0) == 2
        assert [worker.executor_id for worker in await leases.all_workers(connection)] == ["third"]


async def test_progress_between_losses_resets_recovery_count(ledger: Ledger) -> None:
    new = await create(ledger)
    counts = []
    for loss, done in enumerate((0, 0, 1, 1, 2)):
        claim = await take_from_queue(ledger, new.id, f"victim-{loss}")
        progress = runs.AttemptProgress(total=9, completed=done, failed=0, skipped=0, running=0, current_nodes=[])
        async with ledger.connection() as connection:
            await runs.flush(connection, claim, journal=[], log=[], progress=progress)
        (back,) = await hand_back(ledger)
        counts.append(back.recoveries)
    assert counts == [1, 2, 1, 2, 1]


async def test_a_stop_and_a_hand_back_at_once_do_not_deadlock(ledger: Ledger) -> None:
    for _ in range(15):
        new = await create(ledger)
        await take_from_queue(ledger, new.id, "dead")

        async def stop(execution: ExecutionId = new.id) -> bool:
            async with ledger.transaction() as connection:
                return await stopping.stop(connection, execution, reason="enough")

        stopped, _ = await asyncio.gather(stop(), hand_back(ledger))
        assert stopped
        async with ledger.connection() as connection:
            row = await executions.by_id(connection, new.id)
        assert row is not None
        assert row.phase == "Stopped"


async def test_a_claim_that_waited_for_a_hand_back_is_refused(ledger: Ledger) -> None:
    new = await create(ledger)
    await take_from_queue(ledger, new.id, "dead")
    async with ledger.transaction() as connection:
        await recovery.hand_back(connection, application_name=APP, executors=["dead"])

        async def claim() -> runs.Claim | None:
            async with ledger.connection() as other:
                return await runs.claim(other, new.id, workflow=WorkflowId(new.id), worker="dead")

        waiting = asyncio.create_task(claim())
        await asyncio.sleep(0.2)
        assert not waiting.done(), "it waits for the row"
    assert await waiting is None


async def test_revive_requeues_execution_with_ended_workflow(ledger: Ledger) -> None:
    new = await create(ledger)
    await take_from_queue(ledger, new.id, "w")
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE dbos.workflow_status SET status = 'ERROR', updated_at = updated_at - 60000, completed_at = 1"
        )
        await connection.execute(
            "INSERT INTO dbos.operation_outputs (workflow_uuid, function_id, function_name, error)"
            " VALUES (%s, 1, 'run_flow', 'boom')",
            (new.id,),
        )
    async with ledger.transaction() as connection:
        (back,) = await recovery.revive_stranded(connection, application_name=APP)
        assert (back.execution_id, back.recoveries) == (new.id, 1)
        assert await recovery.revive_stranded(connection, application_name=APP) == [], "once"
        cursor = await connection.execute("SELECT count(*) FROM dbos.operation_outputs")
        assert await cursor.fetchone() == (0,), "or DBOS would replay the error"
    again = await take_from_queue(ledger, new.id, "other")
    assert not again.started_before, "it was lost before it could say so"


async def test_hand_back_parks_paused_execution(ledger: Ledger) -> None:
    new = await create(ledger)
    taken = await claimed(ledger, new.id, "dead")
    await flush(ledger, taken, "flow:started", "flow:paused", paused=True, node="b", current=["b"])
    (back,) = await moves.hand_back(ledger, "dead")
    assert (back.parked, back.given_up, back.recoveries) == (True, False, 1)
    row = await row_of(ledger, new.id)
    assert (row.phase, row.parked, row.worker, row.lost_worker, row.current_nodes) == ("Paused", True, "", "", ["b"])
    assert await workflows(ledger) == {new.id: "CANCELLED"}
    assert await log_of(ledger, new.id) == ["flow:started", "flow:paused", "worker:lost"]
    with pytest.raises(OwnershipLost):
        await flush(ledger, taken, "late")


async def test_hand_back_announces_unapplied_pause(ledger: Ledger) -> None:
    new = await create(ledger)
    await claimed(ledger, new.id, "dead")
    await steer(ledger, new.id, paused=True)
    (back,) = await moves.hand_back(ledger, "dead")
    assert back.parked
    async with ledger.connection() as connection:
        log = await events.read(connection, new.id, from_index=0)
    assert [event.type for event in log] == ["worker:lost", "flow:paused"]
    assert log[-1].data == {"reason": "Paused"}


async def test_hand_back_announces_unapplied_resume(ledger: Ledger) -> None:
    new = await create(ledger, breakpoints=["b"])
    taken = await claimed(ledger, new.id, "dead")
    await flush(ledger, taken, "flow:paused", paused=True, node="b", current=["b"])
    await steer(ledger, new.id, breakpoints=("b",), resume="1")
    (back,) = await moves.hand_back(ledger, "dead")
    assert not back.parked
    assert await log_of(ledger, new.id) == ["flow:paused", "worker:lost", "flow:resumed"]
    again = await claimed(ledger, new.id)
    assert (again.paused, again.run, again.held_nodes) == (False, 1, ["b"]), "it is past that breakpoint"


async def test_next_worker_makes_step_owed_by_lost_worker(ledger: Ledger) -> None:
    new = await create(ledger)
    taken = await claimed(ledger, new.id, "dead")
    await steer(ledger, new.id, paused=True, step="1")
    await flush(ledger, taken, "flow:paused", paused=True, applied=2, steps_owed=1, current=["b"])
    (back,) = await moves.hand_back(ledger, "dead")
    assert not back.parked
    again = await claimed(ledger, new.id)
    assert (again.paused, again.steps_owed, again.held_nodes) == (True, 1, ["b"])
    await flush(ledger, again, paused=True)
    assert (await moves.hand_back(ledger, "worker-1"))[0].parked, "the step was made"
    assert await log_of(ledger, new.id) == ["flow:paused", "worker:lost", "worker:lost"]


async def test_hand_back_does_not_requeue_parked_execution(ledger: Ledger) -> None:
    new = await create(ledger)
    taken = await claimed(ledger, new.id, "dead")
    await flush(ledger, taken, "flow:paused", paused=True)
    assert await moves.park(ledger, taken)
    assert await moves.hand_back(ledger, "dead") == []
    assert await workflows(ledger) == {new.id: "CANCELLED"}
    await steer(ledger, new.id, resume="1")
    assert await workflows(ledger) == {new.id: "CANCELLED", f"{new.id}-2": "ENQUEUED"}


async def test_hand_back_requeues_unclaimed_workflows(ledger: Ledger) -> None:
    new, held = await create(ledger), await create(ledger, held=True)
    async with ledger.connection() as connection:
        assert await dequeue(connection, new.id, "dead")
        assert await dequeue(connection, hold_workflow_id(held.id), "dead")
    assert await moves.hand_back(ledger, "dead") == []
    assert await workflows(ledger) == {new.id: "ENQUEUED", hold_workflow_id(held.id): "ENQUEUED"}


async def test_a_paused_execution_that_kills_its_workers_is_given_up(ledger: Ledger) -> None:
    new = await create(ledger)
    taken = await claimed(ledger, new.id, "dead")
    await steer(ledger, new.id, paused=True)
    await flush(ledger, taken, "flow:paused", paused=True, applied=1, current=["bomb"])
    (back,) = await moves.hand_back(ledger, "dead", max_recoveries=1)
    assert back.given_up
    row = await row_of(ledger, new.id)
    assert (row.phase, row.parked, row.paused, row.error_reason) == ("Failed", False, False, "TooManyRecoveries")
    assert "bomb" in row.error_message
    assert await workflows(ledger) == {new.id: "CANCELLED"}


async def test_revive_ignores_ended_workflow_of_parked_execution(ledger: Ledger) -> None:
    new = await create(ledger)
    await moves.paused_and_parked(ledger, new.id)
    await long_ended(ledger)
    async with ledger.transaction() as connection:
        assert await recovery.revive_stranded(connection, application_name=APP) == []
    assert await workflows(ledger) == {new.id: "SUCCESS"}


async def test_stranded_later_run_is_requeued_or_parked(ledger: Ledger) -> None:
    running, paused = await create(ledger), await create(ledger)
    for new in (running, paused):
        await moves.paused_and_parked(ledger, new.id)
        await steer(ledger, new.id, resume="1")
        taken = await claimed(ledger, new.id)
        if new is paused:
            await flush(ledger, taken, "flow:paused", paused=True)
        await moves.finish_workflow(ledger, new.id)
    await long_ended(ledger)
    async with ledger.transaction() as connection:
        revived = await recovery.revive_stranded(connection, application_name=APP)
    assert {(back.execution_id, back.parked) for back in revived} == {(running.id, False), (paused.id, True)}
    states = await workflows(ledger)
    assert (states[f"{running.id}-2"], states[f"{paused.id}-2"]) == ("ENQUEUED", "CANCELLED")


async def long_ended(ledger: Ledger) -> None:
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE dbos.workflow_status SET updated_at = updated_at - 60000 WHERE status = 'SUCCESS'"
        )
