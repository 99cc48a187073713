"""Children and their resources in the ledger: who has none yet, who is bound to which, and how they stand."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest

from chaingraph_store.children import child_rows, turns
from chaingraph_store.children.turns import PendingChildResource, ResourceTurn
from chaingraph_store.commands import stopping
from chaingraph_store.ids import ExecutionId, long_child_name
from chaingraph_store.ledger import CHANGES, Ledger
from fixtures.ledger.ledger import row_of
from fixtures.ledger.moves import stop
from fixtures.ledger.new_executions import create
from fixtures.trees.children import complete, complete_and_spawn, emission, items

pytestmark = pytest.mark.integration


async def unshown(ledger: Ledger, **options: Any) -> list[PendingChildResource]:
    async with ledger.connection() as connection:
        found, _ = await turns.page(connection, **{"namespaces": None, "limit": 100} | options)
        return found


async def adopt(ledger: Ledger, child: ExecutionId, uid: str, **changes: Any) -> bool:
    row = await row_of(ledger, child)
    assert row.parent_id is not None
    given = {"parent": row.parent_id, "namespace": row.namespace, "name": row.name} | changes
    async with ledger.connection() as connection:
        return await child_rows.adopt(connection, child, uid=uid, **given)


async def shown(ledger: Ledger, *executions: ExecutionId) -> None:
    for each in executions:
        assert await adopt(ledger, each, str(uuid.uuid4()))


async def test_unshown_search_lists_oldest_first_below_bound_owners(ledger: Ledger) -> None:
    root = await create(ledger)
    first = await complete_and_spawn(ledger, root.id, 2)
    grandchildren = await complete_and_spawn(ledger, first[0], 2)
    found = await unshown(ledger)
    assert [each.id for each in found] == sorted(first), "not those whose parent has none itself"
    owner = await row_of(ledger, root.id)
    assert (found[0].parent_id, found[0].parent_uid, found[0].parent_name) == (root.id, owner.uid, "nightly")
    await shown(ledger, first[0])
    assert [each.id for each in await unshown(ledger)] == [first[1], *sorted(grandchildren)]
    assert [each.id for each in await unshown(ledger, limit=1)] == [first[1]]


async def test_unshown_search_skips_resting_and_unserved(ledger: Ledger) -> None:
    one, other = await create(ledger), await create(ledger, namespace="other")
    ours = await complete_and_spawn(ledger, one.id, 2)
    theirs = await complete_and_spawn(ledger, other.id, 1)
    assert [each.id for each in await unshown(ledger, namespaces=["team"])] == sorted(ours)
    assert [each.id for each in await unshown(ledger, namespaces=[])] == []
    assert [each.id for each in await unshown(ledger, resting=["team"])] == theirs
    assert [each.id for each in await unshown(ledger, parents=[other.id])] == sorted(ours)
    assert [each.id for each in await unshown(ledger, children=[ours[1]], namespaces=["team"])] == [ours[0]]
    async with ledger.connection() as connection:
        assert await turns.count(connection, namespaces=None) == 3
        assert await turns.count(connection, namespaces=["other"]) == 1


async def test_namespaces_take_turns_in_the_unshown_search(ledger: Ledger) -> None:
    loud = await complete_and_spawn(ledger, (await create(ledger, namespace="loud")).id, 120)
    quiet = await complete_and_spawn(ledger, (await create(ledger, namespace="quiet")).id, 2)
    last = await complete_and_spawn(ledger, (await create(ledger, namespace="x")).id, 1)
    oldest = sorted(loud)

    async def in_turn(after: str = "", **options: Any) -> list[ExecutionId]:
        return [each.id for each in await unshown(ledger, **{"limit": 9, "last": ResourceTurn(after)} | options)]

    two = sorted(quiet)
    assert await in_turn() == [oldest[0], two[0], last[0], oldest[1], two[1], oldest[2]]
    assert (await in_turn(after="loud"))[:3] == [two[0], last[0], oldest[0]]
    assert (await in_turn(after="x"))[:1] == [oldest[0]]
    assert await in_turn(resting=["loud"], limit=3) == [two[0], last[0]]
    assert await in_turn(namespaces=["x"], children=last) == []


async def test_roots_of_a_namespace_take_turns_in_the_unshown_search(ledger: Ledger) -> None:
    """Pages until nothing is left: no root waits for another one's many, and everything is found once."""
    wide = (await create(ledger)).id
    roots = {wide: set(await complete_and_spawn(ledger, wide, 300))}
    for _ in range(12):
        root = (await create(ledger)).id
        roots[root] = set(await complete_and_spawn(ledger, root, 3))
    resting = (await create(ledger)).id
    await complete_and_spawn(ledger, resting, 3)
    turn, pages, found = ResourceTurn(), 0, dict.fromkeys(roots, 0)
    seen: set[ExecutionId] = set()
    small_done = 0
    while True:
        async with ledger.connection() as connection:
            page, turn = await turns.page(
                connection, namespaces=None, limit=5, last=turn, children=sorted(seen), parents=[resting]
            )
        if not page:
            break
        pages += 1
        for each in page:
            assert each.id not in seen
            seen.add(each.id)
            found[each.parent_id] += 1
        if not small_done and all(count == len(roots[root]) for root, count in found.items() if root != wide):
            small_done = pages
    assert {root: len(children_) for root, children_ in roots.items()} == found
    assert small_done <= 12, "13 roots, 5 children a page: three for each, whatever the wide one has"


