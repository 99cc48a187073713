"""A long pause gives its slot up, survives the loss of every worker, and goes on where it was."""

from __future__ import annotations

import asyncio

import pytest

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures.flows.chains import (
    WORK,
    assert_each_node_ran_once,
    events_of,
    hand_back_lost,
    running,
    steps,
)
from fixtures.ledger.ledger import ended, row_of, wait_for
from fixtures.ledger.moves import pauses_alternate, workflows
from fixtures.ledger.new_executions import create_of
from fixtures.ledger.spec_edits import Spec
from fixtures.processes.programs import RunWorker
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration


async def parked(ledger: Ledger, execution: ExecutionId, *, within: float = 30) -> None:
    row = await wait_for(ledger, execution, lambda row: row.parked, within=within)
    assert (row.phase, row.worker, row.nodes_running) == ("Paused", "", 0)


async def test_parked_execution_frees_slot_and_resumes_without_reruns(ledger: Ledger, run_worker: RunWorker) -> None:
    first = run_worker(
        CHAINGRAPH_PARK_SECONDS="0.2", DBOS_WORKER_CONCURRENCY="1", DBOS_QUEUE_CONCURRENCY="1"
    ).wait_ready()
    execution = await create_of(ledger, steps(15, 200))
    spec = Spec(ledger, execution)
    await wait_for(ledger, execution, lambda row: running(row) and row.nodes_completed >= 1)
    await spec.pause()
    await parked(ledger, execution)
    row = await row_of(ledger, execution)
    done = row.nodes_completed
    assert row.current_nodes == [f"s{done}"]
    other = await create_of(ledger, steps(1, 1))
    assert (await ended(ledger, other)).phase == "Completed", "the only slot is free"
    first.kill()
    second = run_worker(CHAINGRAPH_PARK_SECONDS="0.2").wait_ready()
    await spec.step()
    row = await wait_for(ledger, execution, lambda row: row.parked and row.nodes_completed == done + 1)
    assert row.run == 2
    await spec.resume()
    row = await ended(ledger, execution)
    assert (row.phase, row.run, row.attempt, row.worker) == ("Completed", 3, 1, second.executor_id)
    log = await events_of(ledger, execution)
    assert_each_node_ran_once(log, 15)
    types = [event.type for event in log]
    assert (types.count("flow:paused"), types.count("flow:resumed")) == (1, 1), "a parking is no event"
    assert set(await workflows(ledger, execution)) == {execution, f"{execution}-2", f"{execution}-3"}


