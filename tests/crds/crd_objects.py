"""A small client for Executions and Flows of one namespace, by the API server's own REST calls."""

import time
from collections.abc import Callable
from typing import Any

import httpx

from chaingraph_crds import names


class Objects:
    """Creates and changes Executions and Flows of one namespace by the API server's own REST calls."""

    def __init__(self, client: httpx.Client, namespace: str) -> None:
        self._client = client
        self.namespace = namespace
        self._created = 0

    def url(self, kind: str, name: str = "") -> str:
        plural = {names.FLOW_KIND: names.FLOW_PLURAL, names.EXECUTION_KIND: names.EXECUTION_PLURAL}[kind]
        return f"/apis/{names.API_VERSION}/namespaces/{self.namespace}/{plural}/{name}".removesuffix("/")

    def create(self, kind: str, spec: object, *, dry_run: bool = False) -> httpx.Response:
        """POST with strict field validation, as `kubectl apply` does."""
        parameters = {"fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        self._created += 1
        body = {
            "apiVersion": names.API_VERSION,
            "kind": kind,
            "metadata": {"name": f"object-{self._created}"},
            "spec": spec,
        }
        return self._client.post(self.url(kind), params=parameters, json=body)

    def created(self, kind: str, spec: object) -> dict[str, Any]:
        """The object that the API server made of a good spec."""
        answer = self.create(kind, spec)
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body

    def patch(self, item: dict[str, Any], *operations: dict[str, Any], part: str = "") -> httpx.Response:
        """JSON patch of an object, or of its status with `part="/status"`."""
        return self._client.patch(
            self.url(item["kind"], item["metadata"]["name"]) + part,
            headers={"Content-Type": "application/json-patch+json"},
            json=list(operations),
        )

    def merge(self, item: dict[str, Any], change: dict[str, Any], part: str = "") -> httpx.Response:
        """JSON merge patch."""
        return self._client.patch(
            self.url(item["kind"], item["metadata"]["name"]) + part,
            headers={"Content-Type": "application/merge-patch+json"},
            json=change,
        )

    def eventually(self, attempt: Callable[[], httpx.Response], status: int, seconds: float = 10) -> httpx.Response:
        """Repeats a request until it has this status: an admission policy is in force a moment after its creation."""
        deadline = time.monotonic() + seconds
        while True:
            answer = attempt()
            if answer.status_code == status or time.monotonic() > deadline:
                return answer
            time.sleep(0.1)
