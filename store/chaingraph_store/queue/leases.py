"""The tables `workers` and `catalogues`: the workers, their leases, and their nodes.

A worker publishes its catalogue, takes a lease and renews it. Other workers detect expired leases, by the database's
clock only. A hand-back revokes the lease: it cannot be renewed, and the worker must exit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import class_row
from psycopg.types.json import Json

from chaingraph_store.ledger import CATALOGUES, Connection


@dataclass(frozen=True, slots=True)
class WorkerRow:
    executor_id: str
    pool: str
    application_version: str
    host: str
    pod: str
    queues: list[str]
    concurrency: int
    catalogue_hash: str
    started_at: datetime
    renewed_at: datetime
    expires_at: datetime
    draining: bool
    retired: bool
    serving: bool
    alive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLease:
    """A worker's description of itself. `seconds`: how long the lease is valid without renewal."""

    executor_id: str
    application_name: str
    application_version: str
    host: str
    pod: str
    queues: Sequence[str]
    concurrency: int
    catalogue_hash: str
    catalogue: Mapping[str, Any]
    seconds: float
    pool: str = ""


_TAKE: Final = """
INSERT INTO chaingraph.workers (executor_id, application_name, pool, application_version, host, pod, queues,
  concurrency, catalogue_hash, expires_at, retired, serving)
SELECT %(executor)s, %(app)s, %(pool)s, %(version)s, %(host)s, %(pod)s, %(queues)s, %(concurrency)s, %(hash)s,
       clock_timestamp() + make_interval(secs => %(seconds)s), build.retired, NOT build.retired
FROM (SELECT coalesce((SELECT retired FROM chaingraph.workers
                       WHERE pool = %(pool)s AND application_version = %(version)s
                       ORDER BY started_at DESC LIMIT 1), false) AS retired) build
RETURNING retired
"""


async def take(connection: Connection, lease: NewLease) -> bool:
    """Publish the worker's catalogue and take its lease, inside the caller's transaction.

    Call it before the worker claims any work: an executor without a lease counts as lost.

    Returns:
        Whether it starts retired, because its build is: see `renew`.
    """
    # The update changes nothing, but locks the row: it must not be removed as unused before the lease refers to it.
    cursor = await connection.execute(
        "INSERT INTO chaingraph.catalogues (hash, catalogue) VALUES (%s, %s)"
        " ON CONFLICT (hash) DO UPDATE SET hash = excluded.hash RETURNING xmax = 0",
        (lease.catalogue_hash, Json(lease.catalogue)),
    )
    inserted = await cursor.fetchone()
    cursor = await connection.execute(
        _TAKE,
        {
            "executor": lease.executor_id,
            "app": lease.application_name,
            "pool": lease.pool,
            "version": lease.application_version,
            "host": lease.host,
            "pod": lease.pod,
            "queues": list(lease.queues),
            "concurrency": lease.concurrency,
            "hash": lease.catalogue_hash,
            "seconds": lease.seconds,
        },
    )
    retired = await cursor.fetchone()
    if (inserted and inserted[0]) or await _is_only_holder(connection, lease):
        await connection.execute("SELECT pg_notify(%s, %s)", (CATALOGUES, lease.catalogue_hash))
    return retired is not None and bool(retired[0])


async def _is_only_holder(connection: Connection, lease: NewLease) -> bool:
    """Whether no other live worker has this catalogue, so that the operator's merged catalogue changes."""
    cursor = await connection.execute(
        "SELECT NOT EXISTS (SELECT 1 FROM chaingraph.workers"
        " WHERE catalogue_hash = %s AND executor_id <> %s AND expires_at > now())",
        (lease.catalogue_hash, lease.executor_id),
    )
    row = await cursor.fetchone()
    return row is not None and bool(row[0])


@dataclass(frozen=True, slots=True)
class Renewal:
    """A renewed lease. `retired`: the worker may only take executions pinned to its build."""

    retired: bool


async def renew(connection: Connection, executor_id: str, *, seconds: float, serving: bool = True) -> Renewal | None:
    """Renew a lease, even an expired one, unless its work was handed back.

    Args:
        serving: whether the worker may still take executions that are not pinned to its build. One that is not retired
            counts as serving in any case, because it will be once it knows.

    Returns:
        None when it was revoked or released: the worker must exit.
    """
    cursor = await connection.execute(
        "UPDATE chaingraph.workers SET renewed_at = now(), expires_at = now() + make_interval(secs => %s),"
        " serving = NOT retired OR %s WHERE executor_id = %s AND NOT revoked RETURNING retired",
        (seconds, serving, executor_id),
    )
    row = await cursor.fetchone()
    return None if row is None else Renewal(bool(row[0]))