async def test_parked_breakpoint_is_not_hit_again(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(CHAINGRAPH_PARK_SECONDS="0").wait_ready()
    execution = await create_of(ledger, steps(3, 1), breakpoints=["s0", "s2"])
    for node in ("s0", "s2"):
        row = await wait_for(ledger, execution, lambda row: row.parked)
        assert (row.current_nodes, row.pause_node) == ([node], node)
        await Spec(ledger, execution).edit(resume=node, breakpoints=("s0", "s2"))
    assert (await ended(ledger, execution)).phase == "Completed"
    log = await events_of(ledger, execution)
    assert_each_node_ran_once(log, 3)
    assert [event.data["nodeId"] for event in log if event.type == "debug:breakpoint-hit"] == ["s0", "s2"]


async def test_parked_executions_leave_slots_to_others(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(CHAINGRAPH_PARK_SECONDS="0.1", DBOS_WORKER_CONCURRENCY="5").wait_ready()
    paused = [await create_of(ledger, steps(2, 1), breakpoints=["s1"]) for _ in range(200)]
    for execution in paused:
        await parked(ledger, execution, within=120)
    others = [await create_of(ledger, steps(2, 1)) for _ in range(20)]
    for execution in others:
        assert (await ended(ledger, execution)).phase == "Completed"
    assert all([(await row_of(ledger, execution)).parked for execution in paused])
    for execution in paused[:20]:
        await Spec(ledger, execution).edit(resume="go", breakpoints=("s1",))
    for execution in paused[:20]:
        assert (await ended(ledger, execution)).phase == "Completed"
        assert_each_node_ran_once(await events_of(ledger, execution), 2)


async def test_drain_parks_paused_executions_at_once(ledger: Ledger, run_worker: RunWorker) -> None:
    worker = run_worker(CHAINGRAPH_PARK_SECONDS="3600", CHAINGRAPH_DRAIN_SECONDS="3600").wait_ready()
    execution = await create_of(ledger, steps(3, 1), breakpoints=["s1"])
    catching = await create_of(ledger, steps(3, 2000))
    spec = Spec(ledger, catching)
    await wait_for(ledger, execution, lambda row: row.phase == "Paused")
    await wait_for(ledger, catching, running)
    await spec.pause()
    await wait_for(ledger, catching, lambda row: row.phase == "Paused")
    assert await asyncio.to_thread(worker.terminate) == 0
    for each in (execution, catching):
        await parked(ledger, each)
        assert set((await workflows(ledger, each)).values()) == {"SUCCESS"}
    assert '"error"' not in worker.log


@pytest.mark.crash
async def test_killed_worker_leaves_paused_execution_parked(ledger: Ledger, run_worker: RunWorker) -> None:
    first = run_worker(CHAINGRAPH_PARK_SECONDS="3600").wait_ready()
    execution = await create_of(ledger, steps(15, 200))
    spec = Spec(ledger, execution)
    await wait_for(ledger, execution, lambda row: running(row) and row.nodes_completed >= 1)
    await spec.pause()
    await wait_for(ledger, execution, lambda row: row.phase == "Paused" and not row.nodes_running)
    first.kill()
    (back,) = await hand_back_lost(ledger)
    assert back.parked
    await parked(ledger, execution)
    run_worker().wait_ready()
    await spec.resume()
    assert (await ended(ledger, execution)).phase == "Completed"
    log = await events_of(ledger, execution)
    assert_each_node_ran_once(log, 15)
    assert pauses_alternate([event.type for event in log])


@pytest.mark.crash
async def test_pause_survives_worker_killed_with_node_in_flight(ledger: Ledger, run_worker: RunWorker) -> None:
    first = run_worker(CHAINGRAPH_PARK_SECONDS="0").wait_ready()
    execution = await create_of(ledger, WORK)
    spec = Spec(ledger, execution)
    await wait_for(ledger, execution, running)
    await spec.pause()
    row = await wait_for(ledger, execution, lambda row: row.phase == "Paused")
    assert (row.nodes_running, row.parked) == (1, False), "the node in flight goes on"
    first.kill()
    (back,) = await hand_back_lost(ledger)
    assert back.parked
    second = run_worker(CHAINGRAPH_PARK_SECONDS="0").wait_ready()
    await asyncio.sleep(1)
    assert '"running"' not in second.log, "nothing begins of itself"
    await spec.step()

    async def begun_again() -> bool:
        return [event.type for event in await events_of(ledger, execution)].count("node:started") == 2

    await eventually(begun_again, what="the node in flight begun a second time")
    assert (await row_of(ledger, execution)).nodes_running == 1
    types = [event.type for event in await events_of(ledger, execution)]
    assert (types.count("flow:paused"), types.count("flow:started")) == (1, 1)


@pytest.mark.crash
async def test_unapplied_commands_pass_to_the_next_worker(ledger: Ledger, run_worker: RunWorker) -> None:
    first = run_worker(CHAINGRAPH_PARK_SECONDS="3600").wait_ready()
    execution = await create_of(ledger, steps(5, 200))
    spec = Spec(ledger, execution)
    await wait_for(ledger, execution, lambda row: running(row) and row.nodes_completed == 1)
    first.freeze()
    await spec.pause()
    await spec.step()
    await spec.breakpoints("s4")
    first.kill()
    (back,) = await hand_back_lost(ledger)
    assert not back.parked, "it owes a step"
    run_worker(CHAINGRAPH_PARK_SECONDS="0").wait_ready()
    await parked(ledger, execution)
    done = (await row_of(ledger, execution)).nodes_completed
    assert done in (2, 3), "the one in flight may have been journaled by the first worker, and one step"
    await spec.edit(paused=False)
    await parked(ledger, execution)
    assert (await row_of(ledger, execution)).pause_node == "s4"
    await spec.resume()
    assert (await ended(ledger, execution)).phase == "Completed"
    log = await events_of(ledger, execution)
    assert [event.data["nodeId"] for event in log if event.type == "node:completed"] == [f"s{n}" for n in range(5)]
    assert pauses_alternate([event.type for event in log])
