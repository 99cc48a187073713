"""A worker process runs what is enqueued: results, failures, events, in the ledger and in DBOS."""

from __future__ import annotations

import asyncio

import pytest

from chaingraph_store import events
from chaingraph_store.ledger import Ledger
from fixtures.ledger.ledger import ended
from fixtures.ledger.new_executions import create_of
from fixtures.processes.programs import RunWorker

pytestmark = pytest.mark.integration

SUM = {
    "inputs": [{"name": "a", "type": "number"}, {"name": "b", "type": "number", "default": 2}],
    "outputs": [{"name": "total", "from": "add.result"}],
    "nodes": [{"id": "add", "type": "Math", "inputs": {"operation": "add"}}],
    "edges": [{"from": "inputs.a", "to": "add.a"}, {"from": "inputs.b", "to": "add.b"}],
}
DIVIDE_BY_ZERO = {
    "nodes": [
        {"id": "divide", "type": "Math", "inputs": {"operation": "divide", "a": 1, "b": 0}},
        {"id": "after", "type": "Math", "inputs": {"operation": "add", "b": 1}},
    ],
    "edges": [{"from": "divide.result", "to": "after.a"}],
}


async def dbos_record(ledger: Ledger) -> list[tuple[str, str, int]]:
    """The workflows' states, formats and numbers of steps, once DBOS has recorded their ends."""
    for _ in range(200):
        async with ledger.connection() as connection:
            cursor = await connection.execute(
                "SELECT w.status, w.serialization, count(o.*) FROM dbos.workflow_status w"
                " LEFT JOIN dbos.operation_outputs o USING (workflow_uuid) GROUP BY 1, 2"
            )
            record = await cursor.fetchall()
        if all(status not in ("PENDING", "ENQUEUED") for status, _, _ in record):
            return record
        await asyncio.sleep(0.05)
    pytest.fail(f"DBOS did not record the ends: {record}")


async def test_an_execution_completes_with_its_outputs(ledger: Ledger, run_worker: RunWorker) -> None:
    execution = await create_of(ledger, SUM, inputs={"a": 40, "b": 2})
    run_worker()
    row = await ended(ledger, execution)
    assert (row.phase, row.outputs) == ("Completed", {"total": 42})
    assert (row.nodes_total, row.nodes_completed, row.nodes_running, row.current_nodes) == (1, 1, 0, [])
    async with ledger.connection() as connection:
        log = await events.read(connection, execution)
    assert [event.index for event in log] == list(range(-1, len(log) - 1))
    assert [event.type for event in log][0:2] == ["execution:created", "flow:started"]
    assert log[-1].type == "flow:completed"
    assert await dbos_record(ledger) == [("SUCCESS", "portable_json", 1)], "one durable step, in JSON"


async def test_unhandled_node_failure_fails_the_execution(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker()
    row = await ended(ledger, await create_of(ledger, DIVIDE_BY_ZERO))
    assert (row.phase, row.error_node, row.error_reason) == ("Failed", "divide", "NodeFailed")
    assert "zero" in row.error_message
    assert (row.nodes_failed, row.nodes_completed) == (1, 0)


async def test_flow_with_unknown_node_type_fails_as_invalid(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker()
    row = await ended(ledger, await create_of(ledger, {"nodes": [{"id": "x", "type": "acme.Nothing"}]}))
    assert (row.phase, row.error_reason) == ("Failed", "FlowInvalid")
    assert "acme.Nothing" in row.error_message


async def test_many_executions_share_a_worker_and_all_end(ledger: Ledger, run_worker: RunWorker) -> None:
    made = [await create_of(ledger, SUM, inputs={"a": number}) for number in range(60)]
    run_worker()
    for number, execution in enumerate(made):
        row = await ended(ledger, execution)
        assert (row.phase, row.outputs) == ("Completed", {"total": number + 2})


async def test_killed_newer_version_does_not_stop_the_older_one(ledger: Ledger, run_worker: RunWorker) -> None:
    older = run_worker(CHAINGRAPH_WORKER_VERSION="1.0").wait_ready()
    newer = run_worker(CHAINGRAPH_WORKER_VERSION="2.0").wait_ready()
    newer.kill()
    row = await ended(ledger, await create_of(ledger, SUM, inputs={"a": 1}))
    assert (row.phase, row.worker) == ("Completed", older.executor_id)
