"""The connection pool of a process, and the notifications it listens to."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Final, LiteralString, NoReturn, TypeVar

import orjson
import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from chaingraph_store.errors import SettingsRefused
from chaingraph_store.transient import retry_transient

Connection = AsyncConnection[tuple[Any, ...]]
Guard = Callable[[Connection], Awaitable[None]]
T = TypeVar("T")

CHANGES = "chaingraph_changes"
"""NOTIFY channel: an execution's row changed. Payload: its id."""
CONTROL = "chaingraph_control"
"""NOTIFY channel: a running attempt must read its row at once. Payload: the execution's id."""
CATALOGUES = "chaingraph_catalogues"
"""NOTIFY channel: a worker published a node catalogue. Payload: its hash."""
_CLOCK_SECONDS: Final = 60.0
"""How long a reading of the database's clock is extrapolated."""
IDLE_SECONDS: Final = 10.0
"""How long a transaction may wait for its own process, ours or DBOS's."""

_WATCHED: Final = {
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""libpq parameters of a receive-only connection: the kernel detects a dead peer within half a minute."""


def checked_dsn(dsn: str, *, variable: str = "DATABASE_URL_EXECUTIONS") -> str:
    """Return the connection string for psycopg.

    Raises:
        SettingsRefused: it is not a PostgreSQL URL or key/value string.
    """
    try:
        fields = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise SettingsRefused(
            f"{variable}: not a PostgreSQL connection string ({_without_content(str(error))}). "
            "Write it as postgresql://user:password@host:5432/database, with %25 for a % in the password, "
            "%40 for @, %2F for / and %3A for :"
        ) from None
    if not dsn.strip() or not (fields.get("dbname") or fields.get("service")):
        raise SettingsRefused(
            f"{variable}: names no database. Write it as postgresql://user:password@host:5432/database"
        )
    return dsn


def _without_content(error: str) -> str:
    """Return libpq's error about a connection string up to its quote, which may contain the password."""
    return error.partition('"')[0].strip().rstrip(":")


def dumps(value: Any) -> bytes:
    """Serialize a value as JSON, including what orjson rejects: integers beyond 64 bits, halves of surrogate pairs."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def plain(text: str) -> str:
    """Return the text for a text column: without NUL and without halves of surrogate pairs."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def _cancellations() -> int:
    """Return how often the running task was cancelled."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


class Ledger:
    """The pool. Statements of one transaction run on one connection from `transaction()`.

    Args:
        idle_seconds: how long a transaction may wait for this process between two statements. It holds locks that
            others need, for example to hand back work, and PostgreSQL does not notice a frozen or lost machine for
            hours.
    """

    def __init__(
        self, dsn: str, *, application_name: str, pool_size: int = 8, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        self.dsn = checked_dsn(dsn)
        self._idle_seconds = idle_seconds
        self._application_name = application_name
        self._pool_size = pool_size
        self._guard: Guard | None = None
        self._clock: tuple[datetime, float] | None = None
        self._pool = self._new_pool()

    def guard(self, guard: Guard) -> None:
        """Start every transaction with this guard, which may refuse it by an exception. Call it before `open`.

        Outside of transactions PostgreSQL then rejects writes, so that none bypasses it.
        """
        self._guard = guard

    def _new_pool(self) -> AsyncConnectionPool[Connection]:
        return AsyncConnectionPool(
            self.dsn,
            min_size=1,
            max_size=self._pool_size,
            open=False,
            kwargs={"autocommit": True, "application_name": self._application_name},
            check=AsyncConnectionPool.check_connection,
            # The pool doubles its pauses; a longer one could outlast the outage.
            reconnect_timeout=2.0,
            timeout=5.0,
            configure=self._configure,
            name=self._application_name,
        )

    async def _configure(self, connection: Connection) -> None:
        set_json_dumps(dumps, connection)
        set_json_loads(orjson.loads, connection)
        # Not among the parameters of the connection: poolers reject those.
        await connection.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', %s, false)",
            (f"{self._idle_seconds * 1000:.0f}ms",),
        )
        if self._guard is not None:
            await connection.execute("SET default_transaction_read_only = on")
            # For transactions started explicitly: BEGIN READ WRITE.
            await connection.set_read_only(False)

    async def open(self, timeout: float = 30.0) -> None:
        """Connect. May be repeated after a failure.

        Raises:
            psycopg_pool.PoolTimeout: no connection within `timeout` seconds.
        """
        try:
            await self._pool.open(wait=True, timeout=timeout)
        except PoolTimeout:
            # The pool has closed itself, and cannot be opened again.
            self._pool = self._new_pool()
            raise

    async def close(self) -> None:
        before = _cancellations()
        try:
            await self._pool.close()
        except asyncio.CancelledError:
            if _cancellations() > before:
                raise
            # kopf cancels, with its own tasks, those that Python 3.11's `wait_for` makes inside the pool's. Then the
            # pool has ended already.

    async def now(self) -> datetime:
        """Return the time by the database's clock, which sets all times in the ledger. This machine's may differ.

        The clock is read from time to time, and extrapolated in between.
        """
        read = self._clock
        if read is None or time.monotonic() - read[1] > _CLOCK_SECONDS:
            async with self.connection() as connection:
                cursor = await connection.execute("SELECT clock_timestamp()")
                row = await cursor.fetchone()
            assert row is not None, "a SELECT without FROM has one row"
            read = self._clock = (row[0], time.monotonic())
        return read[0] + timedelta(seconds=time.monotonic() - read[1])

    def pool_stats(self) -> Mapping[str, int]:
        """Return `psycopg_pool`'s statistics: connections, waiting clients and wait times. See its `get_stats`."""
        return self._pool.get_stats()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Yield a connection in autocommit: each statement is its own transaction."""
        before = _cancellations()
        async with self._pool.connection() as connection:
            if _cancellations() > before:
                # Python 3.11's `wait_for`, which the pool uses, drops a cancellation that arrives together with the
                # connection: a cancelled component would never stop.
                raise asyncio.CancelledError
            try:
                yield connection
            except psycopg.errors.ReadOnlySqlTransaction:
                # From a stand-by: the next connection may reach the primary.
                await connection.close()
                raise

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """Yield a connection inside a transaction, committed at the end and rolled back on any exception."""
        async with self.connection() as connection, AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(connection.transaction())
            except psycopg.errors.FeatureNotSupported as error:
                # A stand-by answers BEGIN READ WRITE like this.
                raise psycopg.errors.ReadOnlySqlTransaction(str(error)) from error
            if self._guard is not None:
                await self._guard(connection)
            yield connection

    async def listen(
        self,
        channel: LiteralString,
        heard: Callable[[str], None],
        *,
        connected: Callable[[], None],
        probe_seconds: float = 10.0,
    ) -> None:
        """Call `heard(payload)` for each notification, over a connection of its own, until cancelled.

        Notifications without a connection are lost. So `connected` is called after each LISTEN took effect.

        Args:
            probe_seconds: interval between probes of the server, and their timeout.
        """

        async def once() -> NoReturn:
            connection = await AsyncConnection.connect(
                self.dsn,
                autocommit=True,
                application_name=f"{self._application_name} listen",
                **_unless_said(self.dsn, _WATCHED),
            )
            try:
                await connection.execute(f"LISTEN {channel}")
                connected()
                while True:
                    async for notification in connection.notifies(timeout=probe_seconds):
                        heard(notification.payload)
                    await _probe(connection, within=probe_seconds)
            finally:
                await connection.close()

        await retry_transient(once, what=f"notifications of {channel}")


def _unless_said(dsn: str, parameters: Mapping[str, int]) -> dict[str, Any]:
    """Return the connection parameters that the connection string does not set."""
    said = conninfo_to_dict(dsn)
    return {name: value for name, value in parameters.items() if name not in said}


async def answer_within(connection: Connection, statement: Awaitable[T], *, seconds: float) -> T:
    """Return the statement's answer. A connection whose server does not answer in time is closed.

    Raises:
        psycopg.OperationalError: the connection is lost, or there was no answer in time.
    """
    asked = asyncio.ensure_future(statement)
    try:
        await asyncio.wait({asked}, timeout=seconds)
    finally:
        if not asked.done():
            # Not cancelled: psycopg would ask the server to cancel the statement, and wait for it.
            asked.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
            await connection.close()
    return await asked


async def _probe(connection: Connection, *, within: float) -> None:
    """Probe the server: an idle connection can be dead at the other end for hours.

    Raises:
        psycopg.OperationalError: the connection is lost, or no answer came within `within` seconds.
    """
    await answer_within(connection, connection.execute("SELECT 1"), seconds=within)
