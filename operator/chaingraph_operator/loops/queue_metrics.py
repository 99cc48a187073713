"""How much waits in which queue, for metrics and autoscaling: read from the ledger every few seconds.

A part of the leading operator, so that the figures exist once however many operators there are, and a sum over Pods is
right. What has not been read for a while is not told any more: a queue that looks empty because PostgreSQL is away
would make an autoscaler remove workers. An execution may name any queue, so only those that workers serve, or are set
to, have series of their own: the others are added up as OTHER.
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
"""Of PostgreSQL's time that this may take. What it costs grows with what waits: 100,000 were seen to take 0.14 s."""
_NO_WORK: Final = (0, 0, 0.0)
OTHER: Final = "(other)"
"""Stands for all queues that no worker serves. No queue can have this name."""


class QueueMetrics:
    """The figures as they were last read.

    Args:
        interval: seconds from one reading to the next.
        told: seconds for which a reading is told.
        queues: those that have series whether a worker serves them or not.
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
        """Reads for ever."""
        while True:
            began = time.monotonic()
            await self.read()
            await asyncio.sleep(self.pause(time.monotonic() - began))

    def pause(self, took: float) -> float:
        """Seconds until the next reading, when the last one took so many."""
        return max(self._interval, min(_LONGEST_PAUSE, took / _SHARE))

    async def read(self) -> None:
        """Reads once."""
        async with self._ledger.connection() as connection:
            found = await statistics.queues(connection, application_name=self._application_name)
            self._workers = await statistics.workers(connection, application_name=self._application_name)
            self._families = await child_statistics.children(connection)
        # One whose workers are gone keeps its series, as does one that has become empty: to an autoscaler, no figure is
        # no reason to go up or down.
        self._served |= {each.queue for each in self._workers}
        others = [each for each in found if each.queue not in self._served]
        self._others = self._others or bool(others)
        self._queues = {each.queue: each for each in found if each.queue in self._served}
        if others:
            self._queues[OTHER] = _together(others)
        self._read_at = time.monotonic()

    def collect(self) -> Iterable[Metric]:
        """What Prometheus gets; nothing while there is no reading that is recent."""
        recent = time.monotonic() - self._read_at < self._told
        known = sorted(self._served | ({OTHER} if self._others else set())) if recent else []
        yield from self._of_queues(known)
        yield from self._of_workers(self._workers if recent else (), known)
        children = GaugeMetricFamily(
            "chaingraph_children_oldest_seconds",
            "How long the oldest of what is to be done about children has waited: to be spawned by the execution that "
            "emitted it (spawn), to be told to its parent as ended (tell), to be shown as a resource (show).",
            labels=["waiting_to"],
        )
        if recent:
            children.add_metric(["spawn"], self._families.unspawned_seconds)
            children.add_metric(["tell"], self._families.unnotified_seconds)
            children.add_metric(["show"], self._families.unshown_seconds)
        yield children

    def _of_queues(self, queues: Iterable[str]) -> Iterable[Metric]:
        waiting = GaugeMetricFamily(
            "chaingraph_queue_waiting", "Executions that wait in a queue for a worker.", labels=["queue"]
        )
        running = GaugeMetricFamily(
            "chaingraph_queue_running", "Executions of a queue that workers have.", labels=["queue"]
        )
        oldest = GaugeMetricFamily(
            "chaingraph_queue_oldest_seconds",
            "How far a queue is behind: the age of the place that is taken next, 0 when nothing waits.",
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
            "Workers with a good lease that have a queue, by pool, version and state: serving; retired, which take "
            "only what their version has begun; draining, which end.",
            labels=["queue", "pool", "version", "state"],
        )
        slots = GaugeMetricFamily(
            "chaingraph_queue_slots",
            "Executions of a queue that the workers in the state serving run at once.",
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
