"""Hand back the work of lost workers when no other worker would. Runs in the leading operator.

Workers do this for each other within a second of a lease's expiry. But after the loss of the last worker, or of the
last one in a pool whose database role alone may touch its work, its executions would look as if they were running.
Handed back, they wait in their queue, and their conditions say that they need a worker.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from chaingraph_store.clock import SteadyClock
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import leases, recovery
from chaingraph_store.queue.recovery import HandedBack

_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 10.0
_LEFT_SECONDS: Final = 5.0
"""Grace period for live workers to hand back the work of a lost one. After that, none of them is of its pool."""
_log = structlog.get_logger(__name__)


class LostWorkerRecovery:
    """Finds lost workers that no other worker recovers."""

    def __init__(self, ledger: Ledger, *, application_name: str) -> None:
        self._ledger = ledger
        self._application_name = application_name
        self._clock = SteadyClock(patience=_PATIENCE_SECONDS)
        self._lost_since: dict[str, float] = {}

    async def run(self) -> None:
        """Check for lost workers until cancelled."""
        while True:
            await self.recover()
            await asyncio.sleep(_SECONDS)

    async def recover(self) -> list[HandedBack]:
        """Check once. Returns the executions that were handed back or given up."""
        async with self._ledger.connection() as connection:
            seen = await recovery.look(connection, application_name=self._application_name)
            self._lost_since = {each: self._lost_since.get(each, seen.clock) for each in seen.lost}
            if not self._clock.judge(seen.clock) or not seen.lost:
                return []
            left = any(seen.clock - since >= _LEFT_SECONDS for since in self._lost_since.values())
            if not left and any(each.alive for each in await leases.all_workers(connection)):
                return []
        handed = await recovery.recover(self._ledger, application_name=self._application_name)
        for each in handed:
            _log.warning(
                "gave up: it lost its worker too often"
                if each.given_up
                else "handed back: no other worker can recover it",
                execution_id=each.execution_id,
                namespace=each.namespace,
                name=each.name,
                worker=each.worker,
                recoveries=each.recoveries,
                losses=each.losses,
            )
        return handed
