"""Hands back the work of lost workers while no worker is left that would. A part of the leading operator.

Workers do it for each other, within a second of a lease's end. When the last one is lost, its executions would look as
if they ran; handed back, they wait in their queue, and their conditions say that they need a worker.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from chaingraph_store import leases, recovery
from chaingraph_store.clock import SteadyClock
from chaingraph_store.ledger import Ledger
from chaingraph_store.recovery import HandedBack

_SECONDS: Final = 1.0
_PATIENCE_SECONDS: Final = 10.0
_log = structlog.get_logger(__name__)


class LostWorkers:
    """Looks for lost workers when there are no others."""

    def __init__(self, ledger: Ledger, *, application_name: str) -> None:
        self._ledger = ledger
        self._application_name = application_name
        self._clock = SteadyClock(patience=_PATIENCE_SECONDS)

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            await self.recover()
            await asyncio.sleep(_SECONDS)

    async def recover(self) -> list[HandedBack]:
        """Looks once; returns what was handed back or given up."""
        async with self._ledger.connection() as connection:
            seen = await recovery.look(connection, application_name=self._application_name)
            if not self._clock.judge(seen.clock) or not seen.lost:
                return []
            if any(each.alive for each in await leases.all_workers(connection)):
                return []
        handed = await recovery.recover(self._ledger, application_name=self._application_name)
        for each in handed:
            _log.warning(
                "gave up: it lost its worker too often" if each.given_up else "handed back: the last worker was lost",
                execution_id=each.execution_id,
                namespace=each.namespace,
                name=each.name,
                worker=each.worker,
                recoveries=each.recoveries,
                losses=each.losses,
            )
        return handed
