"""Executions in their order: the tree below one, level by level, and the roots, newest first. Read by the gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import class_row

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection


@dataclass(frozen=True, slots=True)
class TreeRow:
    """An execution in short. `seconds` is the time from its start to its end or until now, None before its start."""

    id: ExecutionId
    namespace: str
    name: str
    flow_name: str
    parent_id: ExecutionId | None
    root_id: ExecutionId
    depth: int
    phase: str
    attempt: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    children: int


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page ended: the last row's depth, time of creation and id."""

    depth: int
    created_at: datetime
    id: ExecutionId

    @classmethod
    def of(cls, row: TreeRow) -> Place:
        return cls(row.depth, row.created_at, row.id)


_ROW: Final = """
SELECT e.id, e.namespace, e.name, e.flow_name, e.parent_id, e.root_id, e.depth, e.phase, e.attempt,
       e.created_at, e.started_at, e.finished_at,
       extract(epoch FROM coalesce(e.finished_at, now()) - e.started_at)::float8 AS seconds,
       (SELECT count(*) FROM chaingraph.executions child WHERE child.parent_id = e.id) AS children
FROM chaingraph.executions e
"""
# The page is cut out before the columns are read: they cost a count of children each.
_BELOW: Final = (
    """
WITH RECURSIVE below AS (
  SELECT id, namespace, depth, created_at FROM chaingraph.executions WHERE id = %(id)s
  UNION ALL
  SELECT c.id, c.namespace, c.depth, c.created_at
  FROM chaingraph.executions c JOIN below ON c.parent_id = below.id
  WHERE c.namespace = below.namespace
), page AS (
  SELECT id FROM below
  WHERE %(after)s::text IS NULL OR (depth, created_at, id) > (%(depth)s, %(created_at)s, %(after)s)
  ORDER BY depth, created_at, id LIMIT %(limit)s
)
"""  # noqa: S608 our own constants
    + _ROW
    + "JOIN page USING (id) ORDER BY e.depth, e.created_at, e.id"
)
_ROOTS: Final = (
    _ROW
    + """
WHERE e.parent_id IS NULL
  AND (%(namespace)s::text IS NULL OR e.namespace = %(namespace)s)
  AND (%(flow)s::text IS NULL OR e.flow_name = %(flow)s)
  AND (%(after)s::text IS NULL OR (e.created_at, e.id) < (%(created_at)s, %(after)s))
ORDER BY e.created_at DESC, e.id DESC LIMIT %(limit)s
"""
)


async def below(
    connection: Connection, execution: ExecutionId, *, after: Place | None = None, limit: int = 100
) -> Sequence[TreeRow]:
    """The execution and its descendants in the same namespace, ordered by depth, then by age."""
    return await _rows(connection, _BELOW, {"id": execution, "limit": limit} | _place(after))


async def roots(
    connection: Connection,
    *,
    namespace: str | None = None,
    flow: str | None = None,
    after: Place | None = None,
    limit: int = 100,
) -> Sequence[TreeRow]:
    """The executions that no other has made, newest first; of one namespace, of one flow, or all."""
    return await _rows(connection, _ROOTS, {"namespace": namespace, "flow": flow, "limit": limit} | _place(after))


def _place(after: Place | None) -> dict[str, Any]:
    if after is None:
        return {"depth": None, "created_at": None, "after": None}
    return {"depth": after.depth, "created_at": after.created_at, "after": after.id}


async def _rows(connection: Connection, query: LiteralString, parameters: Mapping[str, Any]) -> Sequence[TreeRow]:
    async with connection.cursor(row_factory=class_row(TreeRow)) as cursor:
        await cursor.execute(query, parameters)
        return await cursor.fetchall()
