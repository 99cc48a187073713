"""What a Flow's status says of it, on a real API server."""

from __future__ import annotations

import json

import pytest

from fixtures.cluster.view import Cluster
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.programs import RunOperator

pytestmark = pytest.mark.integration

NODES = [
    {"id": "fetch", "type": "HTTP", "inputs": {"baseUri": "https://example.org"}},
    {"id": "shout", "type": "Template", "inputs": {"template": "{{ name }}", "values": {"name": "Ada"}}},
    {"id": "number", "type": "Number", "inputs": {"value": 3}},
    {"id": "text", "type": "Text"},
]


async def test_a_flow_wrong_in_five_ways_lists_five_errors(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    await start_worker()
    run_operator()
    cluster.apply(
        "Flow",
        "wrong",
        {
            "nodes": [*NODES, {"id": "typo", "type": "Tempalte"}],
            "edges": [
                {"from": "fetch.respnse", "to": "shout.values.page"},
                {"from": "number.value", "to": "text.value"},
                {"from": "nobody.value", "to": "shout.values.name"},
                {"from": "text.value", "to": "number.valeu"},
            ],
        },
    )
    ready = await cluster.condition("Flow", "wrong", "Ready", status="False", reason="Invalid")
    count, _, lines = ready["message"].partition(": ")
    assert count == "5 errors"
    assert sorted(line.split(":")[0] for line in lines.splitlines()) == [
        "spec.edges[0].from",
        "spec.edges[1].to",
        "spec.edges[2].from",
        "spec.edges[3].to",
        "spec.nodes[4].type",
    ]
    await cluster.condition("Flow", "wrong", "Stalled", status="True")
    assert await cluster.events_of("wrong", count=1) == [("Warning", "Invalid")]
    cluster.apply("Flow", "wrong", {"nodes": NODES})
    await cluster.condition("Flow", "wrong", "Ready", status="True", reason="Valid")
    status = cluster.status("Flow", "wrong")
    assert (status["observedGeneration"], status["nodes"]) == (2, 4)
    assert [each["type"] for each in status["conditions"]] == ["Ready"]


async def test_unhandled_event_causes_a_warning(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    await start_worker()
    run_operator()
    flow = {"nodes": [{"id": "tell", "type": "EventEmitter", "inputs": {"eventName": "order"}}]}
    cluster.apply("Flow", "unhandled", flow)
    ready = await cluster.condition("Flow", "unhandled", "Ready", status="True", reason="ValidWithWarnings")
    assert "no node of this flow listens to 'order'" in ready["message"]
    assert await cluster.events_of("unhandled", count=1) == [("Warning", "ValidWithWarnings")]
    cluster.apply("Execution", "inline", {"flow": flow})
    await cluster.condition("Execution", "inline", "Succeeded", reason="Queued")
    assert await cluster.events_of("inline", count=1) == [("Warning", "UnheardEvent")]


async def test_a_flow_is_unchecked_until_the_first_worker_comes(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    run_operator()
    cluster.apply("Flow", "early", {"nodes": NODES})
    await cluster.condition("Flow", "early", "Ready", status="Unknown", reason="WaitingForWorkers")
    await start_worker()
    await cluster.condition("Flow", "early", "Ready", status="True", within=5)


async def test_a_flow_that_lacks_a_node_type_only_waits_for_it(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    await start_worker()
    run_operator()
    cluster.apply("Flow", "acme", {"nodes": [{"id": "a", "type": "acme.Shout"}]})
    ready = await cluster.condition("Flow", "acme", "Ready", status="False", reason="UnknownNodeType")
    assert "spec.nodes[0].type" in ready["message"]
    await cluster.condition("Flow", "acme", "Reconciling", status="True")


async def test_an_execution_keeps_the_revision_that_it_started_with(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    run_operator()
    cluster.apply("Flow", "edited", {"nodes": NODES})
    uid = cluster.apply("Execution", "first", {"flowRef": {"name": "edited"}})
    before = (await cluster.row(uid)).flow_revision
    cluster.apply("Flow", "edited", {"nodes": NODES[:3]})
    await cluster.condition("Flow", "edited", "Ready", status="True")
    second = await cluster.row(cluster.apply("Execution", "second", {"flowRef": {"name": "edited"}}))
    row = await cluster.row(uid)
    claimed = await worker.claim(row.id)
    assert len(json.loads(claimed.flow_spec)["nodes"]) == len(NODES)
    assert row.flow_revision == before != second.flow_revision
    await cluster.condition("Execution", "first", "Succeeded", reason="Running")
    assert cluster.status("Execution", "first")["flowRevision"] == before
