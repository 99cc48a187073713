"""Removal of old executions with all that is kept of them, and of revisions and catalogues that nobody uses."""

from __future__ import annotations

import asyncio
import json

import psycopg
import pytest

from chaingraph_store.ids import ExecutionId, hold_workflow_id, workflow_id
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import leases
from chaingraph_store.upkeep import pruning
from fixtures.ledger.new_executions import create, new_execution
from fixtures.ledger.new_leases import take_lease
from fixtures.ledger.old_executions import DAY, child_of, ended, left, moment, roots

pytestmark = pytest.mark.integration
DBOS_TABLES = (
    ("workflow_status", "workflow_uuid"),
    ("workflow_input", "workflow_uuid"),
    ("workflow_output", "workflow_uuid"),
    ("operation_outputs", "workflow_uuid"),
    ("notifications", "destination_uuid"),
    ("workflow_events", "workflow_uuid"),
    ("workflow_events_history", "workflow_uuid"),
    ("streams", "workflow_uuid"),
)


async def keep_everything_of(ledger: Ledger, execution: ExecutionId, *, runs: int) -> None:
    """A row in every table that can hold something of an execution, for every workflow that it has had."""
    workflows = [of(execution, number) for of in (hold_workflow_id, workflow_id) for number in range(1, runs + 1)]
    async with ledger.transaction() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.journal (execution_id, node_id, attempt, outcome, record)"
            " VALUES (%s, 'a', 1, 'completed', '{}')",
            (execution,),
        )
        for each in workflows:
            values = {"w": each}
            await connection.execute(
                "INSERT INTO dbos.workflow_status (workflow_uuid, status) VALUES (%(w)s, 'SUCCESS')"
                " ON CONFLICT (workflow_uuid) DO NOTHING",
                values,
            )
            for statement in (
                "INSERT INTO dbos.workflow_input (workflow_uuid) VALUES (%(w)s) ON CONFLICT DO NOTHING",
                "INSERT INTO dbos.workflow_output (workflow_uuid) VALUES (%(w)s)",
                "INSERT INTO dbos.operation_outputs (workflow_uuid, function_id) VALUES (%(w)s, 1)",
                "INSERT INTO dbos.notifications (destination_uuid, message) VALUES (%(w)s, '1')",
                "INSERT INTO dbos.workflow_events (workflow_uuid, key, value) VALUES (%(w)s, 'k', '1')",
                "INSERT INTO dbos.workflow_events_history (workflow_uuid, function_id, key, value)"
                " VALUES (%(w)s, 1, 'k', '1')",
                "INSERT INTO dbos.streams (workflow_uuid, key, value, \"offset\") VALUES (%(w)s, 'k', '1', 0)",
            ):
                await connection.execute(statement, values)


async def dbos_rows(ledger: Ledger) -> dict[str, set[str]]:
    """The workflows of which DBOS's tables hold something, by table."""
    found = {}
    async with ledger.connection() as connection:
        for table, column in DBOS_TABLES:
            cursor = await connection.execute(f"SELECT {column} FROM dbos.{table}".encode())
            found[table] = {row[0] for row in await cursor.fetchall()}
    return found


async def test_removal_deletes_all_data_of_only_that_execution(ledger: Ledger) -> None:
    old = await ended(ledger, runs=3)
    other = await ended(ledger)
    await keep_everything_of(ledger, old, runs=3)
    await keep_everything_of(ledger, other, runs=1)
    names = {f"{other}-hold", str(other)}
    before = await dbos_rows(ledger)
    of_old = {f"{old}{hold}{number}" for hold in ("", "-hold") for number in ("", "-2", "-3")}
    assert all(found == names | of_old for found in before.values())
    assert await pruning.remove(ledger, [old], before=await moment(ledger, 30 * DAY)) == 1
    assert await left(ledger, [old, other]) == {other}
    assert all(found == names for found in (await dbos_rows(ledger)).values())
    async with ledger.connection() as connection:
        for table in ("journal", "events"):
            cursor = await connection.execute(f"SELECT DISTINCT execution_id FROM chaingraph.{table}".encode())
            assert await cursor.fetchall() == [(other,)]


