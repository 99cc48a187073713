"""An event to the listeners of another Flow, found by its name: as it is now, as it becomes, and not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import child_execution_id, execution_id
from chaingraph_store.ledger import Ledger
from fixtures.cluster.user import User, execution, flow
from fixtures.ledger.ledger import row_of, wait_for
from fixtures.processes.programs import RunOperator, RunWorker

pytestmark = pytest.mark.integration

SHIPPING: dict[str, Any] = {
    "inputs": [{"name": "carrier", "type": "string", "default": "post"}],
    "outputs": [{"name": "order", "from": "listen.payload"}, {"name": "by", "from": "by.result"}],
    "nodes": [
        {"id": "listen", "type": "EventListener", "inputs": {"eventName": "paid"}},
        {"id": "by", "type": "Template", "inputs": {"template": "by {{ carrier }}"}},
    ],
    "edges": [
        {"from": "inputs.carrier", "to": "by.values.carrier"},
        {"from": "listen.__success", "to": "by.__execute"},
    ],
}
PAYMENT = {
    "nodes": [
        {"id": "say", "type": "EventEmitter", "inputs": {"eventName": "paid", "payload": 7, "flow": "shipping"}},
    ]
}


async def paid(user: User, ledger: Ledger, name: str) -> tuple[ExecutionRow, ExecutionRow]:
    """Runs a payment; it and its child, when both have ended."""
    await asyncio.to_thread(user.apply, execution(name, flow=PAYMENT, children={"resources": "None"}))
    uid = (await asyncio.to_thread(user.get, "cgx", name))["metadata"]["uid"]
    await asyncio.to_thread(user.wait, name)
    parent = await wait_for(ledger, execution_id(uid), lambda row: row.tree_ended, within=60)
    assert parent.children_total == 1
    return parent, await row_of(ledger, child_execution_id(parent.id, 0))


async def test_child_runs_the_current_version_of_the_named_flow(
    user: User, run_operator: RunOperator, run_worker: RunWorker, ledger: Ledger
) -> None:
    run_worker().wait_ready()
    run_operator()
    _, lost = await paid(user, ledger, "too-early")
    assert (lost.phase, lost.error_reason, lost.flow_revision) == ("Failed", "FlowNotFound", None)
    assert "'shipping'" in lost.error_message
    user.apply(flow("shipping", **SHIPPING))
    user.kubectl("wait", "--for=condition=Ready", "flow/shipping", "--timeout=60s")
    parent, child = await paid(user, ledger, "first")
    assert (child.phase, child.flow_name, child.nodes_total) == ("Completed", "shipping", 2)
    assert child.outputs == {"order": 7, "by": "by post"}
    assert child.flow_revision not in (None, parent.flow_revision)
    # An Execution of the same Flow pins the same revision, and its content is there once.
    user.apply(execution("by-hand", flowRef={"name": "shipping"}, events=[{"name": "paid", "payload": 8}]))
    user.wait("by-hand")
    assert user.status("by-hand")["flowRevision"] == child.flow_revision
    user.apply(flow("shipping", **SHIPPING | {"inputs": [{"name": "carrier", "type": "string", "default": "ship"}]}))
    user.kubectl("wait", "--for=jsonpath={.status.observedGeneration}=2", "flow/shipping", "--timeout=60s")
    _, changed = await paid(user, ledger, "second")
    assert changed.outputs == {"order": 7, "by": "by ship"}
    assert changed.flow_revision != child.flow_revision
    user.apply(flow("shipping", **SHIPPING | {"inputs": [{"name": "carrier", "type": "string", "required": True}]}))
    user.kubectl("wait", "--for=jsonpath={.status.observedGeneration}=3", "flow/shipping", "--timeout=60s")
    _, refused = await paid(user, ledger, "third")
    assert (refused.phase, refused.flow_revision) == ("Failed", None)
    assert "requires input 'carrier'" in refused.error_message
