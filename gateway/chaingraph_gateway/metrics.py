"""The gateway's Prometheus metrics, in a registry of their own. Served at /metrics."""

from __future__ import annotations

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)


class Metrics:
    """All metrics of one gateway."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)
        self.registry = registry
        self.requests = Counter(
            "chaingraph_gateway_requests", "Requests, by route and status.", ["route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "chaingraph_gateway_request_seconds",
            "Time from a request to the start of its answer, by route. A stream's answer starts before its events.",
            ["route"],
            buckets=(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15),
            registry=registry,
        )
        self.streams = Gauge("chaingraph_gateway_streams", "Open streams of events.", registry=registry)
        self.streams_aged = Counter(
            "chaingraph_gateway_streams_aged",
            "Streams of events ended by CHAINGRAPH_STREAM_SECONDS. Their subscribers reconnect.",
            registry=registry,
        )
        self.events_sent = Counter("chaingraph_gateway_events_sent", "Events sent to subscribers.", registry=registry)
        self.reads = Counter(
            "chaingraph_gateway_log_reads",
            "Pages read from the table of events: for all subscribers of an execution, or for one that is behind.",
            ["by"],
            registry=registry,
        )
        self.reviews = Counter(
            "chaingraph_gateway_reviews",
            "Requests to the API server, by kind and result.",
            ["resource", "result"],
            registry=registry,
        )
        self.refused = Counter(
            "chaingraph_gateway_refused",
            "Connections and requests refused by a limit, by its setting.",
            ["setting"],
            registry=registry,
        )
        self.streams_refused = Counter(
            "chaingraph_gateway_streams_refused",
            "Streams of events ended because their reader lost the right to read, or is no longer authenticated.",
            registry=registry,
        )
        self.ledger_up = Gauge("chaingraph_gateway_ledger_up", "1 while PostgreSQL answers.", registry=registry)
