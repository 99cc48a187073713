"""From `kubectl apply` to Completed: API server, operator, PostgreSQL and worker are all real."""

from __future__ import annotations

import asyncio
import time

import pytest

from chaingraph_store import events
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures.cluster.user import SUM, User, chain, execution, flow
from fixtures.processes.programs import RunOperator, RunWorker

pytestmark = pytest.mark.integration


async def runs_in(ledger: Ledger) -> int:
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM dbos.workflow_status")
        row = await cursor.fetchone()
    return int(row[0]) if row else 0


def test_an_applied_execution_completes_with_its_outputs(
    user: User, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_worker().wait_ready()
    run_operator()
    user.apply(flow("sum", **SUM), execution("sum-1", flowRef={"name": "sum"}, inputs={"a": 40}))
    user.wait("sum-1")
    status = user.status("sum-1")
    assert (status["phase"], status["outputs"]) == ("Completed", {"total": 42})
    assert status["nodes"] == {"total": 1, "completed": 1, "failed": 0, "skipped": 0, "running": 0}
    assert status["observedGeneration"] == 1
    assert status["flowRevision"] == user.get("cgf", "sum")["status"]["revision"]
    row = user.kubectl("get", "cgx", "sum-1").stdout.splitlines()[1].split()
    assert row[:5] == ["sum-1", "Completed", "sum", "1", "1"]
    described = user.kubectl("describe", "cgx", "sum-1").stdout
    assert "Normal  Completed" in described


async def test_a_manifest_applied_twice_runs_once(
    user: User, run_operator: RunOperator, run_worker: RunWorker, ledger: Ledger
) -> None:
    run_worker().wait_ready()
    run_operator()
    manifests = [flow("sum", **SUM), execution("sum-1", flowRef={"name": "sum"}, inputs={"a": 40})]
    user.apply(*manifests)
    user.apply(*manifests)
    user.wait("sum-1")
    user.apply(*manifests)
    await asyncio.sleep(1)
    assert await runs_in(ledger) == 1
    assert user.status("sum-1")["attempt"] == 1


def test_execution_waits_for_a_missing_flow_and_then_runs(
    user: User, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_worker().wait_ready()
    run_operator()
    user.apply(execution("early", flowRef={"name": "sum"}, inputs={"a": 1}))
    user.until("early", lambda status: "conditions" in status)
    waits = user.condition("early", "Succeeded")
    assert waits is not None
    assert (waits["status"], waits["reason"]) == ("Unknown", "FlowNotFound")
    assert "'sum'" in waits["message"]
    user.apply(flow("sum", **SUM))
    user.wait("early")


def test_operator_writes_three_times_at_most_for_any_graph(
    user: User, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_worker().wait_ready()
    run_operator()
    counts, took = {}, {}
    for size in (1, 80):
        before, applied = len(user.operator_writes()), time.monotonic()
        user.apply(execution(f"chain-{size}", flow=chain(size, 0)))
        user.wait(f"chain-{size}")
        took[size] = int(time.monotonic() - applied)
        # What may still come would come within the writer's second.
        user.kubectl("wait", "--for=delete", f"cgx/chain-{size}", "--timeout=1500ms", check=False)
        counts[size] = user.operator_writes()[before:]
        assert user.status(f"chain-{size}")["nodes"]["completed"] == size
    for size, writes in counts.items():
        # A status is written once a second while something moves: more only where a busy machine takes seconds.
        assert 2 <= len(writes) <= 3 + took[size], f"{size} nodes, {took[size]} s: {writes}"
        assert all(write.split()[-1] in ("200", "201") for write in writes)
        assert "create events 201" in writes


def test_flow_edit_does_not_change_a_running_execution(
    user: User, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_worker().wait_ready()
    run_operator()
    slow = chain(6, 200)
    user.apply(flow("job", **slow), execution("pinned", flowRef={"name": "job"}))
    pinned = user.until("pinned", lambda status: status.get("phase") == "Running")["flowRevision"]
    user.apply(flow("job", **chain(2, 1)))
    user.wait("pinned")
    status = user.status("pinned")
    assert (status["flowRevision"], status["nodes"]["completed"]) == (pinned, 6)


async def test_a_deleted_execution_is_stopped(
    user: User, run_operator: RunOperator, run_worker: RunWorker, ledger: Ledger
) -> None:
    worker = run_worker().wait_ready()
    run_operator()
    user.apply(execution("long", flow=chain(1, 60_000)))
    running = user.until("long", lambda status: status.get("phase") == "Running")
    user.kubectl("delete", "cgx", "long", "--timeout=10s")
    await stopped(ledger, running["executionID"])
    for _ in range(100):
        if "no longer this worker's" in worker.log:
            break
        await asyncio.sleep(0.05)
    assert "no longer this worker's" in worker.log, "the node in flight was interrupted"


async def test_sweep_sees_a_deletion_missed_by_the_watch(
    user: User, run_operator: RunOperator, run_worker: RunWorker, ledger: Ledger
) -> None:
    run_worker().wait_ready()
    operator = run_operator()
    user.apply(execution("long", flow=chain(1, 60_000)))
    running = user.until("long", lambda status: status.get("phase") == "Running")
    operator.kill()
    user.kubectl("delete", "cgx", "long", "--timeout=10s")
    run_operator(CHAINGRAPH_SWEEP_SECONDS="1")
    await stopped(ledger, running["executionID"])


async def stopped(ledger: Ledger, execution_id: str) -> None:
    for _ in range(200):
        async with ledger.connection() as connection:
            log = await events.read(connection, ExecutionId(execution_id))
        if log[-1].type == "flow:cancelled":
            assert "deleted" in log[-1].data["reason"]
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"not stopped: {log}")
