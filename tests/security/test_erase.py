"""An erasure leaves nothing of an execution but its record."""

from __future__ import annotations

import pytest

from chaingraph_store.errors import OwnershipLost
from chaingraph_store.ledger import Ledger
from chaingraph_store.upkeep import erasing
from chaingraph_store.upkeep.erasing import Erasure
from fixtures.ledger.moves import flush, take_from_queue
from fixtures.ledger.new_executions import create
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.programs import run_to_end
from fixtures.trees.children import complete_and_spawn

pytestmark = pytest.mark.integration
WHY = Erasure("ann", "ticket 4711")
SECRET = {"city": "erase-me-s3cret"}


async def traces(ledger: Ledger, needle: str) -> list[str]:
    """The tables in which a text is found, in both schemas; the record of erasures left out."""
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('chaingraph', 'dbos') AND tablename <> 'erasures' ORDER BY 1"
        )
        tables = [row[0] for row in await cursor.fetchall()]
        found = []
        for table in tables:
            query = f"SELECT 1 FROM {table} t WHERE strpos(t::text, %s) > 0 LIMIT 1"
            if await (await connection.execute(query.encode(), (needle,))).fetchone():
                found.append(table)
        return found


async def test_erased_execution_leaves_its_record_alone(ledger: Ledger) -> None:
    new, kept = await create(ledger, inputs=SECRET), await create(ledger, name="kept")
    claim = await take_from_queue(ledger, new.id)
    await flush(ledger, claim, "flow:started", journal=["a"])
    assert "chaingraph.executions" in await traces(ledger, "s3cret")
    assert await erasing.erase(ledger, [new.id], WHY) == [new.id]
    assert await traces(ledger, "s3cret") == []
    assert await traces(ledger, new.id) == []
    assert "chaingraph.executions" in await traces(ledger, kept.id)
    with pytest.raises(OwnershipLost):
        await flush(ledger, claim, "node:completed", journal=["b"])
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT erased_by, reason, namespace, executions, ids FROM chaingraph.erasures"
        )
        [(by, reason, namespace, count, ids)] = await cursor.fetchall()
    assert by.startswith("ann as ")
    assert (reason, namespace, count, ids) == ("ticket 4711", "team", 1, [new.id])


async def test_erasure_takes_the_whole_tree_along(ledger: Ledger, start_worker: StartWorker) -> None:
    new = await create(ledger, inputs=SECRET)
    worker = await start_worker()
    children = await complete_and_spawn(ledger, new.id, 3, worker=worker.executor_id)
    assert set(await erasing.erase(ledger, [new.id], WHY)) == {new.id, *children}
    for each in (new.id, *children):
        assert await traces(ledger, each) == []


async def test_flow_of_nobody_else_is_erased_too(ledger: Ledger) -> None:
    flow = {"nodes": [{"id": "a", "type": "Text", "inputs": {"text": "s3cret"}}]}
    first = await create(ledger, flow_revision="r1", flow_spec=flow)
    second = await create(ledger, flow_revision="r1", flow_spec=flow)
    await erasing.erase(ledger, [first.id], WHY)
    assert await traces(ledger, "s3cret") == ["chaingraph.flow_revisions"]
    await erasing.erase(ledger, [second.id], WHY)
    assert await traces(ledger, "s3cret") == []


async def test_namespace_is_erased_by_its_uid(ledger: Ledger) -> None:
    former = [(await create(ledger, namespace_uid="theirs")).id for _ in range(3)]
    current, other = await create(ledger, namespace_uid="mine"), await create(ledger, namespace="other")
    assert await erasing.erase_namespace(ledger, "team", WHY, uid="theirs") == 3
    for each in former:
        assert await traces(ledger, each) == []
    assert await traces(ledger, current.id) != []
    assert await erasing.erase_namespace(ledger, "team", WHY) == 1
    assert await traces(ledger, other.id) != []


async def test_erase_command_asks_and_reports(ledger: Ledger, database_url: str) -> None:
    new = await create(ledger)
    command = ("-m", "chaingraph_cli.main", "erase", new.id, "--reason", "test")
    asked = run_to_end(*command, DATABASE_URL_EXECUTIONS=database_url)
    assert (asked.returncode, "--yes" in asked.stderr) == (2, True), asked.stderr
    done = run_to_end(*command, "--yes", DATABASE_URL_EXECUTIONS=database_url)
    assert done.returncode == 0, done.stderr
    assert "Erased 1 executions" in done.stdout
    assert await traces(ledger, new.id) == []
