"""Executions in order: the tree below one, level by level, and the roots, newest first.

A tree may have 100,000 executions and is read in pages, each of which costs about as much as it shows: it consists of
the children of one parent after the other, and few executions have children.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString, TypeVar

from psycopg.rows import class_row

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection
from chaingraph_store.reads import visibility
from chaingraph_store.reads.visibility import NamespaceIdentity


@dataclass(frozen=True, slots=True)
class TreeRow:
    """An execution in short.

    Attributes:
        position: its number among its parent's children, from 0; None without a parent.
        subflow: the subflow that it runs instead of the flow, or ''.
        called_by: the path of the call in its parent that it is, or ''.
        current_nodes: running or held nodes, the first ten of them.
        running_nodes: the state of the first three running ones, as `running_nodes.RunningNode`.
        error_message: its first 200 characters.
        seconds: from its start to its end or until now; None before its start.
        children: the number of existing children in each phase; None without any.
        children_unspawned: children yet to be created.
        children_suppressed: children that never will be.
    """

    id: ExecutionId
    uid: str | None
    namespace: str
    name: str
    flow_name: str
    parent_id: ExecutionId | None
    root_id: ExecutionId
    depth: int
    position: int | None
    subflow: str
    called_by: str
    phase: str
    attempt: int
    current_nodes: list[str]
    running_nodes: list[dict[str, Any]] | None
    error_node: str
    error_reason: str
    error_message: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float | None
    children_total: int
    children_unspawned: int
    children_suppressed: int
    children_active: int
    children: dict[str, int] | None
    namespace_uid: str


@dataclass(frozen=True, slots=True)
class RootRow(TreeRow):
    """A root execution, with counts of all its descendants like those of its children."""

    below_total: int
    below_unspawned: int
    below_suppressed: int
    below: dict[str, int] | None


@dataclass(frozen=True, slots=True)
class TreeCursor:
    """The end of a page of a tree: depth, parent and position of its last row.

    The head of the tree has no position among its parent's children here: '' and -1.
    """

    depth: int
    parent: str
    position: int

    @classmethod
    def of(cls, row: TreeRow, *, head: ExecutionId) -> TreeCursor:
        if row.id == head or row.parent_id is None or row.position is None:
            return cls(row.depth, "", -1)
        return cls(row.depth, row.parent_id, row.position)


@dataclass(frozen=True, slots=True)
class RootCursor:
    """The end of a page of roots: the last row's creation time and id."""

    created_at: datetime
    id: ExecutionId

    @classmethod
    def of(cls, row: TreeRow) -> RootCursor:
        return cls(row.created_at, row.id)


_AT_ONCE: Final = 50

_Row = TypeVar("_Row", bound=TreeRow)

_COLUMNS: Final = """
SELECT e.id, e.uid, e.namespace, e.name, e.flow_name, e.parent_id, e.root_id, e.depth, e.position,
       e.subflow, e.called_by, e.phase, e.attempt, e.namespace_uid, e.current_nodes[:10] AS current_nodes,
       CASE WHEN e.nodes_running > 0 OR e.nodes_waiting > 0 THEN (
         SELECT json_agg(first.value) FROM (SELECT value FROM json_array_elements(e.running_nodes) LIMIT 3) first
       ) END AS running_nodes,
       e.error_node, e.error_reason, left(e.error_message, 200) AS error_message,
       e.created_at, e.started_at, e.finished_at,
       extract(epoch FROM coalesce(e.finished_at, now()) - e.started_at)::float8 AS seconds,
       e.children_total, e.children_unspawned, e.children_suppressed, e.children_active,
       CASE WHEN e.children_total > 0 THEN (
         SELECT json_object_agg(made.phase, made.number)
         FROM (SELECT c.phase, count(*) AS number FROM chaingraph.executions c
               WHERE c.parent_id = e.id GROUP BY c.phase) made
       ) END AS children
"""
_HEAD: Final = _COLUMNS + "FROM chaingraph.executions e WHERE e.id = %(head)s"

_PARENTS_IN_TREE: Final = """
WITH parents AS (
  SELECT p.id, p.depth FROM chaingraph.executions p WHERE p.root_id = %(head)s AND p.children_total > 0
)"""
# Here and below, a sum and an empty text keep PostgreSQL from joining every step with an index of very many rows, which
# it does without statistics of the table: that of all parents, or that of the whole namespace.
_PARENTS_BELOW: Final = """
WITH RECURSIVE parents AS (
  SELECT id, depth FROM chaingraph.executions WHERE id = %(head)s
  UNION ALL
  SELECT c.id, c.depth FROM chaingraph.executions c JOIN parents ON c.parent_id = parents.id
  WHERE c.children_total + 0 > 0 AND c.depth < %(deepest)s
)"""
# The shown columns are read after the page is cut: each row needs a count of children.
_PAGE: Final = (
    """, page AS (
  SELECT shown.id, p.depth, p.id AS parent, shown.position
  FROM (
    SELECT id, depth FROM parents
    WHERE (depth, id) >= (%(depth)s, %(parent)s) AND depth < %(deepest)s ORDER BY depth, id
  ) p CROSS JOIN LATERAL (
    SELECT c.id, c.position FROM chaingraph.executions c
    WHERE c.parent_id = p.id AND c.deleted_at IS NULL
      AND c.position > CASE WHEN p.id = %(parent)s THEN %(position)s ELSE -1 END
      AND c.namespace || '' = %(namespace)s AND (%(phases)s::text[] IS NULL OR c.phase = ANY(%(phases)s))
    ORDER BY c.position LIMIT %(limit)s
  ) shown
  ORDER BY p.depth, p.id, shown.position LIMIT %(limit)s
)
"""  # noqa: S608 our own constants
    + _COLUMNS
    + "FROM page JOIN chaingraph.executions e USING (id) ORDER BY page.depth, page.parent, page.position"
)
_DEEPEST: Final = 2**31 - 1

