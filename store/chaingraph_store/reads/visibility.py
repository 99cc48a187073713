"""Which executions may be shown: those of the namespace that exists now, whose resource no user has deleted.

A namespace's name is not enough: it may have been deleted and created again by another user. Its UID decides. An
execution belongs to the namespace of the root of its tree, whose row has the UID. Rows from before that was recorded
are shown if they are younger than the namespace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection, Ledger


@dataclass(frozen=True, slots=True)
class NamespaceIdentity:
    """The namespace that has a name at this moment."""

    uid: str
    created_at: datetime

    def owns(self, namespace_uid: str, created_at: datetime) -> bool:
        """Whether a root with these columns belongs to it."""
        return namespace_uid == self.uid if namespace_uid else created_at >= self.created_at


OWNED: Final = (
    "CASE WHEN %(namespace_uid)s::text IS NULL THEN true"
    " WHEN r.namespace_uid <> '' THEN r.namespace_uid = %(namespace_uid)s::text"
    " ELSE r.created_at >= %(namespace_created)s::timestamptz END"
)
"""Whether the root `r` belongs to the namespace of `parameters`. A condition of SQL."""


def shown(row: LiteralString) -> LiteralString:
    """Return a condition of SQL: whether a row of `executions` may be shown. Needs the parameters of `parameters`."""
    return (
        f"({row}.deleted_at IS NULL AND EXISTS (SELECT FROM chaingraph.executions r WHERE r.id = {row}.root_id"
        f" AND {OWNED}))"
    )


def parameters(namespace: NamespaceIdentity | None) -> Mapping[str, Any]:
    """Return the parameters of `shown`. None: any namespace, for access to the ledger itself."""
    return {
        "namespace_uid": None if namespace is None else namespace.uid,
        "namespace_created": None if namespace is None else namespace.created_at,
    }


# Descendants with a resource of their own are deleted with that resource, one by one.
_HIDE: Final = """
WITH RECURSIVE tree AS (
  SELECT id, uid, children_spawned > 0 AS goes_on FROM chaingraph.executions
  WHERE id = %(id)s AND (parent_id IS NULL OR %(parent_exists)s OR EXISTS (
    SELECT FROM chaingraph.executions p WHERE p.id = executions.parent_id AND p.deleted_at IS NOT NULL))
  UNION ALL
  SELECT c.id, c.uid, c.children_spawned > 0
  FROM tree CROSS JOIN LATERAL (SELECT * FROM chaingraph.executions WHERE parent_id = tree.id OFFSET 0) c
  WHERE tree.goes_on
), held AS (
  SELECT e.id FROM chaingraph.executions e
  WHERE e.id = ANY(ARRAY(SELECT id FROM tree WHERE id = %(id)s OR uid IS NULL)) AND e.deleted_at IS NULL
  ORDER BY e.id FOR NO KEY UPDATE
)
UPDATE chaingraph.executions e SET deleted_at = now() FROM held WHERE e.id = held.id
"""


async def hide(connection: Connection, execution: ExecutionId, *, parent_exists: bool = True) -> int:
    """Hide an execution whose resource was deleted, with its descendants that have no resource of their own.

    Args:
        parent_exists: whether the resource of its parent still exists. A child whose parent's is gone as well was
            removed
            with it, and is hidden only if its parent is: a parent that has expired is not.

    Returns:
        How many were hidden now.
    """
    cursor = await connection.execute(_HIDE, {"id": execution, "parent_exists": parent_exists})
    return cursor.rowcount


async def note_expired(ledger: Ledger, uid: str) -> None:
    """Record that a resource is about to be deleted because it has expired: its execution stays readable."""
    async with ledger.transaction() as connection:
        await connection.execute("UPDATE chaingraph.executions SET expired_at = now() WHERE uid = %s", (uid,))


@dataclass(frozen=True, slots=True)
class RemovedExecution:
    """An ended execution whose resource was deleted unseen, with the state of its parent."""

    id: ExecutionId
    namespace: str
    name: str
    is_root: bool
    parent_uid: str | None
    parent_hidden: bool
    parent_expired: bool


STANDING: Final = """
SELECT id, uid FROM chaingraph.executions
WHERE uid IS NOT NULL AND deleted_at IS NULL AND expired_at IS NULL AND phase IN ('Completed', 'Failed', 'Stopped')
  AND id > %(after)s AND change_seq <= %(seen)s
ORDER BY id LIMIT %(limit)s
"""
_GONE: Final = """
SELECT e.id, e.namespace, e.name, e.parent_id IS NULL, p.uid, coalesce(p.deleted_at IS NOT NULL, false),
       coalesce(p.expired_at IS NOT NULL, false)
FROM chaingraph.executions e LEFT JOIN chaingraph.executions p ON p.id = e.parent_id
WHERE e.id = ANY(%(ids)s) AND (%(all)s OR e.namespace = ANY(%(namespaces)s))
ORDER BY e.depth, e.id
"""


async def mark(connection: Connection) -> int:
    """Return the number of the last change. Rows up to it had their resource before this call."""
    cursor = await connection.execute("SELECT last_value FROM chaingraph.change_seq")
    row = await cursor.fetchone()
    assert row is not None, "a sequence has one row"
    return int(row[0])


async def standing(connection: Connection, *, seen: int, after: str, limit: int) -> list[tuple[ExecutionId, str]]:
    """Return ended executions whose resource exists as far as the ledger knows, with its UID, by id from one on.

    Args:
        seen: leave out rows changed after this `mark`.
    """
    cursor = await connection.execute(STANDING, {"seen": seen, "after": after, "limit": limit})
    return [(ExecutionId(row[0]), str(row[1])) for row in await cursor.fetchall()]


async def gone(
    connection: Connection, ids: Sequence[ExecutionId], *, namespaces: Sequence[str] | None
) -> list[RemovedExecution]:
    """Return the state of executions whose resource is gone, parents first. `namespaces` None means all."""
    given = {"ids": list(ids), "all": namespaces is None, "namespaces": list(namespaces or ())}
    cursor = await connection.execute(_GONE, given)
    return [RemovedExecution(ExecutionId(row[0]), *row[1:]) for row in await cursor.fetchall()]


async def expire(connection: Connection, ids: Sequence[ExecutionId]) -> None:
    """Record that their resources went with that of an expired parent: they stay readable."""
    await connection.execute("UPDATE chaingraph.executions SET expired_at = now() WHERE id = ANY(%s)", (list(ids),))
