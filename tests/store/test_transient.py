"""Transient errors of PostgreSQL: which are, and how they are retried."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import psycopg
import psycopg_pool
import pytest
import structlog

from chaingraph_store import transient
from chaingraph_store.transient import is_outage, retry_transient

FAIL_OVER = psycopg.errors.ReadOnlySqlTransaction("cannot execute UPDATE in a read-only transaction")


def failing(*errors: Exception, after: float = 0) -> Callable[[], asyncio.Future[str]]:
    """A statement that raises these one after the other, each after so many seconds, and then succeeds."""
    left = list(errors)

    async def run() -> str:
        await asyncio.sleep(after)
        if left:
            raise left.pop(0)
        return "taken"

    return lambda: asyncio.ensure_future(run())


@pytest.mark.parametrize(
    "error",
    [
        FAIL_OVER,
        psycopg.errors.CannotConnectNow(),
        psycopg.errors.AdminShutdown(),
        psycopg.errors.CrashShutdown(),
        psycopg.errors.ConnectionFailure(),
        psycopg.errors.TooManyConnections(),
        psycopg.errors.QueryCanceled(),
        psycopg.errors.IdleInTransactionSessionTimeout(),
        psycopg.OperationalError("server closed the connection unexpectedly"),
        psycopg.InterfaceError("the connection is closed"),
        psycopg_pool.PoolTimeout(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.looptime
async def test_outages_are_retried(error: Exception) -> None:
    assert is_outage(error)
    seen: list[Exception] = []
    assert await retry_transient(failing(error, error), what="it", failed=seen.append) == "taken"
    assert seen == [error, error]


@pytest.mark.parametrize("error", [psycopg.errors.DeadlockDetected(), psycopg.errors.SerializationFailure()])
@pytest.mark.looptime
async def test_lost_serialization_is_retried_and_no_outage(error: Exception) -> None:
    assert not is_outage(error)
    seen: list[Exception] = []
    assert await retry_transient(failing(error), what="it", failed=seen.append) == "taken"
    assert seen == []
    assert asyncio.get_running_loop().time() < 0.2


@pytest.mark.parametrize("error", [psycopg.errors.UniqueViolation(), psycopg.errors.InvalidTextRepresentation()])
async def test_other_errors_are_raised(error: psycopg.Error) -> None:
    assert not is_outage(error)
    with pytest.raises(type(error)):
        await retry_transient(failing(error), what="it")


@pytest.mark.looptime
async def test_outage_is_logged_at_its_start_and_its_end() -> None:
    with structlog.testing.capture_logs() as logs:
        await retry_transient(failing(*[FAIL_OVER] * 20), what="it")
    assert [(each["event"], each["what"]) for each in logs] == [
        ("waiting for PostgreSQL", "it"),
        ("PostgreSQL is available again", "it"),
    ]
    assert logs[1]["away_seconds"] == pytest.approx(asyncio.get_running_loop().time(), abs=0.1)
    assert 20 < asyncio.get_running_loop().time() < 40, "the pauses grow to two seconds"


@pytest.mark.looptime
async def test_outages_far_apart_are_logged_each() -> None:
    """Of a loop that never returns."""
    with structlog.testing.capture_logs() as logs:
        await retry_transient(failing(FAIL_OVER, FAIL_OVER, after=transient._STEADY_SECONDS + 1), what="it")
    assert [each["event"] for each in logs].count("waiting for PostgreSQL") == 2
