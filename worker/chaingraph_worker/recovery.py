"""Hand back the work of workers whose lease has expired. Every worker does this; no operator is needed.

A check is one statement that reads a few index entries. Checks of several workers are spread randomly, and one of them
at a time hands back. Runs that wait for a worker version without workers are returned to all.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

import structlog

from chaingraph_store import periodic
from chaingraph_store.clock import SteadyClock
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import leases, pinning, recovery
from chaingraph_store.queue.recovery import HandedBack
from chaingraph_store.transient import retry_transient
from chaingraph_worker import metrics

_SPREAD: Final = 0.25
"""Random deviation of the pause between two checks, as a fraction."""
_FORGET_AFTER: Final = 86_400.0
"""Seconds after which a dead worker is forgotten: a day, for diagnosis."""
_FORGET_EVERY: Final = 3600.0
_log = structlog.get_logger(__name__)


class Recovery:
    """Finds lost workers.

    Args:
        interval: seconds between two checks.
        patience: seconds without hand-backs after a jump of the database's clock, in which live workers renew.
    """

    def __init__(self, ledger: Ledger, *, application_name: str, interval: float, patience: float) -> None:
        self._ledger = ledger
        self._application_name = application_name
        self._interval = interval
        self._clock = SteadyClock(patience=patience)

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            await asyncio.sleep(self._interval * random.uniform(1 - _SPREAD, 1 + _SPREAD))
            await retry_transient(self.recover, what="recovery of lost workers")

    async def recover(self) -> list[HandedBack]:
        """Check once.

        Returns:
            What was handed back or given up.
        """
        async with self._ledger.connection() as connection:
            seen = await recovery.look(connection, application_name=self._application_name)
        steady = self._clock.judge(seen.clock)
        handed: list[HandedBack] = []
        if seen.lost and steady:
            handed += await recovery.recover(self._ledger, application_name=self._application_name)
        if seen.stranded_due:
            handed += await recovery.revive(self._ledger, application_name=self._application_name)
            await self._forget_dead()
        for each in handed:
            _report(each)
        if seen.pins_abandoned:
            await self._release()
        return handed

    async def _release(self) -> None:
        async with self._ledger.transaction() as connection:
            released = await pinning.release(connection)
        if released:
            _log.info("no live worker of their version, any other may take them", workflows=released)

    async def _forget_dead(self) -> None:
        async with self._ledger.transaction() as connection:
            if not await periodic.begin(connection, "forget", every_seconds=_FORGET_EVERY):
                return
            count = await leases.forget_dead(connection, after_seconds=_FORGET_AFTER)
            await pinning.forget_queues(connection)
        if count:
            _log.info("forgot long dead workers", count=count)


def _report(back: HandedBack) -> None:
    result = "given up" if back.given_up else "lost repeatedly" if back.loses_repeatedly else "handed back"
    metrics.RECOVERIES.labels(result).inc()
    _log.warning(
        {
            "given up": "gave up: it lost its worker too often",
            "lost repeatedly": "handed back again: it keeps losing workers, each time together with other executions",
            "handed back": "handed back: its worker or its workflow was lost",
        }[result],
        execution_id=back.execution_id,
        namespace=back.namespace,
        name=back.name,
        worker=back.worker,
        recoveries=back.recoveries,
        losses=back.losses,
    )
