"""Metrics of requests to the API server."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from chaingraph_operator.kube.api import collection_path, object_path
from chaingraph_operator.kube.api_metrics import ApiMetrics, result_of, verb_and_resource
from chaingraph_operator.kube.keys import Key

KEY = Key("team", "nightly", "uid-1")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("PATCH", f"{object_path('executions', KEY)}/status", ("patch", "executions/status")),
        ("POST", collection_path("executions", "team"), ("create", "executions")),
        ("DELETE", object_path("executions", KEY), ("delete", "executions")),
        ("GET", object_path("executions", KEY), ("get", "executions")),
        ("GET", collection_path("flows", None), ("list", "flows")),
        ("GET", collection_path("flows", "team"), ("list", "flows")),
        ("POST", "/api/v1/namespaces/team/events", ("create", "events")),
        ("GET", "/api/v1/namespaces/kube-system", ("get", "namespaces")),
        ("GET", "/apis/chaingraph.dev/v1alpha1", ("get", "discovery")),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/ours/leases/operator", ("update", "leases")),
    ],
)
def test_request_path_maps_to_verb_and_resource(method: str, path: str, expected: tuple[str, str]) -> None:
    assert verb_and_resource(method, path) == expected


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, "success"),
        (201, "success"),
        (400, "rejected"),
        (401, "unauthenticated"),
        (403, "forbidden"),
        (404, "gone"),
        (409, "conflict"),
        (410, "gone"),
        (422, "rejected"),
        (429, "throttled"),
        (500, "unavailable"),
        (503, "unavailable"),
        (0, "unavailable"),
    ],
)
def test_http_status_maps_to_a_result(status: int, result: str) -> None:
    assert result_of(status) == result


def test_requests_are_counted_and_timed() -> None:
    registry = CollectorRegistry()
    api = ApiMetrics(registry)
    api.answered("PATCH", f"{object_path('executions', KEY)}/status", 200, 0.004)
    api.answered("PATCH", f"{object_path('executions', KEY)}/status", 0, 30)
    labels = {"verb": "patch", "resource": "executions/status"}
    for result in ("success", "unavailable"):
        assert registry.get_sample_value("chaingraph_operator_api_requests_total", labels | {"result": result}) == 1
    assert registry.get_sample_value("chaingraph_operator_api_request_seconds_sum", {"verb": "patch"}) == 30.004
