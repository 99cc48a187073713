"""Notification of parents and the end of a tree: children end in any order, beside retries and stops."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

import pytest

from chaingraph_store.children import completion
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.ids import ExecutionId, child_execution_id
from chaingraph_store.ledger import Ledger
from fixtures import soak
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import retry
from fixtures.ledger.new_executions import APP, create
from fixtures.trees.children import complete, complete_and_spawn, items, spawn
from fixtures.trees.forest import fail, forest, in_line, lock, settle, settle_all, stop_tree, together

pytestmark = pytest.mark.integration


async def told(ledger: Ledger, parent: ExecutionId) -> list[tuple[str, int]]:
    """What the parent's log says of children that have ended."""
    found = await forest(ledger)
    return [
        (kind, data["position"]) for _, kind, data in found.logs[parent] if kind in ("child:completed", "child:failed")
    ]


async def owed(ledger: Ledger) -> set[ExecutionId]:
    async with ledger.connection() as connection:
        return set(await completion.owed(connection))


async def still_open(ledger: Ledger, *executions: ExecutionId) -> list[int]:
    return [(await row_of(ledger, each)).children_active for each in executions]


async def line(ledger: Ledger, generations: int) -> list[ExecutionId]:
    """An execution, its only child, and so on; the last one is queued."""
    path = [(await create(ledger)).id]
    for _ in range(generations):
        path += await complete_and_spawn(ledger, path[-1], 1)
    return path


def errors(answers: list[Any]) -> list[BaseException]:
    return [each for each in answers if isinstance(each, BaseException)]


# -- settling ----------------------------------------------------------------------------------------------------------


