"""The availability of PostgreSQL for this process: for readiness, metrics and logs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import psycopg
import structlog

from chaingraph_store.ledger import Ledger
from chaingraph_store.transient import TRANSIENT_ERRORS, retry_transient, text_of

_PROBE_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 5.0
_log = structlog.get_logger(__name__)


class LedgerHealth:
    """Health of the ledger, as reported by readers and writers, and by a probe.

    Args:
        writes: whether this process writes. Then a read-only stand-by is as bad as no server.
    """

    def __init__(self, ledger: Ledger, *, writes: bool) -> None:
        self._ledger = ledger
        self._writes = writes
        self._error: str | None = "PostgreSQL has not been reached yet"
        self._since = time.monotonic()

    def error(self) -> str | None:
        """Return the current problem, or None."""
        return self._error

    def up(self) -> float:
        """Return 1 while PostgreSQL answers, else 0."""
        return 0.0 if self._error else 1.0

    def answered(self) -> None:
        if self._error is not None:
            _log.info("PostgreSQL is available", away_seconds=round(time.monotonic() - self._since, 1))
        self._error = None

    def failed(self, error: Exception) -> None:
        if self._error is None:
            self._since = time.monotonic()
            _log.error("PostgreSQL is unavailable", error=text_of(error))
        self._error = f"PostgreSQL is unavailable: {text_of(error)}"

    async def probe(self) -> None:
        """Probe PostgreSQL every second until cancelled."""
        while True:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    await self._ask()
            except (*TRANSIENT_ERRORS, TimeoutError) as error:
                self.failed(error)
            else:
                self.answered()
            await asyncio.sleep(_PROBE_SECONDS)

    async def retry(self, what: str, part: Callable[[], Awaitable[None]]) -> None:
        """Run a component, and restart it after an outage. Nothing is lost: it finds its work again."""
        await retry_transient(part, what=what, failed=self.failed)

    async def _ask(self) -> None:
        async with self._ledger.connection() as connection:
            cursor = await connection.execute("SELECT pg_is_in_recovery()")
            row = await cursor.fetchone()
        if self._writes and row and row[0]:
            raise psycopg.errors.ReadOnlySqlTransaction("the server is a read-only stand-by")
