"""Spawning: batches, repetitions, two at once, beside stops, and the places of children in the queue."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise

import pytest

from chaingraph_store.attempts import runs
from chaingraph_store.children import spawning
from chaingraph_store.ids import ExecutionId, child_execution_id
from chaingraph_store.ledger import Ledger
from fixtures import soak
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import workflows
from fixtures.ledger.new_executions import create
from fixtures.trees.children import complete, complete_and_spawn, items, make_batch, spawn
from fixtures.trees.forest import forest, in_line, lock, settle_all, spawn_batch, stop_tree, together

pytestmark = pytest.mark.integration


async def parent_of(ledger: Ledger, execution: ExecutionId) -> spawning.Parent | None:
    async with ledger.connection() as connection:
        return await spawning.parent(connection, execution)


# -- batches -----------------------------------------------------------------------------------------------------------


async def test_parent_is_found_only_while_it_has_children_to_spawn(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    assert await parent_of(ledger, root) is None, "it runs"
    await complete(ledger, root, children=450)
    found = await parent_of(ledger, root)
    assert found is not None
    assert (found.made, found.total, found.root_id) == (0, 450, root)
    made = []
    while (batch := await spawn_batch(ledger, root, 450)) is not None:
        made.append((batch.made, batch.unstarted, (await row_of(ledger, root)).children_spawned))
    assert made == [(200, 0, 200), (200, 0, 400), (50, 0, 450)]
    assert await parent_of(ledger, root) is None
    (await forest(ledger)).check()
    assert sum(state == "ENQUEUED" for state in (await workflows(ledger)).values()) == 450


async def test_a_batch_that_is_repeated_makes_nothing(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    await complete(ledger, root, children=5)
    found = await parent_of(ledger, root)
    assert found is not None
    for count in (2, 2, 5):
        # The first is made; the others come from somebody who saw the same, as after a crash before the answer.
        await make_batch(ledger, found, items(5)[:count])
    assert (await row_of(ledger, root)).children_spawned == 2
    assert len(await spawn(ledger, root, items(5))) == 5
    (await forest(ledger)).check()


async def test_concurrent_spawns_make_each_child_once(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    await complete(ledger, root, children=500)
    assert not [
        error for error in await together(*(spawn(ledger, root, items(500)) for _ in range(4))) if error is None
    ]
    (await forest(ledger)).check()
    row = await row_of(ledger, root)
    assert (row.children_spawned, row.children_active) == (500, 500)


async def test_batch_waiting_for_another_one_makes_nothing(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    await complete(ledger, root, children=3)
    async with ledger.transaction() as connection:
        await lock(connection, root)
        both = [asyncio.create_task(spawn_batch(ledger, root, 3)) for _ in range(2)]
        await in_line(ledger, 2)
    made = [await each for each in both]
    assert sorted(batch.made for batch in made if batch is not None) == [3]
    (await forest(ledger)).check()


@pytest.mark.parametrize("made", [1, 3, 4])
async def test_spawn_with_wrong_child_count_makes_nothing(ledger: Ledger, made: int) -> None:
    root = (await create(ledger)).id
    await complete(ledger, root, children=4)
    found = await parent_of(ledger, root)
    assert found is not None
    wrong = spawning.Parent(root, found.name, root, 4, made)
    assert await make_batch(ledger, wrong, items(1)) is None
    assert (await row_of(ledger, root)).children_spawned == 0


async def test_spawn_rejects_more_children_than_counted(ledger: Ledger) -> None:
    """The counts are checked by the database itself, whatever the caller has in its journal."""
    root = (await create(ledger)).id
    await complete(ledger, root, children=2)
    answers = await together(spawn_batch(ledger, root, 3))
    assert "executions_children_counts" in str(answers[0])
    assert (await row_of(ledger, root)).children_spawned == 0
    (await forest(ledger)).check()


async def test_stopped_execution_spawns_nothing(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    await complete(ledger, root, children=2)
    found = await parent_of(ledger, root)
    assert found is not None
    async with ledger.connection() as connection:
        await connection.execute("UPDATE chaingraph.executions SET phase = 'Stopped' WHERE id = %s", (root,))
    assert await make_batch(ledger, found, items(2)) is None
    assert (await forest(ledger)).children == {}


async def test_spawn_keeps_existing_child_rows(ledger: Ledger) -> None:
    """A parent's row from a backup knows less than its children's: ids are derived, so nothing is made twice."""
    root = (await create(ledger)).id
    children = await complete_and_spawn(ledger, root, 3)
    await complete(ledger, children[0])
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE chaingraph.executions SET children_spawned = 0, next_event_index = 0 WHERE id = %s", (root,)
        )
        await connection.execute("DELETE FROM chaingraph.events WHERE execution_id = %s AND index >= 0", (root,))
        await connection.execute("DELETE FROM chaingraph.executions WHERE id = %s", (children[2],))
        await connection.execute("DELETE FROM dbos.workflow_status WHERE workflow_uuid = %s", (children[2],))
    assert await spawn(ledger, root, items(3)) == children
    states = await workflows(ledger)
    assert [states[child] for child in children] == ["SUCCESS", "ENQUEUED", "ENQUEUED"]
    assert (await row_of(ledger, children[0])).phase == "Completed"
    (await forest(ledger)).check()


async def test_parent_log_stays_dense_while_children_end(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    await complete(ledger, root, children=400)
    await spawn_batch(ledger, root, 400)
    for position in (0, 7, 199):
        await complete(ledger, child_execution_id(root, position))
    await together(settle_all(ledger), spawn(ledger, root, items(400)), settle_all(ledger))
    await settle_all(ledger)
    found = await forest(ledger)
    found.check()
    kinds = [kind for _, kind, _ in found.logs[root]]
    assert (kinds.count("child:spawned"), kinds.count("child:completed")) == (400, 3)


# -- beside a stop -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deleted", [False, True])
async def test_a_stop_between_two_batches_bars_the_rest(ledger: Ledger, deleted: bool) -> None:
    root = (await create(ledger)).id
    await complete(ledger, root, children=300)
    found = await parent_of(ledger, root)
    assert found is not None
    await spawn_batch(ledger, root, 300)
    assert await stop_tree(ledger, root, deleted=deleted)
    late = spawning.Parent(root, found.name, root, 300, 200)
    assert await make_batch(ledger, late, items(300)[200:]) is None
    row = await row_of(ledger, root)
    assert (row.children_spawned, row.children_suppressed, row.children_active) == (200, 100, 200)
    await settle_all(ledger)
    found_now = await forest(ledger)
    found_now.check_settled()
    assert {each.phase for each in found_now.children[root]} == {"Stopped"}


@pytest.mark.long
@pytest.mark.soak
async def test_stop_and_spawn_at_once_leave_nothing_active(ledger: Ledger) -> None:
    for number in range(soak.examples(6)):
        root = (await create(ledger)).id
        middle = await complete_and_spawn(ledger, root, 3)
        for each in middle:
            await complete(ledger, each, children=250)

        async def later(number: int = number, root: ExecutionId = root) -> None:
            await asyncio.sleep(number % 12 * 0.04)
            await stop_tree(ledger, root, deleted=number % 2 == 0)

        answers = await together(later(), *(spawn(ledger, each, items(250)) for each in middle), settle_all(ledger))
        assert not [error for error in answers if isinstance(error, BaseException)]
        await settle_all(ledger)
        found = await forest(ledger)
        found.check()
        found.check_settled()
        assert all(each.ended for each in found.members.values())


# -- the queue ---------------------------------------------------------------------------------------------------------


async def queue(ledger: Ledger) -> list[str]:
    """Names of the executions in the queue, in the order in which DBOS takes them."""
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT e.name FROM dbos.workflow_status w JOIN chaingraph.executions e ON e.id = w.workflow_uuid"
            " WHERE w.status = 'ENQUEUED' ORDER BY w.priority, w.created_at"
        )
        return [row[0] for row in await cursor.fetchall()]


async def test_children_queue_in_emission_order_behind_new_executions(ledger: Ledger) -> None:
    root = (await create(ledger, name="wide")).id
    await complete(ledger, root, children=250)
    await spawn_batch(ledger, root, 250, spacing_ms=60_000)
    await create(ledger, name="new")
    await spawn_batch(ledger, root, 250, spacing_ms=60_000)
    wide = [f"wide-{position}" for position in range(250)]
    assert await queue(ledger) == [wide[0], "new", *wide[1:]], "nobody waits behind the children of a wide tree"


async def test_small_trees_interleave_with_large_ones(ledger: Ledger) -> None:
    wide, small = (await create(ledger, name="wide")).id, (await create(ledger, name="small")).id
    for each, count in ((wide, 250), (small, 4)):
        await complete(ledger, each, children=count)
        while await spawn_batch(ledger, each, count, spacing_ms=60_000):
            pass
    order = await queue(ledger)
    assert order[:8] == ["wide-0", "small-0", "wide-1", "small-1", "wide-2", "small-2", "wide-3", "small-3"]
    assert order[8:] == [f"wide-{position}" for position in range(4, 250)]


async def test_grandchildren_queue_behind_their_tree(ledger: Ledger) -> None:
    root = (await create(ledger, name="r")).id
    children = await complete_and_spawn(ledger, root, 5)
    await complete_and_spawn(ledger, children[0], 2)
    assert await queue(ledger) == ["r-1", "r-2", "r-3", "r-4", "r-0-0", "r-0-1"]


async def test_tree_places_never_go_back_and_follow_the_clock(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    await complete(ledger, root, children=600)
    for spacing in (1000, 0, 100):
        await spawn_batch(ledger, root, 600, spacing_ms=spacing)
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT w.created_at FROM dbos.workflow_status w JOIN chaingraph.executions e ON e.id = w.workflow_uuid"
            " WHERE e.parent_id = %s ORDER BY e.position",
            (root,),
        )
        places = [row[0] for row in await cursor.fetchall()]
        cursor = await connection.execute(
            "SELECT clock_ms, size, (extract(epoch FROM now()) * 1000)::bigint FROM chaingraph.trees"
        )
        tree = await cursor.fetchone()
    assert places == sorted(places)
    gaps = [later - earlier for earlier, later in pairwise(places)]
    assert (set(gaps[:199]), set(gaps[200:399]), set(gaps[400:])) == ({1000}, {0}, {100})
    assert tree is not None
    assert (tree[0], tree[1]) == (places[-1] + 100, 601), "where the next one would stand"
    assert places[0] <= tree[2] < places[-1]


async def test_tree_size_includes_children_not_yet_spawned(ledger: Ledger) -> None:
    root = (await create(ledger)).id

    async def size() -> int:
        async with ledger.connection() as connection:
            return await spawning.tree_size(connection, root)

    assert await size() == 1
    await complete(ledger, root, children=3)
    assert await size() == 4, "before they are made"
    children = await spawn(ledger, root, items(3))
    await together(*(complete(ledger, child, children=10) for child in children))
    assert await size() == 34


async def test_spawning_reads_complete_journal_after_crash(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    await complete(ledger, root, children=1)
    async with ledger.connection() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.journal (execution_id, node_id, attempt, outcome, record)"
            " VALUES (%s, 'a', 1, 'completed', '{\"a\": \"\\u0000\"}'), (%s, 'b', 1, 'skipped', '{}')",
            (root, root),
        )
        records = (await spawning.journal(connection, root)).records
    assert sorted(map(str, json.loads(records))) == [str({"a": "\x00"}), "{}"]
    assert runs.AttemptEnd("Completed").children == 0
