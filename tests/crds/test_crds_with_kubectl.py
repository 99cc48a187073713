"""What a person sees: kubectl apply, get, explain, wait, with the committed CRDs on a real API server."""

import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from chaingraph_crds import names
from chaingraph_crds.names import EXECUTION_KIND, FLOW_KIND
from fixtures.cluster.crd_specs import BY_REFERENCE, CHILD, EVERY_EXECUTION_FIELD, EVERY_FLOW_FIELD, FLOW, INLINE
from fixtures.cluster.objects import Objects

pytestmark = pytest.mark.integration

Kubectl = Callable[..., "subprocess.CompletedProcess[str]"]


def manifest(kind: str, name: str, spec: dict[str, Any]) -> str:
    body = {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
    return yaml.safe_dump(body)


def report(objects: Objects, item: dict[str, Any], **status: Any) -> None:
    answer = objects.merge(item, {"status": {"observedGeneration": 1, **status}}, part="/status")
    assert answer.status_code == 200, answer.text


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-11-23T03:32:51Z",
        "observedGeneration": 1,
    }


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


SPARSE: dict[str, Any] = {
    "inputs": [{"name": "city"}],
    "nodes": [{"id": "a", "type": "Text", "retry": {}, "inputs": {"value": "x"}}, {"id": "b", "type": "Text"}],
    "edges": [{"from": "a.value", "to": "b.value"}],
    "outputs": [{"name": "o", "from": "b.value"}],
}
"""With whatever has a default left out."""


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (EXECUTION_KIND, INLINE),
        (EXECUTION_KIND, {"flow": SPARSE, "events": [{"name": "e"}], "retry": {"token": "r"}, "children": {}}),
        (EXECUTION_KIND, EVERY_EXECUTION_FIELD),
        (FLOW_KIND, SPARSE),
        (FLOW_KIND, EVERY_FLOW_FIELD),
    ],
)
def test_kubectl_apply_twice_changes_nothing(
    kubectl: Kubectl, crds: None, namespace: str, kind: str, spec: dict[str, Any]
) -> None:
    text = manifest(kind, "twice", spec)
    assert "created" in kubectl("apply", "-n", namespace, "-f", "-", input=text).stdout
    assert "unchanged" in kubectl("apply", "-n", namespace, "-f", "-", input=text).stdout


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (BY_REFERENCE | {"pause": True}, 'unknown field "spec.pause"'),
        ({"flow": {"nodes": [{"id": "a", "type": "T", "port": 1}]}}, 'unknown field "spec.flow.nodes[0].port"'),
        ({}, "exactly one of flowRef and flow must be set"),
        (BY_REFERENCE | {"priority": -1}, "spec.priority"),
    ],
)
def test_kubectl_apply_reports_error_and_field(
    kubectl: Kubectl, crds: None, namespace: str, spec: dict[str, Any], words: str
) -> None:
    done = kubectl("apply", "-n", namespace, "-f", "-", input=manifest(EXECUTION_KIND, "wrong", spec), check=False)
    assert done.returncode != 0
    assert words in done.stderr


def test_kubectl_apply_rejects_malformed_yaml_with_line(kubectl: Kubectl, crds: None, namespace: str) -> None:
    text = manifest(EXECUTION_KIND, "malformed", BY_REFERENCE) + "  flow: [\n"
    done = kubectl("apply", "-n", namespace, "-f", "-", input=text, check=False)
    assert done.returncode != 0
    assert "line" in done.stderr


