"""One execution for people who look at it: its address, its row without its inputs, its journal.

Read by the gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import class_row

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection


@dataclass(frozen=True, slots=True)
class Address:
    """What the right to see an execution depends on."""

    id: ExecutionId
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Details:
    """An execution. `seconds` is the time from its start to its end or until now, None before its start."""

    id: ExecutionId
    uid: str | None
    namespace: str
    name: str
    flow_name: str
    flow_revision: str
    queue: str
    priority: int
    parent_id: ExecutionId | None
    root_id: ExecutionId
    depth: int
    phase: str
    attempt: int
    attempts: list[dict[str, Any]]
    paused: bool
    pause_reason: str
    parked: bool
    breakpoints: list[str]
    recoveries: int
    worker: str
    nodes_total: int
    nodes_completed: int
    nodes_failed: int
    nodes_skipped: int
    nodes_running: int
    current_nodes: list[str]
    outputs: dict[str, Any] | None
    error_node: str
    error_reason: str
    error_message: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    next_event_index: int
    seconds: float | None
    children: dict[str, int]


@dataclass(frozen=True, slots=True)
class JournalRow:
    """How a node ended. Times in milliseconds since 1970; `outputs` and `emissions` None where not asked for."""

    node_id: str
    attempt: int
    outcome: str
    started_at: int
    finished_at: int
    error: str
    reason: str
    tries: int
    outputs: dict[str, Any] | None
    emissions: list[dict[str, Any]] | None


_COMPUTED: Final = {
    "seconds": "extract(epoch FROM coalesce(finished_at, now()) - started_at)::float8 AS seconds",
    "children": "(SELECT coalesce(json_object_agg(phase, number), '{}') FROM (SELECT c.phase, count(*) AS number"
    " FROM chaingraph.executions c WHERE c.parent_id = e.id GROUP BY c.phase) counted) AS children",
}
_COLUMNS: Final = ", ".join(_COMPUTED.get(name, name) for name in Details.__dataclass_fields__)


async def address(connection: Connection, execution: ExecutionId) -> Address | None:
    """Namespace and name of an execution; None when there is none of that id."""
    cursor = await connection.execute(
        "SELECT id, namespace, name FROM chaingraph.executions WHERE id = %s", (execution,)
    )
    row = await cursor.fetchone()
    return None if row is None else Address(*row)


async def newest_named(connection: Connection, namespace: str, name: str) -> Address | None:
    """The execution of that name, the newest one where there were several; None when there never was one."""
    cursor = await connection.execute(
        "SELECT id, namespace, name FROM chaingraph.executions WHERE namespace = %s AND name = %s"
        " ORDER BY created_at DESC, id DESC LIMIT 1",
        (namespace, name),
    )
    row = await cursor.fetchone()
    return None if row is None else Address(*row)


async def of_execution(connection: Connection, execution: ExecutionId) -> Details | None:
    """Everything about an execution but its inputs; None when there is none of that id."""
    async with connection.cursor(row_factory=class_row(Details)) as cursor:
        await cursor.execute(f"SELECT {_COLUMNS} FROM chaingraph.executions e WHERE id = %s", (execution,))  # noqa: S608 our own column names
        return await cursor.fetchone()


async def journal(connection: Connection, execution: ExecutionId, *, outputs: bool) -> Sequence[JournalRow]:
    """How the nodes ended that have ended, in the order in which they did."""
    # Their strings may hold \\u0000, which PostgreSQL's text cannot: -> takes them as they are, ->> and jsonb refuse.
    async with connection.cursor(row_factory=class_row(JournalRow)) as cursor:
        await cursor.execute(
            "SELECT node_id, attempt, outcome, record->'startedAt' AS started_at, record->'finishedAt' AS finished_at,"
            " record->'error' AS error, record->'reason' AS reason, record->'attempts' AS tries,"
            " CASE WHEN %(outputs)s THEN record->'outputs' END AS outputs,"
            " CASE WHEN %(outputs)s THEN record->'emissions' END AS emissions"
            " FROM chaingraph.journal WHERE execution_id = %(id)s"
            " ORDER BY (record->'finishedAt')::text::bigint, node_id",
            {"id": execution, "outputs": outputs},
        )
        return await cursor.fetchall()
