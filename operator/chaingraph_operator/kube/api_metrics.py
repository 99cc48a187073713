"""Prometheus metrics of requests to the API server: count, result and duration."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def verb_and_resource(method: str, path: str) -> tuple[str, str]:
    """Name a request as Kubernetes does: `PATCH .../executions/nightly/status` is ("patch", "executions/status").

    Names and namespaces are dropped. Any path other than an object's or a list's is "discovery".
    """
    parts = path.strip("/").split("/")
    rest = parts[2:] if parts[0] == "api" else parts[3:]
    if len(rest) > 2 and rest[0] == "namespaces":
        rest = rest[2:]
    if not rest:
        return "get", "discovery"
    verb = _VERBS.get(method, "list" if len(rest) == 1 else "get")
    return verb, "/".join((rest[0], *rest[2:]))


def result_of(status: int) -> str:
    """Map an HTTP status to a result; 0 means no answer."""
    match status:
        case 404 | 410:
            return "gone"
        case 409:
            return "conflict"
        case 429:
            return "throttled"
        case 401:
            return "unauthenticated"
        case 403:
            return "forbidden"
        case _ if 200 <= status < 400:
            return "success"
        case _ if 400 <= status < 500:
            return "rejected"
        case _:
            return "unavailable"


class ApiMetrics:
    """The metrics of one operator's requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "chaingraph_operator_api_requests",
            "Requests to the API server, by verb, resource and result: success, conflict, gone, rejected, forbidden, "
            "unauthenticated, throttled, unavailable (5xx, or no answer). The watch is not included.",
            ["verb", "resource", "result"],
            registry=registry,
        )
        self._seconds = Histogram(
            "chaingraph_operator_api_request_seconds",
            "Duration of a request to the API server, by verb.",
            ["verb"],
            buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
            registry=registry,
        )

    def answered(self, method: str, path: str, status: int, seconds: float) -> None:
        """Record a finished request. `status` is the answer's; 0 when there was none."""
        verb, resource = verb_and_resource(method, path)
        self._requests.labels(verb, resource, result_of(status)).inc()
        self._seconds.labels(verb).observe(seconds)
