"""Removal of what the ledger need not keep: executions that ended long ago and whose resource is gone, revisions and
catalogues that nobody uses. Called by the operator after a sweep, which knows what resources there are.

An execution goes with its whole tree, children first, and with all that is kept of it: journal, events, and DBOS's rows
of every workflow it had. Everything is done in small transactions that skip what somebody else has locked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, LiteralString

from chaingraph_store.ids import ExecutionId, WorkflowId, hold_workflow_id, workflow_id
from chaingraph_store.ledger import Connection, Ledger

_EVENTS_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class EndedRoot:
    """An execution that no other has made. `uid` is None where it stands for no resource."""

    id: ExecutionId
    uid: str | None
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """An execution of a tree: the root at level 0, or a descendant. `expired`: it may go as far as the ledger knows."""

    root: ExecutionId
    id: ExecutionId
    level: int
    uid: str | None
    expired: bool


async def ago(connection: Connection, period: timedelta) -> datetime:
    """The moment that was so long ago, by the database's clock."""
    cursor = await connection.execute("SELECT now() - %s", (period,))
    row = await cursor.fetchone()
    assert row is not None, "a SELECT without FROM has one row"
    moment: datetime = row[0]
    return moment


_EXPIRED: Final = (
    "e.phase IN ('Completed', 'Failed', 'Stopped') AND e.finished_at < %(before)s"
    " AND (%(namespaces)s::text[] IS NULL OR e.namespace = ANY(%(namespaces)s))"
)
# Row comparison alone, without a case for the first page: so the place is where the index scan begins.
_ENDED_ROOTS: Final = f"""
SELECT e.id, e.uid, e.finished_at FROM chaingraph.executions e
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
    """Roots that ended before a moment, the oldest end first, from the one given on. `namespaces` None means all."""
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
    return [EndedRoot(ExecutionId(row[0]), row[1], row[2]) for row in await cursor.fetchall()]


_MEMBERS: Final = f"""
WITH RECURSIVE member AS (
  SELECT id AS root, id, 0 AS level FROM chaingraph.executions WHERE id = ANY(%(roots)s)
  UNION ALL
  SELECT m.root, c.id, m.level + 1 FROM chaingraph.executions c JOIN member m ON c.parent_id = m.id
)
SELECT m.root, e.id, m.level, e.uid, {_EXPIRED} FROM member m JOIN chaingraph.executions e USING (id)
"""  # noqa: S608 our own constants


async def members(
    connection: Connection, roots: Sequence[ExecutionId], *, before: datetime, namespaces: Sequence[str] | None
) -> list[Member]:
    """Every execution of the roots' trees, the roots among them."""
    cursor = await connection.execute(
        _MEMBERS,
        {"roots": list(roots), "before": before, "namespaces": None if namespaces is None else list(namespaces)},
    )
    return [
        Member(ExecutionId(row[0]), ExecutionId(row[1]), row[2], row[3], bool(row[4]))
        for row in await cursor.fetchall()
    ]


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
# DBOS 3.4 has no foreign keys on the first three; the rest (notifications, events, streams) goes with the status.
_WORKFLOWS: Final = """
WITH inputs AS (DELETE FROM dbos.workflow_input WHERE workflow_uuid = ANY(%(workflows)s)),
outputs AS (DELETE FROM dbos.workflow_output WHERE workflow_uuid = ANY(%(workflows)s)),
steps AS (DELETE FROM dbos.operation_outputs WHERE workflow_uuid = ANY(%(workflows)s))
DELETE FROM dbos.workflow_status WHERE workflow_uuid = ANY(%(workflows)s)
"""


async def remove(ledger: Ledger, executions: Sequence[ExecutionId], *, before: datetime) -> int:
    """Removes those of the executions that ended before a moment and have no children in the ledger.

    Long logs go first, in transactions of their own, and everything else of all of them in one.

    Args:
        executions: a few, whose resources are known to be gone, so that nothing can start them again.

    Returns:
        How many were removed; the others are locked by somebody, have children, or are gone already.
    """
    await _trim_logs(ledger, executions, before)
    async with ledger.transaction() as connection:
        cursor = await connection.execute(_LOCK, {"ids": list(executions), "before": before})
        locked = [(ExecutionId(row[0]), int(row[1])) for row in await cursor.fetchall()]
        if locked:
            workflows = [each for execution, run in locked for each in _workflows(execution, run)]
            await connection.execute(_WORKFLOWS, {"workflows": workflows})
            await connection.execute(
                "DELETE FROM chaingraph.executions WHERE id = ANY(%s)", ([execution for execution, _ in locked],)
            )
    return len(locked)


async def _trim_logs(ledger: Ledger, executions: Sequence[ExecutionId], before: datetime) -> None:
    """Removes events until so few are left that the executions' own removal can take them along."""
    trimmed = _EVENTS_AT_ONCE
    while trimmed == _EVENTS_AT_ONCE:
        async with ledger.transaction() as connection:
            cursor = await connection.execute(
                _TRIM, {"ids": list(executions), "before": before, "limit": _EVENTS_AT_ONCE}
            )
        trimmed = cursor.rowcount


def _workflows(execution: ExecutionId, run: int) -> list[WorkflowId]:
    """Every workflow that an execution whose last run has this number can have had."""
    return [hold_workflow_id(execution), *(workflow_id(execution, number) for number in range(1, run + 1))]


# Two statements: the second one's snapshot shows what was committed before the first one got the lock.
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
    """Removes up to `limit` revisions of flows that no execution has and no name stands for.

    One that is being used again at this very moment may be removed under its user: the user's transaction fails then on
    its foreign key, and succeeds when it is repeated.

    Returns:
        How many were removed.
    """
    return await _remove_unused(ledger, _UNUSED_REVISIONS, _REMOVE_REVISIONS, limit)


async def remove_unused_catalogues(ledger: Ledger, *, limit: int) -> int:
    """Removes up to `limit` catalogues of workers that are all forgotten.

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
