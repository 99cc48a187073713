"""Which executions may be shown: those of the namespace that exists now, whose resource nobody has deleted.

A namespace's name says nothing: it may have been deleted and created again by somebody else. Its UID decides. An
execution belongs to the namespace of the root of its tree, whose row carries the UID. Rows from before that was
recorded are shown if they are younger than the namespace.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection


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
    """Whether a row of `executions` may be shown. A condition of SQL, with the parameters of `parameters`."""
    return (
        f"({row}.deleted_at IS NULL AND EXISTS (SELECT FROM chaingraph.executions r WHERE r.id = {row}.root_id"
        f" AND {OWNED}))"
    )


def parameters(namespace: NamespaceIdentity | None) -> Mapping[str, Any]:
    """Parameters of `shown`. None: whatever namespace it was, for those who look at the ledger itself."""
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
    """Hides an execution whose resource was deleted, with what is below it and has no resource of its own.

    Args:
        parent_exists: whether the resource of its parent still exists. A child whose parent's is gone as well was
            removed with it, and is hidden only if its parent is: a parent that has expired is not.

    Returns:
        How many are hidden now that were shown before.
    """
    cursor = await connection.execute(_HIDE, {"id": execution, "parent_exists": parent_exists})
    return cursor.rowcount
