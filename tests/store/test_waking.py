"""Executions that are asleep: when they wake, what counts as running time, and what commands make of them."""

from __future__ import annotations

import asyncio

import pytest
from psycopg.types.json import Json

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import waking
from chaingraph_store.reads import tree
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import (
    asleep,
    claim,
    claimed,
    flush,
    hand_back,
    log_of,
    park,
    place,
    retry,
    steer,
    stop,
    take_from_queue,
    workflows,
)
from fixtures.ledger.new_executions import APP, create
from fixtures.ledger.plans import analyze, reads

pytestmark = pytest.mark.integration
LONG = 3600.0


async def new(ledger: Ledger, seconds: float, *, ran_ms: int = 0) -> ExecutionId:
    execution = (await create(ledger)).id
    await asleep(ledger, execution, seconds, ran_ms=ran_ms)
    return execution


async def wake(ledger: Ledger, most: int = waking.BATCH) -> list[str]:
    return [each.execution_id for each in await waking.wake(ledger, application_name=APP, most=most)]


async def seconds_to_next(ledger: Ledger, within: float = 2 * LONG) -> float | None:
    async with ledger.connection() as connection:
        return await waking.seconds_to_next(connection, within=within)


async def test_wake_enqueues_only_what_is_due(ledger: Ledger) -> None:
    due, later = await new(ledger, 0), await new(ledger, LONG)
    assert await wake(ledger) == [due]
    assert await wake(ledger) == []
    row = await row_of(ledger, due)
    assert (row.phase, row.parked, row.run, row.attempt, row.wake_at) == ("Pending", False, 2, 1, None)
    assert row.workflow_id == f"{due}-2"
    assert await workflows(ledger, due) == {due: "SUCCESS", f"{due}-2": "ENQUEUED"}
    assert (await row_of(ledger, later)).parked
    assert (await take_from_queue(ledger, due)).run == 2


async def test_next_wake_is_looked_up_within_a_time(ledger: Ledger) -> None:
    assert await seconds_to_next(ledger) is None
    await new(ledger, LONG)
    found = await seconds_to_next(ledger)
    assert found is not None
    assert LONG - 60 < found <= LONG
    assert await seconds_to_next(ledger, within=1) is None
    await new(ledger, 0)
    found = await seconds_to_next(ledger, within=1)
    assert found is not None
    assert found <= 0


async def test_workers_that_wake_together_wake_each_once(ledger: Ledger) -> None:
    everyone = [await new(ledger, 0) for _ in range(12)]
    woken = await asyncio.gather(*(wake(ledger, most=3) for _ in range(6)))
    while more := await wake(ledger):
        woken.append(more)
    assert sorted(each for some in woken for each in some) == sorted(everyone)
    assert {(await row_of(ledger, each)).run for each in everyone} == {2}


async def test_time_asleep_counts_until_it_is_due(ledger: Ledger) -> None:
    execution = await new(ledger, 0.3, ran_ms=1000)
    await asyncio.sleep(1)  # all workers are down
    assert await wake(ledger) == [execution]
    assert 1300 <= (await claimed(ledger, execution)).ran_ms < 1400


async def test_pause_of_sleeper_stops_its_clock(ledger: Ledger) -> None:
    execution = await new(ledger, 0.5, ran_ms=1000)
    await asyncio.sleep(0.2)
    await steer(ledger, execution, paused=True)
    row = await row_of(ledger, execution)
    assert (row.phase, row.parked, row.wake_at) == ("Paused", True, None)
    assert 1200 <= row.ran_ms < 1500
    assert (await log_of(ledger, execution))[-1] == "flow:paused"
    await asyncio.sleep(0.5)
    assert await wake(ledger) == [], "a pause is not woken"
    await steer(ledger, execution, paused=False)
    assert await place(ledger, execution) == ("Pending", False, False, 0)
    assert (await log_of(ledger, execution))[-1] == "flow:resumed"
    assert (await claimed(ledger, execution)).ran_ms == row.ran_ms


