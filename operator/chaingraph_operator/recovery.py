"""Hands back the work of lost workers: every second, whoever has claimed work and holds no lease any more.

The ledger decides by its own clock, and fences the lost worker in the same transaction, so that it does not matter
how many operators do this or whether the worker is dead or only cut off. What waits for workers of its own version is
brought back to all when none of them lives.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from chaingraph_operator.metrics import Metrics
from chaingraph_store import leases, pinning, recovery
from chaingraph_store.ledger import Ledger

_log = structlog.get_logger(__name__)
_FORGET_AFTER: Final = 86_400.0
"""Seconds after which a dead worker is forgotten: a day, in which people may want to know what it was."""
_FORGET_EVERY: Final = 3600.0
_STRANDED_EVERY: Final = 15.0
"""Seconds between two looks for executions whose workflow has ended without them. That takes a fault of ours or of
DBOS, and the look reads all that waits, which may be a hundred thousand children."""


class Recovery:
    """Looks for lost workers."""

    def __init__(self, ledger: Ledger, *, application_name: str, interval: float, metrics: Metrics) -> None:
        self._ledger = ledger
        self._application_name = application_name
        self._interval = interval
        self._metrics = metrics
        self._forgot = float("-inf")
        self._looked = float("-inf")

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            await self.recover()
            await asyncio.sleep(self._interval)

    async def recover(self) -> list[recovery.HandedBack]:
        """Looks once.

        Returns:
            What was handed back or given up.
        """
        async with self._ledger.transaction() as connection:
            lost = await recovery.lost_executors(connection, application_name=self._application_name)
            handed: list[recovery.HandedBack] = []
            if lost:
                handed = await recovery.hand_back(connection, application_name=self._application_name, executors=lost)
            if time.monotonic() - self._looked >= _STRANDED_EVERY:
                handed += await recovery.revive_stranded(connection, application_name=self._application_name)
                self._looked = time.monotonic()
        for each in handed:
            self._metrics.recoveries.labels("given up" if each.given_up else "handed back").inc()
            _log.warning(
                "gave up: it lost its worker too often"
                if each.given_up
                else "handed back: its worker or its workflow was lost",
                execution_id=each.execution_id,
                namespace=each.namespace,
                name=each.name,
                worker=each.worker,
                recoveries=each.recoveries,
            )
        await self._release()
        await self._forget_dead()
        return handed

    async def _release(self) -> None:
        async with self._ledger.transaction() as connection:
            released = await pinning.release(connection)
        if released:
            _log.info("no worker of their version lives any more: any other may take them", workflows=released)

    async def _forget_dead(self) -> None:
        if time.monotonic() - self._forgot < _FORGET_EVERY:
            return
        async with self._ledger.transaction() as connection:
            count = await leases.forget_dead(connection, after_seconds=_FORGET_AFTER)
            await pinning.forget_queues(connection)
        self._forgot = time.monotonic()
        if count:
            _log.info("forgot workers that died long ago", count=count)
