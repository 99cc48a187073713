"""What Prometheus is told of a process's pool of database connections."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

Stats = Callable[[], Mapping[str, int]]
"""What `psycopg_pool` says of a pool: durations are in milliseconds, and what is zero may be left out."""

_MILLISECONDS: Final = 1000


class PoolMetrics:
    """A collector. Its metrics are called `<prefix>_pool_...`, as in `chaingraph_worker_pool_connections`."""

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
            ("max_connections", "Connections to PostgreSQL that the pool may have.", stats.get("pool_max", 0)),
            ("waiting", "Who waits for a connection now.", stats.get("requests_waiting", 0)),
        ):
            yield GaugeMetricFamily(f"{self._prefix}_pool_{what}", documentation, value=value)
        for what, documentation, number in (
            ("requests", "Connections asked for.", stats.get("requests_num", 0)),
            ("waits", "Connections that had to be waited for.", stats.get("requests_queued", 0)),
            (
                "wait_seconds",
                "Time spent waiting for connections, summed over all who waited.",
                stats.get("requests_wait_ms", 0) / _MILLISECONDS,
            ),
            ("errors", "Connections that were asked for and not to be had in time.", stats.get("requests_errors", 0)),
            ("lost", "Connections that were found to be lost.", stats.get("connections_lost", 0)),
        ):
            yield CounterMetricFamily(f"{self._prefix}_pool_{what}", documentation, value=number)
