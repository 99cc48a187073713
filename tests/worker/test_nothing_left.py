"""However an attempt ends, no task of it goes on: in this process, with the attempt called as its workflow calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_worker.attempts.attempt import NOT_OURS, PARKED, run_attempt
from chaingraph_worker.attempts.inbox import CommandInbox
from fixtures.flows.chains import running, steps
from fixtures.ledger.ledger import row_of, wait_for
from fixtures.ledger.moves import stop
from fixtures.ledger.new_executions import create_of
from fixtures.ledger.spec_edits import Spec
from fixtures.processes.attempts import receive, surroundings_of, take

pytestmark = pytest.mark.integration


async def is_paused(ledger: Ledger, execution: ExecutionId, inbox: CommandInbox) -> None:
    await Spec(ledger, execution).pause()
    await receive(ledger, execution, inbox)
    await wait_for(ledger, execution, lambda row: row.phase == "Paused")


async def completes(ledger: Ledger, execution: ExecutionId, inbox: CommandInbox) -> None:
    await wait_for(ledger, execution, lambda row: row.ended)


async def is_stopped(ledger: Ledger, execution: ExecutionId, inbox: CommandInbox) -> None:
    assert await stop(ledger, execution)


async def is_paused_and_stopped(ledger: Ledger, execution: ExecutionId, inbox: CommandInbox) -> None:
    await is_paused(ledger, execution, inbox)
    await is_stopped(ledger, execution, inbox)


Happening = Callable[[Ledger, ExecutionId, CommandInbox], Awaitable[None]]


@pytest.mark.parametrize(
    ("flow", "happens", "park_seconds", "outcome", "phase"),
    [
        (steps(2, 200), completes, 5, "Completed", "Completed"),
        (steps(2, 200), is_paused, 0, PARKED, "Paused"),
        (steps(30, 2000), is_stopped, 5, NOT_OURS, "Stopped"),
        (steps(30, 2000), is_paused_and_stopped, 0, NOT_OURS, "Stopped"),
        (steps(2, 200), is_paused_and_stopped, 60, NOT_OURS, "Stopped"),
    ],
)
async def test_an_attempt_that_has_ended_leaves_no_task(
    ledger: Ledger, flow: dict[str, object], happens: Happening, park_seconds: float, outcome: str, phase: str
) -> None:
    async with surroundings_of(ledger, park_seconds=park_seconds) as dependencies:
        execution = await create_of(ledger, flow)
        await take(ledger, execution)
        before = asyncio.all_tasks()
        inbox = CommandInbox()
        attempt = asyncio.create_task(run_attempt(dependencies, execution, run=1, inbox=inbox))
        await wait_for(ledger, execution, running)
        await happens(ledger, execution, inbox)
        assert await attempt == outcome
        assert (await row_of(ledger, execution)).phase == phase
        assert len(dependencies.running) == 0
        assert asyncio.all_tasks() - before == set()
