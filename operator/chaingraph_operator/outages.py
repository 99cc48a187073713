"""PostgreSQL away: wait for it, go on, and let everybody know.

Nothing is lost meanwhile: what has to be done follows from the resources and the ledger, and is found again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import psycopg
import structlog

from chaingraph_operator.metrics import Metrics
from chaingraph_store.ledger import Ledger

_log = structlog.get_logger(__name__)
UNAVAILABLE: Final = (psycopg.OperationalError, psycopg.InterfaceError)
"""What psycopg and its pool raise when the server is away, going or refusing connections."""
SERIALIZATION_ERRORS: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
"""What psycopg raises when another transaction was preferred to ours, which is to be repeated. It counts them among the
errors above, but the server is there."""
_PROBE_SECONDS: Final = 2.0
_COLLISION_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 10.0


class LedgerHealth:
    """Whether PostgreSQL answers, for readiness and logs."""

    def __init__(self, ledger: Ledger, metrics: Metrics) -> None:
        self._ledger = ledger
        self._error: str | None = "PostgreSQL has not been reached yet"
        self._since = time.monotonic()
        metrics.ledger_up(lambda: 0.0 if self._error else 1.0)

    def error(self) -> str | None:
        """What is wrong, or None."""
        return self._error

    def answered(self) -> None:
        """PostgreSQL has answered somebody."""
        if self._error is not None:
            _log.info("PostgreSQL answers", away_seconds=round(time.monotonic() - self._since, 1))
        self._error = None

    def failed(self, error: Exception) -> None:
        """PostgreSQL has failed somebody."""
        text = str(error).strip() or type(error).__name__
        if self._error is None:
            self._since = time.monotonic()
            _log.error("PostgreSQL cannot be used; everything waits for it and goes on then", error=text)
        self._error = f"PostgreSQL cannot be used: {text}"

    async def probe(self) -> None:
        """Asks PostgreSQL every two seconds, for ever."""
        while True:
            try:
                async with asyncio.timeout(5), self._ledger.connection() as connection:
                    await connection.execute("SELECT 1")
            except (*UNAVAILABLE, TimeoutError) as error:
                self.failed(error)
            else:
                self.answered()
            await asyncio.sleep(_PROBE_SECONDS)

    async def persist(self, what: str, part: Callable[[], Awaitable[None]]) -> None:
        """Runs a part to its end, if it has one, and begins it anew after an outage of PostgreSQL."""
        delay = 0.5
        while True:
            began = time.monotonic()
            try:
                await part()
                return
            except SERIALIZATION_ERRORS as error:
                _log.warning("lost against another transaction, beginning anew", part=what, error=str(error).strip())
                await asyncio.sleep(_COLLISION_DELAY)
            except UNAVAILABLE as error:
                self.failed(error)
                if time.monotonic() - began > 2 * _LONGEST_DELAY:
                    delay = 0.5
                _log.warning("waiting for PostgreSQL", part=what, retry_seconds=delay)
                await asyncio.sleep(delay)
                delay = min(_LONGEST_DELAY, delay * 2)
