"""Transient PostgreSQL errors: lost connections, restarts, fail-overs and deadlocks. Classify and retry them.

During a fail-over, a stand-by that is not promoted yet may take the connections of the lost primary. It answers reads,
and rejects writes, LISTEN and NOTIFY as "read-only", so that is transient as well.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import psycopg
import structlog

TRANSIENT_ERRORS: Final = (
    # These include: connection failures (class 08), too_many_connections, admin_shutdown, crash_shutdown,
    # cannot_connect_now, query_canceled, deadlocks, conflicts with recovery, and timeouts of the pool.
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.ReadOnlySqlTransaction,
    # PostgreSQL has ended a transaction that waited too long for this process: the connection is lost.
    psycopg.errors.IdleInTransactionSessionTimeout,
)
SERIALIZATION_ERRORS: Final = (psycopg.errors.DeadlockDetected, psycopg.errors.SerializationFailure)
"""Another transaction was preferred to ours. psycopg counts them among the errors above, but the server works."""
_FIRST_SECONDS: Final = 0.25
_LONGEST_SECONDS: Final = 2.0
"""Maximum pause. A longer one could outlast the outage."""
_SERIALIZATION_SECONDS: Final = 0.1
_STEADY_SECONDS: Final = 20.0
"""A statement that fails after this long had a server in between: longer than any attempt to connect."""

T = TypeVar("T")
_log = structlog.get_logger(__name__)


def is_outage(error: BaseException) -> bool:
    """Whether PostgreSQL is unavailable to everybody, so that everything has to wait for it."""
    return isinstance(error, TRANSIENT_ERRORS) and not isinstance(error, SERIALIZATION_ERRORS)


def text_of(error: Exception) -> str:
    """Return the error's message, or its type when it has none."""
    return str(error).strip() or type(error).__name__


async def retry_transient(
    statement: Callable[[], Awaitable[T]],
    *,
    what: str,
    failed: Callable[[Exception], None] | None = None,
    errors: tuple[type[Exception], ...] = TRANSIENT_ERRORS,
) -> T:
    """Run a statement until PostgreSQL accepts it, and return its result.

    The duration of the retries is not decided here: a worker without PostgreSQL loses its lease and exits. The loss is
    logged once, and so is the recovery.

    Args:
        statement: must be repeatable, or a loop that never ends.
        what: names the statement in the log.
        failed: called with each transient error except those of serialization.
        errors: the errors to retry.
    """
    clock = asyncio.get_running_loop().time
    lost_at: float | None = None
    delay = _FIRST_SECONDS
    while True:
        began = clock()
        try:
            result = await statement()
        except SERIALIZATION_ERRORS as error:
            _log.warning("transaction lost against another, retrying", what=what, error=text_of(error))
            await asyncio.sleep(_jittered(_SERIALIZATION_SECONDS))
        except errors as error:
            if failed is not None:
                failed(error)
            if lost_at is None or clock() - began > _STEADY_SECONDS:
                lost_at, delay = clock(), _FIRST_SECONDS
                _log.warning("waiting for PostgreSQL", what=what, error=text_of(error))
            await asyncio.sleep(_jittered(delay))
            delay = min(_LONGEST_SECONDS, 2 * delay)
        else:
            if lost_at is not None:
                _log.info("PostgreSQL is available again", what=what, away_seconds=round(clock() - lost_at, 1))
            return result


def _jittered(seconds: float) -> float:
    """Shorten the delay by up to a third: all processes lose PostgreSQL at the same moment."""
    return seconds * random.uniform(2 / 3, 1)
