"""Retry: the next attempt, from where the last one failed or from the start, and what refuses it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from chaingraph_store.attempts import runs
from chaingraph_store.commands import retrying, stopping
from chaingraph_store.commands.control import ControlUpdate
from chaingraph_store.commands.retrying import RefusedRetry
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.ids import ExecutionId, WorkflowId
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import releasing
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import (
    claim,
    claimed,
    flush,
    hand_back,
    log_of,
    messages,
    paused_and_parked,
    priority_in_queue,
    retry,
    steer,
    stop,
    workflows,
)
from fixtures.ledger.new_executions import APP, create

pytestmark = pytest.mark.integration
FAILED = runs.AttemptEnd("Failed", error_node="b", error_reason="NodeFailed", error_message="broken")


async def fail(ledger: Ledger, execution: ExecutionId, worker: str = "worker-1") -> runs.Claim:
    taken = await claimed(ledger, execution, worker)
    await flush(ledger, taken, "flow:started", "flow:failed", journal=["a"], completed=1, ran_ms=900, end=FAILED)
    return taken


def _milliseconds(moment: datetime | None) -> str:
    """As the status has times."""
    assert moment is not None
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


async def test_retry_from_failed_nodes_continues_the_journal(ledger: Ledger) -> None:
    new = await create(ledger)
    zombie = await fail(ledger, new.id)
    ended = _milliseconds((await row_of(ledger, new.id)).finished_at)
    assert await retry(ledger, new.id, "again", breakpoints=["b"]) is True
    row = await row_of(ledger, new.id)
    assert (row.phase, row.attempt, row.run, row.workflow_id) == ("Pending", 2, 2, f"{new.id}-2")
    assert (row.error_node, row.error_reason, row.error_message, row.outputs) == ("", "", "", None)
    assert (row.started_at, row.finished_at, row.ran_ms) == (None, None, 0)
    assert (row.nodes_completed, row.nodes_failed) == (1, 0), "what the journal keeps counts before it runs again"
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT recovered_nodes FROM chaingraph.executions WHERE id = %s", [new.id])
        assert await cursor.fetchone() == (1,), "a lost worker has not done what was kept"
    assert (row.nodes_total, row.retry_token, row.breakpoints) == (3, "again", ["b"])
    assert (await workflows(ledger))[f"{new.id}-2"] == "ENQUEUED"
    (earlier,) = row.attempts
    assert earlier.pop("startTime") <= earlier.pop("completionTime") == ended
    assert earlier == {
        "attempt": 1,
        "phase": "Failed",
        "reason": "NodeFailed",
        "message": "broken",
        "node": "b",
        "retriedFrom": "Failed",
    }
    taken = await claimed(ledger, new.id)
    assert json.loads(taken.journal) == [[1, {"node": "a"}]]
    assert (taken.attempt, taken.run, taken.started_before, taken.ran_ms) == (2, 2, False, 0)
    assert json.loads(taken.options) == {"maxConcurrency": 7}, "the options of the spec as it is now"
    with pytest.raises(OwnershipLost):
        await flush(ledger, zombie, "late")
    await flush(ledger, taken, "flow:started", journal=["a", "b"])
    again = await claimed(ledger, new.id)
    assert [attempt for attempt, _ in json.loads(again.journal)] == [2, 2]


async def test_retry_from_start_empties_the_journal(ledger: Ledger) -> None:
    new = await create(ledger)
    await fail(ledger, new.id)
    assert await retry(ledger, new.id, "again", from_start=True) is True
    assert (await row_of(ledger, new.id)).nodes_completed == 0
    assert (await claimed(ledger, new.id)).journal == b"[]"
    assert (await row_of(ledger, new.id)).attempts[0]["retriedFrom"] == "Start"


async def test_retry_token_starts_one_attempt(ledger: Ledger) -> None:
    new = await create(ledger)
    await fail(ledger, new.id)
    results = await asyncio.gather(*(retry(ledger, new.id, "again") for _ in range(4)))
    assert sorted(map(str, results)) == ["False", "False", "False", "True"]
    assert (await row_of(ledger, new.id)).attempt == 2


async def test_retry_refusal_of_active_or_completed_uses_up_token(ledger: Ledger) -> None:
    new = await create(ledger)
    refused = await retry(ledger, new.id, "1")
    assert isinstance(refused, RefusedRetry)
    assert refused == RefusedRetry("StillRunning", "the execution was Pending. Stop it first, or wait for its end")
    row = await row_of(ledger, new.id)
    assert (row.retry_token, row.retry_refusal, row.retry_refusal_message, row.attempt) == (
        "1",
        refused.reason,
        refused.message,
        1,
    )
    await stop(ledger, new.id)
    assert await retry(ledger, new.id, "1") is False, "it does not start something later"
    assert await retry(ledger, new.id, "2") is True
    assert (await row_of(ledger, new.id)).retry_refusal == ""
    taken = await claimed(ledger, new.id)
    assert await retry(ledger, new.id, "3") == RefusedRetry(
        "StillRunning", "the execution was Running. Stop it first, or wait for its end"
    )
    await flush(ledger, taken, "flow:completed", end=runs.AttemptEnd("Completed"))
    assert "has completed" in str(await retry(ledger, new.id, "4"))
    assert "not in the database" in str(await retry(ledger, ExecutionId("EXNOTHING"), "1"))


async def test_retry_refusal_can_be_repeated(ledger: Ledger) -> None:
    new = await create(ledger)
    no = RefusedRetry("StillRunning", "no")
    for first in (True, False):
        async with ledger.connection() as connection:
            assert await retrying.refuse_retry(connection, new.id, "1", no, generation=1) is first
    async with ledger.connection() as connection:
        assert not await retrying.refuse_retry(connection, ExecutionId("EXNOTHING"), "1", no, generation=1)


async def test_a_retry_can_begin_paused(ledger: Ledger) -> None:
    new = await create(ledger)
    await paused_and_parked(ledger, new.id)
    await stop(ledger, new.id)
    assert await retry(ledger, new.id, "again", paused=True, step="seen") is True
    row = await row_of(ledger, new.id)
    assert (row.phase, row.parked, row.paused, row.wants_pause) == ("Paused", True, True, True)
    assert (row.pause_node, row.step_token, row.current_nodes) == ("", "seen", [])
    assert f"{new.id}-2" not in await workflows(ledger)
    assert await steer(ledger, new.id, paused=True, step="seen") == ControlUpdate()
    assert await steer(ledger, new.id, step="seen") == ControlUpdate(("RESUME",))
    assert (await row_of(ledger, new.id)).workflow_id == f"{new.id}-3"
    assert await log_of(ledger, new.id) == [
        "flow:started",
        "flow:paused",
        "flow:cancelled",
        "flow:paused",
        "flow:resumed",
    ]


async def unstarted(ledger: Ledger, execution: ExecutionId, *, attempt: int = 1) -> float:
    async with ledger.transaction() as connection:
        return await stopping.fail_unstarted(connection, execution, attempt=attempt)


async def released(ledger: Ledger, execution: ExecutionId, *, attempt: int = 1) -> bool:
    async with ledger.transaction() as connection:
        return await releasing.release(connection, execution, application_name=APP, attempt=attempt)


async def test_retry_enqueues_execution_that_never_started(ledger: Ledger) -> None:
    new = await create(ledger, held=True, start_timeout_seconds=0)
    assert await unstarted(ledger, new.id) == 0
    assert await retry(ledger, new.id, "again") is True
    row = await row_of(ledger, new.id)
    assert (row.phase, row.workflow_id) == ("Pending", f"{new.id}-2")
    assert (row.attempts[0]["reason"], row.attempts[0]["startTime"]) == ("StartTimeout", None)
    assert not await released(ledger, new.id), "a late START_SIGNAL"
    assert (await claimed(ledger, new.id)).run == 2


@pytest.mark.parametrize("how", ["start timeout", "stop", "stop in the queue"])
async def test_retry_keeps_start_gate_of_what_never_started(ledger: Ledger, how: str) -> None:
    new = await create(ledger, held=how != "stop in the queue", start_timeout_seconds=0)
    if how == "start timeout":
        assert await unstarted(ledger, new.id) == 0
    else:
        assert await stop(ledger, new.id)
    assert await retry(ledger, new.id, "again", paused=True, start_timeout_seconds=60, priority=4) is True
    row = await row_of(ledger, new.id)
    assert (row.phase, row.wants_pause, row.paused, row.parked) == ("Created", True, False, False)
    live = {workflow for workflow, state in (await workflows(ledger, new.id)).items() if state == "ENQUEUED"}
    assert live - {f"{new.id}-hold"} == {f"{new.id}-hold-2"}
    assert 50 < await unstarted(ledger, new.id, attempt=2) <= 60, "it is counted from the retry"
    assert await unstarted(ledger, new.id) == 0, "the wait of the former attempt ends nothing"
    assert not await released(ledger, new.id), "nor does it start anything"
    assert (await row_of(ledger, new.id)).phase == "Created"
    assert await steer(ledger, new.id, priority=4, start_timeout_seconds=60) == ControlUpdate(("START",))
    assert await released(ledger, new.id, attempt=2)
    assert (await workflows(ledger, new.id))[f"{new.id}-2"] == "ENQUEUED"
    assert await priority_in_queue(ledger, f"{new.id}-2") == 4
    assert "flow:paused" not in await log_of(ledger, new.id)


async def test_start_timeout_of_a_held_execution_can_be_changed(ledger: Ledger) -> None:
    new = await create(ledger, held=True, start_timeout_seconds=0)
    longer = await steer(ledger, new.id, paused=True, start_timeout_seconds=100)
    assert longer == ControlUpdate(("START_TIMEOUT",))
    assert 90 < await unstarted(ledger, new.id) <= 100
    assert await messages(ledger, new.id) == [], "its wait finds it by itself"
    assert await steer(ledger, new.id, paused=True, start_timeout_seconds=0) == ControlUpdate(("START_TIMEOUT",))
    assert await messages(ledger, new.id) == [(f"{new.id}-hold", "START_SIGNAL", "LOOK")]
    assert await unstarted(ledger, new.id) == 0
    row = await row_of(ledger, new.id)
    assert (row.phase, row.error_reason) == ("Failed", "StartTimeout")
    assert "Not started within 0 s (spec.startTimeoutSeconds)" in row.error_message
    assert (await log_of(ledger, new.id))[-1] == "flow:failed"


async def test_attempt_history_keeps_newest_and_truncates_messages(ledger: Ledger) -> None:
    new = await create(ledger)
    for n in range(12):
        taken = await claimed(ledger, new.id)
        await flush(ledger, taken, "flow:failed", end=replace(FAILED, error_message="x" * 5000))
        assert await retry(ledger, new.id, str(n)) is True
    row = await row_of(ledger, new.id)
    assert (row.attempt, row.run) == (13, 13)
    assert [earlier["attempt"] for earlier in row.attempts] == list(range(3, 13))
    assert {len(earlier["message"]) for earlier in row.attempts} == {1024}


async def test_hand_back_does_not_requeue_earlier_attempt(ledger: Ledger) -> None:
    """Its worker died after it had written the end, before its workflow could return."""
    new = await create(ledger)
    await fail(ledger, new.id, "dead")
    assert await retry(ledger, new.id, "again") is True
    assert await hand_back(ledger, "dead") == []
    assert await workflows(ledger) == {new.id: "CANCELLED", f"{new.id}-2": "ENQUEUED"}


async def test_retry_and_stop_at_once_apply_one_after_the_other(ledger: Ledger) -> None:
    for n in range(10):
        new = await create(ledger)
        await fail(ledger, new.id, f"worker-{n}")
        retried, stopped = await asyncio.gather(retry(ledger, new.id, "again"), stop(ledger, new.id))
        assert retried is True
        row = await row_of(ledger, new.id)
        # The stop that came first met what had ended; the one that came second ended the second attempt.
        assert (row.phase, row.attempt) == ("Stopped" if stopped else "Pending", 2)
        live = [each for each, state in (await workflows(ledger)).items() if state == "ENQUEUED" and new.id in each]
        assert live == ([] if stopped else [f"{new.id}-2"])


async def test_a_late_claim_of_an_earlier_run_finds_nothing(ledger: Ledger) -> None:
    new = await create(ledger)
    async with ledger.connection() as connection:
        await connection.execute("UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = 'worker-1'")
    await stop(ledger, new.id)
    assert await retry(ledger, new.id, "again") is True
    async with ledger.connection() as connection:
        await connection.execute("UPDATE dbos.workflow_status SET status = 'PENDING' WHERE status = 'CANCELLED'")
        assert await runs.claim(connection, new.id, workflow=WorkflowId(new.id), worker="worker-1") is None
    assert await claim(ledger, new.id) is not None
