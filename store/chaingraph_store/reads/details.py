"""Read one execution for users: its address, its row without inputs, its journal in pages.

Values are text, as PostgreSQL has them. Large ones are left out: see `large_values`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import class_row

from chaingraph_store import outputs
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection
from chaingraph_store.reads import visibility
from chaingraph_store.reads.visibility import NamespaceIdentity

_SHOWN: Final = f"SELECT 1 FROM chaingraph.executions e WHERE e.id = %(id)s AND {visibility.shown('e')}"  # noqa: S608
_NEWEST_NAMED: Final = f"""
SELECT e.id, e.namespace, e.name FROM chaingraph.executions e
WHERE e.namespace = %(namespace)s AND e.name = %(name)s AND {visibility.shown("e")}
ORDER BY e.parent_id IS NOT NULL AND e.uid IS NULL AND e.resources = 'None', e.created_at DESC, e.id DESC LIMIT 1
"""  # noqa: S608 our own constants
_DELETED_NAMED: Final = f"""
SELECT max(e.deleted_at) FROM chaingraph.executions e
WHERE e.namespace = %(namespace)s AND e.name = %(name)s AND e.deleted_at IS NOT NULL
  AND EXISTS (SELECT FROM chaingraph.executions r WHERE r.id = e.root_id AND {visibility.OWNED})
