"""All reads of the gateway. While PostgreSQL is unavailable, they fail at once with 503."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import psycopg
from psycopg_pool import PoolTimeout

from chaingraph_gateway.errors import ServiceUnavailable
from chaingraph_gateway.metrics import Metrics
from chaingraph_store import schema
from chaingraph_store.health import LedgerHealth
from chaingraph_store.ledger import Connection, Ledger
from chaingraph_store.transient import SERIALIZATION_ERRORS, TRANSIENT_ERRORS, text_of

_SLOW: Final = (TimeoutError, psycopg.errors.QueryCanceled, PoolTimeout, *SERIALIZATION_ERRORS)
"""The failure may be due to one expensive read, many readers, or a stand-by that catches up: the probe finds out
whether PostgreSQL is available."""
_ANSWER_SECONDS: Final = 15.0


class LedgerAway(ServiceUnavailable):
    """PostgreSQL does not answer. Results so far are valid; continue later."""


class Reader:
    """Connections to the ledger. Reads need no primary, so a stand-by serves as well."""

    def __init__(self, ledger: Ledger, metrics: Metrics) -> None:
        self._ledger = ledger
        self._health = LedgerHealth(ledger, writes=False)
        self.error = self._health.error
        self.probe = self._health.probe
        metrics.ledger_up.set_function(self._health.up)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Yield a connection in autocommit. While PostgreSQL is known to be unavailable, it fails at once.

        Raises:
            LedgerAway: PostgreSQL does not answer, or not in time.
        """
        error = self._health.error()
        if error is not None:
            raise LedgerAway(f"{error}; try again later")
        try:
            async with asyncio.timeout(_ANSWER_SECONDS), self._ledger.connection() as connection:
                yield connection
        except _SLOW as error:
            raise LedgerAway("PostgreSQL is unavailable: it did not answer in time; try again later") from error
        except TRANSIENT_ERRORS as error:
            self._health.failed(error)
            raise LedgerAway(f"PostgreSQL is unavailable: {text_of(error)}; try again later") from error

    async def open(self) -> None:
        """Connect to a migrated database, waiting as long as needed."""
        await schema.connect(self._ledger, waiting=self._health.failed)
        self._health.answered()
