"""What the role of a pool costs: its policies look executions up by key, in a ledger full of other pools' work."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import pytest

from chaingraph_store.attempts import runs
from chaingraph_store.children import completion, spawning
from chaingraph_store.ids import ExecutionId, workflow_id
from chaingraph_store.ledger import Connection, Ledger
from chaingraph_store.queue import leases, recovery
from chaingraph_store.queue.fair_share import TAKE, take_parameters
from chaingraph_store.queue.pinning import Build
from fixtures.ledger.moves import flush, take_from_queue
from fixtures.ledger.new_executions import APP, create, dequeue
from fixtures.ledger.new_leases import new_lease
from fixtures.ledger.plans import analyze
from fixtures.ledger.pool_roles import queue_of

pytestmark = [pytest.mark.integration, pytest.mark.long]
MANY: Final = 100_000
FEW: Final = 500
"""Rows that one statement may read: it is about a handful of executions."""
_READS: Final = """
SELECT relname, seq_scan, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_xact_user_tables
WHERE relname IN ('executions', 'workflow_status', 'journal', 'events', 'trees')
"""
_HELD: Final = """
SELECT workflow_uuid FROM dbos.workflow_status WHERE queue_name = 'chaingraph-held' AND status = 'ENQUEUED'
AND (application_version = 'v' OR application_version IS NULL) ORDER BY priority, created_at LIMIT 10
FOR UPDATE SKIP LOCKED
"""


@pytest.fixture
async def crowded(ledger: Ledger) -> None:
    """Another pool's executions: ended, waiting, held, and a few that run."""
    new = await create(ledger, queue=queue_of("beta"))
    async with ledger.transaction() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.executions (id, namespace, name, flow_revision, queue, root_id, phase, workflow_id,"
            " finished_at) SELECT 'x' || n, 'team', 'n-' || n, %(revision)s, %(queue)s, 'x' || n,"
            " CASE n %% 4 WHEN 0 THEN 'Completed' WHEN 1 THEN 'Created' ELSE 'Pending' END, 'x' || n,"
            " CASE WHEN n %% 4 = 0 THEN now() END FROM generate_series(1, %(many)s) AS n",
            {"revision": new.flow_revision, "queue": new.queue, "many": MANY},
        )
        await connection.execute(
            "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, created_at, updated_at,"
            " application_name, recovery_attempts, priority, queue_partition_key, executor_id)"
            " SELECT CASE phase WHEN 'Created' THEN id || '-hold' ELSE id END, CASE phase WHEN 'Completed' THEN"
            " 'SUCCESS' WHEN 'Created' THEN 'PENDING' ELSE 'ENQUEUED' END, 'run_execution', CASE phase WHEN 'Created'"
            " THEN 'chaingraph-held' ELSE queue END, 1, 1, %s, 0, 0, 'team', CASE phase WHEN 'Created' THEN 'b1' END"
            " FROM chaingraph.executions WHERE id LIKE 'x%%'",
            (APP,),
        )
        await leases.take(connection, new_lease("b1", build=Build("beta", "1"), queues=[queue_of("beta")]))
    await analyze(ledger)


@pytest.fixture
async def alpha(pool_urls: dict[str, str]) -> AsyncIterator[Ledger]:
    """The ledger as a worker of the pool has it."""
    mine = Ledger(pool_urls["alpha"], application_name="alpha", pool_size=2)
    await mine.open()
    yield mine
    await mine.close()


async def test_hot_statements_of_a_pool_read_a_handful_of_rows(ledger: Ledger, crowded: None, alpha: Ledger) -> None:
    waiting, ending, parent = [(await create(ledger, queue=queue_of("alpha"))).id for _ in range(3)]
    async with alpha.transaction() as connection:
        lease = new_lease("a1", build=Build("alpha", "1"), nodes="alpha/nodes", queues=[queue_of("alpha")])
        await leases.take(connection, lease)
    taken = await take_from_queue(alpha, ending, "a1")
    ended = await take_from_queue(alpha, parent, "a1")
    await flush(alpha, ended, "flow:started", end=runs.AttemptEnd("Completed", outputs=b"{}", children=3))
    takes = take_parameters(
        queue=queue_of("alpha"), executor="a1", application_name=APP, version="v", owner="o", free=3
    )
    progress = runs.AttemptProgress(3, 1, 0, 0, 0, ("b",))
    entries = [runs.JournalEntry(f"n{n}", "completed", b"{}") for n in range(5)]
    log = [runs.LogEntry("node:completed", 1, b"{}") for _ in range(5)]
    claimed = runs.claim

    async def held(connection: Connection) -> Any:
        return await connection.execute(_HELD)

    async def claim(connection: Connection) -> Any:
        assert await dequeue(connection, waiting, "a1")
        return await claimed(connection, waiting, workflow=workflow_id(waiting, 1), worker="a1")

    statements: dict[str, Callable[[Connection], Awaitable[Any]]] = {
        "claim": claim,
        "take": lambda connection: connection.execute(TAKE, takes),
        "held": held,
        "flush": lambda connection: runs.flush(connection, taken, journal=entries, log=log, progress=progress),
        "not ours": lambda connection: runs.not_ours(connection, [taken]),
        "look": lambda connection: recovery.look(connection, application_name=APP),
        "renew": lambda connection: leases.renew(connection, "a1", seconds=60),
        "parent": lambda connection: spawning.parent(connection, parent),
        "settle": lambda connection: completion.settle(connection, parent, application_name=APP),
    }
    spent = {name: await _reads(alpha, statement) for name, statement in statements.items()}
    found = await _spawned(alpha, parent)
    assert found == 3
    much = {
        f"{name}: {table}": (scans, read)
        for name, tables in spent.items()
        for table, (scans, read) in tables.items()
        if read >= FEW
    }
    assert much == {}, "scans and rows read"


async def _reads(ledger: Ledger, statement: Callable[[Connection], Awaitable[Any]]) -> dict[str, tuple[int, int]]:
    """How often each large table was scanned as a whole, and how many of its rows were read, by one statement."""
    async with ledger.transaction() as connection:
        before = {row[0]: row[1:] for row in await (await connection.execute(_READS)).fetchall()}
        await statement(connection)
        after = {row[0]: row[1:] for row in await (await connection.execute(_READS)).fetchall()}
    return {each: (after[each][0] - before[each][0], after[each][1] - before[each][1]) for each in after}


async def _spawned(ledger: Ledger, execution: ExecutionId) -> int:
    async with ledger.connection() as connection:
        parent = await spawning.parent(connection, execution)
    assert parent is not None
    emitted = [spawning.EmittedEvent("part", b"1")] * parent.total
    made = await spawning.spawn(
        ledger, parent, emitted, nodes=1, integration=b"{}", spacing_ms=100, application_name=APP
    )
    return 0 if made is None else made.made
