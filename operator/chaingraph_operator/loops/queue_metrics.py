"""Queue metrics for monitoring and autoscaling, read from the ledger every few seconds.

Only the leading operator reports them, so that each value exists once and a sum over Pods is right. Values too old are
not reported: a queue that looks empty during a PostgreSQL outage would make an autoscaler remove workers. An execution
may name any queue, so only queues that are served or configured have their own series. The others are summed as OTHER.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client.core import GaugeMetricFamily, Metric

from chaingraph_operator.metrics import Metrics
from chaingraph_store.children import statistics as child_statistics
from chaingraph_store.children.statistics import ChildStatistics
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import statistics

_READ_SECONDS: Final = 5.0
_LONGEST_PAUSE: Final = 20.0
_TOLD_SECONDS: Final = 30.0
_SHARE: Final = 0.02
"""Maximum share of PostgreSQL's time for this. The cost grows with waiting executions: 0.14 s for 100,000."""
_NO_WORK: Final = (0, 0, 0.0)
OTHER: Final = "(other)"
"""The sum of all queues that no worker serves. No queue can have this name."""


class QueueMetrics:
    """The latest queue metrics.

    Args:
        interval: seconds between two readings.
        told: seconds for which a reading is reported.
        queues: queues that have series even while no worker serves them.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        application_name: str,
        metrics: Metrics,
        interval: float = _READ_SECONDS,
        told: float = _TOLD_SECONDS,
        queues: Iterable[str] = (),
    ) -> None:
        self._ledger = ledger
        self._application_name = application_name
        self._interval = interval
        self._told = told
        self._read_at = float("-inf")
        self._served: set[str] = set(queues)
        self._others = False
        self._queues: dict[str, statistics.QueueStatistics] = {}
        self._workers: Sequence[statistics.WorkerStatistics] = ()
        self._families = ChildStatistics(0, 0, 0)
        metrics.registry.register(self)

    async def run(self) -> None:
        """Read the metrics until cancelled."""
        while True:
            began = time.monotonic()
            await self.read()
            await asyncio.sleep(self.pause(time.monotonic() - began))

    def pause(self, took: float) -> float:
        """Return the seconds until the next reading, given the duration of the last one."""
        return max(self._interval, min(_LONGEST_PAUSE, took / _SHARE))

    async def read(self) -> None:
        """Read the metrics once."""
        async with self._ledger.connection() as connection:
            found = await statistics.queues(connection, application_name=self._application_name)
            self._workers = await statistics.workers(connection, application_name=self._application_name)
            self._families = await child_statistics.children(connection)
        # A queue that lost its workers, or became empty, keeps its series: an autoscaler does not act on a missing
        # value.
        self._served |= {each.queue for each in self._workers}
        others = [each for each in found if each.queue not in self._served]
        self._others = self._others or bool(others)
        self._queues = {each.queue: each for each in found if each.queue in self._served}
        if others:
            self._queues[OTHER] = _together(others)
        self._read_at = time.monotonic()

    def collect(self) -> Iterable[Metric]:
        """Yield the metrics for Prometheus; none without a recent reading."""
        recent = time.monotonic() - self._read_at < self._told
        known = sorted(self._served | ({OTHER} if self._others else set())) if recent else []
        yield from self._of_queues(known)
        yield from self._of_workers(self._workers if recent else (), known)
        children = GaugeMetricFamily(
            "chaingraph_children_oldest_seconds",
            "Age of the oldest pending work for child executions, by step: waiting to be spawned by its parent "
            "(spawn), ended and its parent not notified yet (tell), waiting for its resource (show).",
            labels=["waiting_to"],
        )
        if recent:
            children.add_metric(["spawn"], self._families.unspawned_seconds)
            children.add_metric(["tell"], self._families.unnotified_seconds)
            children.add_metric(["show"], self._families.unshown_seconds)
        yield children

    def _of_queues(self, queues: Iterable[str]) -> Iterable[Metric]:
        waiting = GaugeMetricFamily(
            "chaingraph_queue_waiting", "Executions waiting for a worker, by queue.", labels=["queue"]
        )
        running = GaugeMetricFamily(
            "chaingraph_queue_running", "Executions running on a worker, by queue.", labels=["queue"]
        )
        oldest = GaugeMetricFamily(
            "chaingraph_queue_oldest_seconds",
            "Age of the next execution to be taken from a queue, in seconds; 0 when the queue is empty.",
            labels=["queue"],
        )
        for queue in queues:
            found = self._queues.get(queue)
            figures_of = (found.waiting, found.running, found.oldest_seconds) if found else _NO_WORK
            for family, value in zip((waiting, running, oldest), figures_of, strict=True):
                family.add_metric([queue], value)
        return waiting, running, oldest

    @staticmethod
    def _of_workers(workers: Iterable[statistics.WorkerStatistics], known: Iterable[str]) -> Iterable[Metric]:
        alive = GaugeMetricFamily(
            "chaingraph_queue_workers",
            "Live workers by queue, pool, version and state: serving; retired (finishing the executions of their "
            "version only); draining (shutting down).",
            labels=["queue", "pool", "version", "state"],
        )
        slots = GaugeMetricFamily(
            "chaingraph_queue_slots",
            "Number of executions that the workers in state serving can run at the same time, by queue.",
            labels=["queue"],
        )
        room = dict.fromkeys(known, 0)
        for each in workers:
            alive.add_metric([each.queue, each.pool, each.version, each.state], each.workers)
            room[each.queue] += each.slots if each.state == "serving" else 0
        for queue, number in room.items():
            slots.add_metric([queue], number)
        return alive, slots


def _together(queues: Sequence[statistics.QueueStatistics]) -> statistics.QueueStatistics:
    return statistics.QueueStatistics(
        OTHER,
        sum(each.waiting for each in queues),
        sum(each.running for each in queues),
        max(each.oldest_seconds for each in queues),
    )
