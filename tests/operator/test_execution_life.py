"""What becomes of an Execution: waiting, starting, holding, stopping, refusing, losing its worker."""

from __future__ import annotations

import asyncio
import time

import pytest

from chaingraph_operator.kube.status_writer import INTERVAL
from chaingraph_store import executions
from chaingraph_store.attempts.runs import AttemptEnd
from chaingraph_store.ids import execution_id
from chaingraph_store.ledger import Ledger
from fixtures.cluster.control_plane import ControlPlane
from fixtures.cluster.view import Cluster
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.programs import RunOperator
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

FLOW = {"nodes": [{"id": "a", "type": "Text", "inputs": {"value": "hello"}}]}
INLINE = {"flow": FLOW}


async def test_execution_waits_for_a_missing_flow_and_is_then_queued(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    await start_worker()
    run_operator()
    cluster.apply("Flow", "greeting", FLOW)
    uid = cluster.apply("Execution", "early", {"flowRef": {"name": "greting"}})
    waiting = await cluster.condition("Execution", "early", "Succeeded", status="Unknown", reason="FlowNotFound")
    assert "Flow 'greting' not found" in waiting["message"]
    assert "'greeting'" in waiting["message"]
    assert await cluster.events_of("early", count=1) == [("Warning", "FlowNotFound")]
    assert cluster.status("Execution", "early")["phase"] == "Pending"
    assert "executionID" not in cluster.status("Execution", "early")
    cluster.apply("Flow", "greting", FLOW)
    row = await cluster.row(uid)
    assert row.phase == "Pending"
    await cluster.condition("Execution", "early", "Succeeded", reason="Queued")


async def test_execution_of_an_invalid_flow_waits_for_its_fix(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    await start_worker()
    run_operator()
    cluster.apply("Flow", "wrong", {"nodes": FLOW["nodes"], "edges": [{"from": "b.value", "to": "a.value"}]})
    uid = cluster.apply("Execution", "waits", {"flowRef": {"name": "wrong"}})
    waiting = await cluster.condition("Execution", "waits", "Succeeded", reason="FlowInvalid")
    assert "spec.edges[0].from" in waiting["message"]
    await cluster.condition("Execution", "waits", "Stalled", status="True")
    cluster.apply("Flow", "wrong", FLOW)
    await cluster.row(uid)
    await cluster.condition("Execution", "waits", "Reconciling", status="True", reason="Queued")
    types = [each["type"] for each in cluster.status("Execution", "waits")["conditions"]]
    assert "Stalled" not in types


async def test_execution_waits_for_workers_with_its_node_types(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    run_operator()
    uid = cluster.apply("Execution", "inline", INLINE)
    await cluster.condition("Execution", "inline", "Succeeded", reason="WaitingForWorkers")
    await start_worker()
    await cluster.row(uid, within=5)
    other = cluster.apply("Execution", "acme", {"flow": {"nodes": [{"id": "a", "type": "acme.Shout"}]}})
    waiting = await cluster.condition("Execution", "acme", "Succeeded", reason="UnknownNodeType")
    assert "acme.Shout" in waiting["message"]
    async with ledger.connection() as connection:
        assert await executions.by_id(connection, execution_id(other)) is None


async def test_execution_waits_until_a_worker_serves_its_queue(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    await start_worker()
    run_operator()
    cluster.apply("Execution", "gpu", {**INLINE, "queue": "gpu"})
    waiting = await cluster.condition("Execution", "gpu", "Succeeded", reason="NoWorker")
    assert waiting["message"] == "No live worker serves queue 'gpu'. The execution starts once one does."
    await start_worker(queues=("gpu",))
    await cluster.condition("Execution", "gpu", "Succeeded", reason="Queued")


async def test_repeated_apply_and_operator_kill_make_one_execution(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = await start_worker()
    first = run_operator()
    uid = cluster.apply("Execution", "once", INLINE)
    await cluster.row(uid)
    first.kill()
    assert cluster.apply("Execution", "once", INLINE) == uid
    run_operator()
    await worker.run(execution_id(uid))
    await cluster.condition("Execution", "once", "Succeeded", status="True")
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT (SELECT count(*) FROM chaingraph.executions), (SELECT count(*) FROM dbos.workflow_status),"
            " (SELECT count(*) FROM chaingraph.events WHERE type = 'execution:created')"
        )
        assert await cursor.fetchone() == (1, 1, 1)


async def test_operator_start_shows_an_end_it_missed(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    first = run_operator()
    uid = cluster.apply("Execution", "away", INLINE)
    claimed = await worker.claim(execution_id(uid))
    await cluster.condition("Execution", "away", "Succeeded", reason="Running")
    first.kill()
    await worker.progress(claimed, done=1, total=1, end=AttemptEnd("Failed", None, "a", "NodeFailed", "no such city"))
    run_operator()
    failed = await cluster.condition("Execution", "away", "Succeeded", status="False")
    assert failed["reason"] == "NodeFailed"
    assert failed["message"] == "node 'a': no such city"
    assert cluster.status("Execution", "away")["error"] == {
        "node": "a",
        "message": "no such city",
        "reason": "NodeFailed",
    }
    assert await cluster.events_of("away", count=1) == [("Warning", "Failed")]


async def test_a_short_execution_costs_three_writes(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, control_plane: ControlPlane
) -> None:
    worker = await start_worker()
    run_operator()
    cluster.apply("Flow", "hello", FLOW)
    await cluster.condition("Flow", "hello", "Ready", status="True")
    for name, nodes in (("small", 1), ("large", 400)):
        applied = time.monotonic()
        uid = cluster.apply("Execution", name, {"flowRef": {"name": "hello"}})
        claimed = await worker.claim(execution_id(uid))
        await cluster.condition("Execution", name, "Succeeded", reason="Running")
        for done in range(0, nodes, 10):
            await worker.progress(claimed, done=done, total=nodes)
        await worker.progress(claimed, done=nodes, total=nodes, end=AttemptEnd("Completed", b"{}"))
        await cluster.condition("Execution", name, "Succeeded", status="True")
        took = time.monotonic() - applied
        await cluster.events_of(name, count=1)
        writes = writes_by_the_operator(control_plane, cluster.namespace, name)
        # Progress is written once in an interval: on a busy machine the life of this one may be longer than that.
        intervals = int(took / (0.8 * INTERVAL))
        assert sorted(writes)[:3] == ["create events", "patch executions/status", "patch executions/status"], name
        assert len(writes) <= 3 + intervals, f"{name}, {took:.1f} s: {writes}"


async def test_wait_for_a_worker_is_not_written_at_once(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    await start_worker()
    run_operator()
    applied = time.monotonic()
    cluster.apply("Execution", "waits", INLINE)

    async def shown() -> bool:
        return "phase" in cluster.status("Execution", "waits")

    await eventually(shown, what="a status")
    assert time.monotonic() - applied >= 0.9 * INTERVAL, "most executions run before that, and cost one write less"


def writes_by_the_operator(control_plane: ControlPlane, namespace: str, name: str) -> list[str]:
    found = []
    for event in control_plane.audit_events(namespace):
        reference = event["objectRef"]
        ours = event["userAgent"].startswith(("chaingraph", "kopf", "Python"))
        if ours and str(reference.get("name", name)).startswith(name):
            subresource = f"/{reference['subresource']}" if "subresource" in reference else ""
            found.append(f"{event['verb']} {reference['resource']}{subresource}")
    return found


async def test_deleting_a_running_execution_stops_it(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    run_operator()
    uid = cluster.apply("Execution", "gone", INLINE)
    await worker.claim(execution_id(uid))
    cluster.kubectl("delete", "cgx", "gone")
    row = await cluster.row(uid, phase="Stopped", within=20)  # long before the next sweep
    assert row.error_message == "Resource deleted"


async def test_recreated_resource_is_another_execution(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    run_operator()
    first = cluster.apply("Execution", "again", INLINE)
    await worker.claim(execution_id(first))
    cluster.kubectl("delete", "cgx", "again")
    second = cluster.apply("Execution", "again", INLINE)
    assert second != first
    await worker.run(execution_id(second))
    await cluster.condition("Execution", "again", "Succeeded", status="True")
    assert (await cluster.row(first)).phase == "Stopped"
    assert cluster.status("Execution", "again")["executionID"] == execution_id(second)


async def test_sweep_finds_deletions_missed_while_operator_was_away(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    first = run_operator()
    gone = cluster.apply("Execution", "gone", INLINE)
    kept = cluster.apply("Execution", "kept", INLINE)
    await worker.claim(execution_id(gone))
    await worker.claim(execution_id(kept))
    await cluster.condition("Execution", "kept", "Succeeded", reason="Running")
    first.kill()
    cluster.kubectl("delete", "cgx", "gone")
    run_operator(CHAINGRAPH_SWEEP_SECONDS="1")
    await cluster.row(gone, phase="Stopped")
    await asyncio.sleep(2.5)
    assert (await cluster.row(kept)).phase == "Running"


async def test_stop_stops_and_stays_stopped(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    run_operator()
    uid = cluster.apply("Execution", "stops", INLINE)
    await worker.claim(execution_id(uid))
    cluster.apply("Execution", "stops", {**INLINE, "stop": True, "stopReason": "wrong data"})
    stopped = await cluster.condition("Execution", "stops", "Succeeded", status="False")
    assert (stopped["reason"], stopped["message"]) == ("Stopped", "wrong data")
    await cluster.row(uid, phase="Stopped")
    assert await cluster.events_of("stops", count=1) == [("Normal", "Stopped")]
    unmade = {**INLINE, "stop": True, "paused": True}
    cluster.apply("Execution", "unmade", unmade)
    await cluster.condition("Execution", "unmade", "Succeeded", status="False", reason="Stopped")


async def test_execution_created_paused_is_held_until_unpaused(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    await start_worker()
    run_operator()
    uid = cluster.apply("Execution", "held", {**INLINE, "paused": True})
    await cluster.condition("Execution", "held", "Paused", status="True", reason="Held")
    assert cluster.status("Execution", "held")["phase"] == "Created"
    assert (await cluster.row(uid)).phase == "Created"
    cluster.apply("Execution", "held", {**INLINE, "paused": False})

    async def signalled() -> bool:
        async with ledger.connection() as connection:
            cursor = await connection.execute("SELECT topic FROM dbos.notifications")
            return await cursor.fetchall() == [("START_SIGNAL",)]

    await eventually(signalled, what="START_SIGNAL")


async def test_invalid_inputs_and_inline_flows_list_every_error(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    await start_worker()
    run_operator()
    row = {"type": "object", "properties": {"kg": {"type": "number", "maximum": 5}, "to": "string"}}
    inputs = [
        {"name": "city", "type": "string", "required": True},
        {"name": "days", "type": "number"},
        {"name": "unit", "type": "string", "schema": {"type": "enum", "options": ["metric", "us"]}},
        {"name": "parcels", "type": "array", "schema": {"minItems": 2, "items": row}},
    ]
    cluster.apply("Flow", "weather", {**FLOW, "inputs": inputs})
    given = {"days": "3", "town": "Ulm", "unit": "si", "parcels": [{"kg": 7}]}
    cluster.apply("Execution", "wrong", {"flowRef": {"name": "weather"}, "inputs": given})
    refused = await cluster.condition("Execution", "wrong", "Succeeded", status="False", reason="InvalidInputs")
    for error in (
        "spec.inputs.city: the flow requires input 'city' of type string",
        "spec.inputs.days: must be a number, is a string",
        "spec.inputs.town: the flow has no input 'town'",
        "spec.inputs.unit: must be one of metric, us; is 'si'",
        "spec.inputs.parcels: must have at least 2 items, has 1",
        "spec.inputs.parcels[0].kg: must be at most 5, is 7",
        "spec.inputs.parcels[0].to: must be a string, is missing or null",
    ):
        assert error in refused["message"]
    assert await cluster.events_of("wrong", count=1) == [("Warning", "InvalidInputs")]
    cluster.apply(
        "Execution",
        "graph",
        {
            "flow": {
                "nodes": [*FLOW["nodes"], {"id": "b", "type": "Text"}],
                "edges": [{"from": "a.x", "to": "b.value"}, {"from": "a.value", "to": "b.y"}],
            }
        },
    )
    refused = await cluster.condition("Execution", "graph", "Succeeded", status="False", reason="InvalidFlow")
    for path in ("spec.flow.edges[0].from", "spec.flow.edges[1].to"):
        assert path in refused["message"]
    await cluster.condition("Execution", "graph", "Stalled", status="True")


async def test_a_lost_worker_is_shown_and_its_work_handed_back(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    worker = await start_worker(seconds=2)
    run_operator()
    uid = cluster.apply("Execution", "orphan", INLINE)
    await worker.claim(execution_id(uid))
    row = await cluster.row(uid, phase="Pending", within=10)
    assert (row.lost_worker, row.recoveries) == (worker.executor_id, 1)
    lost = await cluster.condition("Execution", "orphan", "WorkerLost", status="True")
    assert worker.executor_id in lost["message"]

    async def told() -> bool:
        return ("Warning", "WorkerLost") in await cluster.events_of("orphan", count=1)

    await eventually(told, what="the Event of the lost worker")
    other = await start_worker()
    await other.run(execution_id(uid))
    await cluster.condition("Execution", "orphan", "Succeeded", status="True")
    await cluster.condition("Execution", "orphan", "WorkerLost", status="False")


async def test_finished_executions_expire(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker, ledger: Ledger
) -> None:
    worker = await start_worker()
    first = run_operator()
    brief = cluster.apply("Execution", "brief", {**INLINE, "ttlSecondsAfterFinished": 1})
    later = cluster.apply("Execution", "later", {**INLINE, "ttlSecondsAfterFinished": 4})
    kept = cluster.apply("Execution", "kept", INLINE)
    for uid in (brief, later, kept):
        await worker.run(execution_id(uid))
    for name in ("later", "kept"):
        await cluster.condition("Execution", name, "Succeeded", status="True")
    # The time is derived from the object, so it outlives the operator that saw the end.
    first.terminate()
    run_operator()

    async def left() -> bool:
        return cluster.kubectl("get", "cgx", "-o", "name").stdout.split() == ["execution.chaingraph.dev/kept"]

    await eventually(left, within=15, what="only 'kept' is left")
    assert (await cluster.row(brief)).phase == "Completed"


async def test_large_outputs_stay_in_the_ledger(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    run_operator()
    uid = cluster.apply("Execution", "large", INLINE)
    await worker.run(execution_id(uid), outputs={"text": "x" * 20_000})
    done = await cluster.condition("Execution", "large", "Succeeded", status="True")
    assert "too large for the status" in done["message"]
    assert done["message"].endswith(f"kubectl chaingraph outputs large -n {cluster.namespace} --output text")
    assert "outputs" not in cluster.status("Execution", "large")
