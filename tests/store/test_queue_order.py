"""Queue order: newcomers are taken although many wait, and no execution waits forever."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chaingraph_store.attempts.runs import AttemptEnd
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import claimed, flush, retry
from fixtures.ledger.new_executions import create
from fixtures.trees.children import complete_and_spawn

pytestmark = pytest.mark.integration
FAILED = AttemptEnd("Failed", error_node="a", error_reason="Boom", error_message="boom")

_TAKE = """
UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = 'worker-1' WHERE workflow_uuid IN (
  SELECT workflow_uuid FROM dbos.workflow_status WHERE status = 'ENQUEUED' AND queue_name = %s
  ORDER BY priority, created_at LIMIT 1)
RETURNING workflow_uuid
"""
_PASS = "UPDATE dbos.workflow_status SET created_at = created_at - %s WHERE status = 'ENQUEUED'"


async def take(ledger: Ledger, count: int = 1, *, queue: str = "chaingraph-executions") -> list[str]:
    """What DBOS gives to workers next, one after the other."""
    taken = []
    async with ledger.connection() as connection:
        for _ in range(count):
            row = await (await connection.execute(_TAKE, (queue,))).fetchone()
            assert row is not None, "the queue is empty"
            taken.append(str(row[0]))
    return taken


async def waits(ledger: Ledger, seconds: float) -> None:
    """So much time passes in which the queue takes nothing."""
    async with ledger.connection() as connection:
        await connection.execute(_PASS, (int(seconds * 1000),))


async def wide(ledger: Ledger, count: int) -> list[ExecutionId]:
    """The children of a new execution, which wait."""
    return await complete_and_spawn(ledger, (await create(ledger)).id, count)


def turn_of(newcomer: str, taken: Sequence[str]) -> int:
    assert newcomer in taken, "it is still not its turn"
    return taken.index(newcomer)


async def test_children_of_a_tree_are_taken_in_their_order(ledger: Ledger) -> None:
    children = await wide(ledger, 250)
    assert await take(ledger, 250) == children


@pytest.mark.parametrize("slow", [0, 3600])
async def test_newcomer_gets_early_turn_while_tree_waits(ledger: Ledger, slow: int) -> None:
    """Also when its children take so long that their places have long been past."""
    await wide(ledger, 250)
    await take(ledger, 5)
    await waits(ledger, slow)
    newcomer = (await create(ledger)).id
    assert turn_of(newcomer, await take(ledger, 5)) <= 2


async def test_newcomers_keep_order_and_share_turns_with_tree(ledger: Ledger) -> None:
    children = await wide(ledger, 250)
    await waits(ledger, 3600)
    newcomers = [(await create(ledger)).id for _ in range(100)]
    taken = await take(ledger, 130)
    assert [each for each in taken if each in newcomers] == newcomers
    assert 10 <= sum(each in children for each in taken[: taken.index(newcomers[-1])]) <= 20


async def test_tree_does_not_starve_under_endless_newcomers(ledger: Ledger) -> None:
    children = await wide(ledger, 20)
    await waits(ledger, 3600)
    taken: list[str] = []
    for _ in range(300):
        await create(ledger)
        taken += await take(ledger)
    assert set(children) <= set(taken)


async def test_two_trees_take_turns(ledger: Ledger) -> None:
    first = await wide(ledger, 250)
    await take(ledger, 5)
    await waits(ledger, 3600)
    second = await wide(ledger, 50)
    taken = await take(ledger, 100)
    assert 45 <= sum(each in second for each in taken) <= 50
    assert 45 <= sum(each in first for each in taken) <= 55
    assert 2 <= sum(each in second for each in taken[:8]) <= 6


async def test_queue_without_trees_is_first_come_first_served(ledger: Ledger) -> None:
    before = [(await create(ledger)).id for _ in range(30)]
    await waits(ledger, 3600)
    after = [(await create(ledger)).id for _ in range(30)]
    assert await take(ledger, 60) == before + after


async def test_empty_queue_assigns_current_time_as_place(ledger: Ledger) -> None:
    new = (await create(ledger)).id
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT extract(epoch FROM now()) * 1000 - created_at FROM dbos.workflow_status WHERE workflow_uuid = %s",
            (new,),
        )
        row = await cursor.fetchone()
    assert row is not None
    assert 0 <= row[0] < 10_000


async def test_retry_gets_an_early_turn(ledger: Ledger) -> None:
    failed = (await create(ledger)).id
    await flush(ledger, await claimed(ledger, failed), end=FAILED)
    await wide(ledger, 250)
    await waits(ledger, 3600)
    assert await retry(ledger, failed, "once more", generation=2) is True
    again = (await row_of(ledger, failed)).workflow_id
    assert turn_of(again, await take(ledger, 5)) <= 2


async def test_places_are_separate_per_queue_and_priority(ledger: Ledger) -> None:
    await wide(ledger, 50)
    await waits(ledger, 3600)
    low = (await create(ledger, priority=-1)).id
    other = [(await create(ledger, queue="gpu")).id for _ in range(3)]
    assert await take(ledger, 3, queue="gpu") == other
    assert low not in await take(ledger, 50)
    assert await take(ledger) == [low]
