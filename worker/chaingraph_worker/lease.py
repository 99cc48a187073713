"""This worker's lease: renewed in PostgreSQL, and the process exits when it cannot be. Run by main.

Exiting hard is the point: a worker that lost its lease may have lost its work to another one, and whatever it still
does would be done twice. The journal's fence keeps its writes out; only its exit keeps its effects out.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Final, NoReturn

import psycopg
import psycopg_pool
import structlog

from chaingraph_store import leases
from chaingraph_store.ledger import Ledger
from chaingraph_worker import metrics

LEASE_LOST_EXIT: Final = 70
"""Exit code of a worker without a lease (EX_SOFTWARE)."""
_RENEWALS_A_LEASE: Final = 3

_log = structlog.get_logger(__name__)


def exit_hard(reason: str) -> NoReturn:
    """Ends the process at once, without running anything more of it."""
    _log.critical("lost the lease, exiting", reason=reason)
    os._exit(LEASE_LOST_EXIT)


class Lease:
    """Renews until cancelled. `lost` is called once, and must not return, when the lease is gone."""

    def __init__(
        self, ledger: Ledger, executor_id: str, *, seconds: float, lost: Callable[[str], NoReturn] = exit_hard
    ) -> None:
        self._ledger = ledger
        self._executor_id = executor_id
        self._seconds = seconds
        self._lost = lost
        self._renewed = time.monotonic()

    def taken(self) -> None:
        """Starts the clock: the lease was taken just now."""
        self._renewed = time.monotonic()

    def overdue(self) -> str | None:
        """What is wrong with the lease, for /healthz; None when it is good."""
        age = time.monotonic() - self._renewed
        return f"the lease was last renewed {age:.1f} s ago" if age > self._seconds else None

    async def keep(self) -> None:
        """Renews the lease, a few times within its length, for ever."""
        interval = self._seconds / _RENEWALS_A_LEASE
        while True:
            await asyncio.sleep(interval)
            asked = time.monotonic()
            try:
                async with asyncio.timeout(interval):
                    renewed = await self._renew()
            except (psycopg.Error, psycopg_pool.PoolTimeout, TimeoutError) as error:
                _log.warning("could not renew the lease, trying again", error=str(error) or type(error).__name__)
                if time.monotonic() - self._renewed > self._seconds:
                    self._lost(f"PostgreSQL could not be reached for {self._seconds:.0f} s")
                continue
            if not renewed:
                self._lost("it had run out, and the operator may have handed the work to another worker")
            # From the moment of asking: the database may have counted from any moment since.
            self._renewed = asked
            metrics.LEASE_RENEWED.set_to_current_time()

    async def _renew(self) -> bool:
        async with self._ledger.connection() as connection:
            return await leases.renew(connection, self._executor_id, seconds=self._seconds)
