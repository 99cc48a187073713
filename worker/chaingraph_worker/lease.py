"""This worker's lease: it is renewed in PostgreSQL, and the process exits when that fails.

The hard exit matters: a worker that lost its lease may have lost its work to another one, and anything it still did
would be done twice. The journal's fence keeps its writes out; only its exit prevents other effects.

Renewals run in a thread with its own event loop and connection, so that a busy event loop or pool cannot cost the
lease. A blocked event loop would go unnoticed then, so the watchdog of the lease also watches the loop.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Final, NoReturn

import psycopg
import structlog

from chaingraph_runtime.watchdog import Watchdog, exit_hard
from chaingraph_store.ledger import Connection, answer_within
from chaingraph_store.queue import leases
from chaingraph_worker import metrics

_RENEWALS_A_LEASE: Final = 6
_CONNECT_SHARE: Final = 0.5
"""Share of a lease for connecting: five to seven round trips with TLS."""
_ANSWER_SHARE: Final = 1 / 3
"""Share of a lease for the answer to a renewal: one round trip, and waiting for the row's lock."""
_RETRY_SECONDS: Final = 0.2

_log = structlog.get_logger(__name__)


class Lease:
    """Renews the lease, in a thread, from `start` on.

    Args:
        stall_seconds: how long the process's event loop may be blocked.
        serving: whether the worker may still take runs not pinned to its build. Called in the thread.
        retired: called with each renewal: whether it may only take runs pinned to its build. On the loop that called
            `start`.
        lost: called once, and must not return, when the lease is lost.
    """

    def __init__(
        self,
        dsn: str,
        executor_id: str,
        *,
        seconds: float,
        stall_seconds: float,
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
        self._watchdog = Watchdog(
            self.overdue, stall_seconds=stall_seconds, setting="CHAINGRAPH_STALL_SECONDS", lost=lost
        )
        self.beat = self._watchdog.beat
        self._connection: Connection | None = None
        self._given_up = False
        self._over = False

    def start(self, asked: float) -> None:
        """Start the clock, the renewals and the watchdog. Call it on the process's event loop.

        Args:
            asked: when the lease was requested, by the monotonic clock. It was granted since.
        """
        self._renewed = asked
        metrics.LEASE_RENEWED.set_to_current_time()
        metrics.LEASE_SECONDS.set(self._seconds)
        metrics.LEASE_AGE.set_function(lambda: time.monotonic() - self._renewed)
        loop = asyncio.get_running_loop()
        threading.Thread(target=self._run, args=(loop,), name="lease", daemon=True).start()
        self._watchdog.start()

    def overdue(self) -> str | None:
        """Return why this worker has no lease any more, or None."""
        age = time.monotonic() - self._renewed
        return f"the lease could not be renewed for {age:.1f} s" if age > self._seconds else None

    def give_up(self) -> None:
        """Record that this worker releases its lease now: a renewal that does not find it is no loss."""
        self._given_up = True

    def end(self) -> None:
        """Stop the watchdog: nothing runs here any more that needs the lease."""
        self._over = True
        self._watchdog.end()

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            asyncio.run(self._keep(loop))
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody renews the lease any more
            self._lost(f"renewing the lease failed: {error!r}")

    async def _keep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Renew the lease, several times within its duration, until it is given up."""
        interval = self._seconds / _RENEWALS_A_LEASE
        while not self._over:
            asked = time.monotonic()
            try:
                renewed = await self._renew()
            except (psycopg.Error, OSError, TimeoutError) as error:
                metrics.LEASE_RENEWALS.labels("failed").inc()
                _log.warning("cannot renew the lease, retrying", error=str(error) or type(error).__name__)
                self._disconnect()
                await asyncio.sleep(min(_RETRY_SECONDS, interval))
                continue
            if renewed is None and (self._given_up or self._over):
                return
            if renewed is None:
                self._lost("the lease was revoked: the work of this worker was handed to another one")
            # Measured from the request: the database may have measured from any later moment.
            self._renewed = asked
            metrics.LEASE_RENEWALS.labels("renewed").inc()
            metrics.LEASE_RENEWED.set_to_current_time()
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._retired, renewed.retired)
            await asyncio.sleep(max(0.0, asked + interval - time.monotonic()))

    async def _renew(self) -> leases.Renewal | None:
        if self._connection is None:
            async with asyncio.timeout(self._seconds * _CONNECT_SHARE):
                self._connection = await psycopg.AsyncConnection.connect(
                    self._dsn, autocommit=True, application_name=f"chaingraph-worker {self._executor_id} lease"[:63]
                )
        renewal = leases.renew(self._connection, self._executor_id, seconds=self._seconds, serving=self._serving())
        return await answer_within(self._connection, renewal, seconds=self._seconds * _ANSWER_SHARE)

    def _disconnect(self) -> None:
        """Close a connection that may be dead; a graceful close could wait forever."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.pgconn.finish()
