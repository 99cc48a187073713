"""Errors of PostgreSQL that pass: lost connections, restarts, failovers, deadlocks.

A durable step that raised would be recorded as failed for ever, so its statements are tried again instead. How long is
not decided here: a worker that cannot reach PostgreSQL loses its lease, and exits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import psycopg
import psycopg_pool
import structlog

TRANSIENT_ERRORS: Final = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg_pool.PoolTimeout,
)
RETRY_SECONDS: Final = 0.5

T = TypeVar("T")
_log = structlog.get_logger(__name__)


async def retry_transient(statement: Callable[[], Awaitable[T]], *, what: str) -> T:
    """Its result, tried until PostgreSQL takes it. The statement must be one that can be repeated."""
    while True:
        try:
            return await statement()
        except TRANSIENT_ERRORS as error:
            _log.warning("PostgreSQL does not take it, trying again", what=what, error=str(error))
            await asyncio.sleep(RETRY_SECONDS)
