"""Which rows the sweep reads, and which of them it stops: what is active, what has to spawn, and what is above that."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_operator.loops.sweep import topmost_gone
from chaingraph_store import executions
from chaingraph_store.children import child_rows
from chaingraph_store.commands import stopping
from chaingraph_store.executions import ActiveExecution
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures.ledger.ledger import row_of
from fixtures.ledger.new_executions import create
from fixtures.trees.children import complete, complete_and_spawn


def tended_by_hand(number: int, parent: ExecutionId | None) -> ActiveExecution:
    return ActiveExecution(ExecutionId(f"EX{number}"), parent, f"uid-{number}", "team", f"n{number}")


@st.composite
def forests(draw: st.DrawFn) -> list[ActiveExecution]:
    """Parents before children; some name a parent that stands for no resource."""
    made: list[ActiveExecution] = []
    for number in range(draw(st.integers(0, 12))):
        parent = draw(st.sampled_from([None, ExecutionId("EX-shows-nothing"), *(each.id for each in made)]))
        made.append(tended_by_hand(number, parent))
    return made


@given(forests(), st.sets(st.sampled_from([f"uid-{number}" for number in range(12)])))
def test_gone_execution_is_stopped_once_itself_or_by_an_ancestor(
    tended: list[ActiveExecution], alive: set[str]
) -> None:
    by_id = {each.id: each for each in tended}

    def upwards(each: ActiveExecution) -> Iterator[ActiveExecution]:
        above = by_id.get(each.parent_id) if each.parent_id is not None else None
        while above is not None:
            yield above
            above = by_id.get(above.parent_id) if above.parent_id is not None else None

    stopped = topmost_gone(tended, alive)
    assert all(each.uid not in alive for each in stopped)
    for each in tended:
        gone_above = any(above.uid not in alive for above in upwards(each))
        assert (each in stopped) == (each.uid not in alive and not gone_above)


async def names_of(ledger: Ledger, made: Sequence[ExecutionId], *, namespaces: list[str] | None = None) -> list[int]:
    """The numbers of those that are found, in their order."""
    async with ledger.connection() as connection:
        found = await executions.tended(connection, namespaces=namespaces)
    return [made.index(each.id) for each in found]


async def show(ledger: Ledger, *shown: ExecutionId) -> None:
    for each in shown:
        row = await row_of(ledger, each)
        assert row.parent_id is not None
        async with ledger.connection() as connection:
            assert await child_rows.adopt(
                connection, each, parent=row.parent_id, uid=str(uuid.uuid4()), namespace=row.namespace, name=row.name
            )


@pytest.mark.integration
async def test_sweep_finds_active_executions_with_their_ancestors(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    left, right = await complete_and_spawn(ledger, root, 2)
    (below,) = await complete_and_spawn(ledger, left, 1)
    made = [root, left, right, below]
    assert await names_of(ledger, made) == [0], "children without a resource are found in their root"
    await show(ledger, left, right)
    assert await names_of(ledger, made) == [0, *sorted((1, 2), key=lambda number: made[number])]
    await complete(ledger, right)
    assert await names_of(ledger, made) == [0, 1]
    await show(ledger, below)
    assert await names_of(ledger, made) == [0, 1, 3], "parents first"
    await complete(ledger, below)
    assert await names_of(ledger, made) == []


@pytest.mark.integration
async def test_sweep_finds_unspawned_work_with_its_ancestors(ledger: Ledger) -> None:
    root = (await create(ledger)).id
    (child,) = await complete_and_spawn(ledger, root, 1)
    await show(ledger, child)
    await complete(ledger, child, children=3)
    made = [root, child]
    assert await names_of(ledger, made) == [0, 1]
    async with ledger.transaction() as connection:
        assert await stopping.stop(connection, root, reason="enough", deleted=True)
    assert await names_of(ledger, made) == []


@pytest.mark.integration
async def test_sweep_reads_only_served_namespaces(ledger: Ledger) -> None:
    made = [(await create(ledger, namespace=namespace)).id for namespace in ("team", "other")]
    await complete(ledger, made[0], children=1)
    assert sorted(await names_of(ledger, made)) == [0, 1]
    assert await names_of(ledger, made, namespaces=["team"]) == [0]
    assert await names_of(ledger, made, namespaces=["third", "other"]) == [1]
    assert await names_of(ledger, made, namespaces=[]) == []


def nodes(plan: Any) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


@pytest.mark.integration
async def test_sweep_finds_few_active_among_many_ended_by_index(ledger: Ledger) -> None:
    """10,000 ended roots, and a tree of 10,000 of which three at the bottom are active and one has still to spawn."""
    revision = (await create(ledger)).flow_revision
    insert = (
        "INSERT INTO chaingraph.executions (id, uid, namespace, name, flow_revision, queue, root_id, parent_id, depth,"
        " position, phase, workflow_id, finished_at, children_total)"
        " SELECT {id}, 'u-' || {id}, 'team', {id}, %s, 'q', {root}, {parent}, {depth}, {position}, {phase}, {id},"
        " now(), {total} FROM generate_series({numbers}) AS i"
    )
    roots = insert.format(
        id="'R' || i",
        root="'R' || i",
        parent="NULL",
        depth=0,
        position="NULL",
        phase="'Completed'",
        total=0,
        numbers="0, 10000",
    )
    tree = insert.format(
        id="'T' || i",
        root="'R0'",
        parent="CASE WHEN i < 10 THEN 'R0' ELSE 'T' || i / 10 END",
        depth="length(i::text)",
        position="i %% 10",
        phase="CASE WHEN i > 9997 THEN 'Running' ELSE 'Completed' END",
        total="(i = 500)::int",
        numbers="1, 10000",
    )
    async with ledger.connection() as connection:
        await connection.execute(roots.encode(), (revision,))
        await connection.execute(tree.encode(), (revision,))
        await connection.execute("ANALYZE chaingraph.executions")
        for namespaces in (None, ["team"]):
            found = await executions.tended(connection, namespaces=namespaces)
            expected = {"R0", "T5", "T50", "T500", "T9", "T99", "T999", "T9998", "T9999"} | {
                "T1",
                "T10",
                "T100",
                "T1000",
                "T10000",
            }
            assert {each.id for each in found if each.name != "nightly"} == expected
            cursor = await connection.execute(
                b"EXPLAIN (ANALYZE, FORMAT JSON) " + executions._TENDED.encode(),
                {"all": namespaces is None, "namespaces": namespaces or []},
            )
            row = await cursor.fetchone()
            assert row is not None
            scans = [each for each in nodes(row[0][0]["Plan"]) if each.get("Relation Name") == "executions"]
            assert scans
            assert {each["Node Type"] for each in scans} <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}
            read = sum(
                (each["Actual Rows"] + each.get("Rows Removed by Filter", 0)) * each["Actual Loops"] for each in scans
            )
            assert read < 100
