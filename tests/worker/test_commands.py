"""A worker obeys what its executions are told while they run: pause, resume, step, breakpoints, stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from chaingraph_flow import events as flow_events
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures.flows.chains import assert_each_node_ran_once, events_of, running, steps
from fixtures.ledger.ledger import ended, wait_for
from fixtures.ledger.moves import pauses_alternate, retry, stop, workflows
from fixtures.ledger.new_executions import create_of
from fixtures.ledger.spec_edits import Spec
from fixtures.processes.programs import RunWorker
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

NEVER = {"CHAINGRAPH_PARK_SECONDS": "3600"}


def quiet(row: ExecutionRow) -> bool:
    """Paused in its worker, with nothing in flight and every command taken."""
    return row.phase == "Paused" and not row.parked and not row.nodes_running and row.applied_seq == row.control_seq


def quiet_after(nodes: int) -> Callable[[ExecutionRow], bool]:
    return lambda row: quiet(row) and row.nodes_completed == nodes


async def types_of(ledger: Ledger, execution: ExecutionId) -> list[str]:
    return [event.type for event in await events_of(ledger, execution)]


@pytest.mark.parametrize("debug", [False, True])
async def test_paused_execution_steps_and_resumes(ledger: Ledger, run_worker: RunWorker, debug: bool) -> None:
    worker = run_worker(**NEVER).wait_ready()
    execution = await create_of(ledger, steps(20, 200), options={"debug": debug})
    spec = Spec(ledger, execution)
    await wait_for(ledger, execution, lambda row: running(row) and row.nodes_completed >= 1)
    await spec.pause()
    row = await wait_for(ledger, execution, quiet)
    assert (row.pause_node, row.worker) == ("", worker.executor_id)
    done = row.nodes_completed
    assert row.current_nodes == [f"s{done}"], "held just before it runs"
    await asyncio.sleep(0.5)
    assert (await wait_for(ledger, execution, quiet)).nodes_completed == done, "nothing begins"
    await spec.step()
    row = await wait_for(ledger, execution, quiet_after(done + 1))
    assert row.current_nodes == [f"s{done + 1}"]
    assert row.step_seqs == []
    await spec.resume()
    row = await ended(ledger, execution)
    assert (row.phase, row.nodes_completed, row.paused, row.pause_node) == ("Completed", 20, False, "")
    log = await events_of(ledger, execution)
    assert_each_node_ran_once(log, 20)
    told = [(event.type, event.data) for event in log if event.type in ("flow:paused", "flow:resumed")]
    assert told == [("flow:paused", {"reason": "Paused"}), ("flow:resumed", {})]
    assert any(event.type == flow_events.NODE_STATUS_CHANGED for event in log) == debug
    worker.wait_figure('chaingraph_worker_commands_total{kind="STEP"} 1.0')


async def test_breakpoints_stop_before_their_nodes(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(**NEVER).wait_ready()
    execution = await create_of(ledger, steps(5, 100), breakpoints=["s1"])
    spec = Spec(ledger, execution)
    spec.wanted = replace(spec.wanted, breakpoints=("s1",))
    row = await wait_for(ledger, execution, quiet)
    assert (row.current_nodes, row.pause_node, row.wants_pause) == (["s1"], "s1", False)
    await spec.breakpoints("s1", "s3", "nowhere")
    await spec.resume()
    row = await wait_for(ledger, execution, quiet_after(3))
    assert row.current_nodes == ["s3"]
    await spec.breakpoints()
    await wait_for(ledger, execution, lambda row: row.applied_seq == row.control_seq)
    assert (await wait_for(ledger, execution, quiet)).current_nodes == ["s3"], "taking it away does not resume"
    await spec.resume()
    assert (await ended(ledger, execution)).phase == "Completed"
    log = await events_of(ledger, execution)
    assert_each_node_ran_once(log, 5)
    hits = [event.data["nodeId"] for event in log if event.type == "debug:breakpoint-hit"]
    assert hits == ["s1", "s3"]


async def test_command_burst_is_applied_in_order(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(**NEVER).wait_ready()
    execution = await create_of(ledger, steps(300, 200))
    spec = Spec(ledger, execution)
    await wait_for(ledger, execution, running)
    for _ in range(5):
        await spec.pause()
        await spec.breakpoints("s299")
        await spec.step()
        await spec.resume()
        await spec.breakpoints()
    await spec.pause()
    row = await wait_for(ledger, execution, quiet)
    assert row.control_seq == row.applied_seq == 26
    types = await types_of(ledger, execution)
    assert pauses_alternate(types)
    assert types.count("flow:paused") == 6
    await spec.resume()
    await wait_for(ledger, execution, lambda row: row.nodes_completed > 5)


async def test_pause_parks_queued_execution_without_a_worker(ledger: Ledger, run_worker: RunWorker) -> None:
    execution = await create_of(ledger, steps(2, 1))
    spec = Spec(ledger, execution)
    await spec.pause()
    worker = run_worker().wait_ready()
    await asyncio.sleep(0.5)
    assert '"running"' not in worker.log
    await spec.step()
    row = await wait_for(ledger, execution, lambda row: row.nodes_completed == 1 and row.nodes_running == 0)
    assert row.paused
    await spec.resume()
    assert (await ended(ledger, execution)).phase == "Completed"
    log = await events_of(ledger, execution)
    assert_each_node_ran_once(log, 2)
    assert [event.type for event in log][1:3] == ["flow:paused", "flow:started"]


async def test_execution_created_paused_steps_node_by_node(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(**NEVER).wait_ready()
    execution = await create_of(ledger, steps(3, 1), held=True)
    spec = Spec(ledger, execution)
    spec.wanted = replace(spec.wanted, paused=True)
    for done in (1, 2):
        await spec.step()
        row = await wait_for(ledger, execution, quiet_after(done))
        assert row.current_nodes == [f"s{done}"]
    await spec.resume()
    assert (await ended(ledger, execution)).phase == "Completed"
    assert_each_node_ran_once(await events_of(ledger, execution), 3)


async def test_a_command_whose_notification_is_lost_is_found(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(**NEVER).wait_ready()
    execution = await create_of(ledger, steps(60, 200))
    await wait_for(ledger, execution, running)
    async with ledger.connection() as connection:
        # As an operator's transaction, but for its NOTIFY, which a half-open connection swallows.
        await connection.execute(
            "WITH run AS (UPDATE chaingraph.executions SET control_seq = 1, pause_seq = 1, paused = true,"
            "   wants_pause = true, pause_node = 'gone' WHERE id = %s RETURNING workflow_id)"
            " SELECT dbos.send_message(workflow_id, %s::json, 'COMMAND', 'unhandled') FROM run",
            (execution, '{"commands": [{"seq": 1, "kind": "PAUSE"}]}'),
        )
    row = await wait_for(ledger, execution, quiet, within=15)
    assert row.pause_node == "", "the engine has the command"


@pytest.mark.parametrize("place", ["paused", "parked", "queued"])
async def test_stop_wins_over_pause(ledger: Ledger, run_worker: RunWorker, place: str) -> None:
    execution = await create_of(ledger, steps(60, 200))
    spec = Spec(ledger, execution)
    if place == "queued":
        await spec.pause()
    worker = run_worker(CHAINGRAPH_PARK_SECONDS="3600" if place == "paused" else "0").wait_ready()
    if place != "queued":
        await wait_for(ledger, execution, running)
        await spec.pause()
        await wait_for(ledger, execution, quiet if place == "paused" else lambda row: row.parked)
    assert await stop(ledger, execution)
    assert await spec.resume() is None, "it has ended"

    async def idle() -> bool:
        return "chaingraph_worker_attempts_running 0.0" in worker.get("/metrics").text

    await eventually(idle, what="the end of the attempt")
    row = await ended(ledger, execution)
    assert (row.phase, row.paused, row.parked) == ("Stopped", False, False)
    types = await types_of(ledger, execution)
    assert types[-1] == "flow:cancelled"
    assert types.count("flow:paused") == types.count("flow:cancelled") == 1
    following = await create_of(ledger, steps(1, 1))
    assert (await ended(ledger, following)).phase == "Completed", "the worker goes on"
    assert "PENDING" not in (await workflows(ledger, execution)).values()


async def test_flow_timeout_excludes_pauses(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(CHAINGRAPH_PARK_SECONDS="0.5").wait_ready()
    execution = await create_of(ledger, steps(4, 500), options={"flowTimeoutSeconds": 4})
    spec = Spec(ledger, execution)
    await wait_for(ledger, execution, lambda row: row.nodes_completed == 1)
    await spec.pause()
    row = await wait_for(ledger, execution, lambda row: row.parked)
    assert 500 <= row.ran_ms < 4000
    await asyncio.sleep(4.5)
    await spec.resume()
    row = await ended(ledger, execution)
    assert (row.phase, row.error_reason) == ("Completed", "")


async def test_flow_timeout_includes_time_before_a_pause(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(CHAINGRAPH_PARK_SECONDS="0").wait_ready()
    execution = await create_of(ledger, steps(100, 200), options={"flowTimeoutSeconds": 2})
    spec = Spec(ledger, execution)
    await wait_for(ledger, execution, lambda row: row.nodes_completed >= 4)
    await spec.pause()
    ran = (await wait_for(ledger, execution, lambda row: row.parked)).ran_ms
    await spec.resume()
    row = await ended(ledger, execution)
    assert (row.phase, row.error_reason) == ("Failed", "FlowTimeout")
    assert ran > 700
    failed = (await events_of(ledger, execution))[-1]
    assert failed.type == "flow:failed"
    assert 2000 <= failed.data["executionTime"] < 2000 + ran, "the second run had only what was left"


ONCE_BAD = {
    "nodes": [
        {"id": "before", "type": "Sleep", "inputs": {"milliseconds": 1}},
        {"id": "fragile", "type": "work.Work", "inputs": {"milliseconds": 60_000}, "timeoutSeconds": 1},
        {"id": "after", "type": "Sleep", "inputs": {"milliseconds": 1}},
    ],
    "edges": [
        {"from": "before.__success", "to": "fragile.__execute"},
        {"from": "fragile.__success", "to": "after.__execute"},
    ],
}


def ended_in(attempt: int, row: ExecutionRow) -> bool:
    return row.attempt == attempt and row.ended


async def test_retries_run_failed_nodes_and_from_start_all_nodes(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker().wait_ready()
    execution = await create_of(ledger, ONCE_BAD)
    for attempt in (1, 2, 3, 4):
        if attempt > 1:
            assert await retry(ledger, execution, f"again-{attempt}", from_start=attempt == 4) is True
        row = await wait_for(ledger, execution, partial(ended_in, attempt))
        assert (row.phase, row.error_node, row.error_reason) == ("Failed", "fragile", "NodeTimeout")
        assert (row.nodes_completed, row.nodes_failed) == (1, 1)
    log = await events_of(ledger, execution)
    assert [event.index for event in log] == list(range(-1, len(log) - 1))
    assert [event.data["attempt"] for event in log if event.type == "flow:started"] == [1, 2, 3, 4]
    begun = [event.data["nodeId"] for event in log if event.type == "node:started"]
    assert begun == ["before", "fragile", "fragile", "fragile", "before", "fragile"], "the first journal counts for all"
    assert (await workflows(ledger, execution)).keys() == {execution, *(f"{execution}-{run}" for run in (2, 3, 4))}


async def test_paused_retry_continues_stopped_execution(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(**NEVER).wait_ready()
    execution = await create_of(ledger, steps(20, 200))
    await wait_for(ledger, execution, lambda row: running(row) and row.nodes_completed >= 2)
    assert await stop(ledger, execution)
    done = (await ended(ledger, execution)).nodes_completed
    assert await retry(ledger, execution, "again", paused=True) is True
    spec = Spec(ledger, execution)
    spec.wanted = replace(spec.wanted, paused=True)
    await spec.step()
    row = await wait_for(ledger, execution, quiet_after(done + 1))
    assert row.current_nodes == [f"s{done + 1}"]
    await spec.resume()
    assert (await ended(ledger, execution)).phase == "Completed"
    types = await types_of(ledger, execution)
    assert pauses_alternate(types)
    assert types.count("flow:started") == 2
