"""A command that comes between two statements of an attempt: before a park, or between two claims."""

from __future__ import annotations

import asyncio

import pytest

from chaingraph_store.ledger import Ledger
from chaingraph_worker.attempts.attempt import PARKED, run_attempt
from chaingraph_worker.attempts.inbox import CommandInbox
from fixtures.flows.chains import assert_each_node_ran_once, events_of, steps
from fixtures.ledger.ledger import row_of, wait_for
from fixtures.ledger.moves import claimed, pauses_alternate
from fixtures.ledger.new_executions import create_of
from fixtures.ledger.spec_edits import Spec
from fixtures.processes.attempts import WORKER, hand_in, surroundings_of, take
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration


async def test_step_arriving_during_park_runs_its_node(ledger: Ledger, database_url: str) -> None:
    """The step's node would be interrupted in flight, and the step forgotten."""
    alone = Ledger(database_url, application_name="tests", pool_size=1)
    await alone.open()
    try:
        async with surroundings_of(alone, park_seconds=0.5) as dependencies:
            execution = await create_of(ledger, steps(3, 300), breakpoints=["s1"])
            await take(ledger, execution)
            inbox = CommandInbox()
            attempt = asyncio.create_task(run_attempt(dependencies, execution, run=1, inbox=inbox))
            await wait_for(ledger, execution, lambda row: row.phase == "Paused" and row.current_nodes == ["s1"])
            async with alone.connection():

                async def parking() -> bool:
                    return any(task.get_name() == f"park {execution}" for task in asyncio.all_tasks())

                await eventually(parking, what="a park that waits for the only connection")
                await Spec(ledger, execution).edit(step="1", breakpoints=("s1",))
                await hand_in(ledger, execution, inbox)
            assert await attempt == PARKED
        row = await row_of(ledger, execution)
        assert (row.parked, row.nodes_completed, row.current_nodes, row.step_seqs) == (True, 2, ["s2"], [])
        assert_each_node_ran_once((await events_of(ledger, execution)), 2)
    finally:
        await alone.close()


async def test_pause_after_lost_claim_answer_is_logged_and_parks(ledger: Ledger) -> None:
    """The message of the command is older than the second claim, which has the pause, and nobody has told of it yet."""
    async with surroundings_of(ledger, park_seconds=0) as dependencies:
        execution = await create_of(ledger, steps(2, 1))
        spec = Spec(ledger, execution)
        await claimed(ledger, execution, WORKER)
        await spec.pause()
        async with asyncio.timeout(30):
            assert await run_attempt(dependencies, execution, run=1, inbox=CommandInbox()) == PARKED
        await spec.resume()
        types = [event.type for event in await events_of(ledger, execution)]
        assert types[-2:] == ["flow:paused", "flow:resumed"]
        assert pauses_alternate(types)


async def test_resume_after_lost_claim_answer_is_logged(ledger: Ledger) -> None:
    async with surroundings_of(ledger, park_seconds=0) as dependencies:
        execution = await create_of(ledger, steps(2, 1))
        spec = Spec(ledger, execution)
        await spec.edit(paused=True, step="1")
        await claimed(ledger, execution, WORKER)
        await spec.resume()
        row = await row_of(ledger, execution)
        assert await run_attempt(dependencies, execution, run=row.run, inbox=CommandInbox()) == "Completed"
        types = [event.type for event in await events_of(ledger, execution)]
        assert types.count("flow:resumed") == 1
        assert pauses_alternate(types)