async def test_step_is_ignored_while_asleep_and_works_in_a_pause(ledger: Ledger) -> None:
    execution = await new(ledger, LONG)
    update = await steer(ledger, execution, step="one")
    assert "STEP" in getattr(update, "ignored", ())
    await steer(ledger, execution, step="one", paused=True)
    await steer(ledger, execution, step="two", paused=True)
    assert await place(ledger, execution) == ("Pending", False, True, 1)


async def test_other_commands_leave_it_asleep(ledger: Ledger) -> None:
    execution = await new(ledger, LONG, ran_ms=1000)
    before = await row_of(ledger, execution)
    await steer(ledger, execution, breakpoints=("a",), priority=5)
    after = await row_of(ledger, execution)
    assert (after.phase, after.parked, after.wake_at, after.ran_ms) == ("Running", True, before.wake_at, 1000)


async def test_stop_of_sleeper_ends_it(ledger: Ledger) -> None:
    execution = await new(ledger, 0)
    assert await stop(ledger, execution)
    assert await wake(ledger) == []
    row = await row_of(ledger, execution)
    assert (row.phase, row.parked, row.wake_at, row.nodes_waiting) == ("Stopped", False, None, 0)
    assert await retry(ledger, execution, "again") is True
    assert (await row_of(ledger, execution)).wake_at is None


async def test_command_in_flight_refuses_the_park(ledger: Ledger) -> None:
    execution = (await create(ledger)).id
    taken = await claimed(ledger, execution)
    await flush(ledger, taken, "flow:started")
    await steer(ledger, execution, paused=True)
    assert not await park(ledger, taken, held=(), asleep_seconds=LONG)
    assert await place(ledger, execution) == ("Running", False, True, 0)


async def test_lost_worker_costs_a_sleeper_nothing(ledger: Ledger) -> None:
    execution = await new(ledger, LONG)
    assert await hand_back(ledger, "worker-1") == []
    row = await row_of(ledger, execution)
    assert (row.parked, row.losses, row.recoveries) == (True, 0, 0)
    assert await claim(ledger, execution) is None, "it is parked"


async def test_wake_and_stop_race_to_one_end(ledger: Ledger) -> None:
    for _ in range(10):
        execution = await new(ledger, 0)
        await asyncio.gather(wake(ledger), stop(ledger, execution))
        row = await row_of(ledger, execution)
        assert (row.phase, row.parked, row.wake_at) == ("Stopped", False, None)
        states = await workflows(ledger, execution)
        assert "ENQUEUED" not in states.values()


async def test_tree_shows_the_waiting_nodes_of_sleeper(ledger: Ledger) -> None:
    execution = await new(ledger, LONG)
    nap = {"node": "nap", "tries": 1, "max_tries": 1, "since": 1, "next_at": 2, "waits_for": "Time"}
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE chaingraph.executions SET nodes_waiting = 1, running_nodes = %s WHERE id = %s",
            (Json([nap]), execution),
        )
        (row,) = await tree.roots(connection)
    assert row.running_nodes == [nap]


async def test_looks_read_an_index_among_many_rows(ledger: Ledger) -> None:
    new_one = await create(ledger)
    async with ledger.connection() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.executions (id, namespace, name, flow_revision, queue, root_id, phase, workflow_id,"
            " parked, asleep_at, wake_at) SELECT 'x' || n, 'team', 'n-' || n, %s, 'q', 'x' || n, 'Running', 'x' || n,"
            " true, now(), now() + make_interval(secs => n) FROM generate_series(1, 20000) AS n",
            (new_one.flow_revision,),
        )
    await analyze(ledger)
    index = ("executions", "executions_wake_at")
    assert await reads(ledger, waking._NEXT, {"within": 1}) == {index}
    assert await reads(ledger, waking._WAKE, {"most": 50, "changes": "x"}) == {
        index,
        ("executions", "executions_pkey"),
    }
