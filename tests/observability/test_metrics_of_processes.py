"""What the real processes say at /metrics: as the reference says, as Prometheus wants it, and all that is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tools import metrics_reference

from fixtures.cluster.control_plane import ControlPlane
from fixtures.cluster.view import Cluster
from fixtures.monitoring.expressions import expressions, names, series_of
from fixtures.monitoring.promtool import Promtool
from fixtures.processes.gateway import GatewayProcess, Person, RunGateway
from fixtures.processes.programs import Process, RunOperator, RunWorker
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

FLOW = {
    "flow": {
        "nodes": [
            {"id": "a", "type": "Text", "inputs": {"value": "x"}},
            {"id": "b", "type": "Fail", "inputs": {"message": "as it should"}},
        ]
    }
}


@dataclass(frozen=True)
class Said:
    """What each of the three says once something has run."""

    operator: str
    worker: str
    gateway: str


@pytest.fixture
async def said(
    cluster: Cluster,
    run_operator: RunOperator,
    run_worker: RunWorker,
    run_gateway: RunGateway,
    control_plane: ControlPlane,
) -> Said:
    worker: Process = run_worker().wait_ready()
    operator = run_operator(CHAINGRAPH_WORKER_NAMESPACE=cluster.namespace, CHAINGRAPH_RELEASE="measured")
    gateway = run_gateway()
    uid = cluster.apply("Execution", "measured", FLOW)
    await cluster.condition("Execution", "measured", "Succeeded", status="False", within=60)
    await ask(gateway, (await cluster.row(uid)).id, control_plane)

    async def told() -> bool:
        return "chaingraph_queue_waiting{" in operator.get("/metrics").text

    await eventually(told, within=30, what="figures of queues")
    return Said(operator.get("/metrics").text, worker.get("/metrics").text, gateway.get("/metrics").text)


async def ask(gateway: GatewayProcess, execution: str, control_plane: ControlPlane) -> None:
    admin = Person(control_plane.token)
    answer = await gateway.ask(f"/executions/{execution}", admin)
    assert answer.status_code == 200, answer.text
    assert (await gateway.ask("/nothing", admin)).status_code == 404


async def test_process_metrics_match_reference_and_queries(said: Said, promtool: Promtool) -> None:
    everything = {"operator": said.operator, "worker": said.worker, "gateway": said.gateway}
    described = {
        "operator": metrics_reference.of_operator(),
        "worker": metrics_reference.of_worker(),
        "gateway": metrics_reference.of_gateway(),
    }
    series: dict[str, str] = {}
    for component, text in everything.items():
        found = series_of(text)
        assert set(found.values()) == {each.name for each in described[component]}, component
        series |= found
        checked = promtool("check", "metrics", "--lint=all", input=text)
        ours = [line for line in (checked.stdout + checked.stderr).splitlines() if line.startswith("chaingraph_")]
        assert ours == [], component
    for where, expression in expressions():
        assert names(expression) <= series.keys(), where
    assert 'chaingraph_worker_nodes_total{outcome="completed",type="Text"} 1.0' in said.worker
    assert 'chaingraph_worker_nodes_total{outcome="failed",type="Fail"} 1.0' in said.worker
    assert 'chaingraph_worker_node_seconds_count{type="Fail"} 1.0' in said.worker
    assert 'chaingraph_worker_attempts_total{outcome="Failed",queue="chaingraph-executions"} 1.0' in said.worker
    assert 'chaingraph_worker_start_seconds_count{queue="chaingraph-executions"} 1.0' in said.worker
    assert 'phase="Failed"} 1.0' in said.operator
    assert 'chaingraph_queue_waiting{queue="chaingraph-executions"} 0.0' in said.operator
    assert 'chaingraph_gateway_requests_total{route="/executions/{id}",status="200"} 1.0' in said.gateway
    assert 'chaingraph_gateway_request_seconds_count{route="/executions/{id}"} 1.0' in said.gateway
    assert "_created" not in "".join(everything.values())


def test_metrics_linter_detects_errors(promtool: Promtool) -> None:
    text = "# HELP chaingraph_some_milliseconds Something.\n# TYPE chaingraph_some_milliseconds counter\n"
    checked = promtool("check", "metrics", "--lint=all", input=text + "chaingraph_some_milliseconds 1\n")
    assert "chaingraph_some_milliseconds" in checked.stdout + checked.stderr
