"""What the Pod of `helm test` runs: applies a Flow and an Execution, waits until it has succeeded, and removes both.

Environment: TEST_NAMESPACE, TEST_QUEUE, TEST_TIMEOUT_SECONDS. If not: exit code 1, and the Execution's conditions.
"""

import json
import os
import sys
import time
import uuid
from typing import Any

from kubernetes import client, config

GROUP, VERSION = "chaingraph.dev", "v1alpha1"
NAMESPACE = os.environ["TEST_NAMESPACE"]
NAME = f"helm-test-{uuid.uuid4().hex[:8]}"
FLOW = {
    "nodes": [
        {"id": "greet", "type": "Template", "inputs": {"template": "Hello, {{ who }}!", "values": {"who": "Helm"}}},
        {"id": "count", "type": "Length"},
    ],
    "edges": [{"from": "greet.result", "to": "count.value"}],
    "outputs": [{"name": "greeting", "from": "greet.result"}, {"name": "letters", "from": "count.result"}],
}
OUTPUTS = {"greeting": "Hello, Helm!", "letters": 12}


def main() -> int:
    config.load_config()
    api = client.CustomObjectsApi()
    began = time.monotonic()
    timeout = float(os.environ["TEST_TIMEOUT_SECONDS"])
    try:
        create(api, "flows", {"kind": "Flow", "spec": FLOW})
        create(api, "executions", {"kind": "Execution", "spec": execution()})
        status = ended(api, until=began + timeout)
    finally:
        for plural in ("executions", "flows"):
            remove(api, plural)
    taken = time.monotonic() - began
    if status.get("phase") == "Completed" and status.get("outputs") == OUTPUTS:
        print(f"{NAMESPACE}/{NAME}: Completed after {taken:.1f} s, on {status.get('worker')}")
        return 0
    print(f"{NAMESPACE}/{NAME}: not Completed with {OUTPUTS} after {taken:.1f} s. Its status:")
    print(json.dumps(status, indent=2))
    print("See `kubectl logs` of the operator and of the workers, and their /readyz.")
    return 1


def execution() -> dict[str, Any]:
    queue = os.environ.get("TEST_QUEUE", "")
    return {"flowRef": {"name": NAME}} | ({"queue": queue} if queue else {})


def create(api: client.CustomObjectsApi, plural: str, body: dict[str, Any]) -> None:
    body |= {"apiVersion": f"{GROUP}/{VERSION}", "metadata": {"name": NAME}}
    api.create_namespaced_custom_object(GROUP, VERSION, NAMESPACE, plural, body)


def ended(api: client.CustomObjectsApi, *, until: float) -> dict[str, Any]:
    """The Execution's status when its condition Succeeded has been decided, or at the end of the time."""
    while True:
        found: Any = api.get_namespaced_custom_object(GROUP, VERSION, NAMESPACE, "executions", NAME)
        status: dict[str, Any] = found.get("status", {})
        conditions = {each["type"]: each["status"] for each in status.get("conditions", [])}
        if conditions.get("Succeeded") in ("True", "False") or time.monotonic() > until:
            return status
        time.sleep(0.5)


def remove(api: client.CustomObjectsApi, plural: str) -> None:
    try:
        api.delete_namespaced_custom_object(GROUP, VERSION, NAMESPACE, plural, NAME)
    except client.ApiException as error:
        if error.status != 404:
            print(f"{plural}/{NAME} is left behind: {error.reason}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
