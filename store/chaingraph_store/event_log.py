"""Pages of an execution's log, as text that goes to subscribers as it is. Read by the gateway.

A page and where the execution stands come from one snapshot: when it says that the log has ended at index N, every
event below N can be read. A log goes on after the execution's own end: its children are spawned then, and what becomes
of them is written there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chaingraph_store.executions import TERMINAL_PHASES
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One event; `timestamp` in RFC 3339 with milliseconds and `data` in JSON, both as text."""

    index: int
    type: str
    timestamp: str
    data: str


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an execution stands.

    Attributes:
        next_index: the index that its next event will have.
        children_open: children that were not made yet, have not ended, or have something below them that has not.
    """

    phase: str
    attempt: int
    next_index: int
    children_open: int

    @property
    def ended(self) -> bool:
        """Whether its log has: it has ended itself, and so has everything below it. Only a retry goes on then."""
        return self.phase in TERMINAL_PHASES and self.children_open == 0


@dataclass(frozen=True, slots=True)
class LogPage:
    """Events in order, and the index to go on from: all that was asked for below it is in this or an earlier page."""

    events: Sequence[LoggedEvent]
    following: int
    standing: Standing

    @property
    def complete(self) -> bool:
        """Whether it reaches the log's end."""
        return self.following >= self.standing.next_index


# What precedes an event is summed up, not what it weighs itself: a page has one event at least.
_PAGE: Final = """
SELECT e.phase, e.attempt, e.next_event_index, e.children_open, page.index, page.type, page.timestamp, page.data
FROM chaingraph.executions e
LEFT JOIN LATERAL (
  SELECT found.index, found.type, found.timestamp, found.data,
         coalesce(sum(octet_length(found.data)) OVER (
           ORDER BY found.index ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
  FROM (
    SELECT v.index, v.type, to_char(v.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS timestamp,
           v.data::text AS data
    FROM chaingraph.events v
    WHERE v.execution_id = e.id AND v.index >= %(from)s AND (%(types)s::text[] IS NULL OR v.type = ANY(%(types)s))
    ORDER BY v.index LIMIT %(limit)s
  ) found
) page ON page.before < %(bytes)s
WHERE e.id = %(id)s
ORDER BY page.index
"""


async def page(
    connection: Connection,
    execution: ExecutionId,
    *,
    from_index: int,
    types: Sequence[str] | None = None,
    limit: int = 1000,
    max_bytes: int = 1_000_000,
) -> LogPage | None:
    """The events from an index on, inclusive, of these types or of all; None when there is no such execution.

    Args:
        limit: events at most.
        max_bytes: no event follows once those before it hold so many bytes of data.
    """
    cursor = await connection.execute(
        _PAGE,
        {
            "id": execution,
            "from": from_index,
            "types": None if types is None else list(types),
            "limit": limit,
            "bytes": max_bytes,
        },
    )
    rows = await cursor.fetchall()
    if not rows:
        return None
    standing = Standing(*rows[0][:4])
    events = [LoggedEvent(*row[4:]) for row in rows if row[4] is not None]
    return LogPage(events, _following(events, from_index, standing, limit, max_bytes), standing)


def _following(events: Sequence[LoggedEvent], from_index: int, standing: Standing, limit: int, max_bytes: int) -> int:
    full = len(events) == limit or sum(len(each.data.encode()) for each in events) >= max_bytes
    return events[-1].index + 1 if full else max(from_index, standing.next_index)


async def standing(connection: Connection, execution: ExecutionId) -> Standing | None:
    """Where an execution stands; None when there is none of that id."""
    cursor = await connection.execute(
        "SELECT phase, attempt, next_event_index, children_open FROM chaingraph.executions WHERE id = %s", (execution,)
    )
    row = await cursor.fetchone()
    return None if row is None else Standing(*row)
