"""The children of an execution, as its status shows them, and the resources that stand for children.

Read and written by the operator. Children are made by `spawning`; what becomes of them is counted by `families`.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
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

    `counts` has those that were made; `parent_name` and what else is said of the family's head.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    first: Sequence[ChildRow] = ()


@dataclass(frozen=True, slots=True)
class Unshown:
    """A child that is to have a resource and has none yet, and the resource that will own it: its parent's."""

    id: ExecutionId
    namespace: str
    name: str
    parent_id: ExecutionId
    parent_uid: str
    parent_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait:
    """What the resource of a child shows of it."""

    id: ExecutionId
    namespace: str
    name: str
    parent_id: ExecutionId
    parent_uid: str
    parent_name: str
    root_id: ExecutionId
    position: int
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
SELECT id, name, phase, uid IS NOT NULL FROM chaingraph.executions WHERE id = ANY(%s) ORDER BY position
"""
_BELOW: Final = """
WITH RECURSIVE below AS (
  SELECT id, phase, children_barred FROM chaingraph.executions WHERE parent_id = %s
  UNION ALL
  SELECT c.id, c.phase, c.children_barred FROM chaingraph.executions c JOIN below ON c.parent_id = below.id
)
SELECT phase, count(*), sum(children_barred)::bigint FROM below GROUP BY phase
"""
MOST_NAMESPACES: Final = 20
"""Namespaces that one look for children without a resource takes from; the next look goes on behind them."""
BARRED: Final = "Barred"
"""Stands beside the phases, in what `below` counts, for children that a stop kept from being made."""
_ADOPT: Final = """
UPDATE chaingraph.executions SET uid = %(uid)s, change_seq = nextval('chaingraph.change_seq')
WHERE id = %(id)s AND parent_id = %(parent)s AND namespace = %(namespace)s AND name = %(name)s
  AND (uid IS NULL OR uid = %(uid)s)
RETURNING pg_notify(%(changes)s, id)
"""
# A parent is older than its children, so owners are found before those that need them.
UNSHOWN: Final = """
SELECT c.id, c.namespace, c.name, c.parent_id, p.uid AS parent_uid, p.name AS parent_name
FROM chaingraph.executions c JOIN chaingraph.executions p ON p.id = c.parent_id
WHERE c.parent_id IS NOT NULL AND c.uid IS NULL AND c.resources = 'Create' AND p.uid IS NOT NULL
  AND (%(all)s OR c.namespace = ANY(%(namespaces)s))
  AND c.id <> ALL(%(children)s) AND c.parent_id <> ALL(%(parents)s) AND c.namespace <> ALL(%(resting)s)
ORDER BY c.created_at, c.id LIMIT %(limit)s
"""
UNSHOWN_NAMESPACES: Final = """
WITH RECURSIVE tenant AS (
  (SELECT namespace FROM chaingraph.executions
   WHERE parent_id IS NOT NULL AND uid IS NULL AND resources = 'Create' ORDER BY namespace LIMIT 1)
  UNION ALL
  SELECT (SELECT e.namespace FROM chaingraph.executions e
          WHERE e.parent_id IS NOT NULL AND e.uid IS NULL AND e.resources = 'Create' AND e.namespace > tenant.namespace
          ORDER BY e.namespace LIMIT 1)
  FROM tenant WHERE tenant.namespace IS NOT NULL
)
SELECT namespace FROM tenant WHERE namespace IS NOT NULL AND (%(all)s OR namespace = ANY(%(namespaces)s))
"""
"""One step of the index for each namespace, however many children it has."""
UNSHOWN_COUNT: Final = """
SELECT count(*) FROM chaingraph.executions
WHERE parent_id IS NOT NULL AND uid IS NULL AND resources = 'Create'
  AND (%(all)s OR namespace = ANY(%(namespaces)s))
