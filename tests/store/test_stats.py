"""Statistics for metrics: their counts, and that they read only unfinished executions."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chaingraph_store.children import statistics as child_statistics
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import leases, statistics
from chaingraph_store.queue.pinning import Build
from fixtures.ledger.new_executions import APP, create, dequeue
from fixtures.ledger.new_leases import new_lease
from fixtures.trees.children import complete, complete_and_spawn

pytestmark = pytest.mark.integration
ENDED = 75_000
WAITING = 5_000


async def queues_of(ledger: Ledger) -> dict[str, statistics.QueueStatistics]:
    async with ledger.connection() as connection:
        return {each.queue: each for each in await statistics.queues(connection, application_name=APP)}


async def family_of(ledger: Ledger) -> child_statistics.ChildStatistics:
    async with ledger.connection() as connection:
        return await child_statistics.children(connection)


async def test_queue_figures_count_waiting_and_running(ledger: Ledger) -> None:
    assert await queues_of(ledger) == {}
    for queue in ("reports", "reports", "mail"):
        await create(ledger, queue=queue)
    started = await create(ledger, queue="reports")
    await create(ledger, queue="reports", held=True)
    ended = await create(ledger, queue="mail")
    await complete(ledger, ended.id)
    async with ledger.connection() as connection:
        assert await dequeue(connection, started.id, "worker-1")
        await connection.execute("UPDATE dbos.workflow_status SET created_at = created_at - 90000 WHERE true")
    found = await queues_of(ledger)
    assert {name: (each.waiting, each.running) for name, each in found.items()} == {"reports": (2, 1), "mail": (1, 0)}
    assert 90 <= found["reports"].oldest_seconds < 150


async def test_queue_age_ignores_future_and_running_work(ledger: Ledger) -> None:
    waits = await create(ledger, queue="later")
    runs = await create(ledger, queue="busy")
    async with ledger.connection() as connection:
        assert await dequeue(connection, runs.id, "worker-1")
        await connection.execute(
            "UPDATE dbos.workflow_status SET created_at = created_at + 60000 WHERE workflow_uuid = %s", (waits.id,)
        )
    found = await queues_of(ledger)
    assert {name: each.oldest_seconds for name, each in found.items()} == {"later": 0, "busy": 0}


async def test_queue_figures_exclude_other_applications(ledger: Ledger) -> None:
    await create(ledger)
    async with ledger.connection() as connection:
        assert await statistics.queues(connection, application_name="another") == []


async def test_worker_figures_count_live_ones_by_queue_and_version(ledger: Ledger) -> None:
    async with ledger.transaction() as connection:
        for each in (
            new_lease("a", queues=["reports"]),
            new_lease("b", queues=["reports", "mail"], concurrency=3),
            new_lease("c", queues=["reports"], build=Build("", "2")),
            new_lease("old", queues=["reports"], build=Build("default", "0")),
            new_lease("dead", queues=["reports"]),
            new_lease("stranger", queues=["reports"], application_name="another"),
        ):
            await leases.take(connection, each)
        await leases.release(connection, "dead")
        await leases.drain(connection, "c")
        await connection.execute("UPDATE chaingraph.workers SET retired = true WHERE executor_id = 'old'")
        found = await statistics.workers(connection, application_name=APP)
    assert {(each.queue, each.pool, each.version, each.state, each.workers, each.slots) for each in found} == {
        ("reports", "", "1", "serving", 2, 8),
        ("mail", "", "1", "serving", 1, 3),
        ("reports", "", "2", "draining", 1, 5),
        ("reports", "default", "0", "retired", 1, 5),
    }


async def test_family_figures_report_age_of_pending_work(ledger: Ledger) -> None:
    assert await family_of(ledger) == child_statistics.ChildStatistics(0, 0, 0)
    unspawned = (await create(ledger)).id
    await complete(ledger, unspawned, children=2)
    parent = (await create(ledger)).id
    child, _ = await complete_and_spawn(ledger, parent, 2)
    await complete(ledger, child)
    async with ledger.connection() as connection:
        await connection.execute(
            "UPDATE chaingraph.executions SET finished_at = finished_at - make_interval(mins => 10) WHERE id = ANY(%s)",
            ([unspawned, child],),
        )
        await connection.execute(
            "UPDATE chaingraph.executions SET created_at = created_at - make_interval(mins => 20) WHERE id = %s",
            (child,),
        )
    found = await family_of(ledger)
    assert 600 <= found.unspawned_seconds < 660
    assert 600 <= found.unnotified_seconds < 660
    assert 1200 <= found.unshown_seconds < 1260


async def plan_of(ledger: Ledger, query: str, parameters: dict[str, Any]) -> tuple[str, int]:
    """The plan as text, and how many blocks it read."""
    async with ledger.connection() as connection:
        cursor = await connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}".encode(), parameters)
        row = await cursor.fetchone()
    assert row is not None
    plan = row[0][0]["Plan"]
    return str(plan), plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


async def test_figures_read_only_in_flight_rows(ledger: Ledger) -> None:
    await create(ledger)
    async with ledger.connection() as connection:
        await connection.execute(
            "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, created_at, updated_at,"
            " application_name, recovery_attempts, priority)"
            " SELECT 'EX' || n, CASE WHEN n < %(waiting)s THEN 'ENQUEUED' WHEN n < %(waiting)s + 200 THEN 'PENDING'"
            " ELSE 'SUCCESS' END, 'run_execution', 'queue-' || n %% 3, n, n, %(app)s, 0, 0"
            " FROM generate_series(1, %(all)s) AS n",
            {"waiting": WAITING, "all": ENDED + WAITING, "app": APP},
        )
        await connection.execute(
            "INSERT INTO chaingraph.executions (id, namespace, name, flow_revision, queue, root_id, phase, workflow_id,"
            " finished_at) SELECT 'EX' || n, 'team', 'n-' || n, '0123456789abcdef', 'q', 'EX' || n, 'Completed',"
            " 'EX' || n, now() FROM generate_series(1, %s) AS n",
            (ENDED,),
        )
        for table in ("chaingraph.executions", "dbos.workflow_status"):
            await connection.execute(f"VACUUM ANALYZE {table}".encode())
    plan, blocks = await plan_of(ledger, statistics._QUEUES, {"application": APP, "holds": "chaingraph-held"})
    assert "idx_workflow_status_in_flight_v2" in plan, plan
    assert "Seq Scan" not in plan, plan
    assert blocks < WAITING / 20, blocks
    plan, blocks = await plan_of(ledger, child_statistics._CHILDREN, {})
    assert "Seq Scan" not in plan, plan
    assert blocks < 20, blocks
    began = time.perf_counter()
    found = await queues_of(ledger)
    assert sum(each.waiting for each in found.values()) == WAITING
    assert time.perf_counter() - began < 2