async def test_unshown_search_skips_trees_without_resources(ledger: Ledger) -> None:
    parent = await create(ledger, resources="None")
    [child] = await complete_and_spawn(ledger, parent.id, 1)
    grandchildren = await complete_and_spawn(ledger, child, 2)
    assert await unshown(ledger) == []
    async with ledger.connection() as connection:
        assert await turns.count(connection, namespaces=None) == 0
        assert await child_rows.portrait(connection, child) is None
    assert [(await row_of(ledger, each)).resources for each in grandchildren] == ["None", "None"]


async def test_a_resource_is_bound_once_and_to_its_own_child(ledger: Ledger) -> None:
    parent, stranger = await create(ledger), await create(ledger)
    one, two = await complete_and_spawn(ledger, parent.id, 2)
    for wrong in ({"parent": stranger.id}, {"namespace": "other"}, {"name": "nightly-1"}):
        assert not await adopt(ledger, one, "uid-1", **wrong)
    assert (await row_of(ledger, one)).uid is None
    before = (await row_of(ledger, one)).change_seq
    async with ledger.connection() as ear:
        await ear.execute(f"LISTEN {CHANGES}")
        assert await adopt(ledger, one, "uid-1")
        told = [notice.payload async for notice in ear.notifies(timeout=5, stop_after=1)]
    assert told == [one], "so that its status is shown"
    row = await row_of(ledger, one)
    assert row.uid == "uid-1"
    assert row.change_seq > before
    assert await adopt(ledger, one, "uid-1"), "may be repeated"
    assert not await adopt(ledger, one, "uid-2")
    assert (await row_of(ledger, two)).uid is None
    async with ledger.connection() as connection:
        assert await child_rows.portrait(connection, one) is None, "it has one"


async def test_concurrent_binds_bind_one_resource(ledger: Ledger) -> None:
    parent = await create(ledger)
    [child] = await complete_and_spawn(ledger, parent.id, 1)
    bound = await asyncio.gather(*(adopt(ledger, child, f"uid-{number}") for number in range(4)))
    assert sum(bound) == 1
    assert (await row_of(ledger, child)).uid == f"uid-{bound.index(True)}"


async def test_portrait_contains_the_child_spec(ledger: Ledger) -> None:
    parent = await create(
        ledger,
        integration={"archai": {"messageID": "m", "chatID": "c"}, "ticket": 7},
        breakpoints=("a",),
        on_stop="Continue",
        priority=7,
        queue="gpu",
        start_timeout_seconds=9,
    )
    _, child = await complete_and_spawn(ledger, parent.id, [emission("x", None), emission("order", {"id": 1})])
    async with ledger.connection() as connection:
        found = await child_rows.portrait(connection, child)
    assert found is not None
    assert (found.id, found.parent_id, found.root_id, found.position) == (child, parent.id, parent.id, 1)
    assert (found.namespace, found.name, found.parent_name, found.parent_uid) == (
        "team",
        "nightly-1",
        "nightly",
        parent.uid,
    )
    assert (found.flow_name, found.inputs, found.options) == ("report", {"city": "Seattle"}, {"maxConcurrency": 5})
    assert found.events == [{"name": "order", "payload": {"id": 1}}]
    assert found.integration == {"archai": {"chatID": "c"}, "ticket": 7}
    assert (found.breakpoints, found.on_stop, found.resources) == (["a"], "Continue", "Create")
    assert (found.queue, found.priority, found.start_timeout_s) == ("gpu", 7, 9)


async def test_rename_applies_only_before_resource_is_bound(ledger: Ledger) -> None:
    parent = await create(ledger)
    [child] = await complete_and_spawn(ledger, parent.id, 1)
    name = long_child_name("nightly", child)
    async with ledger.connection() as connection:
        assert await child_rows.rename(connection, child, name)
    assert (await row_of(ledger, child)).name == name
    assert not await adopt(ledger, child, "uid-1", name="nightly-0")
    assert await adopt(ledger, child, "uid-1")
    async with ledger.connection() as connection:
        assert not await child_rows.rename(connection, child, "another")
    assert (await row_of(ledger, child)).name == name


