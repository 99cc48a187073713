"""Deletions that nobody saw, of resources with a tree below them: what is below ends with its resource."""

from __future__ import annotations

import pytest

from chaingraph_store.children import child_rows
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.reads import visibility
from fixtures.cluster.view import Cluster
from fixtures.ledger.ledger import row_of, wait_for
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.programs import Process, RunOperator
from fixtures.trees.children import complete, complete_and_spawn
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

FLOW = {"nodes": [{"id": "a", "type": "Text"}]}


class Garden:
    """Trees whose roots an operator has made; it is away afterwards."""

    def __init__(self, cluster: Cluster, ledger: Ledger, run_operator: RunOperator) -> None:
        self.cluster = cluster
        self.ledger = ledger
        self._run_operator = run_operator

    async def roots(self, *names: str) -> list[ExecutionId]:
        """Executions that have started, made by an operator that is killed then."""
        operator = self._run_operator()
        spec = {"flow": FLOW, "children": {"resources": "None"}}
        uids = [self.cluster.apply("Execution", name, spec) for name in names]
        made = [(await self.cluster.row(uid)).id for uid in uids]
        operator.kill()
        return made

    async def show(self, child: ExecutionId) -> str:
        """A resource that stands for a child; returns its name."""
        row = await row_of(self.ledger, child)
        assert row.parent_id is not None
        assert row.position is not None
        spawned_by = {"executionID": child, "parentExecutionID": row.parent_id, "position": row.position}
        uid = self.cluster.apply("Execution", row.name, {"spawnedBy": spawned_by})
        async with self.ledger.connection() as connection:
            assert await child_rows.adopt(
                connection, child, parent=row.parent_id, uid=uid, namespace=row.namespace, name=row.name
            )
        return row.name

    def delete(self, *names: str) -> None:
        self.cluster.kubectl("delete", "cgx", *names)

    async def operator_that_has_swept(self) -> Process:
        """An operator that comes now, once it has swept at least once."""
        mark = self.cluster.apply("Execution", "mark", {"flow": FLOW, "children": {"resources": "None"}})
        # Its row comes by the watch, its stop by the sweep alone: see below.
        operator = self._run_operator(CHAINGRAPH_SWEEP_SECONDS="1")
        row = await self.cluster.row(mark)
        async with self.ledger.connection() as connection:
            await connection.execute("UPDATE chaingraph.executions SET uid = 'gone' WHERE id = %s", (row.id,))
        await self.ended(row.id)
        return operator

    async def ended(self, execution: ExecutionId) -> ExecutionRow:
        row = await wait_for(self.ledger, execution, lambda row: row.ended)
        assert row.phase == "Stopped"
        assert "Resource deleted" in row.error_message
        return row


@pytest.fixture
def garden(cluster: Cluster, ledger: Ledger, run_operator: RunOperator) -> Garden:
    return Garden(cluster, ledger, run_operator)


async def test_sweep_stops_the_tree_of_a_deleted_ended_execution(
    garden: Garden, ledger: Ledger, start_worker: StartWorker
) -> None:
    await start_worker()
    gone, kept = await garden.roots("gone", "kept")
    deep = [gone]
    for _ in range(3):
        deep.append((await complete_and_spawn(ledger, deep[-1], 2))[0])
    beside = (await complete_and_spawn(ledger, kept, 1))[0]
    garden.delete("gone")
    await garden.operator_that_has_swept()
    await garden.ended(deep[-1])
    assert [(await row_of(ledger, each)).phase for each in deep[:-1]] == ["Completed"] * 3
    await wait_for(ledger, gone, lambda row: row.tree_ended)
    assert (await row_of(ledger, beside)).phase == "Pending"
    assert (await row_of(ledger, kept)).children_active == 1


async def test_sweep_bars_unspawned_children_of_a_deleted_resource(
    garden: Garden, ledger: Ledger, start_worker: StartWorker
) -> None:
    await start_worker()
    gone, kept = await garden.roots("gone", "kept")
    for each in (gone, kept):
        await complete(ledger, each, children=3)
    garden.delete("gone")
    await garden.operator_that_has_swept()
    row = await wait_for(ledger, gone, lambda row: row.children_suppressed == 3)
    assert (row.phase, row.children_active) == ("Completed", 0)
    assert (await row_of(ledger, kept)).children_suppressed == 0


async def test_sweep_stops_only_the_subtree_of_a_deleted_child(
    garden: Garden, ledger: Ledger, start_worker: StartWorker
) -> None:
    await start_worker()
    (root,) = await garden.roots("root")
    first, second, third = await complete_and_spawn(ledger, root, 3)
    below_first = await complete_and_spawn(ledger, first, 2)
    below_second = await complete_and_spawn(ledger, second, 1)
    names = [await garden.show(each) for each in (first, second, third)]
    garden.delete(names[0], names[2])
    await garden.operator_that_has_swept()
    for each in (*below_first, third):
        await garden.ended(each)
    assert (await row_of(ledger, below_second[0])).phase == "Pending"
    assert [(await row_of(ledger, each)).resources for each in below_first] == ["None", "None"]


async def test_sweep_stops_and_counts_an_execution_once(
    garden: Garden, ledger: Ledger, start_worker: StartWorker
) -> None:
    await start_worker()
    gone, kept = await garden.roots("gone", "kept")
    await complete_and_spawn(ledger, gone, 5)
    garden.delete("gone")
    operator = await garden.operator_that_has_swept()

    async def counted() -> bool:
        return "chaingraph_operator_swept_total 2.0" in operator.get("/metrics").text

    await eventually(counted, what="the mark and the root")
    lines = [line for line in operator.lines() if "deleted unseen" in line.get("message", "")]
    assert sorted(line["name"] for line in lines) == ["gone", "mark"]
    assert (await row_of(ledger, kept)).phase == "Pending"


async def test_sweep_hides_what_ended_and_was_deleted_unseen_but_not_what_expired(
    garden: Garden, ledger: Ledger, start_worker: StartWorker
) -> None:
    await start_worker()
    gone, expired, kept = await garden.roots("gone", "expired", "kept")
    for each in (gone, expired, kept):
        await complete(ledger, each)
    uid = (await row_of(ledger, expired)).uid
    assert uid is not None
    await visibility.note_expired(ledger, uid)
    garden.delete("gone", "expired")
    await garden.operator_that_has_swept()

    async def hidden() -> set[str]:
        async with ledger.connection() as connection:
            cursor = await connection.execute("SELECT id FROM chaingraph.executions WHERE deleted_at IS NOT NULL")
            return {row[0] for row in await cursor.fetchall()}

    async def gone_is_hidden() -> bool:
        return gone in await hidden()

    await eventually(gone_is_hidden, what="the end of the sweep")
    assert not {expired, kept} & await hidden()
