"""A user's view of the whole system: kubectl in a namespace of the test's own, and the ledger to compare with."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from chaingraph_store.ledger import Ledger
from fixtures.cluster import ControlPlane, Kubectl


class User:
    """Somebody with kubectl and a namespace."""

    def __init__(self, kubectl: Kubectl, control_plane: ControlPlane, namespace: str) -> None:
        self._kubectl = kubectl
        self._control_plane = control_plane
        self.namespace = namespace

    def kubectl(self, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self._kubectl("-n", self.namespace, *args, **options)

    def apply(self, *manifests: dict[str, Any]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "-f", "-", input=json.dumps(listed))

    def wait(self, name: str, condition: str = "Succeeded", *, within: float = 60) -> None:
        self.kubectl("wait", f"--for=condition={condition}", f"cgx/{name}", f"--timeout={within:g}s")

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json").stdout)
        return found

    def status(self, name: str) -> dict[str, Any]:
        return dict(self.get("cgx", name).get("status", {}))

    def until(self, name: str, holds: Callable[[dict[str, Any]], bool], *, within: float = 60) -> dict[str, Any]:
        """The execution's status, once that holds of it."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            status = self.status(name)
            if holds(status):
                return status
            time.sleep(0.05)
        pytest.fail(f"{name}: not within {within} s; its status is {json.dumps(self.status(name), indent=1)}")

    def has_succeeded(self, name: str) -> bool:
        condition = self.condition(name, "Succeeded")
        return condition is not None and condition["status"] == "True"

    def condition(self, name: str, type_: str, *, kind: str = "cgx") -> dict[str, Any] | None:
        conditions = self.get(kind, name).get("status", {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == type_), None)

    def operator_writes(self) -> list[str]:
        """What the operator wrote to the API server about this namespace, from the audit log: verb and resource."""
        writes = []
        for event in self._control_plane.audit_events(self.namespace):
            if event["verb"] in ("create", "update", "patch", "delete") and "kubectl" not in event["userAgent"]:
                reference = event["objectRef"]
                suffix = f"/{reference['subresource']}" if reference.get("subresource") else ""
                writes.append(f"{event['verb']} {reference['resource']}{suffix} {event['responseStatus']['code']}")
        return writes


@pytest.fixture
def user(crds: None, kubectl: Kubectl, control_plane: ControlPlane, namespace: str) -> User:
    return User(kubectl, control_plane, namespace)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    ledger = Ledger(database_url, application_name="tests", pool_size=4)
    await ledger.open()
    yield ledger
    await ledger.close()


def flow(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "chaingraph.dev/v1alpha1", "kind": "Flow", "metadata": {"name": name}, "spec": spec}


def execution(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "chaingraph.dev/v1alpha1", "kind": "Execution", "metadata": {"name": name}, "spec": spec}


def chain(length: int, milliseconds: int) -> dict[str, Any]:
    """A flow's spec: sleeps one after another, named s0, s1, ..."""
    return {
        "nodes": [{"id": f"s{n}", "type": "Sleep", "inputs": {"milliseconds": milliseconds}} for n in range(length)],
        "edges": [{"from": f"s{n}.__success", "to": f"s{n + 1}.__execute"} for n in range(length - 1)],
    }


SUM: dict[str, Any] = {
    "inputs": [{"name": "a", "type": "number", "required": True}, {"name": "b", "type": "number", "default": 2}],
    "outputs": [{"name": "total", "from": "add.result"}],
    "nodes": [{"id": "add", "type": "Math", "inputs": {"operation": "add"}}],
    "edges": [{"from": "inputs.a", "to": "add.a"}, {"from": "inputs.b", "to": "add.b"}],
}