"""  # noqa: S608 our own constants


@dataclass(frozen=True, slots=True)
class Address:
    """The facts that decide on the right to see an execution."""

    id: ExecutionId
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Details:
    """An execution.

    Attributes:
        flow_revision: None for a child whose flow was not found.
        parent_name: the name of its parent; None without one.
        position: its number among its parent's children, from 0; None without a parent.
        running_nodes: the state of the first running and waiting nodes, as `running_nodes.RunningNode`; once the
            execution has ended, those that it interrupted.
        outputs: as JSON, the smallest first, up to the limit; None without any.
        omitted_outputs: the others, with their sizes.
        outputs_bytes: the total size; None without any.
        seconds: from its start to its end or until now; None before its start.
        children: the number of existing children in each phase.
        children_unspawned: children yet to be created.
        children_suppressed: children that never will be.
    """

    id: ExecutionId
    uid: str | None
    namespace: str
    name: str
    flow_name: str
    flow_revision: str | None
    queue: str
    priority: int
    parent_id: ExecutionId | None
    parent_name: str | None
    root_id: ExecutionId
    depth: int
    position: int | None
    subflow: str
    called_by: str
    resources: str
    phase: str
    attempt: int
    attempts: list[dict[str, Any]]
    paused: bool
    pause_node: str
    parked: bool
    breakpoints: list[str]
    recoveries: int
    worker: str
    worker_version: str
    nodes_total: int
    nodes_completed: int
    nodes_failed: int
    nodes_skipped: int
    nodes_running: int
    nodes_waiting: int
    current_nodes: list[str]
    running_nodes: list[dict[str, Any]]
    outputs: str | None
    omitted_outputs: dict[str, int]
    outputs_bytes: int | None
    error_node: str
    error_reason: str
    error_message: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    next_event_index: int
    seconds: float | None
    children_total: int
    children_unspawned: int
    children_suppressed: int
    children_active: int
    children: dict[str, int]


@dataclass(frozen=True, slots=True)
class JournalRow:
    """The end of a node.

    Attributes:
        size: of the record, in bytes.
        record: the engine's own, as JSON; None when it is larger than requested.
        head, tail: its first and last characters.
    """

    node_id: str
    attempt: int
    outcome: str
    size: int
    record: str | None
    head: str
    tail: str


@dataclass(frozen=True, slots=True)
class JournalPage:
    """Nodes in the order of their ids, and whether others follow."""

    rows: Sequence[JournalRow]
    more: bool


_COMPUTED: Final = {
    "outputs": f"({outputs.shown('e.outputs', '%(inline)s')})::text AS outputs",
    "omitted_outputs": f"{outputs.omitted('e.outputs', '%(inline)s')} AS omitted_outputs",
    "outputs_bytes": "octet_length(e.outputs::text) AS outputs_bytes",
    "parent_name": "(SELECT p.name FROM chaingraph.executions p WHERE p.id = e.parent_id) AS parent_name",
    "seconds": "extract(epoch FROM coalesce(finished_at, now()) - started_at)::float8 AS seconds",
    "children": "(SELECT coalesce(json_object_agg(phase, number), '{}') FROM (SELECT c.phase, count(*) AS number"
    " FROM chaingraph.executions c WHERE c.parent_id = e.id GROUP BY c.phase) counted) AS children",
}
_COLUMNS: Final = ", ".join(_COMPUTED.get(name, name) for name in Details.__dataclass_fields__)


async def is_shown(connection: Connection, execution: ExecutionId, namespace: NamespaceIdentity) -> bool:
    """Whether the execution belongs to the namespace that exists now, and was not deleted."""
    cursor = await connection.execute(_SHOWN, {"id": execution, **visibility.parameters(namespace)})
    return await cursor.fetchone() is not None


async def address(connection: Connection, execution: ExecutionId) -> Address | None:
    """Return namespace and name of an execution; None when there is none with that id."""
    cursor = await connection.execute(
        "SELECT id, namespace, name FROM chaingraph.executions WHERE id = %s", (execution,)
    )
    row = await cursor.fetchone()
    return None if row is None else Address(*row)


async def newest_named(
    connection: Connection, namespace: str, name: str, *, of: NamespaceIdentity | None = None
) -> Address | None:
    """Return the newest execution of that name; None when there never was one.

    Children without resources come last: their names are generated, and may be those of resources.

    Args:
        of: the namespace that has the name now; None includes former ones.
    """
    cursor = await connection.execute(
        _NEWEST_NAMED, {"namespace": namespace, "name": name, **visibility.parameters(of)}
    )
    row = await cursor.fetchone()
    return None if row is None else Address(*row)


async def deleted_named(connection: Connection, namespace: str, name: str, *, of: NamespaceIdentity) -> datetime | None:
    """Return when the execution of that name was found deleted by a user; None when it was not."""
    cursor = await connection.execute(
        _DELETED_NAMED, {"namespace": namespace, "name": name, **visibility.parameters(of)}
    )
    row = await cursor.fetchone()
    return None if row is None else row[0]


async def of_execution(connection: Connection, execution: ExecutionId, *, inline_bytes: int) -> Details | None:
    """Return an execution without its inputs; None when there is none with that id.

    Args:
        inline_bytes: maximum total size of the outputs.
    """
    async with connection.cursor(row_factory=class_row(Details)) as cursor:
        await cursor.execute(
            f"SELECT {_COLUMNS} FROM chaingraph.executions e WHERE id = %(id)s",  # noqa: S608 our own column names
            {"id": execution, "inline": inline_bytes},
        )
        return await cursor.fetchone()


# Stored sizes are summed before anything is unpacked, and sent sizes after that: so neither PostgreSQL nor the caller
# has more than a page in memory, however large the records are. A page has at least one row.
_JOURNAL: Final = """
SELECT node_id, attempt, outcome, size, record, head, tail, candidates FROM (
  SELECT read.*, coalesce(sum(octet_length(read.record)) OVER (
    ORDER BY read.node_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS sent_before
  FROM (
    SELECT found.node_id, found.attempt, found.outcome, found.candidates, octet_length(whole.text) AS size,
           CASE WHEN octet_length(whole.text) <= %(inline)s THEN whole.text END AS record,
           left(whole.text, 500) AS head, right(whole.text, 5000) AS tail
    FROM (
      SELECT j.*, count(*) OVER () AS candidates, coalesce(sum(pg_column_size(j.record)) OVER (
        ORDER BY j.node_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS stored_before
      FROM (
        SELECT * FROM chaingraph.journal WHERE execution_id = %(id)s AND node_id > %(after)s
          AND outcome <> 'waiting'
        ORDER BY node_id LIMIT %(limit)s
      ) j
    ) found CROSS JOIN LATERAL (SELECT found.record::text AS text OFFSET 0) whole
    WHERE found.stored_before < %(stored)s
  ) read
) page WHERE sent_before < %(bytes)s ORDER BY node_id
"""
_STORED_BYTES: Final = 8_000_000
"""Bytes that PostgreSQL unpacks for one page; at most 90 times as much text."""


async def journal(
    connection: Connection, execution: ExecutionId, *, after: str, limit: int, inline_bytes: int, page_bytes: int
) -> JournalPage:
    """Return the ends of nodes, in the order of their ids.

    Args:
        after: the last node of the previous page; '' for the first.
        limit: maximum number of nodes.
        inline_bytes: larger records are left out.
        page_bytes: the page ends once its records have this many bytes.
    """
    cursor = await connection.execute(
        _JOURNAL,
        {
            "id": execution,
            "after": after,
            "limit": limit + 1,
            "inline": inline_bytes,
            "bytes": page_bytes,
            "stored": _STORED_BYTES,
        },
    )
    found = await cursor.fetchall()
    shown = found[:limit]
    return JournalPage([JournalRow(*row[:-1]) for row in shown], bool(shown) and len(shown) < shown[0][-1])
