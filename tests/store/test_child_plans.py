"""Query plans of the statements about children, in a ledger of many finished executions: index look-ups alone."""

from __future__ import annotations

import pytest

from chaingraph_store.children import completion, spawning
from chaingraph_store.commands import stopping
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import dispatch
from fixtures.ledger.new_executions import APP, create
from fixtures.ledger.plans import EXECUTIONS, WORKFLOWS, analyze, reads
from fixtures.trees.children import complete
from fixtures.trees.forest import stop_tree

pytestmark = pytest.mark.integration
WIDE = 20_000
DEEP = 100


async def wide_tree(ledger: Ledger, children: int, *, ended: int) -> ExecutionId:
    """A parent of many children, most of which ended long ago; of twenty it has not been told."""
    root = (await create(ledger)).id
    await complete(ledger, root, children=children)
    async with ledger.transaction() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.executions (id, namespace, name, flow_revision, queue, root_id, parent_id,"
            " position, depth, phase, workflow_id, finished_at, parent_notified, counted)"
            " SELECT %(root)s || n, 'team', 'n-' || n, '0123456789abcdef', 'q', %(root)s, %(root)s, n, 1,"
            " CASE WHEN n < %(ended)s THEN 'Completed' ELSE 'Pending' END, %(root)s || n,"
            " CASE WHEN n < %(ended)s THEN now() END, n BETWEEN 20 AND %(ended)s - 1, n BETWEEN 20 AND %(ended)s - 1"
            " FROM generate_series(0, %(children)s - 1) AS n",
            {"root": root, "children": children, "ended": ended},
        )
        await connection.execute(
            "UPDATE chaingraph.executions SET children_spawned = children_total,"
            " children_active = (SELECT count(*) FROM chaingraph.executions WHERE parent_id = %(root)s AND NOT counted)"
            " WHERE id = %(root)s",
            {"root": root},
        )
        await connection.execute(
            "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, created_at, updated_at,"
            " application_name, recovery_attempts, priority)"
            " SELECT id, CASE WHEN finished_at IS NULL THEN 'ENQUEUED' ELSE 'SUCCESS' END, 'run_execution', queue, 1,"
            " 1, %s, 0, 0 FROM chaingraph.executions WHERE parent_id = %s",
            (APP, root),
        )
    return root


async def deep_tree(ledger: Ledger, generations: int) -> ExecutionId:
    """Executions of which each has one child; the last one is queued."""
    root = (await create(ledger)).id
    await complete(ledger, root, children=1)
    async with ledger.transaction() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.executions (id, namespace, name, flow_revision, queue, root_id, parent_id,"
            " position, depth, phase, workflow_id, finished_at, parent_notified, children_total,"
            " children_spawned, children_active)"
            " SELECT %(root)s || n, 'team', 'n-' || n, '0123456789abcdef', 'q', %(root)s,"
            " CASE WHEN n = 1 THEN %(root)s ELSE %(root)s || (n - 1) END, 0, n, CASE WHEN last THEN 'Pending' ELSE"
            " 'Completed' END, %(root)s || n, CASE WHEN last THEN NULL ELSE now() END, NOT last, (NOT last)::int,"
            " (NOT last)::int, (NOT last)::int"
            " FROM generate_series(1, %(generations)s) AS n, LATERAL (SELECT n = %(generations)s AS last) l",
            {"root": root, "generations": generations},
        )
        await connection.execute(
            "UPDATE chaingraph.executions SET children_spawned = 1 WHERE id = %s",
            (root,),
        )
    return root


@pytest.fixture
async def roots(ledger: Ledger) -> tuple[ExecutionId, ExecutionId]:
    """A wide tree of which nearly all has ended, and a deep one."""
    wide, deep = await wide_tree(ledger, WIDE, ended=WIDE - 30), await deep_tree(ledger, DEEP)
    await complete(ledger, (await create(ledger)).id, children=5)
    await analyze(ledger)
    return wide, deep


