"""Removal of trees: as a whole or not at all, and a large one in small steps."""

from __future__ import annotations

import random

import pytest

from chaingraph_operator.loops import pruning
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures import soak
from fixtures.ledger.old_executions import child_of, ended, left
from fixtures.ledger.pruners import prune, pruner

pytestmark = pytest.mark.integration


@pytest.mark.soak
@pytest.mark.parametrize("seed", soak.seeds(*range(6)))
async def test_a_tree_goes_as_a_whole_or_stays_as_a_whole(ledger: Ledger, seed: int) -> None:
    """Some of them have resources that are there, or gone, and some ended lately."""
    chance = random.Random(seed)
    trees: list[list[ExecutionId]] = []
    kept: set[ExecutionId] = set()
    alive: set[str] = set()
    for number in range(6):
        stays = False
        members: list[ExecutionId] = []
        for member in range(chance.randint(1, 8)):
            uid = f"u-{number}-{member}" if not members or chance.random() < 0.5 else None
            lately = chance.random() < 0.08
            days = 3 if lately else 60
            if not members:
                members.append(await ended(ledger, days=days, uid=uid))
            else:
                members.append(await child_of(ledger, chance.choice(members), days=days, uid=uid))
            if uid is not None and chance.random() < 0.1:
                alive.add(uid)
                stays = True
            stays = stays or lately
        trees.append(members)
        if stays:
            kept |= set(members)
    everything = {each for members in trees for each in members}
    assert await prune(pruner(ledger), alive) == len(everything - kept)
    assert await left(ledger, everything) == kept


async def test_an_open_tree_stays(ledger: Ledger) -> None:
    root = await ended(ledger)
    child = await child_of(ledger, root)
    async with ledger.connection() as connection:
        await connection.execute("UPDATE chaingraph.executions SET children_active = 1 WHERE id = %s", (root,))
        assert await prune(pruner(ledger)) == 0
        await connection.execute("UPDATE chaingraph.executions SET children_active = 0 WHERE id = %s", (root,))
    assert await prune(pruner(ledger)) == 2
    assert await left(ledger, [root, child]) == set()


async def tree(ledger: Ledger, root: ExecutionId, *, size: int, width: int) -> None:
    """So many executions below a root, each level but the last with so many children each."""
    async with ledger.transaction() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.executions (id, namespace, name, flow_revision, queue, root_id, parent_id, depth,"
            " position, phase, workflow_id, finished_at, parent_notified, counted)"
            " SELECT %(root)s || '-' || i, 'team', 'n' || i, flow_revision, queue, id, NULL, 1, 0, 'Completed',"
            " %(root)s || '-' || i, finished_at, true, true"
            " FROM chaingraph.executions, generate_series(1, %(size)s) AS i WHERE id = %(root)s",
            {"root": root, "size": size},
        )
        # The children of number i are those from i * width + 1 on.
        await connection.execute(
            "WITH RECURSIVE placed AS ("
            "  SELECT 0 AS i, 0 AS depth UNION ALL"
            "  SELECT i * %(width)s + n, depth + 1 FROM placed, generate_series(1, %(width)s) AS n"
            "  WHERE i * %(width)s + n <= %(size)s)"
            " UPDATE chaingraph.executions e SET depth = p.depth, position = (p.i - 1) %% %(width)s,"
            "   parent_id = CASE WHEN p.i <= %(width)s THEN %(root)s"
            "                    ELSE %(root)s || '-' || (p.i - 1) / %(width)s END"
            " FROM placed p WHERE p.i > 0 AND e.id = %(root)s || '-' || p.i",
            {"root": root, "size": size, "width": width},
        )
        await connection.execute(
            "UPDATE chaingraph.executions e SET children_total = c.n, children_spawned = c.n"
            " FROM (SELECT parent_id, count(*) AS n FROM chaingraph.executions WHERE root_id = %s GROUP BY 1) c"
            " WHERE c.parent_id = e.id",
            (root,),
        )


async def count(ledger: Ledger, root: ExecutionId) -> int:
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM chaingraph.executions WHERE root_id = %s", (root,))
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.parametrize("width", [1, 3, 1200])
async def test_a_large_tree_goes_in_small_transactions(
    ledger: Ledger, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_BATCH", 20)
    monkeypatch.setattr(pruning, "_PARENTS", 7)
    monkeypatch.setattr(pruning, "_CHILDREN", 50)
    size = 150 if width == 1 else 1200
    root = await ended(ledger)
    await tree(ledger, root, size=size, width=width)
    assert await count(ledger, root) == size + 1
    async with ledger.connection() as connection:
        await connection.execute("CREATE TABLE removals (transaction text, id text)")
        await connection.execute(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN INSERT INTO removals VALUES (txid_current()::text, OLD.id); RETURN OLD; END$$"
        )
        await connection.execute(
            "CREATE TRIGGER note BEFORE DELETE ON chaingraph.executions FOR EACH ROW EXECUTE FUNCTION note()"
        )
        assert await prune(pruner(ledger)) == size + 1
        assert await count(ledger, root) == 0
        cursor = await connection.execute("SELECT count(*) FROM removals GROUP BY transaction")
        counts = [row[0] for row in await cursor.fetchall()]
    assert sum(counts) == size + 1
    assert max(counts) <= 20


async def test_interrupted_removal_resumes_and_others_get_their_turn(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_BATCH", 2)
    monkeypatch.setattr(pruning, "_CHILDREN", 10)
    monkeypatch.setattr(pruning, "_MOST", 20)
    small = await ended(ledger, days=100)
    large = await ended(ledger, days=90)
    await tree(ledger, large, size=50, width=4)
    late = await ended(ledger, days=80)
    pruned = pruner(ledger)
    assert await prune(pruned) == 21, "the smallest, and about as many as may go at once"
    assert await left(ledger, [small, large, late]) == {large, late}
    assert await count(ledger, large) == 31
    counts = [await prune(pruned) for _ in range(3)]
    assert sum(counts) == 32
    assert await count(ledger, large) == 0
    assert await left(ledger, [late]) == set()


async def test_locked_part_keeps_its_ancestors_and_pruning_ends(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_CHILDREN", 3)
    root = await ended(ledger)
    await tree(ledger, root, size=12, width=3)
    async with ledger.transaction() as holder:
        await holder.execute("SELECT FROM chaingraph.executions WHERE id = %s FOR UPDATE", (f"{root}-12",))
        # 12 is below 3, which is below the root.
        assert await prune(pruner(ledger)) == 10
    assert await prune(pruner(ledger)) == 3
    assert await count(ledger, root) == 0
