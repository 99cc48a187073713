"""Values from kubectl to status.outputs: each number is the one that was written, or is refused or left out by name."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures.cluster.user import User, execution
from fixtures.processes.programs import RunOperator, RunWorker

pytestmark = pytest.mark.integration

IDS = {"p_id": 7615917337495251231, "least": -(2**63), "most": 2**63 - 1, "f": 0.1, "e": 1e21}
READ = '{"i63": 9223372036854775807, "rows": [{"u64": 18446744073709551615}]}'


def flow_of(*nodes: dict[str, Any], edges: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    made = [{"from": from_, "to": to} for to, from_ in (edges or {}).items()]
    return {"nodes": list(nodes), "edges": made, **more}


COMPLETED: dict[str, dict[str, Any]] = {
    "inputs": {
        "inputs": IDS,
        "flow": flow_of(
            {"id": "ids", "type": "Object"},
            {
                "id": "text",
                "type": "Template",
                "inputs": {"template": "{% for k, v in ids.items() %}{{ v }} {% endfor %}"},
            },
            edges={f"ids.value.{name}": f"inputs.{name}" for name in IDS} | {"text.values.ids": "ids.value"},
            inputs=[{"name": name, "type": "number"} for name in IDS],
            outputs=[{"name": "ids", "from": "ids.value"}, {"name": "text", "from": "text.result"}],
        ),
    },
    "outputs": {
        "flow": flow_of(
            {"id": "read", "type": "JSONRead", "inputs": {"text": READ}},
            {"id": "text", "type": "JSONWrite"},
            edges={"text.value": "read.value"},
            outputs=[
                {"name": "small", "from": "read.value.i63"},
                {"name": "large", "from": "read.value.rows"},
                {"name": "nowhere", "from": "read.value.rows[7].u64"},
                {"name": "text", "from": "text.text"},
            ],
        )
    },
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "rounded-input": (
        {
            "inputs": {"id": 2**64 - 1},
            "flow": flow_of({"id": "a", "type": "ToText"}, inputs=[{"name": "id", "type": "any"}]),
        },
        "spec.inputs.id: is 1.8446744073709552e+19, which Kubernetes may have rounded",
    ),
    "rounded-node": (
        {"flow": flow_of({"id": "a", "type": "Number", "inputs": {"value": 2**63 + 1025}})},
        "spec.flow.nodes[0].inputs.value: is 9223372036854778000, which Kubernetes may have rounded",
    ),
    "read": (
        {"flow": flow_of({"id": "a", "type": "JSONRead", "inputs": {"text": '{"u65": 36893488147419103232}'}})},
        "the text: u65 is 36893488147419103232, a whole number of more than 64 bits",
    ),
}


def test_numbers_are_those_that_were_written_or_named(
    user: User, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_worker().wait_ready()
    run_operator()
    user.apply(
        *(execution(name, **spec) for name, spec in COMPLETED.items()),
        *(execution(name, **spec) for name, (spec, _) in REFUSED.items()),
    )
    for name in COMPLETED:
        user.wait(name)
    shown = user.status("inputs")["outputs"]
    assert shown == {"ids": IDS, "text": "7615917337495251231 -9223372036854775808 9223372036854775807 0.1 1e+21 "}
    shown = user.status("outputs")["outputs"]
    assert shown == {"small": 2**63 - 1, "text": READ.replace(" ", "")}
    said = user.condition("outputs", "Succeeded")
    assert said is not None
    assert "output large is not shown here, because large[0].u64 is 18446744073709551615" in said["message"]
    for name, (_, message) in REFUSED.items():
        user.wait(name, "Succeeded=False")
        said = user.condition(name, "Succeeded")
        assert said is not None
        assert message in said["message"], name
