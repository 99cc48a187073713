"""Pages of an execution's log, as text for subscribers.

A page and the execution's position come from one snapshot: when it shows that the log has ended at index N, every event
below N can be read. A log continues after the execution's own end, with the spawning and the ends of its children.
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
    """One event; `timestamp` in RFC 3339 with milliseconds and `data` as JSON, both as text.

    Attributes:
        size: of the data, in bytes.
        data: None when it is larger than requested; see `large_values`.
    """

    index: int
    type: str
    timestamp: str
    size: int
    data: str | None


@dataclass(frozen=True, slots=True)
class LogPosition:
    """The position of an execution's log.

    Attributes:
        next_index: the index of its next event.
        children_active: children not created yet, not ended, or with unfinished descendants.
    """

    phase: str
    attempt: int
    next_index: int
    children_active: int

    @property
    def ended(self) -> bool:
        """Whether its log has ended: the execution and all descendants have. Only a retry continues it."""
        return self.phase in TERMINAL_PHASES and self.children_active == 0


@dataclass(frozen=True, slots=True)
class LogPage:
    """Events in order, and the next index: all requested events below it are in this or an earlier page."""

    events: Sequence[LoggedEvent]
    following: int
    standing: LogPosition

    @property
    def complete(self) -> bool:
        """Whether it reaches the log's end."""
        return self.following >= self.standing.next_index


# Stored sizes are summed before anything is unpacked, and sent sizes after that: so neither PostgreSQL nor the caller
# has more than a page in memory, however large the events are. Only preceding events are summed, so a page has at least
# one event.
_PAGE: Final = """
SELECT e.phase, e.attempt, e.next_event_index, e.children_active,
       page.index, page.type, page.timestamp, page.size, page.data, page.candidates
FROM chaingraph.executions e
LEFT JOIN LATERAL (
  SELECT read.*, coalesce(sum(octet_length(read.data)) OVER (
           ORDER BY read.index ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS sent_before
  FROM (
    SELECT found.index, found.type, found.candidates,
           to_char(found.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS timestamp,
           octet_length(whole.text) AS size,
           CASE WHEN octet_length(whole.text) <= %(inline)s THEN whole.text END AS data
    FROM (
      SELECT v.*, count(*) OVER () AS candidates, coalesce(sum(pg_column_size(v.data)) OVER (
               ORDER BY v.index ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS stored_before
      FROM (
        SELECT * FROM chaingraph.events v
        WHERE v.execution_id = e.id AND v.index >= %(from)s AND (%(types)s::text[] IS NULL OR v.type = ANY(%(types)s))
        ORDER BY v.index LIMIT %(limit)s
      ) v
    ) found CROSS JOIN LATERAL (SELECT found.data::text AS text OFFSET 0) whole
    WHERE found.stored_before < %(bytes)s
  ) read
) page ON page.sent_before < %(bytes)s
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
    max_bytes: int = 500_000,
    inline_bytes: int = 32_768,
) -> LogPage | None:
    """Return the events from an index on, inclusive, of these types or of all; None when there is no such execution.

    Args:
        limit: maximum number of events.
        max_bytes: the page ends once its events have this many bytes of data.
        inline_bytes: larger data is left out.
    """
    cursor = await connection.execute(
        _PAGE,
        {
            "id": execution,
            "from": from_index,
            "types": None if types is None else list(types),
            "limit": limit,
            "bytes": max_bytes,
            "inline": inline_bytes,
        },
    )
    rows = await cursor.fetchall()
    if not rows:
        return None
    standing = LogPosition(*rows[0][:4])
    events = [LoggedEvent(*row[4:9]) for row in rows if row[4] is not None]
    # Everything found is here, and less than requested: any later events are not written yet.
    complete = not events or (len(events) == rows[0][9] and len(events) < limit)
    following = max(from_index, standing.next_index) if complete else events[-1].index + 1
    return LogPage(events, following, standing)


async def standing(connection: Connection, execution: ExecutionId) -> LogPosition | None:
    """Return the position of an execution's log; None when there is none with that id."""
    cursor = await connection.execute(
        "SELECT phase, attempt, next_event_index, children_active FROM chaingraph.executions WHERE id = %s",
        (execution,),
    )
    row = await cursor.fetchone()
    return None if row is None else LogPosition(*row)