def test_kubectl_get_shows_execution_columns(kubectl: Kubectl, objects: Objects) -> None:
    item = objects.created(EXECUTION_KIND, BY_REFERENCE | CHILD)
    report(
        objects,
        item,
        phase="Running",
        attempt=2,
        nodes={"total": 9, "done": 3, "completed": 1, "failed": 1, "skipped": 1},
        worker="worker-1",
        currentNodes=["fetch"],
        conditions=[condition("Succeeded", "Unknown", "Running", "3-of-9"), condition("Waiting", "True", "Time", "it")],
    )
    [head, row] = table(kubectl("get", "cgx", "-n", objects.namespace).stdout)
    assert head == ["NAME", "PHASE", "FLOW", "DONE", "TOTAL", "WAITING", "AGE"]
    assert row[:6] == [item["metadata"]["name"], "Running", "greeting", "3", "9", "Time"]
    [head, row] = table(kubectl("get", "executions", "-o", "wide", "-n", objects.namespace).stdout)
    assert head[6:] == ["ATTEMPT", "CURRENT", "WORKER", "VERSION", "PARENT", "MESSAGE", "AGE"]
    assert row[6:11] == ["2", '["fetch"]', "worker-1", "orders", "3-of-9"]


def test_kubectl_get_shows_flow_columns_and_category(kubectl: Kubectl, objects: Objects) -> None:
    flow = objects.created(FLOW_KIND, FLOW)
    objects.created(EXECUTION_KIND, BY_REFERENCE)
    report(objects, flow, revision="0123abcd", nodes=1, conditions=[condition("Ready", "True", "Valid")])
    [head, row] = table(kubectl("get", "cgf", "-n", objects.namespace).stdout)
    assert head == ["NAME", "READY", "REASON", "NODES", "AGE"]
    assert row[1:4] == ["True", "Valid", "1"]
    listed = kubectl("get", names.CATEGORY, "-n", objects.namespace, "-o", "name").stdout.splitlines()
    assert [line.split("/")[0] for line in listed] == [
        names.EXECUTION_CRD.replace("executions", "execution"),
        "flow.chaingraph.dev",
    ]


@pytest.mark.parametrize(
    "selector",
    ["status.phase=Running", "spec.flowRef.name=greeting", "spec.queue=nightly", "status.rootExecutionID=EX1"],
)
def test_kubectl_get_supports_field_selectors(kubectl: Kubectl, objects: Objects, selector: str) -> None:
    wanted = objects.created(EXECUTION_KIND, BY_REFERENCE | {"queue": "nightly"})
    report(objects, wanted, phase="Running", rootExecutionID="EX1")
    other = objects.created(EXECUTION_KIND, INLINE)
    report(objects, other, phase="Failed", rootExecutionID="EX2")
    found = kubectl("get", "cgx", "-n", objects.namespace, "-o", "name", "--field-selector", selector).stdout
    assert found.split("/")[1].strip() == wanted["metadata"]["name"]


def test_kubectl_wait_ends_on_succeeded(kubectl: Kubectl, objects: Objects) -> None:
    item = objects.created(EXECUTION_KIND, BY_REFERENCE)
    wait = ("wait", "--for=condition=Succeeded", f"cgx/{item['metadata']['name']}", "-n", objects.namespace)
    assert kubectl(*wait, "--timeout=0s", check=False).returncode != 0
    report(objects, item, phase="Completed", conditions=[condition("Succeeded", "True", "Completed")])
    kubectl(*wait, "--timeout=10s")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("execution.spec", ["flowRef", "Exactly one of", "Immutable.", "Default: 300. From 1 to 604800."]),
        ("execution.spec.options", ["maxConcurrency", "at the same time. Default: 50. From 1 to 500."]),
        ("execution.spec.retry.from", ["ENUM: Failed Start", "Default: Failed."]),
        ("execution.status", ["executionID", "currentNodes", "-1 until the operator"]),
        ("flow.spec.nodes", ["timeoutSeconds", "Timeout of one attempt", "-required-"]),
    ],
)
def test_kubectl_explain_describes_fields(kubectl: Kubectl, crds: None, path: str, words: list[str]) -> None:
    deadline = time.monotonic() + 30
    # The API server publishes the schema of a new kind a moment after it serves the kind.
    while (done := kubectl("explain", path, check=False)).returncode and time.monotonic() < deadline:
        time.sleep(0.2)
    text = " ".join(done.stdout.split())
    for word in words:
        assert word in text
    assert "<no description>" not in text
