"""The workers of one kind: take a key, reconcile it, and requeue it after a failure.

An error with one object is logged, counted and retried. It never stops the worker or delays other objects.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from structlog.contextvars import bound_contextvars

from chaingraph_operator.kube.keys import Key
from chaingraph_operator.kube.work_queue import WorkQueue
from chaingraph_operator.metrics import Metrics

Reconcile = Callable[[Key], Awaitable[None]]

_log = structlog.get_logger(__name__)
_LOUD_AFTER = 3
"""Consecutive failures of a key after which they are logged as errors. The first ones are mostly short outages."""


class Controller:
    """Runs up to `workers` reconciliations of one kind at a time."""

    def __init__(
        self, kind: str, queue: WorkQueue[Key], reconcile: Reconcile, *, workers: int, metrics: Metrics
    ) -> None:
        self._kind = kind
        self._queue = queue
        self._reconcile = reconcile
        self._workers = workers
        self._metrics = metrics
        self._seconds = metrics.reconcile_seconds.labels(kind)
        self._successes = metrics.reconciles.labels(kind, "success")
        self._errors = metrics.reconciles.labels(kind, "error")
        metrics.queue_depth(kind.lower(), lambda: queue.depth)

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._workers):
                group.create_task(self._work(), name=f"{self._kind} worker {number}")

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                with self._seconds.time(), bound_contextvars(namespace=key.namespace, name=key.name):
                    await self._one(key)
            finally:
                self._queue.done(key)

    async def _one(self, key: Key) -> None:
        try:
            await self._reconcile(key)
        except Exception as error:  # noqa: BLE001 whatever is wrong with one object must not stop the others
            self._errors.inc()
            delay = self._queue.retry(key)
            loud = self._queue.failures(key) >= _LOUD_AFTER
            (_log.error if loud else _log.warning)(
                "reconciliation failed, retrying",
                kind=self._kind,
                retry_seconds=round(delay, 2),
                error=f"{type(error).__name__}: {error}",
                exc_info=loud,
            )
        else:
            self._successes.inc()
            self._queue.forget(key)
