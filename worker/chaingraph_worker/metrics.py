"""What Prometheus reads of a worker. Written by `attempt`, `control`, `flusher`, `running`, `spawner` and `lease`."""

from __future__ import annotations

from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

REGISTRY_OF_WORKER: Final = REGISTRY

ATTEMPTS = Counter("chaingraph_worker_attempts_total", "Attempts that this worker ended, by outcome", ["outcome"])
ATTEMPT_SECONDS = Histogram(
    "chaingraph_worker_attempt_seconds",
    "From the claim of an attempt to its end, in seconds",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
)
RUNNING = Gauge("chaingraph_worker_attempts_running", "Attempts that run in this worker now")
NODES = Counter("chaingraph_worker_nodes_total", "Nodes that ended in this worker, by outcome", ["outcome"])
FLUSH_SECONDS = Histogram(
    "chaingraph_worker_flush_seconds",
    "One flush of a running attempt to PostgreSQL, in seconds",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)
EVENTS = Counter("chaingraph_worker_events_total", "Events that this worker wrote")
COMMANDS = Counter("chaingraph_worker_commands_total", "Commands that this worker's engines took, by kind", ["kind"])
CHILDREN = Counter("chaingraph_worker_children_total", "Children that this worker spawned")
OWNERSHIP_LOST = Counter(
    "chaingraph_worker_ownership_lost_total", "Attempts that were stopped or handed to another worker while they ran"
)
LEASE_RENEWED = Gauge("chaingraph_worker_lease_renewed_timestamp_seconds", "When the lease was last renewed")
