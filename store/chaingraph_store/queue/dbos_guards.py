"""Additions to DBOS's tables: constraints that allow only JSON, two indexes, and the rows that all workers share.

DBOS chooses the decoder of a value by its row, whatever is configured: a row with `py_pickle` runs code in the process
that reads it. A CHECK constraint rejects such rows, in every table with that column, including those of a later DBOS.
The worker refuses to decode them as well: see `chaingraph_worker.application`.
"""

from __future__ import annotations

from typing import Any, Final, LiteralString

import psycopg
import structlog
from psycopg import sql

from chaingraph_store.errors import SchemaOutdated
from chaingraph_store.ledger import Connection, checked_dsn
from chaingraph_store.queue.dispatch import HOLD_QUEUE

JSON: Final = "portable_json"
"""DBOS's name for its JSON. NULL stands for the serializer of the process, which is the same one here."""
CONSTRAINT: Final = "chaingraph_json_only"
_INDEXES: Final[dict[str, LiteralString]] = {
    "chaingraph_pending": "(application_name, executor_id) WHERE status = 'PENDING'",
    # Runs without a namespace, which `take` looks for as well.
    "chaingraph_without_namespace": (
        "(queue_name, priority, created_at) WHERE status = 'ENQUEUED' AND queue_partition_key IS NULL"
    ),
}
"""Indexes of ours on `dbos.workflow_status`."""
_TABLES: Final = """
SELECT t.relname, EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = t.oid AND c.conname = %s AND c.convalidated)
FROM pg_class t JOIN pg_namespace s ON s.oid = t.relnamespace JOIN pg_attribute a ON a.attrelid = t.oid
WHERE s.nspname = 'dbos' AND t.relkind IN ('r', 'p') AND a.attname = 'serialization' AND NOT a.attisdropped
ORDER BY t.relname
"""
_ENDED: Final = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
_log = structlog.get_logger(__name__)


def apply(dsn: str) -> None:
    """Add the missing constraints and indexes. Safe to repeat. Blocks.

    Rows with another serialization are not ours. They are made harmless first: their workflows are cancelled, and their
    values are declared JSON, which they are not, so that nothing decodes them.
    """
    with psycopg.connect(checked_dsn(dsn), autocommit=True) as connection:
        for table, guarded in connection.execute(_TABLES, (CONSTRAINT,)).fetchall():
            if not guarded:
                _guard(connection, table)
        for name, definition in _INDEXES.items():
            _index(connection, name, definition)


def _guard(connection: psycopg.Connection[Any], table: str) -> None:
    name = sql.Identifier("dbos", table)
    with connection.transaction():
        connection.execute(sql.SQL("LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE").format(name))
        if table == "workflow_status":
            connection.execute(
                "UPDATE dbos.workflow_status SET status = 'CANCELLED', owner_xid = NULL, queue_name = NULL,"
                " serialization = %s WHERE serialization <> %s AND status <> ALL(%s)",
                (JSON, JSON, list(_ENDED)),
            )
        disarmed = connection.execute(
            sql.SQL("UPDATE {} SET serialization = %s WHERE serialization <> %s").format(name), (JSON, JSON)
        )
        if disarmed.rowcount:
            _log.warning(
                "made rows harmless that were not JSON: no process of ChainGraph writes such rows",
                table=f"dbos.{table}",
                rows=disarmed.rowcount,
            )
        connection.execute(
            sql.SQL("ALTER TABLE {} DROP CONSTRAINT IF EXISTS {}").format(name, sql.Identifier(CONSTRAINT))
        )
        connection.execute(
            sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} CHECK (serialization IS NULL OR serialization = {})").format(
                name, sql.Identifier(CONSTRAINT), sql.Literal(JSON)
            )
        )


def _index(connection: psycopg.Connection[Any], name: str, definition: LiteralString) -> None:
    row = connection.execute(
        "SELECT i.indisvalid FROM pg_index i WHERE i.indexrelid = to_regclass(%s)", (f"dbos.{name}",)
    ).fetchone()
    if row is not None and row[0]:
        return
    index = sql.Identifier("dbos", name)
    # A killed migration leaves an invalid index.
    connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(index))
    connection.execute(
        sql.SQL("CREATE INDEX CONCURRENTLY {} ON dbos.workflow_status {}").format(
            sql.Identifier(name), sql.SQL(definition)
        )
    )


def add_shared_rows(connection: psycopg.Connection[Any], *, version: str, application_name: str) -> None:
    """Add the rows that workers share, for roles that may not."""
    connection.execute(
        "INSERT INTO dbos.application_versions (version_id, version_name, application_name)"
        " VALUES (gen_random_uuid()::text, %s, %s) ON CONFLICT DO NOTHING",
        (version, application_name),
    )
    connection.execute(
        "INSERT INTO dbos.queues (name, polling_interval_sec, application_name) VALUES (%s, 0.25, %s)"
        " ON CONFLICT (name) DO NOTHING",
        (HOLD_QUEUE, application_name),
    )


async def check(connection: Connection) -> None:
    """Check that no table of DBOS can contain anything but JSON.

    Raises:
        SchemaOutdated: one can, or there are none.
    """
    cursor = await connection.execute(_TABLES, (CONSTRAINT,))
    tables = await cursor.fetchall()
    if not tables:
        raise SchemaOutdated(
            "the database has not the tables of DBOS: run `chaingraph-worker migrate` with the same "
            "DATABASE_URL_EXECUTIONS, then start again"
        )
    open_to_others = [table for table, guarded in tables if not guarded]
    if open_to_others:
        raise SchemaOutdated(
            f"table dbos.{open_to_others[0]} lacks the constraint {CONSTRAINT}, which rejects values that run code "
            "when they are read. Run `chaingraph-worker migrate` with the same DATABASE_URL_EXECUTIONS, then "
            "start again"
        )
