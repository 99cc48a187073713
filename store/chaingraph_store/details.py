"""One execution for people who look at it: its address, its row without its inputs, its journal.

Read by the gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import class_row

from chaingraph_store import visibility
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection
from chaingraph_store.visibility import NamespaceIdentity

_SHOWN: Final = f"SELECT 1 FROM chaingraph.executions e WHERE e.id = %(id)s AND {visibility.shown('e')}"  # noqa: S608
_NEWEST_NAMED: Final = f"""
SELECT e.id, e.namespace, e.name FROM chaingraph.executions e
WHERE e.namespace = %(namespace)s AND e.name = %(name)s AND {visibility.shown("e")}
ORDER BY e.parent_id IS NOT NULL AND e.uid IS NULL AND e.resources = 'None', e.created_at DESC, e.id DESC LIMIT 1
"""  # noqa: S608 our own constants


@dataclass(frozen=True, slots=True)
class Address:
    """What the right to see an execution depends on."""

    id: ExecutionId
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Details:
    """An execution.

    Attributes:
        flow_revision: None for a child whose flow could not be found.
        parent_name: the name of its parent; None where it has none.
        position: which of its parent's children it is, from 0; None where it has no parent.
        seconds: from its start to its end or until now; None before its start.
        children: how many of the children that were made are in each phase.
        children_unmade: those that are still to be made.
        children_barred: those that never will be.
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
    resources: str
    phase: str
    attempt: int
    attempts: list[dict[str, Any]]
    paused: bool
    pause_reason: str
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
    children_total: int
    children_unmade: int
    children_barred: int
    children_open: int
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
    """Namespace and name of an execution; None when there is none of that id."""
    cursor = await connection.execute(
        "SELECT id, namespace, name FROM chaingraph.executions WHERE id = %s", (execution,)
    )
    row = await cursor.fetchone()
    return None if row is None else Address(*row)


async def newest_named(
    connection: Connection, namespace: str, name: str, *, of: NamespaceIdentity | None = None
) -> Address | None:
    """The execution of that name, the newest one where there were several; None when there never was one.

    Children without resources of their own come last: their names are made up, and the name may be a resource's.

    Args:
        of: the namespace that has the name now; None finds those of former ones too.
    """
    cursor = await connection.execute(
        _NEWEST_NAMED, {"namespace": namespace, "name": name, **visibility.parameters(of)}
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
    # PostgreSQL cannot look into a record whose strings hold \u0000, neither by -> nor as jsonb. So it comes whole.
    cursor = await connection.execute(
        "SELECT node_id, attempt, outcome, record FROM chaingraph.journal WHERE execution_id = %s", (execution,)
    )
    rows = [
        JournalRow(
            node_id=node,
            attempt=attempt,
            outcome=outcome,
            started_at=record["startedAt"],
            finished_at=record["finishedAt"],
            error=record.get("error") or "",
            reason=record.get("reason") or "",
            tries=record.get("attempts") or 0,
            outputs=record.get("outputs") or {} if outputs else None,
            emissions=record.get("emissions") or [] if outputs else None,
        )
        async for node, attempt, outcome, record in cursor
    ]
    return sorted(rows, key=lambda row: (row.finished_at, row.node_id))
