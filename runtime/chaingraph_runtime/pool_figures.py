"""Prometheus metrics of a process's pool of database connections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Stats = Callable[[], Mapping[str, int]]
"""`psycopg_pool`'s statistics: durations are in milliseconds, and zero values may be missing."""

_MILLISECONDS: Final = 1000


class PoolMetrics:
    """A collector of metrics named `<prefix>_pool_...`, such as `chaingraph_worker_pool_connections`."""

    def __init__(self, prefix: str, stats: Stats) -> None:
        self._prefix = prefix
        self._stats = stats

    def collect(self) -> Iterable[Metric]:
        stats = self._stats()
        size, idle = stats.get("pool_size", 0), stats.get("pool_available", 0)
        connections = GaugeMetricFamily(
            f"{self._prefix}_pool_connections", "Connections to PostgreSQL, by state: used, idle.", labels=["state"]
        )
        connections.add_metric(["used"], size - idle)
        connections.add_metric(["idle"], idle)
        yield connections
        for what, documentation, value in (
            ("max_connections", "Maximum connections to PostgreSQL of the pool.", stats.get("pool_max", 0)),
            ("waiting", "Clients waiting for a connection.", stats.get("requests_waiting", 0)),
        ):
            yield GaugeMetricFamily(f"{self._prefix}_pool_{what}", documentation, value=value)
        for what, documentation, number in (
            ("requests", "Requests for a connection.", stats.get("requests_num", 0)),
            ("waits", "Requests for a connection that had to wait.", stats.get("requests_queued", 0)),
            (
                "wait_seconds",
                "Total time spent waiting for connections.",
                stats.get("requests_wait_ms", 0) / _MILLISECONDS,
            ),
            ("errors", "Requests for a connection that failed in time.", stats.get("requests_errors", 0)),
            ("lost", "Connections found to be lost.", stats.get("connections_lost", 0)),
        ):
            yield CounterMetricFamily(f"{self._prefix}_pool_{what}", documentation, value=number)
