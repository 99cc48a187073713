"""Remove old executions without a resource, and unused revisions and catalogues.

An execution is removed with its whole tree, leaves first, and all its data: journal, events, and DBOS's rows of all its
workflows. Everything is done in small transactions that skip locked rows, and no list of a whole tree is ever built: it
may have 100,000 executions.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, LiteralString

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection, Ledger
from chaingraph_store.queue import dispatch

_EVENTS_AT_ONCE: Final = 10_000
_UIDS_AT_ONCE: Final = 2000
_BELOW_ALL: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class EndedRoot:
    """A root execution. `uid` is None when it has no resource."""

    id: ExecutionId
    uid: str | None
    finished_at: datetime
    has_children: bool


@dataclass(frozen=True, slots=True)
class PruneCursor:
    """The position in a tree's parents, leaves first."""

    depth: int
    id: ExecutionId


async def ago(connection: Connection, period: timedelta) -> datetime:
    """Return the time this long ago, by the database's clock."""
    cursor = await connection.execute("SELECT now() - %s", (period,))
    row = await cursor.fetchone()
    assert row is not None, "a SELECT without FROM has one row"
    moment: datetime = row[0]
    return moment


_EXPIRED: Final = (
    "e.phase IN ('Completed', 'Failed', 'Stopped') AND e.finished_at < %(before)s AND e.children_active = 0"
    " AND (%(namespaces)s::text[] IS NULL OR e.namespace = ANY(%(namespaces)s))"
)
# A plain row comparison, without a case for the first page, so that the index scan starts at the position.
_ENDED_ROOTS: Final = f"""
SELECT e.id, e.uid, e.finished_at, e.children_total > 0 FROM chaingraph.executions e
WHERE e.parent_id IS NULL AND {_EXPIRED}
  AND (e.finished_at, e.id) > (%(after)s::timestamptz, %(after_id)s)
ORDER BY e.finished_at, e.id LIMIT %(limit)s
"""  # noqa: S608 our own constants


async def ended_roots(
    connection: Connection,
    *,
    before: datetime,
    namespaces: Sequence[str] | None,
    after: EndedRoot | None = None,
    limit: int,
) -> list[EndedRoot]:
    """Return roots that ended before a time and whose trees have ended, oldest end first, from the given one on.

    `namespaces` None means all.
    """
    cursor = await connection.execute(
        _ENDED_ROOTS,
        {
            "before": before,
            "namespaces": None if namespaces is None else list(namespaces),
            "after": after.finished_at if after else "-infinity",
            "after_id": after.id if after else "",
            "limit": limit,
        },
    )
    return [EndedRoot(ExecutionId(row[0]), *row[1:]) for row in await cursor.fetchall()]


_DUE: Final = f"""
SELECT NOT EXISTS (SELECT FROM chaingraph.executions e
                   WHERE e.root_id = %(root)s AND e.parent_id IS NOT NULL AND ({_EXPIRED}) IS NOT TRUE)
"""  # noqa: S608 our own constants


async def tree_due(
    connection: Connection, root: ExecutionId, *, before: datetime, namespaces: Sequence[str] | None
) -> bool:
    """Whether all descendants of an ended root ended before that time too."""
    given = {"root": root, "before": before, "namespaces": None if namespaces is None else list(namespaces)}
    cursor = await connection.execute(_DUE, given)
    row = await cursor.fetchone()
    assert row is not None, "a SELECT without FROM has one row"
    return bool(row[0])


async def shows_any(ledger: Ledger, root: ExecutionId, uids: Set[str]) -> bool:
    """Whether a descendant of a root has one of these resources."""
    async with ledger.transaction() as connection, connection.cursor(name="uids") as cursor:
        cursor.itersize = _UIDS_AT_ONCE
        await cursor.execute(
            "SELECT uid FROM chaingraph.executions WHERE root_id = %s AND parent_id IS NOT NULL AND uid IS NOT NULL",
            (root,),
        )
        async for (uid,) in cursor:
            if uid in uids:
                return True
    return False


_LOWEST_PARENTS: Final = """
SELECT depth, id FROM chaingraph.executions
WHERE root_id = %(root)s AND children_total > 0 AND (depth, id) < (%(depth)s, %(id)s)
ORDER BY depth DESC, id DESC LIMIT %(limit)s
"""


async def lowest_parents(
    connection: Connection, root: ExecutionId, *, after: PruneCursor | None = None, limit: int
) -> list[PruneCursor]:
    """Return the parents in a tree, including former ones, leaves first, from the given one on."""
    place = {"depth": after.depth, "id": after.id} if after is not None else {"depth": _BELOW_ALL, "id": ""}
    cursor = await connection.execute(_LOWEST_PARENTS, {"root": root, "limit": limit} | place)
    return [PruneCursor(row[0], ExecutionId(row[1])) for row in await cursor.fetchall()]


