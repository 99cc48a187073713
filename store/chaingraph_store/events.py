"""The table `events`: the log of an execution, with dense indices from 0 and the creation event at -1.

The worker's fenced flush appends to it, and so does every change from outside: control, retry, stop, recovery.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import class_row
from psycopg.types.json import Json

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection

ANNOUNCEMENT_INDEX: Final = -1
STARTED: Final = "flow:started"
PAUSED: Final = "flow:paused"
RESUMED: Final = "flow:resumed"
RETRIED: Final = "flow:retried"
CHILD_SPAWNED: Final = "child:spawned"
WORKER_LOST: Final = "worker:lost"
WORKER_DRAINED: Final = "worker:drained"
PAUSED_DATA: Final = (
    "json_strip_nulls(json_build_object('reason', CASE WHEN pause_node = '' THEN 'Paused' ELSE 'Breakpoint' END,"
    " 'node', nullif(pause_node, '')))"
)
"""The data of flow:paused in SQL, as `chaingraph_flow.events.paused_data` makes it."""
PAUSE_TYPES: Final = frozenset({PAUSED, RESUMED})
"""They alternate in the log of an attempt. A change of a row without an engine writes the pending one."""


@dataclass(frozen=True, slots=True)
class EventRow:
    index: int
    type: str
    at: datetime
    data: dict[str, Any]


async def append_at(
    connection: Connection, execution: ExecutionId, index: int, event_type: str, data: Mapping[str, Any]
) -> None:
    """Write one event at an index that the caller took from the execution's row in the same transaction."""
    await connection.execute(
        "INSERT INTO chaingraph.events (execution_id, index, type, at, data) VALUES (%s, %s, %s, now(), %s)",
        (execution, index, event_type, Json(data)),
    )


async def read(
    connection: Connection, execution: ExecutionId, *, from_index: int = ANNOUNCEMENT_INDEX, limit: int = 1000
) -> Sequence[EventRow]:
    """Return the events from an index on, inclusive, in order."""
    async with connection.cursor(row_factory=class_row(EventRow)) as cursor:
        await cursor.execute(
            "SELECT index, type, at, data FROM chaingraph.events"
            " WHERE execution_id = %s AND index >= %s ORDER BY index LIMIT %s",
            (execution, from_index, limit),
        )
        return await cursor.fetchall()
