"""Finished executions without a resource: the pages of the sweep, and its decisions."""

from __future__ import annotations

import json
import uuid
from collections.abc import Set

import pytest

from chaingraph_operator.loops.unseen_deletions import UnseenDeletions
from chaingraph_operator.metrics import Metrics
from chaingraph_store.children import child_rows
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.reads import visibility
from fixtures.ledger.moves import stop
from fixtures.ledger.new_executions import create
from fixtures.trees.children import complete, complete_and_spawn

pytestmark = pytest.mark.integration


async def with_resource(ledger: Ledger, child: ExecutionId, parent: ExecutionId, name: str) -> str:
    uid = str(uuid.uuid4())
    async with ledger.connection() as connection:
        assert await child_rows.adopt(connection, child, parent=parent, uid=uid, namespace="team", name=name)
    return uid


async def state(ledger: Ledger) -> dict[str, str]:
    """Whether each execution is shown, hidden or expired."""
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT id, CASE WHEN deleted_at IS NOT NULL THEN 'hidden' WHEN expired_at IS NOT NULL THEN 'expired'"
            " ELSE 'shown' END FROM chaingraph.executions"
        )
        return dict(await cursor.fetchall())


async def swept(ledger: Ledger, alive: Set[str], *, seen: int | None = None) -> int:
    unseen = UnseenDeletions(ledger, namespaces=(), metrics=Metrics())
    return await unseen.hide(alive, set(), seen=await unseen.mark() if seen is None else seen)


async def test_ended_executions_whose_resource_is_gone_are_hidden(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaingraph_operator.loops.unseen_deletions._PAGE", 2)
    kept, deleted, active, other = [await create(ledger) for _ in range(4)]
    for each in (kept, deleted, other):
        assert await stop(ledger, each.id)
    assert await swept(ledger, {kept.uid, other.uid}) == 1
    expected = {kept.id: "shown", deleted.id: "hidden", active.id: "shown", other.id: "shown"}
    assert await state(ledger) == expected
    await visibility.note_expired(ledger, other.uid)
    assert await swept(ledger, {kept.uid}) == 0, "what has expired stays readable"
    assert await state(ledger) == expected | {other.id: "expired"}


async def test_resource_that_came_after_the_mark_is_not_taken_for_deleted(ledger: Ledger) -> None:
    root = await create(ledger)
    [child] = await complete_and_spawn(ledger, root.id, 1)
    await complete(ledger, child)
    async with ledger.connection() as connection:
        seen = await visibility.mark(connection)
    await with_resource(ledger, child, root.id, "nightly-0")
    young = await create(ledger)
    assert await stop(ledger, young.id)
    assert await swept(ledger, {root.uid}, seen=seen) == 0
    assert set((await state(ledger)).values()) == {"shown"}


@pytest.mark.parametrize("how", ["deleted", "expired", "child alone"])
async def test_tree_that_is_gone_goes_as_its_root_went(ledger: Ledger, how: str) -> None:
    root = await create(ledger)
    family = await complete_and_spawn(ledger, root.id, 4)
    shown = [await with_resource(ledger, each, root.id, f"nightly-{n}") for n, each in enumerate(family[:3])]
    below = await complete_and_spawn(ledger, family[0], 2)
    await with_resource(ledger, below[0], family[0], "nightly-0-0")
    for each in (*family[1:], *below):
        await complete(ledger, each)
    if how == "expired":
        await visibility.note_expired(ledger, root.uid)
    await swept(ledger, {root.uid, shown[1], shown[2]} if how == "child alone" else set())
    found = await state(ledger)
    if how == "child alone":
        gone = {family[0], *below}
        assert found == {each: "hidden" if each in gone else "shown" for each in found}
    else:
        with_one = {root.id, *family[:3], below[0]}
        assert {found[each] for each in with_one} == {"hidden" if how == "deleted" else "expired"}
        assert {found[each] for each in set(found) - with_one} == {"hidden" if how == "deleted" else "shown"}
    assert await swept(ledger, {root.uid, *shown[1:]} if how == "child alone" else set()) == 0


async def test_pages_of_standing_executions_come_from_their_index(ledger: Ledger) -> None:
    await create(ledger)
    async with ledger.connection() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.executions (id, uid, namespace, name, flow_revision, queue, root_id, phase,"
            " workflow_id, expired_at) SELECT 'EX' || n, 'uid-' || n, 'team', 'n-' || n, '0123456789abcdef', 'q',"
            " 'EX' || n, 'Completed', 'EX' || n, CASE WHEN n % 100 > 0 THEN now() END"
            " FROM generate_series(1, 20000) AS n"
        )
        await connection.execute("ANALYZE chaingraph.executions")
        cursor = await connection.execute(
            f"EXPLAIN (FORMAT JSON) {visibility.STANDING}", {"seen": 10**9, "after": "", "limit": 2000}
        )
        row = await cursor.fetchone()
    assert row is not None
    explained = json.dumps(row[0])
    assert '"executions_standing"' in explained, explained
    assert "Seq Scan" not in explained, explained
