"""From the resource to the ledger and back into its status."""

from __future__ import annotations

import pytest

from chaingraph_store.ids import execution_id
from fixtures.cluster.view import Cluster
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.programs import RunOperator

pytestmark = pytest.mark.integration

FLOW = {"nodes": [{"id": "a", "type": "Text", "inputs": {"value": "hello"}}]}


async def test_an_execution_runs_to_completed(
    cluster: Cluster, run_operator: RunOperator, start_worker: StartWorker
) -> None:
    worker = await start_worker()
    operator = run_operator()
    cluster.apply("Flow", "hello", FLOW)
    await cluster.condition("Flow", "hello", "Ready", status="True", reason="Valid")
    uid = cluster.apply("Execution", "first", {"flowRef": {"name": "hello"}})
    await worker.run(execution_id(uid), outputs={"greeting": "hello"})
    await cluster.condition("Execution", "first", "Succeeded", status="True")
    await cluster.condition("Execution", "first", "TreeSucceeded", status="True", reason="Completed")
    print(cluster.kubectl("get", "cgx", "first", "-o", "yaml").stdout)
    print(cluster.kubectl("describe", "cgx", "first").stdout)
    print(cluster.kubectl("get", "cgx,cgf", "-o", "wide").stdout)
    assert operator.terminate() == 0
    print(operator.log)
