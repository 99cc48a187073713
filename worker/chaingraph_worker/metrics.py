"""The Prometheus metrics of a worker, served at /metrics.

Labels have few values: queues, installed node types, outcomes. Executions and namespaces are not labels, because every
value would be a series of every worker; logs and traces have them.
"""

from __future__ import annotations

import logging
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

REGISTRY_OF_WORKER: Final = REGISTRY

INFO = Gauge("chaingraph_worker_info", "1; the labels identify this worker", ["executor", "pool", "version"])
ATTEMPTS = Counter(
    "chaingraph_worker_attempts_total",
    "Runs of executions that this worker ended, by queue and outcome: Completed, Failed, Stopped, Parked, NotOurs, "
    "RunnerLost",
    ["queue", "outcome"],
)
ATTEMPT_SECONDS = Histogram(
    "chaingraph_worker_attempt_seconds",
    "Time from the claim of a run to its end, by queue, in seconds",
    ["queue"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
)
START_SECONDS = Histogram(
    "chaingraph_worker_start_seconds",
    "Time from the creation of an execution in the ledger to its first claim by a worker, by queue, in seconds; "
    "without children and executions created paused",
    ["queue"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)
RUNNING = Gauge("chaingraph_worker_attempts_running", "Attempts running in this worker")
RUNNERS = Gauge("chaingraph_worker_runners", "Runner processes of this worker, with and without an execution")
RUNNERS_LOST = Counter(
    "chaingraph_worker_runners_lost_total",
    "Runners that ended before their engine, by cause: silent, memory, cpu, stuck, crash, message, lost",
    ["cause"],
)
NODES = Counter(
    "chaingraph_worker_nodes_total",
    "Nodes that ended in this worker, by type and outcome: completed, failed, skipped",
    ["type", "outcome"],
)
NODE_SECONDS = Histogram(
    "chaingraph_worker_node_seconds",
    "Time from the first try of a node to its end, by type, in seconds; skipped nodes do not count",
    ["type"],
    # Few buckets: there is a series each for every type of node and worker.
    buckets=(0.001, 0.01, 0.1, 0.5, 1, 5, 30, 300),
)
FLUSH_SECONDS = Histogram(
    "chaingraph_worker_flush_seconds",
    "Duration of one flush of a running attempt to PostgreSQL, in seconds",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)
FLUSH_RETRIES = Counter(
    "chaingraph_worker_flush_retries_total", "Flushes that PostgreSQL did not accept and that were retried"
)
SECRETS = Counter(
    "chaingraph_worker_secrets_total",
    "Secrets that nodes of this worker used, by result: read, or the reason of the failure, such as SecretNotFound",
    ["result"],
)
EVENTS = Counter("chaingraph_worker_events_total", "Events that this worker wrote")
COMMANDS = Counter("chaingraph_worker_commands_total", "Commands accepted by this worker's engines, by kind", ["kind"])
CHILDREN = Counter("chaingraph_worker_children_total", "Children that this worker spawned")
OWNERSHIP_LOST = Counter(
    "chaingraph_worker_ownership_lost_total", "Attempts that were stopped or handed to another worker while running"
)
RECOVERIES = Counter(
    "chaingraph_worker_recoveries_total",
    "Executions of lost workers found by this worker, by result: handed back, given up, or lost repeatedly (handed "
    "back again after several losses that do not count because others ran in the same worker)",
    ["result"],
)
for _result in ("handed back", "given up", "lost repeatedly"):
    # From the start: Prometheus sees no increase in a series that starts with 1.
    RECOVERIES.labels(_result)
WAKEUP_SECONDS = Histogram(
    "chaingraph_worker_wakeup_lateness_seconds",
    "Time from the end of a wait to the enqueuing of the execution that was asleep, in seconds",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600),
)
LEASE_RENEWED = Gauge("chaingraph_worker_lease_renewed_timestamp_seconds", "Time of the last renewal of the lease")
LEASE_AGE = Gauge("chaingraph_worker_lease_age_seconds", "Time since the last renewal of the lease")
LEASE_SECONDS = Gauge(
    "chaingraph_worker_lease_duration_seconds",
    "Lease duration. A worker that cannot renew its lease in this time exits",
)
LEASE_RENEWALS = Counter(
    "chaingraph_worker_lease_renewals_total", "Attempts to renew the lease, by result: renewed, failed", ["result"]
)
DBOS_ERRORS = Counter(
    "chaingraph_worker_dbos_errors_total",
    "Warnings and errors that DBOS logged in this worker, by level: warning, error, critical",
    ["level"],
)


def count_errors_of_dbos(record: logging.LogRecord) -> bool:
    """Count log records and let all pass. A logging filter."""
    if record.levelno >= logging.WARNING:
        DBOS_ERRORS.labels(record.levelname.lower()).inc()
    return True
