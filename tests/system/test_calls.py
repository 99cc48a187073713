"""Subflows and calls as a user sees them, with kubectl."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fixtures.cluster.user import User, execution, flow
from fixtures.processes.programs import RunOperator, RunWorker

pytestmark = pytest.mark.integration
ASK: dict[str, Any] = {
    "outputs": [{"name": "answers", "from": "all.results"}],
    "subflows": [
        {
            "name": "one",
            "inputs": [{"name": "item", "type": "number"}],
            "outputs": [{"name": "by", "from": "ask.by"}],
            "nodes": [
                {"id": "add", "type": "Math", "inputs": {"b": 1}},
                {
                    "id": "ask",
                    "type": "Approval",
                    "inputs": {"prompt": "Ship it?", "approvers": {"groups": ["system:masters"]}},
                },
            ],
            "edges": [{"from": "inputs.item", "to": "add.a"}, {"from": "add.__success", "to": "ask.__execute"}],
        }
    ],
    "nodes": [{"id": "all", "type": "ForEach", "inputs": {"subflow": "one", "items": [1, 2]}}],
}


def patch(user: User, name: str, **spec: Any) -> None:
    user.kubectl("patch", f"cgx/{name}", "--type=merge", "-p", json.dumps({"spec": spec}))


def test_nodes_inside_calls_are_shown_held_and_asked_by_their_paths(
    user: User, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_operator()
    run_worker(CHAINGRAPH_PARK_SECONDS="0.2")
    user.apply(execution("ship", flow=ASK, options={"breakpoints": ["all[1].ask"]}))
    status = user.until("ship", lambda status: status.get("breakpoint") == "all[1].ask")
    assert status["phase"] == "Paused"
    assert "all[1].ask" in status["currentNodes"]
    assert status["nodes"]["total"] == 1
    patch(user, "ship", resume="1")
    user.wait("ship", "Waiting")
    waiting = user.status("ship")["waiting"]
    assert {each["signal"] for each in waiting} == {"all[0].ask", "all[1].ask"}
    assert {each["kind"] for each in waiting} == {"Approval"}

    by = {"user": "kubernetes-admin", "groups": ["system:masters"]}
    wrong = {"id": "w", "name": "al[0].ask", "payload": {"approved": True}, "by": by}
    right = [{**wrong, "id": f"r{item}", "name": f"all[{item}].ask"} for item in (0, 1)]
    who = json.loads(user.kubectl("auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]
    for each in (wrong, *right):
        each["by"] = {"user": who["username"], "groups": ["system:masters"]}
    patch(user, "ship", signals=[wrong])
    user.wait("ship", "SignalRefused")
    (refused,) = user.status("ship")["signals"]
    assert refused["reason"] == "UnknownSignal"
    assert "(signals: all[N].ask)" in refused["message"]
    patch(user, "ship", signals=right)
    user.wait("ship")
    assert user.status("ship")["outputs"]["answers"] == [{"by": who["username"]}] * 2


def test_mistakes_in_subflows_are_named_with_their_paths(
    user: User, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_operator()
    run_worker().wait_ready()
    subflow = {"name": "page", "nodes": [{"id": "fetch", "type": "HTTP", "inputs": {"baseUrl": "http://x"}}]}
    user.apply(flow("wrong", subflows=[subflow], nodes=[{"id": "a", "type": "Call", "inputs": {"subflow": "pages"}}]))
    user.kubectl("wait", "--for=condition=Ready=false", "flows.chaingraph.dev/wrong", "--timeout=60s")
    condition = user.condition("wrong", "Ready", kind="flow")
    assert condition is not None
    assert "spec.nodes[0].inputs.subflow: the flow has no subflow 'pages'; did you mean 'page'?" in condition["message"]
    assert "spec.subflows[0].nodes[0].inputs.baseUrl: HTTP has no input 'baseUrl'" in condition["message"]
    user.apply(execution("held", flow=ASK, options={"breakpoints": ["all.asks"]}))
    status = user.until("held", lambda status: status.get("phase") == "Failed")
    assert status["error"]["reason"] == "UnknownBreakpoint"
    assert "the flow has no node 'all.asks'; did you mean 'all.ask'?" in status["error"]["message"]
