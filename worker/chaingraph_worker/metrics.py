"""What Prometheus reads of a worker. Written by the parts of the worker, served at /metrics by main.

Labels are what has few values: queues, the types of nodes that are installed, outcomes. Executions and namespaces are
none, because every value would be a series of every worker; they are in the logs and in the traces.
"""

from __future__ import annotations

import logging
from typing import Final

from prometheus_client import REGISTRY, Counter, Gauge, Histogram

REGISTRY_OF_WORKER: Final = REGISTRY

INFO = Gauge("chaingraph_worker_info", "1; the labels say what this worker is", ["executor", "pool", "version"])
ATTEMPTS = Counter(
    "chaingraph_worker_attempts_total",
    "Runs of executions that this worker ended, by queue and outcome: Completed, Failed, Stopped, Parked, NotOurs, "
    "RunnerLost",
    ["queue", "outcome"],
)
ATTEMPT_SECONDS = Histogram(
    "chaingraph_worker_attempt_seconds",
    "From the claim of a run to its end, by queue, in seconds",
    ["queue"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200),
)
START_SECONDS = Histogram(
    "chaingraph_worker_start_seconds",
    "From the creation of an execution in the ledger to its first claim by a worker, by queue, in seconds; without "
    "children, and without what was created paused",
    ["queue"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800),
)
RUNNING = Gauge("chaingraph_worker_attempts_running", "Attempts that run in this worker now")
RUNNERS = Gauge("chaingraph_worker_runners", "Runner processes of this worker now, with and without an execution")
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
    "From the first try of a node to its end, by type, in seconds; nodes that were skipped do not count",
    ["type"],
    # Few: a series each for every type of node and worker.
    buckets=(0.001, 0.01, 0.1, 0.5, 1, 5, 30, 300),
)
FLUSH_SECONDS = Histogram(
    "chaingraph_worker_flush_seconds",
    "One flush of a running attempt to PostgreSQL, in seconds",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5),
)
FLUSH_RETRIES = Counter(
    "chaingraph_worker_flush_retries_total", "Flushes that PostgreSQL did not take and that were tried again"
)
EVENTS = Counter("chaingraph_worker_events_total", "Events that this worker wrote")
COMMANDS = Counter("chaingraph_worker_commands_total", "Commands that this worker's engines took, by kind", ["kind"])
CHILDREN = Counter("chaingraph_worker_children_total", "Children that this worker spawned")
OWNERSHIP_LOST = Counter(
    "chaingraph_worker_ownership_lost_total", "Attempts that were stopped or handed to another worker while they ran"
)
RECOVERIES = Counter(
    "chaingraph_worker_recoveries_total",
    "Executions whose worker was lost, as this worker found, by what became of them: handed back, given up, or lost "
    "repeatedly: handed back once more, after several losses that count for nobody because others ran beside it",
    ["result"],
)
for _result in ("handed back", "given up", "lost repeatedly"):
    # From the start: Prometheus sees no increase in a series that begins with 1.
    RECOVERIES.labels(_result)
LEASE_RENEWED = Gauge("chaingraph_worker_lease_renewed_timestamp_seconds", "When the lease was last renewed")
LEASE_AGE = Gauge(
    "chaingraph_worker_lease_age_seconds", "How long ago the lease was renewed, as of the moment of this reading"
)
LEASE_SECONDS = Gauge(
    "chaingraph_worker_lease_duration_seconds", "How long a lease holds without renewal; then the worker exits"
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
    """A filter of log records that counts them and lets all pass."""
    if record.levelno >= logging.WARNING:
        DBOS_ERRORS.labels(record.levelname.lower()).inc()
    return True