async def drain(connection: Connection, executor_id: str) -> None:
    """Mark a worker as draining: it takes no new work."""
    await connection.execute("UPDATE chaingraph.workers SET draining = true WHERE executor_id = %s", (executor_id,))


async def release(connection: Connection, executor_id: str) -> None:
    """End a worker's lease now. Its row stays as the last holder of its catalogue until it is forgotten."""
    await revoke(connection, [executor_id])


async def revoke(connection: Connection, executor_ids: Sequence[str]) -> None:
    """Revoke the leases of workers whose work is handed back: they cannot renew them any more."""
    await connection.execute(
        "UPDATE chaingraph.workers SET revoked = true, expires_at = least(expires_at, now())"
        " WHERE executor_id = ANY(%s)",
        (list(executor_ids),),
    )


async def revoke_expired(connection: Connection, executor_ids: Sequence[str]) -> list[str]:
    """Revoke the leases of those executors whose lease has expired.

    Returns:
        The executors whose work may be handed back: they have no valid lease, and cannot renew it any more.
    """
    await connection.execute(
        "UPDATE chaingraph.workers SET revoked = true WHERE executor_id = ANY(%s) AND expires_at <= clock_timestamp()",
        (list(executor_ids),),
    )
    cursor = await connection.execute(
        "SELECT executor_id FROM chaingraph.workers WHERE executor_id = ANY(%s) AND NOT revoked",
        (list(executor_ids),),
    )
    return sorted(set(executor_ids) - {row[0] for row in await cursor.fetchall()})


async def all_workers(connection: Connection) -> list[WorkerRow]:
    """Return every known worker, newest first, including dead ones."""
    async with connection.cursor(row_factory=class_row(WorkerRow)) as cursor:
        await cursor.execute(
            "SELECT executor_id, pool, application_version, host, pod, queues, concurrency, catalogue_hash,"
            " started_at, renewed_at, expires_at, draining, retired, serving, expires_at > now() AS alive"
            " FROM chaingraph.workers ORDER BY started_at DESC, executor_id"
        )
        return await cursor.fetchall()


async def catalogues_in_force(connection: Connection) -> list[dict[str, Any]]:
    """Return the catalogues of the live workers that take new work; if none does, of all live workers; if there are
    none, that of the last worker seen.

    So a Flow stays valid while its workers are being replaced, and is validated against the nodes that will run it.
    """
    cursor = await connection.execute(
        "WITH alive AS (SELECT catalogue_hash, retired FROM chaingraph.workers WHERE expires_at > now()),"
        " live AS (SELECT DISTINCT catalogue_hash FROM alive"
        "   WHERE NOT retired OR NOT EXISTS (SELECT 1 FROM alive WHERE NOT retired)),"
        " last AS (SELECT catalogue_hash FROM chaingraph.workers ORDER BY renewed_at DESC LIMIT 1)"
        " SELECT c.catalogue FROM chaingraph.catalogues c WHERE c.hash IN (SELECT catalogue_hash FROM live)"
        " OR (NOT EXISTS (SELECT 1 FROM live) AND c.hash IN (SELECT catalogue_hash FROM last)) ORDER BY c.hash"
    )
    return [row[0] for row in await cursor.fetchall()]


async def served_queues(connection: Connection) -> set[str]:
    """Return the queues from which a live worker takes new work."""
    cursor = await connection.execute(
        "SELECT DISTINCT unnest(queues) FROM chaingraph.workers WHERE expires_at > now() AND NOT draining AND serving"
    )
    return {row[0] for row in await cursor.fetchall()}


async def forget_dead(connection: Connection, *, after_seconds: float, keep: int = 1) -> int:
    """Forget workers dead for longer than `after_seconds`, except the `keep` seen last.

    Returns:
        How many were forgotten.
    """
    cursor = await connection.execute(
        "DELETE FROM chaingraph.workers WHERE expires_at < now() - make_interval(secs => %s) AND executor_id NOT IN"
        " (SELECT executor_id FROM chaingraph.workers ORDER BY renewed_at DESC LIMIT %s)",
        (after_seconds, keep),
    )
    return cursor.rowcount