"""
_PORTRAIT: Final = """
SELECT c.id, c.namespace, c.name, c.parent_id, p.uid AS parent_uid, p.name AS parent_name, c.root_id, c.position,
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
  -- In the order of ids, as everywhere, so that this and a stop in the same tree cannot wait for each other.
  SELECT e.id FROM chaingraph.executions e JOIN below USING (id)
  WHERE e.uid IS NULL AND e.resources = 'Create' ORDER BY e.id FOR NO KEY UPDATE OF e
)
UPDATE chaingraph.executions e SET resources = 'None' FROM unshown WHERE e.id = unshown.id
"""


async def summary(connection: Connection, parent: ExecutionId, first: Sequence[ExecutionId]) -> ChildSummary:
    """How the children stand.

    Args:
        first: the ids of those to be named, by position; ids of children are derived, so the caller knows them.
    """
    cursor = await connection.execute(_COUNTS, (parent,))
    counts: dict[str, int] = {row[0]: row[1] for row in await cursor.fetchall()}
    cursor = await connection.execute(_FIRST, (list(first),))
    rows = [ChildRow(ExecutionId(row[0]), row[1], row[2], row[3]) for row in await cursor.fetchall()]
    return ChildSummary(counts, rows)


async def below(connection: Connection, execution: ExecutionId) -> dict[str, int]:
    """How many executions below this one, at any depth, are in each phase.

    Under `BARRED`, if there are any: how many will never be made, of those that executions below this one have emitted.
    """
    cursor = await connection.execute(_BELOW, (execution,))
    rows = await cursor.fetchall()
    barred = sum(row[2] for row in rows)
    return {row[0]: row[1] for row in rows} | ({BARRED: barred} if barred else {})


async def adopt(
    connection: Connection, child: ExecutionId, *, parent: ExecutionId, uid: str, namespace: str, name: str
) -> bool:
    """Binds a resource to the child that it stands for. May be repeated.

    Returns:
        False when there is no such child, or another resource stands for it.
    """
    parameters: dict[str, Any] = {"id": child, "parent": parent, "uid": uid, "namespace": namespace, "name": name}
    cursor = await connection.execute(_ADOPT, parameters | {"changes": CHANGES})
    return await cursor.fetchone() is not None


async def unshown(
    connection: Connection,
    *,
    namespaces: Sequence[str] | None,
    limit: int,
    children: Sequence[ExecutionId] = (),
    parents: Sequence[ExecutionId] = (),
    resting: Sequence[str] = (),
) -> list[Unshown]:
    """The children that are to have a resource and have none yet, the oldest first.

    Those whose parent has none itself are left out: a resource has its owner from the beginning.

    Args:
        namespaces: those that are served; None for all.
        children: leave these out,
        parents: the children of these,
        resting: and what is in these namespaces.
    """
    parameters = _served(namespaces) | {
        "children": list(children),
        "parents": list(parents),
        "resting": list(resting),
        "limit": limit,
    }
    async with connection.cursor(row_factory=class_row(Unshown)) as cursor:
        await cursor.execute(UNSHOWN, parameters)
        return await cursor.fetchall()


async def unshown_in_turn(
    connection: Connection,
    *,
    namespaces: Sequence[str] | None,
    limit: int,
    after: str = "",
    children: Sequence[ExecutionId] = (),
    parents: Sequence[ExecutionId] = (),
    resting: Sequence[str] = (),
) -> list[Unshown]:
    """As `unshown`, one of each namespace after the other, so that a wide tree delays nobody else's children.

    Args:
        limit: about how many.
        after: the namespace that comes after this one in the alphabet is the first.
    """
    cursor = await connection.execute(UNSHOWN_NAMESPACES, _served(namespaces))
    found = [str(row[0]) for row in await cursor.fetchall() if row[0] not in resting]
    first = bisect.bisect_right(found, after)
    turn = [*found[first:], *found[:first]][:MOST_NAMESPACES]
    lines = [
        await unshown(
            connection, namespaces=[each], limit=max(1, limit // len(turn)), children=children, parents=parents
        )
        for each in turn
    ]
    return [each for row in zip_longest(*lines) for each in row if each is not None]


async def unshown_count(connection: Connection, *, namespaces: Sequence[str] | None) -> int:
    """How many children are to have a resource and have none yet, also of parents that have none."""
    cursor = await connection.execute(UNSHOWN_COUNT, _served(namespaces))
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


def _served(namespaces: Sequence[str] | None) -> dict[str, Any]:
    return {"all": namespaces is None, "namespaces": list(namespaces or ())}


async def portrait(connection: Connection, child: ExecutionId) -> Portrait | None:
    """What the resource of a child is to show; None when it has one by now, or is to have none."""
    async with connection.cursor(row_factory=class_row(Portrait)) as cursor:
        await cursor.execute(_PORTRAIT, (child,))
        return await cursor.fetchone()


async def rename(connection: Connection, child: ExecutionId, name: str) -> bool:
    """Gives a child that has no resource another name, because its own is taken.

    Returns:
        False when it has a resource by now.
    """
    cursor = await connection.execute(_RENAME, {"id": child, "name": name, "changes": CHANGES})
    return await cursor.fetchone() is not None


async def hide(connection: Connection, parent: ExecutionId) -> int:
    """The parent's resource is gone, and nothing below it can have one any more. They run all the same.

    Returns:
        How many will not be shown.
    """
    cursor = await connection.execute(_HIDE, {"id": parent})
    return cursor.rowcount
