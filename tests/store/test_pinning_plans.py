"""What pinning costs, in a ledger of many executions that have ended or wait: look-ups by key, an index of a few."""

from __future__ import annotations

import pytest

from chaingraph_store.attempts import runs
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import leases, pinning
from chaingraph_store.queue.pinning import Build
from fixtures.ledger.new_executions import APP, create, dequeue
from fixtures.ledger.new_leases import new_lease
from fixtures.ledger.plans import EXECUTIONS, WORKFLOWS, analyze, reads

pytestmark = pytest.mark.integration
MANY = 20_000
PINNED = ("executions", "executions_pinned")
IN_FLIGHT = {("workflow_status", f"idx_workflow_status_{name}") for name in ("pending", "in_flight_v2")}
IN_FLIGHT |= {("workflow_status", "chaingraph_pending")}


@pytest.fixture
async def execution(ledger: Ledger) -> ExecutionId:
    """One that a worker was given, among many that a former version has ended and many that have not begun."""
    new = await create(ledger)
    async with ledger.transaction() as connection:
        await connection.execute(
            "INSERT INTO chaingraph.executions (id, namespace, name, flow_revision, queue, root_id, phase, workflow_id,"
            " finished_at, worker_pool, worker_version)"
            " SELECT 'x' || n, 'team', 'n-' || n, %(revision)s, 'q', 'x' || n, CASE WHEN ended THEN 'Completed' ELSE"
            " 'Pending' END, 'x' || n, CASE WHEN ended THEN now() END, CASE WHEN ended THEN 'p' ELSE '' END,"
            " CASE WHEN ended THEN '1' ELSE '' END"
            " FROM generate_series(1, %(many)s) AS n, LATERAL (SELECT n %% 2 = 0 AS ended) l",
            {"revision": new.flow_revision, "many": MANY},
        )
        await connection.execute(
            "INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, created_at, updated_at,"
            " application_name, recovery_attempts, priority)"
            " SELECT id, CASE WHEN finished_at IS NULL THEN 'ENQUEUED' ELSE 'SUCCESS' END, 'run_execution', queue, 1,"
            " 1, %s, 0, 0 FROM chaingraph.executions WHERE id LIKE 'x%%'",
            (APP,),
        )
        for number in range(20):
            lease = new_lease(f"w{number}", build=Build("p", str(number % 2)))
            await leases.take(connection, lease)
        assert await dequeue(connection, new.id, "w1")
    await analyze(ledger)
    return new.id


async def test_a_claim_reads_by_key(ledger: Ledger, execution: ExecutionId) -> None:
    parameters = {"id": execution, "workflow": execution, "worker": "w1", "channel": "x"}
    found = await reads(ledger, runs._CLAIM, parameters | {"pool": "p", "version": "1"})
    assert found <= {EXECUTIONS, ("executions", "executions_workflow_id_key"), WORKFLOWS, *IN_FLIGHT}
    assert {table for table, _ in found} == {"executions", "workflow_status"}


async def test_release_and_builds_read_pinned_index(ledger: Ledger, execution: ExecutionId) -> None:
    assert await reads(ledger, pinning._RELEASE, ()) == {PINNED, WORKFLOWS}
    found = await reads(ledger, pinning._BUILDS, {"app": APP, "run": "run_execution"})
    assert PINNED in found
    assert found - {PINNED} <= IN_FLIGHT
