"""Bad input is refused at the earliest place, with its path, and nothing else suffers from it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fixtures.cluster.user import SUM, User, execution, flow
from fixtures.processes.programs import RunOperator, RunWorker

pytestmark = pytest.mark.integration


def node(node_id: str, type_: str = "Math", **inputs: Any) -> dict[str, Any]:
    return {"id": node_id, "type": type_, "inputs": {"operation": "add"} | inputs if type_ == "Math" else inputs}


FLOWS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown-node-type": (
        {"nodes": [node("a", "Mahts")]},
        "spec.nodes[0].type: unknown node type 'Mahts'",
    ),
    "unknown-port": (
        {
            "nodes": [node("a", a=1, b=1), node("b", b=1)],
            "edges": [{"from": "a.reslut", "to": "b.a"}],
        },
        "spec.edges[0].from: Math has no output 'reslut'; did you mean 'result'?",
    ),
    "type-mismatch": (
        {
            "nodes": [node("a", "Text", value="one"), node("b", b=1)],
            "edges": [{"from": "a.value", "to": "b.a"}],
        },
        "spec.edges[0].to: a.value → b.a: needs a number, gets a string",
    ),
    "cycle": (
        {
            "nodes": [node("a", b=1), node("b", b=1)],
            "edges": [{"from": "a.result", "to": "b.a"}, {"from": "b.result", "to": "a.a"}],
        },
        "closes the cycle a → b → a",
    ),
    "two-edges-into-one-port": (
        {
            "nodes": [node("a", a=1, b=1), node("b", b=1)],
            "edges": [{"from": "a.result", "to": "b.a"}, {"from": "a.a", "to": "b.a"}],
        },
        "spec.edges[1]",
    ),
}
EXECUTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "wrong-input-type": ({"a": "forty"}, "spec.inputs.a"),
    "missing-input": ({}, "spec.inputs.a: the flow requires input 'a' of type number"),
    "unknown-input": ({"a": 1, "c": 1}, "spec.inputs.c"),
    "oversized-inputs": ({"a": 1, "b": 1, "c": "x" * 1_100_000}, "spec.inputs"),
}


def test_each_error_is_shown_with_its_path_to_its_author(
    user: User, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_worker().wait_ready()
    run_operator()
    user.apply(*(flow(name, **spec) for name, (spec, _) in FLOWS.items()), flow("sum", **SUM))
    user.kubectl("wait", "--for=condition=Ready", "cgf/sum", "--timeout=30s")
    for name, (_, said) in FLOWS.items():
        user.kubectl("wait", "--for=condition=Ready=False", f"cgf/{name}", "--timeout=30s")
        ready = user.condition(name, "Ready", kind="cgf")
        assert ready is not None
        assert ready["reason"] == ("UnknownNodeType" if name == "unknown-node-type" else "Invalid")
        assert said in ready["message"], name
    for name, (inputs, _) in EXECUTIONS.items():
        manifest = execution(name, flowRef={"name": "sum"}, inputs=inputs)
        user.kubectl("create", "-f", "-", input=json.dumps(manifest))
    for name, (_, said) in EXECUTIONS.items():
        user.wait(name, "Succeeded=False", within=30)
        succeeded = user.condition(name, "Succeeded")
        assert succeeded is not None
        assert said in succeeded["message"], name
        assert len(succeeded["message"]) < 4096, "the value itself is not repeated"
    user.apply(execution("good", flowRef={"name": "sum"}, inputs={"a": 1}))
    user.wait("good")