async def test_settle_reads_only_uncounted_children(ledger: Ledger, roots: tuple[ExecutionId, ExecutionId]) -> None:
    wide, _ = roots
    uncounted = ("executions", "executions_uncounted")
    parameters = {"id": wide, "limit": completion.MOST_AT_ONCE, "channel": "x"}
    assert await reads(ledger, completion._SETTLE, parameters) == {EXECUTIONS, uncounted}
    assert await reads(ledger, completion._OWED, ()) == {uncounted}
    assert await _index_entries(ledger, "executions_uncounted") == 20


async def _index_entries(ledger: Ledger, index: str) -> int:
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT reltuples FROM pg_class WHERE relname = %s", (index,))
        row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def test_spawning_finds_parent_by_key(ledger: Ledger, roots: tuple[ExecutionId, ExecutionId]) -> None:
    found = await reads(ledger, spawning._PARENT, (roots[0],))
    assert found <= {EXECUTIONS, ("executions", "executions_spawning")}
    assert found


async def test_revive_reads_active_and_spawning_indexes(ledger: Ledger, roots: tuple[ExecutionId, ExecutionId]) -> None:
    parameters = {"app": APP, "hold_queue": "held", "settled_ms": 5000}
    assert await reads(ledger, dispatch._REVIVE, parameters) == {
        EXECUTIONS,
        WORKFLOWS,
        ("executions", "executions_active"),
        ("executions", "executions_spawning"),
    }


@pytest.mark.parametrize("deleted", [False, True])
async def test_stop_reads_tree_by_parent_index(
    ledger: Ledger, roots: tuple[ExecutionId, ExecutionId], deleted: bool
) -> None:
    for root in roots:
        parameters = {
            "id": root,
            "children": True,
            "deleted": deleted,
            "reason": "",
            "inherited": "",
            "generation": 0,
            "changes": "x",
            "control": "y",
        }
        assert await reads(ledger, stopping._HOLD, parameters) == {EXECUTIONS, ("executions", "executions_children")}
        few = {"found": [f"{root}{number}" for number in range(50)], "deeper": [True] * 50}
        assert await reads(ledger, stopping._STOP, parameters | few) == {EXECUTIONS}
    assert await stop_tree(ledger, roots[1], deleted=deleted)
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT count(*) FILTER (WHERE phase = 'Stopped'), count(*) FILTER (WHERE tree_stopped)"
            " FROM chaingraph.executions WHERE root_id = %s",
            (roots[1],),
        )
        assert await cursor.fetchone() == (1, DEEP + 1)


async def test_stop_ends_tree_of_five_thousand_in_one_call(ledger: Ledger) -> None:
    beside = await wide_tree(ledger, 100, ended=50)
    root = await wide_tree(ledger, 5000, ended=500)
    await analyze(ledger)
    assert await stop_tree(ledger, root)
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT e.root_id, e.phase, w.status, count(*) FROM chaingraph.executions e"
            " JOIN dbos.workflow_status w ON w.workflow_uuid = e.workflow_id WHERE e.parent_id IS NOT NULL"
            " GROUP BY 1, 2, 3"
        )
        assert {tuple(row) for row in await cursor.fetchall()} == {
            (root, "Completed", "SUCCESS", 500),
            (root, "Stopped", "CANCELLED", 4500),
            (beside, "Completed", "SUCCESS", 50),
            (beside, "Pending", "ENQUEUED", 50),
        }
        await completion.settle(connection, root, application_name=APP)
        cursor = await connection.execute("SELECT children_active FROM chaingraph.executions WHERE id = %s", (root,))
        assert await cursor.fetchone() == (0,)
        cursor = await connection.execute(
            "SELECT count(*), max(index) FROM chaingraph.events WHERE execution_id = %s AND index >= 0", (root,)
        )
        assert await cursor.fetchone() == (4520, 4519), "of 480 it had been told"