async def test_settle_logs_each_child_end_once(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    children = await complete_and_spawn(ledger, root, 5)
    assert await settle(ledger, root) is None
    assert await owed(ledger) == set()
    await complete(ledger, children[3])
    await fail(ledger, children[0])
    await stop_tree(ledger, children[4], reason="by hand")
    assert await owed(ledger) == {root}
    assert await settle(ledger, root) is None
    before = await row_of(ledger, root)
    assert before.children_active == 2
    for _ in range(3):
        assert await settle(ledger, root) is None
    assert await row_of(ledger, root) == before, "nothing to tell changes nothing"
    assert await told(ledger, root) == [("child:completed", 3), ("child:failed", 0), ("child:failed", 4)], (
        "as they ended"
    )
    found = await forest(ledger)
    found.check()
    said = {
        data["position"]: data for _, kind, data in found.logs[root] if kind.startswith("child:") and "phase" in data
    }
    assert said == {
        0: {
            "childExecutionId": children[0],
            "name": "nightly-0",
            "position": 0,
            "attempt": 1,
            "phase": "Failed",
            "reason": "Boom",
            "node": "a",
            "error": "Boom happened",
        },
        4: {
            "childExecutionId": children[4],
            "name": "nightly-4",
            "position": 4,
            "attempt": 1,
            "phase": "Stopped",
            "reason": "Stopped",
            "node": "",
            "error": "by hand",
        },
    }


async def test_settle_logs_many_ends_in_one_call(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    await complete(ledger, root, children=1201)
    await spawn(ledger, root, items(1201))
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE chaingraph.executions SET phase = 'Completed',"
            " finished_at = now() - make_interval(secs => position) WHERE parent_id = %s AND position < 1200",
            (root,),
        )
        await connection.execute(
            "UPDATE dbos.workflow_status SET status = 'SUCCESS' WHERE workflow_uuid IN"
            " (SELECT id FROM chaingraph.executions WHERE phase = 'Completed')"
        )
    assert await settle(ledger, root) is None
    assert await still_open(ledger, root) == [1]
    assert [position for _, position in await told(ledger, root)] == list(reversed(range(1200))), "the oldest end first"
    await complete(ledger, child_execution_id(root, 1200))
    await settle(ledger, root)
    found = await forest(ledger)
    found.check()
    found.check_settled()


async def test_settle_truncates_child_error(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    (child,) = await complete_and_spawn(ledger, root, 1)
    await stop_tree(ledger, child, reason="é\x00\ud800" * 2000)
    await settle(ledger, root)
    found = await forest(ledger)
    assert len(found.logs[root][-1][2]["error"]) == 1024


async def test_settle_ignores_childless_and_unknown_executions(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    await complete(ledger, root)
    assert await settle(ledger, root) is None
    assert await settle(ledger, ExecutionId("EXNOTHING")) is None
    assert await owed(ledger) == set()


# -- trees -------------------------------------------------------------------------------------------------------------


async def test_settle_logs_end_at_once_but_counts_only_ended_trees(ledger: Ledger) -> None:
    root, middle, leaf = await line(ledger, 2)
    assert await settle(ledger, root) is None
    assert await told(ledger, root) == [("child:completed", 0)]
    assert await still_open(ledger, root, middle) == [1, 1]
    assert await owed(ledger) == set()
    await complete(ledger, leaf)
    assert await owed(ledger) == {middle}
    assert await settle(ledger, middle) == root, "its own parent is to be told in turn"
    assert await settle(ledger, middle) is None, "once"
    assert await owed(ledger) == {root}
    assert await settle(ledger, root) is None, "there is nobody above it"
    assert await still_open(ledger, root, middle) == [0, 0]
    assert await told(ledger, root) == [("child:completed", 0)], "the end of the tree below is no second end"
    (await forest(ledger)).check_settled()


async def test_settle_upwards_climbs_as_far_as_trees_have_ended(ledger: Ledger) -> None:
    path = await line(ledger, 6)
    (beside,) = (await complete_and_spawn(ledger, path[-1], 2))[1:]
    await complete(ledger, child_execution_id(path[-1], 0))
    await completion.settle_upwards(ledger, path[-1], application_name=APP)
    assert await still_open(ledger, *path) == [1] * 7
    await complete(ledger, beside)
    await completion.settle_upwards(ledger, path[-1], application_name=APP)
    assert await still_open(ledger, *path) == [0] * 2 + [0] * 5
    assert await owed(ledger) == set()
    found = await forest(ledger)
    found.check()
    found.check_settled()


async def test_stopped_tree_leaves_parent_owed_until_settle(ledger: Ledger) -> None:
    root, middle = await line(ledger, 1)
    await complete(ledger, middle, children=3)
    await settle_all(ledger)
    assert await still_open(ledger, root, middle) == [1, 3]
    assert await stop_tree(ledger, middle), "bars all three"
    assert await still_open(ledger, root, middle) == [1, 0]
    assert await owed(ledger) == {root}
    await settle(ledger, root)
    assert await still_open(ledger, root) == [0]


# -- by several at once ------------------------------------------------------------------------------------------------


async def test_settle_skips_locked_child_until_next_turn(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    first, second = await complete_and_spawn(ledger, root, 2)
    for each in (first, second):
        await complete(ledger, each)
    async with ledger.transaction() as connection:
        await lock(connection, first)
        assert await asyncio.wait_for(settle(ledger, root), 5) is None
        assert await told(ledger, root) == [("child:completed", 1)]
    assert await owed(ledger) == {root}
    await settle(ledger, root)
    assert await told(ledger, root) == [("child:completed", 1), ("child:completed", 0)]
    assert await still_open(ledger, root) == [0]


async def test_concurrent_settles_log_once_and_one_returns_parent(ledger: Ledger) -> None:
    root, middle = await line(ledger, 1)
    children = await complete_and_spawn(ledger, middle, 30)
    for child in children:
        await complete(ledger, child)
    async with ledger.transaction() as connection:
        await lock(connection, middle)
        several = [asyncio.create_task(settle(ledger, middle)) for _ in range(4)]
        await in_line(ledger, 4)
    climbing = [above for each in several if (above := await each) is not None]
    assert climbing == [root], "one of them"
    await settle(ledger, root)
    found = await forest(ledger)
    found.check()
    found.check_settled()


async def test_settle_waiting_for_retry_skips_retried_child(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    (child,) = await complete_and_spawn(ledger, root, 1)
    await fail(ledger, child)
    async with ledger.transaction() as connection:
        await lock(connection, root)
        retrying = asyncio.create_task(retry(ledger, child, "again"))
        await in_line(ledger, 1)
        settling = asyncio.create_task(settle(ledger, root))
        await in_line(ledger, 2)
    await settling
    assert await retrying is True
    assert await still_open(ledger, root) == [1]
    (await forest(ledger)).check()


# -- retries -----------------------------------------------------------------------------------------------------------


async def test_retry_reopens_ancestors_and_logs_next_end(ledger: Ledger) -> None:
    path = await line(ledger, 3)
    await fail(ledger, path[-1])
    await completion.settle_upwards(ledger, path[-2], application_name=APP)
    assert await still_open(ledger, *path) == [0, 0, 0, 0]
    assert await retry(ledger, path[-1], "again") is True
    assert await still_open(ledger, *path) == [1, 1, 1, 0]
    rows = [await row_of(ledger, each) for each in path]
    assert [(row.parent_notified, row.counted) for row in rows] == [
        (False, False),
        (True, False),
        (True, False),
        (False, False),
    ]
    assert await owed(ledger) == set()
    await complete(ledger, path[-1])
    await completion.settle_upwards(ledger, path[-2], application_name=APP)
    assert await still_open(ledger, *path) == [0, 0, 0, 0]
    assert await told(ledger, path[-2]) == [("child:failed", 0), ("child:completed", 0)]
    assert await told(ledger, path[0]) == [("child:completed", 0)]
    found = await forest(ledger)
    found.check()
    found.check_settled()
    assert found.logs[path[-2]][-1][2]["attempt"] == 2


async def test_retry_before_settle_opens_nothing(ledger: Ledger) -> None:
    root, middle, leaf = await line(ledger, 2)
    await fail(ledger, leaf)
    assert await retry(ledger, leaf, "again") is True
    assert await still_open(ledger, root, middle) == [1, 1]
    await settle_all(ledger)
    assert await told(ledger, middle) == []
    await complete(ledger, leaf)
    await settle_all(ledger)
    assert await told(ledger, middle) == [("child:completed", 0)]
    (await forest(ledger)).check_settled()


async def test_retry_between_settles_opens_only_settled_parents(
    ledger: Ledger,
) -> None:
    root, middle, leaf = await line(ledger, 2)
    await fail(ledger, leaf)
    assert await settle(ledger, middle) == root
    assert await still_open(ledger, root, middle) == [1, 0]
    assert await retry(ledger, leaf, "again") is True
    assert await still_open(ledger, root, middle) == [1, 1]
    await settle_all(ledger)
    (await forest(ledger)).check()
    assert await stop_tree(ledger, root)
    await settle_all(ledger)
    assert await still_open(ledger, root, middle) == [0, 0]
    (await forest(ledger)).check_settled()


async def test_a_retried_child_may_have_children_of_its_own(ledger: Ledger) -> None:
    root, middle = await line(ledger, 1)
    await fail(ledger, middle)
    await settle_all(ledger)
    assert await still_open(ledger, root) == [0]
    assert await retry(ledger, middle, "again") is True
    below = await complete_and_spawn(ledger, middle, 2)
    await settle_all(ledger)
    assert await still_open(ledger, root, middle) == [1, 2]
    for each in below:
        await complete(ledger, each)
    await settle_all(ledger)
    found = await forest(ledger)
    found.check()
    found.check_settled()
    assert await still_open(ledger, root) == [0]


async def test_retry_and_waiting_stop_in_one_tree_do_not_deadlock(ledger: Ledger) -> None:
    while True:
        root = (await create(ledger)).id
        later = [each for each in sorted(await complete_and_spawn(ledger, root, 6)) if each > root]
        if len(later) > 1:
            break
    async with ledger.transaction() as connection:
        await lock(connection, later[0])
        stopping = asyncio.create_task(stop_tree(ledger, root))
        await in_line(ledger, 1)
        await fail(ledger, later[-1])
        retrying = asyncio.create_task(retry(ledger, later[-1], "again"))
        await in_line(ledger, 2)
    assert not errors(await together(stopping, retrying))
    await settle_all(ledger)
    found = await forest(ledger, root)
    found.check()
    found.check_settled()
    assert {each.phase for each in found.children[root]} == {"Stopped", "Pending"}, "it was retried after the stop"


# -- everything at once ------------------------------------------------------------------------------------------------


async def end(ledger: Ledger, execution: ExecutionId, how: int) -> None:
    """Fails it, completes it, or completes it with children. A stop or a retry of the same moment may be faster."""
    try:
        if how:
            await complete(ledger, execution, children=3 * (how - 1))
        else:
            await fail(ledger, execution)
    except (AssertionError, OwnershipLost):
        return
    await spawn(ledger, execution, items(3))


@pytest.mark.soak
@pytest.mark.parametrize("seed", soak.seeds(*range(4)))
async def test_concurrent_tree_changes_neither_deadlock_nor_miscount(ledger: Ledger, seed: int) -> None:
    dice = random.Random(seed)
    root = (await create(ledger)).id
    middle = await complete_and_spawn(ledger, root, 5)
    leaves = []
    for each in middle:
        leaves += await complete_and_spawn(ledger, each, 5)
    parents = [root, *middle]
    for turn in range(6):
        members = sorted((await forest(ledger)).members.values(), key=lambda each: each.id)
        moves: list[Coroutine[Any, Any, Any]] = [settle(ledger, dice.choice(parents)) for _ in range(4)]
        moves.append(completion.settle_upwards(ledger, dice.choice(middle), application_name=APP))
        for member in dice.sample(members, k=8):
            if member.phase == "Pending":
                moves.append(end(ledger, member.id, dice.randrange(3)))
            elif member.phase in ("Failed", "Stopped"):
                moves.append(retry(ledger, member.id, f"{turn}"))
        if turn % 2:
            moves.append(stop_tree(ledger, dice.choice([*parents, *leaves]), deleted=dice.random() < 0.3))
        dice.shuffle(moves)
        assert not errors(await together(*moves))
        (await forest(ledger)).check()
    await stop_tree(ledger, root)
    await settle_all(ledger)
    found = await forest(ledger)
    found.check()
    found.check_settled()
    assert (await row_of(ledger, root)).children_active == 0
