"""Read the children of an execution for its status, and bind the resources that represent children."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg.rows import class_row

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import CHANGES, Connection


@dataclass(frozen=True, slots=True)
class ChildRow:
    """A child in short. `shown`: it has a resource."""

    id: ExecutionId
    name: str
    phase: str
    shown: bool


@dataclass(frozen=True, slots=True)
class ChildSummary:
    """The children of one execution: how many are in each phase, and the first of them.

    `counts` includes only children that exist; `parent_name` is the name of the execution's own parent.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    first: Sequence[ChildRow] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildResource:
    """The content of a child's resource."""

    id: ExecutionId
    namespace: str
    name: str
    parent_id: ExecutionId
    parent_uid: str
    parent_name: str
    root_id: ExecutionId
    position: int
    subflow: str
    called_by: str
    flow_name: str
    inputs: dict[str, Any]
    events: list[dict[str, Any]]
    integration: dict[str, Any]
    options: dict[str, Any]
    breakpoints: list[str]
    queue: str
    priority: int
    start_timeout_s: int
    on_stop: str
    resources: str


_COUNTS: Final = "SELECT phase, count(*) FROM chaingraph.executions WHERE parent_id = %s GROUP BY phase"
_FIRST: Final = """
SELECT id, name, phase, uid IS NOT NULL FROM chaingraph.executions WHERE parent_id = %s ORDER BY position LIMIT %s
"""
_BELOW: Final = """
WITH RECURSIVE below AS (
  SELECT id, phase, children_suppressed FROM chaingraph.executions WHERE parent_id = %s
  UNION ALL
  SELECT c.id, c.phase, c.children_suppressed FROM chaingraph.executions c JOIN below ON c.parent_id = below.id
)
SELECT phase, count(*), sum(children_suppressed)::bigint FROM below GROUP BY phase
"""
BARRED: Final = "Barred"
"""A key besides the phases in the result of `below`: children whose creation was prevented by a stop."""
_ADOPT: Final = """
UPDATE chaingraph.executions SET uid = %(uid)s, change_seq = nextval('chaingraph.change_seq')
WHERE id = %(id)s AND parent_id = %(parent)s AND namespace = %(namespace)s AND name = %(name)s
  AND (uid IS NULL OR uid = %(uid)s)
RETURNING pg_notify(%(changes)s, id)
"""
_PORTRAIT: Final = """
SELECT c.id, c.namespace, c.name, c.parent_id, p.uid AS parent_uid, p.name AS parent_name, c.root_id, c.position,
       c.subflow, c.called_by,
       c.flow_name, c.inputs, c.events, c.integration, c.options, c.breakpoints, c.queue, c.priority,
       c.start_timeout_s, c.on_stop, c.resources
FROM chaingraph.executions c JOIN chaingraph.executions p ON p.id = c.parent_id
WHERE c.id = %s AND c.uid IS NULL AND c.resources = 'Create' AND p.uid IS NOT NULL
"""
_RENAME: Final = """
UPDATE chaingraph.executions SET name = %(name)s, change_seq = nextval('chaingraph.change_seq')
WHERE id = %(id)s AND uid IS NULL RETURNING pg_notify(%(changes)s, id)
"""
_HIDE: Final = """
WITH RECURSIVE below AS (
  SELECT id FROM chaingraph.executions WHERE parent_id = %(id)s
  UNION ALL
  SELECT c.id FROM chaingraph.executions c JOIN below ON c.parent_id = below.id
), unshown AS MATERIALIZED (
  -- In the order of ids, as everywhere, so that this and a stop in the same tree cannot deadlock.
  SELECT e.id FROM chaingraph.executions e JOIN below USING (id)
  WHERE e.uid IS NULL AND e.resources = 'Create' ORDER BY e.id FOR NO KEY UPDATE OF e
)
UPDATE chaingraph.executions e SET resources = 'None' FROM unshown WHERE e.id = unshown.id
"""


async def summary(connection: Connection, parent: ExecutionId, first: int = 0) -> ChildSummary:
    """Return the counts, and so many children, the first ones."""
    cursor = await connection.execute(_COUNTS, (parent,))
    counts: dict[str, int] = {row[0]: row[1] for row in await cursor.fetchall()}
    cursor = await connection.execute(_FIRST, (parent, first))
    rows = [ChildRow(ExecutionId(row[0]), row[1], row[2], row[3]) for row in await cursor.fetchall()]
    return ChildSummary(counts, rows)


async def below(connection: Connection, execution: ExecutionId) -> dict[str, int]:
    """Count the descendants, at any depth, in each phase.

    `BARRED`, if present, counts the children of descendants that will never be created because of a stop.
    """
    cursor = await connection.execute(_BELOW, (execution,))
    rows = await cursor.fetchall()
    barred = sum(row[2] for row in rows)
    return {row[0]: row[1] for row in rows} | ({BARRED: barred} if barred else {})


async def adopt(
    connection: Connection, child: ExecutionId, *, parent: ExecutionId, uid: str, namespace: str, name: str
) -> bool:
    """Bind a resource to the child that it represents. May be repeated.

    Returns:
        False when there is no such child, or another resource represents it.
    """
    parameters: dict[str, Any] = {"id": child, "parent": parent, "uid": uid, "namespace": namespace, "name": name}
    cursor = await connection.execute(_ADOPT, parameters | {"changes": CHANGES})
    return await cursor.fetchone() is not None


async def portrait(connection: Connection, child: ExecutionId) -> ChildResource | None:
    """Return the content of a child's resource; None when it has one already, or must not get one."""
    async with connection.cursor(row_factory=class_row(ChildResource)) as cursor:
        await cursor.execute(_PORTRAIT, (child,))
        return await cursor.fetchone()


async def rename(connection: Connection, child: ExecutionId, name: str) -> bool:
    """Rename a child without a resource, because its name is taken.

    Returns:
        False when it has a resource by now.
    """
    cursor = await connection.execute(_RENAME, {"id": child, "name": name, "changes": CHANGES})
    return await cursor.fetchone() is not None


async def hide(connection: Connection, parent: ExecutionId) -> int:
    """Give up the resources of all descendants, because the parent's resource is gone. They run all the same.

    Returns:
        How many will have no resource.
    """
    cursor = await connection.execute(_HIDE, {"id": parent})
    return cursor.rowcount
