"""This worker's lease: renewed in PostgreSQL, and the process exits when it cannot be. Run by main.

Exiting hard is the point: a worker that lost its lease may have lost its work to another one, and whatever it still
does would be done twice. The journal's fence keeps its writes out; only its exit keeps its effects out.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Callable
from typing import Final, NoReturn

import psycopg
import structlog

from chaingraph_store import leases
from chaingraph_store.ledger import Connection
from chaingraph_worker import metrics

LEASE_LOST_EXIT: Final = 70
"""Exit code of a worker without a lease (EX_SOFTWARE)."""
_RENEWALS_A_LEASE: Final = 6
_RETRY_SECONDS: Final = 0.2
_WATCH_SECONDS: Final = 0.2

_log = structlog.get_logger(__name__)


def exit_hard(reason: str) -> NoReturn:
    """Ends the process at once, without running anything more of it."""
    _log.critical("lost the lease, exiting", reason=reason)
    os._exit(LEASE_LOST_EXIT)


class Lease:
    """Renews until cancelled.

    Renewals have a connection of their own, so that neither a busy pool nor its pauses cost the lease.

    Args:
        serving: whether the worker may still take what is not pinned to its build.
        retired: called with each renewal: whether it is to take nothing else.
        lost: called once, and must not return, when the lease is gone.
    """

    def __init__(
        self,
        dsn: str,
        executor_id: str,
        *,
        seconds: float,
        serving: Callable[[], bool],
        retired: Callable[[bool], None],
        lost: Callable[[str], NoReturn] = exit_hard,
    ) -> None:
        self._dsn = dsn
        self._executor_id = executor_id
        self._seconds = seconds
        self._serving = serving
        self._retired = retired
        self._lost = lost
        self._renewed = time.monotonic()
        self._connection: Connection | None = None
        self._given_up = False
        self._over = False

    def taken(self) -> None:
        """Starts the clock, and the watchdog: the lease was taken just now."""
        self._renewed = time.monotonic()
        metrics.LEASE_RENEWED.set_to_current_time()
        metrics.LEASE_SECONDS.set(self._seconds)
        metrics.LEASE_AGE.set_function(lambda: time.monotonic() - self._renewed)
        threading.Thread(target=self._watch, name="lease watchdog", daemon=True).start()

    def overdue(self) -> str | None:
        """What is wrong with the lease, for /healthz; None when it is good."""
        age = time.monotonic() - self._renewed
        return f"the lease was last renewed {age:.1f} s ago" if age > self._seconds else None

    def give_up(self) -> None:
        """This worker releases it by itself, now: a renewal that no longer finds it is no loss."""
        self._given_up = True

    def end(self) -> None:
        """Nothing runs here any more that the lease would be needed for: the watchdog lets go."""
        self._over = True

    async def keep(self) -> None:
        """Renews the lease, a few times within its length, for ever."""
        interval = self._seconds / _RENEWALS_A_LEASE
        while True:
            asked = time.monotonic()
            try:
                async with asyncio.timeout(interval):
                    renewed = await self._renew()
            except (psycopg.Error, OSError, TimeoutError) as error:
                metrics.LEASE_RENEWALS.labels("failed").inc()
                _log.warning("could not renew the lease, trying again", error=str(error) or type(error).__name__)
                await self._disconnect()
                await asyncio.sleep(min(_RETRY_SECONDS, interval))
                continue
            if renewed is None and self._given_up:
                return
            if renewed is None:
                self._lost("it was revoked: the operator has handed this worker's work to another one")
            # From the moment of asking: the database may have counted from any moment since.
            self._renewed = asked
            metrics.LEASE_RENEWALS.labels("renewed").inc()
            metrics.LEASE_RENEWED.set_to_current_time()
            self._retired(renewed.retired)
            await asyncio.sleep(max(0.0, asked + interval - time.monotonic()))

    async def _renew(self) -> leases.Renewal | None:
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
        return await leases.renew(self._connection, self._executor_id, seconds=self._seconds, serving=self._serving())

    async def _disconnect(self) -> None:
        """Closes a connection that may be dead; a polite end could wait for it for ever."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.pgconn.finish()

    def _watch(self) -> None:
        """Ends the process when the lease is over, from a thread: the event loop may be what hangs."""
        while not self._over:
            time.sleep(_WATCH_SECONDS)
            age = time.monotonic() - self._renewed
            if age > self._seconds and not self._over:
                self._lost(f"it could not be renewed for {age:.1f} s")
