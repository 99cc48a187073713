"""PostgreSQL away: say so at once, and know when it is back. Every read of the gateway goes through here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg
import structlog
from psycopg_pool import PoolTimeout

from chaingraph_gateway.errors import ServiceUnavailable
from chaingraph_gateway.metrics import Metrics
from chaingraph_store import schema
from chaingraph_store.errors import SchemaOutdated
from chaingraph_store.ledger import Connection, Ledger

_log = structlog.get_logger(__name__)
_UNAVAILABLE: Final = (psycopg.OperationalError, psycopg.InterfaceError, TimeoutError)
_SLOW: Final = (TimeoutError, psycopg.errors.QueryCanceled, PoolTimeout)
"""Of one who asks much, or of many who ask: the probe finds out whether PostgreSQL is away."""
_ANSWER_SECONDS: Final = 15.0
_PROBE_SECONDS: Final = 1.0


class LedgerAway(ServiceUnavailable):
    """PostgreSQL does not answer. What was read so far stands; read on later."""


class Reader:
    """Connections to the ledger, and whether it answers."""

    def __init__(self, ledger: Ledger, metrics: Metrics) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._error: str | None = "PostgreSQL has not been reached yet"
        self._since = time.monotonic()

    def error(self) -> str | None:
        """What is wrong, or None."""
        return self._error

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in autocommit. While PostgreSQL is known to be away, nobody waits for one.

        Raises:
            LedgerAway: it does not answer, or not in time.
        """
        if self._error is not None:
            raise LedgerAway(f"{self._error}; try again later")
        try:
            async with asyncio.timeout(_ANSWER_SECONDS), self._ledger.connection() as connection:
                yield connection
        except _SLOW as error:
            raise LedgerAway("PostgreSQL cannot be used: it has not answered in time; try again later") from error
        except _UNAVAILABLE as error:
            self._failed(error)
            raise LedgerAway(f"PostgreSQL cannot be used: {_text(error)}; try again later") from error

    async def open(self) -> None:
        """Connects to a migrated database, however long that takes: the migration may run at this moment."""
        delay = 0.5
        while True:
            try:
                await self._ledger.open(timeout=5.0)
                async with self._ledger.connection() as connection:
                    await schema.check(connection)
            except (*_UNAVAILABLE, SchemaOutdated) as error:
                self._failed(error)
                _log.warning("waiting for PostgreSQL", error=_text(error), retry_seconds=delay)
                await asyncio.sleep(delay)
                delay = min(10.0, delay * 2)
            else:
                self._answered()
                return

    async def probe(self) -> None:
        """Asks PostgreSQL every second, for ever."""
        while True:
            await asyncio.sleep(_PROBE_SECONDS)
            try:
                async with asyncio.timeout(5), self._ledger.connection() as connection:
                    await connection.execute("SELECT 1")
            except _UNAVAILABLE as error:
                self._failed(error)
            else:
                self._answered()

    def _answered(self) -> None:
        if self._error is not None:
            _log.info("PostgreSQL answers", away_seconds=round(time.monotonic() - self._since, 1))
        self._error = None
        self._metrics.ledger_up.set(1)

    def _failed(self, error: Exception) -> None:
        if self._error is None:
            self._since = time.monotonic()
            _log.error("PostgreSQL cannot be used; open streams wait for it", error=_text(error))
        self._error = f"PostgreSQL cannot be used: {_text(error)}"
        self._metrics.ledger_up.set(0)


def _text(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
