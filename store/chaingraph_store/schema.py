"""Migrations of the ledger's schema, with yoyo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib.resources import as_file, files
from typing import Any, Final
from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict
from yoyo import get_backend, read_migrations
from yoyo.backends.base import DatabaseBackend
from yoyo.migrations import MigrationList

from chaingraph_store.errors import SchemaOutdated
from chaingraph_store.ledger import Connection, Ledger, checked_dsn
from chaingraph_store.queue import dbos_guards
from chaingraph_store.transient import TRANSIENT_ERRORS, retry_transient

_NEWEST: Final = "0001.schema"
_CONNECT_SECONDS: Final = 5.0
_ADVISORY_LOCK: Final = 0x_C4A1_46A9
"""Session lock around a migration. yoyo's own lock is a row that outlives a killed process; this one does not."""


def migrate(dsn: str) -> list[str]:
    """Apply missing migrations. Safe to run concurrently, and after a killed migration.

    Returns:
        The ids of the migrations that were applied now.

    Raises:
        SettingsRefused: the connection string is invalid.
        psycopg.Error: the database refused.
    """
    with (
        as_file(files("chaingraph_store") / "migrations") as folder,
        psycopg.connect(checked_dsn(dsn), autocommit=True) as guard,
    ):
        guard.execute("SELECT pg_advisory_lock(%s)", (_ADVISORY_LOCK,))
        # A database user named like our schema has it first in its search path; yoyo's tables must not move there.
        fields = {**conninfo_to_dict(dsn), "schema": "public"}
        backend: DatabaseBackend = get_backend(url(fields, scheme="postgresql+psycopg"))
        backend.break_lock()
        with backend.lock():
            missing: MigrationList = backend.to_apply(read_migrations(str(folder)))
            backend.apply_migrations(missing)
            return [migration.id for migration in missing]


async def check(connection: Connection) -> None:
    """Check that the database has this release's schema.

    Raises:
        SchemaOutdated: it does not.
    """
    cursor = await connection.execute("SELECT to_regclass('public._yoyo_migration') IS NOT NULL")
    row = await cursor.fetchone()
    if row and row[0]:
        cursor = await connection.execute("SELECT 1 FROM public._yoyo_migration WHERE migration_id = %s", (_NEWEST,))
        if await cursor.fetchone():
            await dbos_guards.check(connection)
            return
    raise SchemaOutdated(
        f"the database does not have the schema of this release (migration {_NEWEST}). "
        "Run `chaingraph-worker migrate` with the same DATABASE_URL_EXECUTIONS, then start again"
    )


async def connect(ledger: Ledger, *, waiting: Callable[[Exception], None]) -> None:
    """Connect to a migrated database. Waits as long as needed: the migration may still be running.

    Args:
        waiting: called with each error meanwhile.
    """

    async def checked() -> None:
        async with ledger.connection() as connection:
            await check(connection)

    await retry_transient(partial(ledger.open, _CONNECT_SECONDS), what="connection", failed=waiting)
    await retry_transient(checked, what="schema", failed=waiting, errors=(*TRANSIENT_ERRORS, SchemaOutdated))


def url(fields: Mapping[str, Any], *, scheme: str) -> str:
    """Return a connection URL for libraries without libpq strings. A socket folder goes into the query, as in libpq."""
    known = {"user", "password", "host", "port", "dbname"}
    rest = {key: str(value) for key, value in fields.items() if key not in known and value is not None}
    credentials = quote(str(fields.get("user") or ""), safe="")
    if fields.get("password"):
        credentials += ":" + quote(str(fields["password"]), safe="")
    host = str(fields.get("host") or "")
    port = f":{fields['port']}" if fields.get("port") else ""
    if host.startswith("/"):
        rest["host"] = host
        host = ""
    query = f"?{urlencode(rest)}" if rest else ""
    at = f"{credentials}@" if credentials else ""
    return f"{scheme}://{at}{host}{port}/{fields.get('dbname') or ''}{query}"