async def test_all_dbos_tables_with_workflow_ids_are_known(ledger: Ledger) -> None:
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = 'dbos' AND column_name IN ('workflow_uuid', 'destination_uuid', 'workflow_id')"
        )
        assert set(await cursor.fetchall()) == set(DBOS_TABLES), "a new version of DBOS: see pruning._WORKFLOWS"


async def test_ended_roots_skip_running_recent_and_foreign(ledger: Ledger) -> None:
    oldest, old = await ended(ledger, days=90), await ended(ledger, days=31)
    await ended(ledger, days=29)
    await create(ledger)
    await child_of(ledger, old)
    other = await ended(ledger, days=60)
    async with ledger.connection() as connection:
        await connection.execute("UPDATE chaingraph.executions SET namespace = 'other' WHERE id = %s", (other,))
    before = await moment(ledger, 30 * DAY)
    assert await roots(ledger, before=before) == [oldest, other, old]
    assert await roots(ledger, before=before, namespaces=["team"]) == [oldest, old]
    assert await roots(ledger, before=before, namespaces=[]) == []


async def test_pages_continue_correctly_among_equal_end_times(ledger: Ledger) -> None:
    made = {await ended(ledger) for _ in range(7)}
    async with ledger.connection() as connection:
        await connection.execute("UPDATE chaingraph.executions SET finished_at = now() - interval '40 days'")
    found = await roots(ledger, before=await moment(ledger, 30 * DAY))
    assert len(found) == len(set(found))
    assert set(found) == made


async def test_removal_keeps_parent_until_children_are_gone(ledger: Ledger) -> None:
    root = await ended(ledger)
    child = await child_of(ledger, root)
    before = await moment(ledger, 30 * DAY)
    assert await pruning.remove(ledger, [root], before=before) == 0
    assert await pruning.remove(ledger, [child], before=before) == 1
    assert await pruning.remove(ledger, [root], before=before) == 1


async def test_removal_skips_restarted_and_locked_executions(ledger: Ledger) -> None:
    again, locked, free = await ended(ledger), await ended(ledger), await ended(ledger)
    before = await moment(ledger, 30 * DAY)
    async with ledger.transaction() as holder:
        await holder.execute(
            "UPDATE chaingraph.executions SET phase = 'Pending', finished_at = NULL WHERE id = %s", (again,)
        )
    async with ledger.transaction() as holder:
        await holder.execute("SELECT 1 FROM chaingraph.executions WHERE id = %s FOR UPDATE", (locked,))
        async with asyncio.timeout(20):
            assert await pruning.remove(ledger, [again, locked, free], before=before) == 1
    assert await left(ledger, [again, locked, free]) == {again, locked}
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM chaingraph.events WHERE execution_id = %s", (again,))
        assert await cursor.fetchone() == (2,), "its log is still whole"


async def test_concurrent_removals_do_not_block_each_other(ledger: Ledger) -> None:
    made = [await ended(ledger) for _ in range(30)]
    before = await moment(ledger, 30 * DAY)
    counts = await asyncio.gather(*(pruning.remove(ledger, made, before=before) for _ in range(4)))
    assert await pruning.remove(ledger, made, before=before) + sum(counts) == 30
    assert await left(ledger, made) == set()


async def test_a_long_log_is_removed(ledger: Ledger) -> None:
    old = await ended(ledger)
    async with ledger.connection() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.events (execution_id, index, type, at, data)"
            " SELECT %s, i, 'node:output', now(), '{}' FROM generate_series(10, 25009) AS i",
            (old,),
        )
    assert await pruning.remove(ledger, [old], before=await moment(ledger, 30 * DAY)) == 1
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM chaingraph.events")
        assert await cursor.fetchone() == (0,)


