"""Commands, claims, flushes, parks and hand-backs at once: the second waits for the first, and sees what it did."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chaingraph_store.commands.control import ControlUpdate
from chaingraph_store.ids import WorkflowId
from chaingraph_store.ledger import Ledger
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import (
    PLAIN,
    claim,
    claimed,
    flush,
    hand_back,
    log_of,
    messages,
    park,
    paused_and_parked,
    pauses_alternate,
    place,
    steer,
    workflows,
)
from fixtures.ledger.new_executions import create, dequeue

pytestmark = pytest.mark.integration


async def waits(task: asyncio.Task[Any]) -> None:
    await asyncio.sleep(0.1)
    assert not task.done(), "it waits for the row"


async def test_a_claim_that_waited_for_a_pause_finds_nothing_to_run(ledger: Ledger) -> None:
    new = await create(ledger)
    async with ledger.connection() as connection:
        assert await dequeue(connection, new.id, "worker-1")
    async with ledger.transaction() as connection:
        cursor = await connection.execute("SELECT 1 FROM chaingraph.executions WHERE id = %s FOR UPDATE", (new.id,))
        assert await cursor.fetchone()
        pausing = asyncio.create_task(steer(ledger, new.id, paused=True))
        await waits(pausing)
        claiming = asyncio.create_task(claim(ledger, new.id))
        await waits(claiming)
    assert await pausing == ControlUpdate(("PAUSE",))
    assert await claiming is None
    assert await place(ledger, new.id) == ("Paused", True, True, 0)
    assert await workflows(ledger) == {new.id: "CANCELLED"}


async def test_a_claim_that_waited_for_other_commands_has_them(ledger: Ledger) -> None:
    new = await create(ledger)
    async with ledger.connection() as connection:
        assert await dequeue(connection, new.id, "worker-1")
    async with ledger.transaction() as connection:
        await connection.execute(
            "UPDATE chaingraph.executions SET breakpoints = '{b}', control_seq = 1 WHERE id = %s", (new.id,)
        )
        claiming = asyncio.create_task(claim(ledger, new.id))
        await waits(claiming)
    taken = await claiming
    assert taken is not None
    assert (taken.breakpoints, taken.control_seq) == (["b"], 1)


@pytest.mark.parametrize("command", ["resume", "step"])
async def test_a_park_that_waited_for_a_command_is_refused(ledger: Ledger, command: str) -> None:
    new = await create(ledger)
    taken = await claimed(ledger, new.id)
    await flush(ledger, taken, "flow:paused", paused=True)
    async with ledger.transaction() as connection:
        await connection.execute("SELECT 1 FROM chaingraph.executions WHERE id = %s FOR UPDATE", (new.id,))
        commanding = asyncio.create_task(steer(ledger, new.id, **{command: "1"}))
        await waits(commanding)
        parking = asyncio.create_task(park(ledger, taken))
        await waits(parking)
    assert await commanding == ControlUpdate((command.upper(),))
    assert await parking is False
    assert (await row_of(ledger, new.id)).worker == "worker-1", "the message reaches it"
    assert [to for to, _, _ in await messages(ledger)] == [new.id]


@pytest.mark.parametrize("command", ["resume", "step"])
async def test_a_command_that_waited_for_a_park_enqueues_the_next_run(ledger: Ledger, command: str) -> None:
    new = await create(ledger)
    taken = await claimed(ledger, new.id)
    await flush(ledger, taken, "flow:paused", paused=True)
    async with ledger.transaction() as connection:
        await connection.execute("SELECT 1 FROM chaingraph.executions WHERE id = %s FOR UPDATE", (new.id,))
        parking = asyncio.create_task(park(ledger, taken))
        await waits(parking)
        commanding = asyncio.create_task(steer(ledger, new.id, **{command: "1"}))
        await waits(commanding)
    assert await parking is True
    assert await commanding == ControlUpdate((command.upper(),))
    assert (await row_of(ledger, new.id)).workflow_id == f"{new.id}-2"
    assert await messages(ledger) == [], "nobody has it who could be told"


async def test_flush_and_command_at_once_are_both_kept(ledger: Ledger) -> None:
    new = await create(ledger)
    taken = await claimed(ledger, new.id)
    for n in range(20):
        paused = n % 2 == 0
        await asyncio.gather(
            steer(ledger, new.id, paused=paused),
            flush(ledger, taken, "node:completed", applied=n, paused=not paused if n else False),
        )
        assert (await row_of(ledger, new.id)).paused is paused
    log = await log_of(ledger, new.id)
    assert len(log) == 20
    assert (await row_of(ledger, new.id)).control_seq == 20


async def test_pause_and_hand_back_at_once_park_execution(ledger: Ledger) -> None:
    for n in range(10):
        new = await create(ledger)
        await claimed(ledger, new.id, f"worker-{n}")
        _, updated = await asyncio.gather(hand_back(ledger, f"worker-{n}"), steer(ledger, new.id, paused=True))
        assert updated == ControlUpdate(("PAUSE",))
        assert await place(ledger, new.id) == ("Paused", True, True, 0)
        assert (await workflows(ledger))[new.id] == "CANCELLED"
        assert pauses_alternate(await log_of(ledger, new.id))


async def test_command_applies_once_with_several_operators(ledger: Ledger) -> None:
    new = await create(ledger)
    await paused_and_parked(ledger, new.id)
    wanted = {"paused": True, "step": "1", "breakpoints": ("a",)}
    results = await asyncio.gather(*(steer(ledger, new.id, PLAIN, **wanted) for _ in range(4)))
    assert sorted(map(repr, results)) == sorted(
        map(repr, [ControlUpdate(("BREAKPOINTS", "PAUSE", "STEP")), *[ControlUpdate()] * 3])
    )
    assert (await row_of(ledger, new.id)).run == 2


async def test_parked_execution_resumes_from_its_row_alone(ledger: Ledger) -> None:
    """Its workflow may have ended, be forgotten by DBOS or be put back by mistake: it stays as it is."""
    new = await create(ledger)
    await paused_and_parked(ledger, new.id)
    async with ledger.connection() as connection:
        await connection.execute("DELETE FROM dbos.workflow_status")
    await steer(ledger, new.id, resume="1")
    async with ledger.connection() as connection:
        assert await dequeue(connection, WorkflowId(f"{new.id}-2"), "worker-1")
    assert await claim(ledger, new.id) is not None
