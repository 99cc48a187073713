"""What ends or moves a running attempt from outside: stop, kill -9, a frozen worker, a drain, a lost database."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest

from chaingraph_store.commands import stopping
from chaingraph_store.commands.control import ControlUpdate
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import leases, recovery
from fixtures.flows.chains import WORK, assert_each_node_completed_once, events_of, hand_back_lost, running, steps
from fixtures.ledger.ledger import ended, row_of, wait_for
from fixtures.ledger.moves import retry, steer
from fixtures.ledger.new_executions import APP, create_of
from fixtures.processes.programs import RunWorker

pytestmark = [pytest.mark.integration, pytest.mark.crash]


async def test_a_stop_interrupts_the_node_in_flight_at_once(ledger: Ledger, run_worker: RunWorker) -> None:
    worker = run_worker()
    execution = await create_of(ledger, WORK)
    await wait_for(ledger, execution, running)
    async with ledger.transaction() as connection:
        assert await stopping.stop(connection, execution, reason="enough")
    for _ in range(100):
        if "no longer belongs to this worker" in worker.log:
            break
        await asyncio.sleep(0.02)
    assert "no longer belongs to this worker" in worker.log
    log = await events_of(ledger, execution)
    assert [event.type for event in log][-1] == "flow:cancelled"
    assert (await row_of(ledger, execution)).phase == "Stopped"
    assert worker.get("/readyz").status_code == 200
    following = await create_of(ledger, steps(1, 1))
    assert (await ended(ledger, following)).phase == "Completed", "the worker goes on"


async def test_execution_of_killed_worker_resumes_elsewhere(ledger: Ledger, run_worker: RunWorker) -> None:
    first = run_worker()
    execution = await create_of(ledger, steps(8, 150))
    await wait_for(ledger, execution, lambda row: row.nodes_completed >= 3)
    first.kill()
    journaled = (await row_of(ledger, execution)).nodes_completed
    second = run_worker().wait_ready()
    killed = time.monotonic()
    row = await ended(ledger, execution)
    assert (row.phase, row.worker, row.nodes_completed) == ("Completed", second.executor_id, 8)
    assert f'"worker":"{first.executor_id}"' in second.log, "the other worker has handed it back"
    assert row.run == 1, "nothing sent it to another version"
    assert time.monotonic() - killed < 30
    log = await events_of(ledger, execution)
    assert_each_node_completed_once(log, 8)
    assert f'"journaled":{journaled}' in second.log, "the journal's nodes were not run again"


async def test_a_frozen_worker_wakes_up_fenced_and_exits(ledger: Ledger, run_worker: RunWorker) -> None:
    first = run_worker()
    execution = await create_of(ledger, steps(8, 150))
    await wait_for(ledger, execution, lambda row: row.nodes_completed >= 2)
    os.kill(first.process.pid, signal.SIGSTOP)
    await hand_back_lost(ledger)
    run_worker()
    await wait_for(ledger, execution, lambda row: row.phase == "Running")
    os.kill(first.process.pid, signal.SIGCONT)
    assert await asyncio.to_thread(first.process.wait, 15) == 70
    assert "exiting immediately" in first.log
    row = await ended(ledger, execution)
    assert (row.phase, row.nodes_completed) == ("Completed", 8)
    assert_each_node_completed_once(await events_of(ledger, execution), 8)


async def test_a_drain_lets_short_work_end(ledger: Ledger, run_worker: RunWorker) -> None:
    worker = run_worker(CHAINGRAPH_DRAIN_SECONDS="20")
    execution = await create_of(ledger, steps(4, 200))
    await wait_for(ledger, execution, running)
    assert await asyncio.to_thread(worker.terminate) == 0
    assert (await row_of(ledger, execution)).phase == "Completed"


async def test_a_drain_hands_long_work_back(ledger: Ledger, run_worker: RunWorker) -> None:
    first = run_worker(CHAINGRAPH_DRAIN_SECONDS="0.5")
    execution = await create_of(ledger, steps(20, 150))
    await wait_for(ledger, execution, lambda row: row.nodes_completed >= 2)
    assert await asyncio.to_thread(first.terminate) == 0
    row = await row_of(ledger, execution)
    assert (row.phase, row.recoveries) == ("Pending", 0), "handed back at once, and nothing was lost"
    second = run_worker()
    row = await ended(ledger, execution)
    assert (row.phase, row.worker) == ("Completed", second.executor_id)
    assert_each_node_completed_once(await events_of(ledger, execution), 20)
    async with ledger.connection() as connection:
        alive = {each.executor_id: each.alive for each in await leases.all_workers(connection)}
    assert alive == {first.executor_id: False, second.executor_id: True}


async def test_a_held_execution_waits_for_its_signal(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker().wait_ready()
    execution = await create_of(ledger, steps(1, 1), held=True)
    await asyncio.sleep(1.5)
    assert (await row_of(ledger, execution)).phase == "Created"
    assert await steer(ledger, execution) == ControlUpdate(("START",))
    assert (await ended(ledger, execution)).phase == "Completed"


async def test_a_held_execution_survives_its_worker(ledger: Ledger, run_worker: RunWorker) -> None:
    first = run_worker().wait_ready()
    execution = await create_of(ledger, steps(1, 1), held=True)
    await asyncio.sleep(1)
    first.kill()
    await asyncio.sleep(2.5)
    async with ledger.transaction() as connection:
        lost = await recovery.lost_executors(connection, application_name=APP)
        await recovery.hand_back(connection, application_name=APP, executors=lost)
    assert await steer(ledger, execution) == ControlUpdate(("START",))
    run_worker()
    assert (await ended(ledger, execution)).phase == "Completed"


async def test_missing_start_signal_fails_with_start_timeout(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker()
    execution = await create_of(ledger, steps(1, 1), held=True, start_timeout_seconds=1)
    row = await ended(ledger, execution)
    assert (row.phase, row.error_reason) == ("Failed", "StartTimeout")
    assert row.error_message.startswith("Not started within 1 s (spec.startTimeoutSeconds)")
    assert [event.type for event in await events_of(ledger, execution)] == ["execution:created", "flow:failed"]


async def test_edited_start_timeout_counts_while_it_waits(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker().wait_ready()
    longer, shorter, started = [
        await create_of(ledger, steps(1, 1), held=True, start_timeout_seconds=seconds) for seconds in (2, 300, 2)
    ]
    for execution, seconds in ((longer, 5), (shorter, 1), (started, 300)):
        updated = await steer(ledger, execution, paused=True, start_timeout_seconds=seconds)
        assert updated == ControlUpdate(("START_TIMEOUT",))
    begun = time.monotonic()
    row = await ended(ledger, shorter)
    assert (row.phase, row.error_reason) == ("Failed", "StartTimeout")
    assert "within 1 s" in row.error_message
    row = await ended(ledger, longer)
    assert "within 5 s" in row.error_message
    assert time.monotonic() - begun > 3
    assert (await row_of(ledger, started)).phase == "Created", "its first timeout is over"
    assert await steer(ledger, started, start_timeout_seconds=300) == ControlUpdate(("START",))
    assert (await ended(ledger, started)).phase == "Completed"


async def test_retry_waits_at_the_start_gate_again(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker().wait_ready()
    once, again = [await create_of(ledger, steps(1, 1), held=True, start_timeout_seconds=1) for _ in range(2)]
    for execution in (once, again):
        assert (await ended(ledger, execution)).error_reason == "StartTimeout"
        seconds = 300 if execution == once else 1
        assert await retry(ledger, execution, "1", paused=True, start_timeout_seconds=seconds, options={}) is True
    row = await ended(ledger, again)
    assert (row.attempt, row.error_reason) == (2, "StartTimeout"), "with a timeout of its own"
    assert (await row_of(ledger, once)).phase == "Created"
    assert await steer(ledger, once, options={}) == ControlUpdate(("START",))
    row = await ended(ledger, once)
    assert (row.phase, row.attempt) == ("Completed", 2)