async def children_of(
    connection: Connection, parents: Sequence[ExecutionId], *, limit: int
) -> list[tuple[int, ExecutionId]]:
    """Return children of these with their depth, leaves first, up to a limit."""
    cursor = await connection.execute(
        "SELECT depth, id FROM chaingraph.executions WHERE parent_id = ANY(%s) ORDER BY depth DESC LIMIT %s",
        (list(parents), limit),
    )
    return [(row[0], ExecutionId(row[1])) for row in await cursor.fetchall()]


_TRIM: Final = """
DELETE FROM chaingraph.events WHERE ctid = ANY(ARRAY(
  SELECT v.ctid FROM chaingraph.events v JOIN chaingraph.executions e ON e.id = v.execution_id
  WHERE e.id = ANY(%(ids)s) AND e.finished_at < %(before)s LIMIT %(limit)s))
"""
_LOCK: Final = """
SELECT e.id, e.run FROM chaingraph.executions e
WHERE e.id = ANY(%(ids)s) AND e.phase IN ('Completed', 'Failed', 'Stopped') AND e.finished_at < %(before)s
  AND NOT EXISTS (SELECT FROM chaingraph.executions c WHERE c.parent_id = e.id)
FOR UPDATE OF e SKIP LOCKED
"""


async def remove(ledger: Ledger, executions: Sequence[ExecutionId], *, before: datetime) -> int:
    """Remove those of the executions that ended before a time and have no children in the ledger.

    Long logs are removed first, in transactions of their own, and everything else together in one.

    Args:
        executions: a few, whose resources are known to be gone, so that nothing can start them again.

    Returns:
        How many were removed; the others are locked, have children, or are gone already.
    """
    await _trim_logs(ledger, executions, before)
    async with ledger.transaction() as connection:
        cursor = await connection.execute(_LOCK, {"ids": list(executions), "before": before})
        locked = [(ExecutionId(row[0]), int(row[1])) for row in await cursor.fetchall()]
        if locked:
            await dispatch.remove(connection, locked)
            await connection.execute(
                "DELETE FROM chaingraph.executions WHERE id = ANY(%s)", ([execution for execution, _ in locked],)
            )
    return len(locked)


async def _trim_logs(ledger: Ledger, executions: Sequence[ExecutionId], before: datetime) -> None:
    """Remove events until so few are left that the removal of the executions can include them."""
    trimmed = _EVENTS_AT_ONCE
    while trimmed == _EVENTS_AT_ONCE:
        async with ledger.transaction() as connection:
            cursor = await connection.execute(
                _TRIM, {"ids": list(executions), "before": before, "limit": _EVENTS_AT_ONCE}
            )
        trimmed = cursor.rowcount


# Two statements: the second one's snapshot shows everything committed before the first one got the lock.
_UNUSED_REVISIONS: Final = """
SELECT r.revision FROM chaingraph.flow_revisions r
WHERE NOT EXISTS (SELECT FROM chaingraph.executions e WHERE e.flow_revision = r.revision)
  AND NOT EXISTS (SELECT FROM chaingraph.flows f WHERE f.revision = r.revision)
ORDER BY r.revision LIMIT %s FOR UPDATE OF r SKIP LOCKED
"""
_REMOVE_REVISIONS: Final = """
DELETE FROM chaingraph.flow_revisions r WHERE r.revision = ANY(%s)
  AND NOT EXISTS (SELECT FROM chaingraph.executions e WHERE e.flow_revision = r.revision)
  AND NOT EXISTS (SELECT FROM chaingraph.flows f WHERE f.revision = r.revision)
"""
_UNUSED_CATALOGUES: Final = """
SELECT c.hash FROM chaingraph.catalogues c
WHERE NOT EXISTS (SELECT FROM chaingraph.workers w WHERE w.catalogue_hash = c.hash)
ORDER BY c.hash LIMIT %s FOR UPDATE OF c SKIP LOCKED
"""
_REMOVE_CATALOGUES: Final = """
DELETE FROM chaingraph.catalogues c WHERE c.hash = ANY(%s)
  AND NOT EXISTS (SELECT FROM chaingraph.workers w WHERE w.catalogue_hash = c.hash)
"""


async def remove_unused_revisions(ledger: Ledger, *, limit: int) -> int:
    """Remove up to `limit` revisions of flows that no execution and no name uses.

    A revision that is being used at this moment may be removed under its user: the user's transaction then fails on its
    foreign key, and succeeds when repeated.

    Returns:
        How many were removed.
    """
    return await _remove_unused(ledger, _UNUSED_REVISIONS, _REMOVE_REVISIONS, limit)


async def remove_unused_catalogues(ledger: Ledger, *, limit: int) -> int:
    """Remove up to `limit` catalogues of forgotten workers.

    Returns:
        How many were removed.
    """
    return await _remove_unused(ledger, _UNUSED_CATALOGUES, _REMOVE_CATALOGUES, limit)


async def _remove_unused(ledger: Ledger, find: LiteralString, remove: LiteralString, limit: int) -> int:
    async with ledger.transaction() as connection:
        cursor = await connection.execute(find, (limit,))
        unused = [row[0] for row in await cursor.fetchall()]
        if not unused:
            return 0
        return (await connection.execute(remove, (unused,))).rowcount