_ROOTS: Final = (
    _COLUMNS  # noqa: S608 our own constants
    + """,
  CASE WHEN e.children_total > 0 THEN (
    SELECT json_object_agg(made.phase, made.number)
    FROM (SELECT b.phase, count(*) AS number FROM chaingraph.executions b
          WHERE b.root_id = e.id AND b.parent_id IS NOT NULL GROUP BY b.phase) made
  ) END AS below,
  coalesce(emitted.total, 0) AS below_total, coalesce(emitted.suppressed, 0) AS below_suppressed,
  coalesce(emitted.unspawned, 0) AS below_unspawned
FROM page JOIN chaingraph.executions e USING (id)
LEFT JOIN LATERAL (
  SELECT sum(p.children_total)::bigint AS total, sum(p.children_unspawned)::bigint AS unspawned,
         sum(p.children_suppressed)::bigint AS suppressed
  FROM chaingraph.executions p WHERE p.root_id = e.id AND p.children_total > 0
) emitted ON true
ORDER BY e.created_at DESC, e.id DESC
"""
)


async def below(
    connection: Connection,
    execution: ExecutionId,
    *,
    levels: int | None = None,
    phases: Sequence[str] | None = None,
    after: TreeCursor | None = None,
    limit: int = 100,
) -> Sequence[TreeRow]:
    """Return the execution and its descendants in the same namespace, level by level.

    The children of one parent are together, in the order of their creation.

    Args:
        levels: the number of levels below the execution; None for all.
        phases: only executions in one of these; None for all.
    """
    head = await _head(connection, execution)
    if head is None:
        return []
    first = [head] if after is None and (phases is None or head.phase in phases) else []
    if len(first) == limit:
        return first
    place = after or TreeCursor.of(head, head=execution)
    parameters = {
        "head": execution,
        "namespace": head.namespace,
        "deepest": _DEEPEST if levels is None else head.depth + levels,
        "phases": None if phases is None else list(phases),
        "depth": place.depth - 1,
        "parent": place.parent,
        "position": place.position,
        "limit": limit - len(first),
    }
    parents = _PARENTS_IN_TREE if head.parent_id is None else _PARENTS_BELOW
    return [*first, *await _rows(connection, TreeRow, parents + _PAGE, parameters)]


async def _head(connection: Connection, execution: ExecutionId) -> TreeRow | None:
    found = await _rows(connection, TreeRow, _HEAD, {"head": execution})
    return found[0] if found else None


async def roots(
    connection: Connection,
    *,
    namespace: str | None = None,
    of: NamespaceIdentity | None = None,
    flow: str | None = None,
    phases: Sequence[str] | None = None,
    after: RootCursor | None = None,
    limit: int = 100,
) -> Sequence[RootRow]:
    """Return the root executions, newest first, each with counts of its descendants.

    Args:
        namespace: only those in this one; None for all.
        of: the namespace that has that name now; None includes former ones.
        flow: only those of the flow of this name; None for all.
        phases: only those in one of these phases; None for all.
    """
    # Only the conditions in use, so that each combination gets a fitting plan.
    conditions: list[LiteralString] = ["r.parent_id IS NULL", "r.deleted_at IS NULL"]
    parameters: dict[str, Any] = {"limit": limit}
    if namespace is not None:
        conditions.append("r.namespace = %(namespace)s")
        parameters["namespace"] = namespace
    if of is not None:
        conditions.append(visibility.OWNED)
        parameters |= visibility.parameters(of)
    if flow is not None:
        conditions.append("r.flow_name = %(flow)s")
        parameters["flow"] = flow
    if phases is not None:
        conditions.append("r.phase = ANY(%(phases)s)")
        parameters["phases"] = list(phases)
    if after is not None:
        conditions.append("(r.created_at, r.id) < (%(created_at)s, %(after)s)")
        parameters |= {"created_at": after.created_at, "after": after.id}
    page = f"""
WITH page AS (
  SELECT r.id FROM chaingraph.executions r WHERE {" AND ".join(conditions)}
  ORDER BY r.created_at DESC, r.id DESC LIMIT %(limit)s
)
"""  # noqa: S608 our own constants
    return await _rows(connection, RootRow, page + _ROOTS, parameters)


async def _rows(
    connection: Connection, form: type[_Row], query: LiteralString, parameters: Mapping[str, Any]
) -> Sequence[_Row]:
    async with connection.cursor(row_factory=class_row(form)) as cursor:
        await cursor.execute(query, parameters)
        rows: list[_Row] = []
        while some := await cursor.fetchmany(_AT_ONCE):
            rows += some
            # A page of a thousand takes 50 ms to be converted into objects.
            await asyncio.sleep(0)
        return rows
