"""Choose the children that get their resources next: namespaces in turn, and in each namespace its root executions.

A root with a thousand children delays the others by no more than its share of a page. Within a tree the oldest child
comes first: a parent is older than its children, so owners come before their dependents.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Final

from psycopg.rows import class_row

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection


@dataclass(frozen=True, slots=True)
class PendingChildResource:
    """A child without the resource that it should get, and the resource that will own it: its parent's."""

    id: ExecutionId
    namespace: str
    name: str
    parent_id: ExecutionId
    parent_uid: str
    parent_name: str


@dataclass(frozen=True, slots=True)
class ResourceTurn:
    """The last turn: the next page starts after this namespace, and in each namespace after this root."""

    namespace: str = ""
    roots: Mapping[str, str] = field(default_factory=dict)


MOST_NAMESPACES: Final = 20
"""Maximum namespaces of one page."""
_UNSHOWN: Final = "parent_id IS NOT NULL AND uid IS NULL AND resources = 'Create'"
NAMESPACES: Final = f"""
WITH RECURSIVE tenant AS (
  (SELECT namespace FROM chaingraph.executions WHERE {_UNSHOWN} ORDER BY namespace LIMIT 1)
  UNION ALL
  SELECT (SELECT e.namespace FROM chaingraph.executions e
          WHERE {_UNSHOWN} AND e.namespace > tenant.namespace ORDER BY e.namespace LIMIT 1)
  FROM tenant WHERE tenant.namespace IS NOT NULL
)
SELECT namespace FROM tenant WHERE namespace IS NOT NULL AND (%(all)s OR namespace = ANY(%(namespaces)s))
"""  # noqa: S608 - put together of constants alone
"""One index step per namespace, however many children it has."""
ROOTS: Final = f"""
WITH RECURSIVE tree AS (
  (SELECT root_id, 1 AS number FROM chaingraph.executions
   WHERE {_UNSHOWN} AND namespace = %(namespace)s AND root_id > %(after)s ORDER BY root_id LIMIT 1)
  UNION ALL
  SELECT (SELECT e.root_id FROM chaingraph.executions e
          WHERE {_UNSHOWN} AND e.namespace = %(namespace)s AND e.root_id > tree.root_id ORDER BY e.root_id LIMIT 1),
         tree.number + 1
  FROM tree WHERE tree.root_id IS NOT NULL AND tree.number < %(most)s
)
SELECT root_id FROM tree WHERE root_id IS NOT NULL
"""  # noqa: S608 - put together of constants alone
"""One index step per root."""
CHILDREN: Final = """
SELECT child.id, child.namespace, child.name, child.parent_id, child.parent_uid, child.parent_name
FROM unnest(%(roots)s::text[]) WITH ORDINALITY AS root (id, turn)
CROSS JOIN LATERAL (
  SELECT oldest.*, row_number() OVER (ORDER BY oldest.created_at, oldest.id) AS number
  FROM (SELECT c.id, c.namespace, c.name, c.parent_id, c.created_at, p.uid AS parent_uid, p.name AS parent_name
        FROM chaingraph.executions c JOIN chaingraph.executions p ON p.id = c.parent_id
        WHERE c.parent_id IS NOT NULL AND c.uid IS NULL AND c.resources = 'Create' AND p.uid IS NOT NULL
          AND c.namespace = %(namespace)s AND c.root_id = root.id
          AND c.id <> ALL(%(children)s) AND c.parent_id <> ALL(%(parents)s)
        ORDER BY c.created_at, c.id LIMIT %(each)s) oldest) child
ORDER BY child.number, root.turn
"""
COUNT: Final = f"""
SELECT count(*) FROM chaingraph.executions
WHERE {_UNSHOWN} AND (%(all)s OR namespace = ANY(%(namespaces)s))
"""  # noqa: S608 - put together of constants alone


async def page(
    connection: Connection,
    *,
    namespaces: Sequence[str] | None,
    limit: int,
    last: ResourceTurn | None = None,
    children: Sequence[ExecutionId] = (),
    parents: Sequence[ExecutionId] = (),
    resting: Sequence[str] = (),
) -> tuple[list[PendingChildResource], ResourceTurn]:
    """Return about `limit` children that should get a resource, starting after the last turn.

    Children whose parent has no resource are left out: a resource has its owner from the start.

    Args:
        namespaces: the served namespaces; None for all.
        last: the turn of the previous page.
        children: children to skip.
        parents: parents whose children to skip.
        resting: namespaces to skip.

    Returns:
        No children only when there are none, wherever it started.
    """
    last = last or ResourceTurn()
    cursor = await connection.execute(NAMESPACES, _served(namespaces))
    found = [str(row[0]) for row in await cursor.fetchall() if row[0] not in resting]
    first = bisect.bisect_right(found, last.namespace)
    roots = {name: root for name, root in last.roots.items() if name in found}
    without = {"children": list(children), "parents": list(parents)}
    order = [*found[first:], *found[:first]]
    for begin in range(0, len(order), MOST_NAMESPACES):
        turn = order[begin : begin + MOST_NAMESPACES]
        lines = []
        for name in turn:
            line, roots[name] = await _of_namespace(
                connection, name, max(1, limit // len(turn)), roots.get(name, ""), without
            )
            lines.append(line)
        if any(lines):
            children_found = [each for row in zip_longest(*lines) for each in row if each is not None]
            return children_found, ResourceTurn(turn[-1] if len(found) > MOST_NAMESPACES else turn[0], roots)
    return [], ResourceTurn(last.namespace, roots)


async def _of_namespace(
    connection: Connection, namespace: str, limit: int, after: str, without: Mapping[str, Any]
) -> tuple[list[PendingChildResource], str]:
    """Return children of the roots after one, each root's in turn, and the root before those of the next page."""
    started, wrapped = after, not after
    while True:
        given = {"namespace": namespace, "after": after, "most": limit}
        cursor = await connection.execute(ROOTS, given)
        roots = [str(row[0]) for row in await cursor.fetchall()]
        found = await _of_roots(connection, namespace, roots, limit, without) if roots else []
        more = len(roots) == limit
        after = roots[-1] if more else ""
        if found or (wrapped and (not more or after >= started > "")):
            return found, after
        wrapped = wrapped or not more


async def _of_roots(
    connection: Connection, namespace: str, roots: Sequence[str], limit: int, without: Mapping[str, Any]
) -> list[PendingChildResource]:
    given = {"namespace": namespace, "roots": list(roots), "each": -(-limit // len(roots))} | dict(without)
    async with connection.cursor(row_factory=class_row(PendingChildResource)) as cursor:
        await cursor.execute(CHILDREN, given)
        return (await cursor.fetchall())[:limit]


async def count(connection: Connection, *, namespaces: Sequence[str] | None) -> int:
    """Count the children that should get a resource, including those whose parent has none."""
    cursor = await connection.execute(COUNT, _served(namespaces))
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


def _served(namespaces: Sequence[str] | None) -> dict[str, Any]:
    return {"all": namespaces is None, "namespaces": list(namespaces or ())}