async def test_hide_covers_unbound_descendants_of_deleted_owner(ledger: Ledger) -> None:
    gone, stays = await create(ledger), await create(ledger)
    first, second = await complete_and_spawn(ledger, gone.id, 2)
    await shown(ledger, first)
    below = await complete_and_spawn(ledger, first, 1)
    below_hidden = await complete_and_spawn(ledger, second, 1)
    others = await complete_and_spawn(ledger, stays.id, 1)
    async with ledger.connection() as connection:
        assert await child_rows.hide(connection, gone.id) == 3
        assert await child_rows.hide(connection, gone.id) == 0
    assert [each.id for each in await unshown(ledger)] == others
    for each in (second, *below, *below_hidden):
        assert (await row_of(ledger, each)).resources == "None"
    assert (await row_of(ledger, first)).resources == "Create", "it has one"


async def test_hide_and_stop_in_one_tree_do_not_deadlock(ledger: Ledger) -> None:
    async def hide(execution: ExecutionId) -> None:
        async with ledger.transaction() as connection:
            await child_rows.hide(connection, execution)

    async def delete(execution: ExecutionId) -> None:
        async with ledger.transaction() as connection:
            await stopping.stop(connection, execution, reason="gone", deleted=True)

    for _ in range(5):
        root = await create(ledger)
        family = await complete_and_spawn(ledger, root.id, 12)
        grandchildren = await complete_and_spawn(ledger, family[0], 12)
        await asyncio.gather(hide(root.id), delete(family[0]), delete(root.id), hide(family[0]))
        for each in (*family[1:], *grandchildren):
            row = await row_of(ledger, each)
            assert (row.phase, row.resources) == ("Stopped", "None")


async def test_summary_counts_children_by_phase(ledger: Ledger) -> None:
    parent = await create(ledger)
    given = await complete_and_spawn(ledger, parent.id, 5)
    await complete(ledger, given[0])
    await stop(ledger, given[1])
    await shown(ledger, given[3])
    grandchildren = await complete_and_spawn(ledger, given[4], 2)
    await complete(ledger, grandchildren[0])
    async with ledger.connection() as connection:
        found = await child_rows.summary(connection, parent.id, 3)
        below = await child_rows.below(connection, parent.id)
        nothing = await child_rows.summary(connection, grandchildren[0], 3)
    assert found.counts == {"Completed": 2, "Stopped": 1, "Pending": 2}
    assert [(each.name, each.phase, each.shown) for each in found.first] == [
        ("nightly-0", "Completed", False),
        ("nightly-1", "Stopped", False),
        ("nightly-2", "Pending", False),
    ]
    assert {phase: count for phase, count in below.items() if count} == {"Completed": 3, "Stopped": 1, "Pending": 3}
    assert (nothing.counts, list(nothing.first)) == ({}, [])


async def plan_of(ledger: Ledger, query: str, parameters: dict[str, Any]) -> str:
    async with ledger.connection() as connection:
        cursor = await connection.execute(f"EXPLAIN (FORMAT JSON) {query}", parameters)
        row = await cursor.fetchone()
    assert row is not None
    return json.dumps(row[0])


async def test_unshown_search_uses_index_without_table_scan(ledger: Ledger) -> None:
    parent = await create(ledger)
    await complete_and_spawn(ledger, parent.id, items(200))
    async with ledger.connection() as connection:
        # Many that were shown long ago.
        await connection.execute(
            "INSERT INTO chaingraph.executions (id, uid, namespace, name, flow_revision, queue, root_id, parent_id,"
            " depth, phase, workflow_id) SELECT 'EX' || n, 'uid-' || n, 'team', 'n-' || n, '0123456789abcdef', 'q',"
            " %(parent)s, %(parent)s, 1, 'Completed', 'EX' || n FROM generate_series(1, 20000) AS n",
            {"parent": parent.id},
        )
        await connection.execute("ANALYZE chaingraph.executions")
    served = {"all": True, "namespaces": []}
    of_one = {"namespace": "team", "after": "", "most": 5, "roots": [parent.id], "each": 100}
    without: dict[str, Any] = {"children": [], "parents": []}
    for query, parameters in (
        (turns.ROOTS, of_one),
        (turns.CHILDREN, of_one | without),
        (turns.COUNT, served),
        (turns.NAMESPACES, served),
    ):
        explained = await plan_of(ledger, query, parameters)
        assert '"executions_unshown"' in explained, explained
        assert "Seq Scan" not in explained, explained
