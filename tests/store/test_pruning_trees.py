"""Removal of trees: when one is due, in which order it goes, and what goes with it."""

from __future__ import annotations

from datetime import datetime

import pytest

from chaingraph_store.children import completion
from chaingraph_store.ids import ExecutionId, child_execution_id
from chaingraph_store.ledger import Ledger
from chaingraph_store.upkeep import pruning
from chaingraph_store.upkeep.pruning import PruneCursor
from fixtures.ledger.new_executions import APP, create
from fixtures.ledger.old_executions import DAY, child_of, ended, moment, roots
from fixtures.trees.children import complete, complete_and_spawn

pytestmark = pytest.mark.integration


async def test_ended_roots_exclude_open_trees(ledger: Ledger) -> None:
    root = await ended(ledger)
    child = await child_of(ledger, root)
    before = await moment(ledger, 30 * DAY)
    assert await roots(ledger, before=before) == [root]
    async with ledger.connection() as connection:
        # As a retry of the child does, and as a parent is that has still to spawn.
        await connection.execute("UPDATE chaingraph.executions SET children_active = 1 WHERE id = %s", (root,))
        assert await roots(ledger, before=before) == []
        await connection.execute("UPDATE chaingraph.executions SET children_active = 0 WHERE id = %s", (root,))
    assert await roots(ledger, before=before) == [root]
    async with ledger.connection() as connection:
        (found,) = await pruning.ended_roots(connection, before=before, namespaces=None, limit=2)
        assert found.has_children
    await pruning.remove(ledger, [child], before=before)
    alone = await ended(ledger, days=90)
    async with ledger.connection() as connection:
        found = (await pruning.ended_roots(connection, before=before, namespaces=None, limit=2))[0]
    assert (found.id, found.has_children) == (alone, False)


async def due(ledger: Ledger, root: ExecutionId, *, before: datetime, namespaces: list[str] | None = None) -> bool:
    async with ledger.connection() as connection:
        return await pruning.tree_due(connection, root, before=before, namespaces=namespaces)


async def test_tree_is_due_when_its_last_execution_ended_long_ago(ledger: Ledger) -> None:
    root = await ended(ledger)
    child = await child_of(ledger, root)
    before = await moment(ledger, 30 * DAY)
    assert await due(ledger, root, before=before)
    assert not await due(ledger, root, before=before, namespaces=["other"])
    grandchild = await child_of(ledger, child, days=1)
    assert not await due(ledger, root, before=before)
    assert await due(ledger, root, before=await moment(ledger))
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE chaingraph.executions SET phase = 'Running', finished_at = NULL WHERE id = %s", (grandchild,)
        )
    assert not await due(ledger, root, before=await moment(ledger))


async def test_shows_any_matches_resources_within_the_tree(ledger: Ledger) -> None:
    root = await ended(ledger)
    child = await child_of(ledger, root)
    await child_of(ledger, child, uid="c-1")
    other = await ended(ledger)
    await child_of(ledger, other, uid="c-2")
    assert await pruning.shows_any(ledger, root, {"c-0", "c-1"})
    assert not await pruning.shows_any(ledger, root, {"c-0", "c-2"})
    assert not await pruning.shows_any(ledger, root, set())
    assert await pruning.shows_any(ledger, other, {"c-0", "c-2"})


async def test_tree_pages_list_deepest_parents_and_children_first(ledger: Ledger) -> None:
    root = await ended(ledger)
    first, second, leaf = [await child_of(ledger, root) for _ in range(3)]
    below = [await child_of(ledger, each) for each in (first, second, first)]
    stranger = await ended(ledger)
    await child_of(ledger, stranger)
    found: list[PruneCursor] = []
    async with ledger.connection() as connection:
        while page := await pruning.lowest_parents(connection, root, after=found[-1] if found else None, limit=1):
            found += page
        assert [each.id for each in found] == [*sorted([first, second], reverse=True), root]
        children = await pruning.children_of(connection, [root, first], limit=10)
        assert {id_ for depth, id_ in children[:2] if depth == 2} == {below[0], below[2]}
        assert {id_ for depth, id_ in children[2:] if depth == 1} == {first, second, leaf}
        assert len(await pruning.children_of(connection, [root, first], limit=3)) == 3


async def test_tree_row_is_removed_with_its_root(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    for child in await complete_and_spawn(ledger, root, 2):
        await complete(ledger, child)
    async with ledger.connection() as connection:
        await completion.settle(connection, root, application_name=APP)
        await connection.execute("UPDATE chaingraph.executions SET finished_at = now() - interval '60 days'")

    async def trees() -> list[tuple[str]]:
        async with ledger.connection() as connection:
            cursor = await connection.execute("SELECT root_id FROM chaingraph.trees")
            return await cursor.fetchall()

    before = await moment(ledger, 30 * DAY)
    assert await trees() == [(root,)]
    assert await pruning.remove(ledger, [child_execution_id(root, number) for number in range(2)], before=before) == 2
    assert await trees() == [(root,)]
    assert await pruning.remove(ledger, [root], before=before) == 1
    assert await trees() == []