async def test_revision_is_removed_after_its_last_execution(ledger: Ledger) -> None:
    first, second = await ended(ledger, flow_revision="shared"), await ended(ledger, flow_revision="shared")
    alone = await ended(ledger, flow_revision="alone")
    before = await moment(ledger, 30 * DAY)
    assert await pruning.remove_unused_revisions(ledger, limit=10) == 0
    await pruning.remove(ledger, [first, alone], before=before)
    assert await pruning.remove_unused_revisions(ledger, limit=10) == 1
    await pruning.remove(ledger, [second], before=before)
    assert await pruning.remove_unused_revisions(ledger, limit=10) == 1


async def test_creation_with_retries_survives_revision_removal(ledger: Ledger) -> None:
    """Creations and removals race; a creation that lost is repeated, as the operator does."""

    async def create_again() -> int:
        for failures in range(100):
            try:
                await create(ledger, flow_revision="contested")
            except psycopg.errors.ForeignKeyViolation:
                continue
            return failures
        pytest.fail("never created")

    async def remove() -> None:
        for _ in range(20):
            await pruning.remove_unused_revisions(ledger, limit=10)

    for _ in range(10):
        old = await ended(ledger, flow_revision="contested")
        await pruning.remove(ledger, [old], before=await moment(ledger, 30 * DAY))
        await asyncio.gather(remove(), create_again())
        async with ledger.connection() as connection:
            cursor = await connection.execute(
                "DELETE FROM chaingraph.executions e USING chaingraph.flow_revisions r"
                " WHERE r.revision = e.flow_revision AND r.revision = 'contested' RETURNING 1"
            )
            assert await cursor.fetchall() == [(1,)]


async def test_catalogue_is_removed_with_its_last_known_worker(ledger: Ledger) -> None:
    await take_lease(ledger, "one", nodes="c1")
    await take_lease(ledger, "two", nodes="c2")
    assert await pruning.remove_unused_catalogues(ledger, limit=10) == 0
    async with ledger.connection() as connection:
        await connection.execute("DELETE FROM chaingraph.workers WHERE executor_id = 'one'")
    assert await pruning.remove_unused_catalogues(ledger, limit=10) == 1
    async with ledger.connection() as connection:
        assert await leases.catalogues_in_force(connection) == [{"name": "c2"}]


async def test_starting_worker_keeps_catalogue_during_removal(ledger: Ledger) -> None:
    async def remove() -> None:
        for _ in range(20):
            await pruning.remove_unused_catalogues(ledger, limit=10)

    for number in range(10):
        async with ledger.connection() as connection:
            await connection.execute("DELETE FROM chaingraph.workers")
        await asyncio.gather(remove(), take_lease(ledger, f"worker-{number}", nodes="c1"), remove())
        async with ledger.connection() as connection:
            assert await leases.catalogues_in_force(connection) == [{"name": "c1"}]


async def test_ended_roots_search_uses_index_without_sort(ledger: Ledger) -> None:
    """With the statistics of a large ledger whose resources are mostly kept, a page is read without sorting it all."""
    new = new_execution()
    async with ledger.transaction() as connection:
        await connection.execute("INSERT INTO chaingraph.flow_revisions (revision, spec) VALUES ('many', '{}')")
        await connection.execute(
            "INSERT INTO chaingraph.executions (id, uid, namespace, name, flow_revision, queue, root_id, phase,"
            " workflow_id, finished_at)"
            " SELECT 'EX' || i, 'u' || i, 'team', 'n' || i, 'many', %s, 'EX' || i, 'Completed', 'EX' || i,"
            " now() - make_interval(mins => i) FROM generate_series(1, 20000) AS i",
            (new.queue,),
        )
    async with ledger.connection() as connection:
        await connection.execute("ANALYZE chaingraph.executions")
        for namespaces in (None, ["team"]):
            cursor = await connection.execute(
                b"EXPLAIN (FORMAT JSON) " + pruning._ENDED_ROOTS.encode(),
                {
                    "before": await moment(ledger, DAY),
                    "namespaces": namespaces,
                    "after": await moment(ledger, 10 * DAY),
                    "after_id": "EX1",
                    "limit": 500,
                },
            )
            row = await cursor.fetchone()
            assert row is not None
            plan = json.dumps(row[0])
            assert '"executions_ended"' in plan
            assert '"Sort"' not in plan
