"""Pages of an execution's log, as text that goes to subscribers as it is.

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
    """One event; `timestamp` in RFC 3339 with milliseconds and `data` in JSON, both as text.

    Attributes:
        size: of the data, in bytes.
        data: None where it is larger than was asked for; see `large_values`.
    """

    index: int
    type: str
    timestamp: str
    size: int
    data: str | None


@dataclass(frozen=True, slots=True)
class LogPosition:
    """Where an execution stands.

    Attributes:
        next_index: the index that its next event will have.
        children_active: children that were not made yet, have not ended, or have something below them that has not.
    """

    phase: str
    attempt: int
    next_index: int
    children_active: int

    @property
    def ended(self) -> bool:
        """Whether its log has: it has ended itself, and so has everything below it. Only a retry goes on then."""
        return self.phase in TERMINAL_PHASES and self.children_active == 0


@dataclass(frozen=True, slots=True)
class LogPage:
    """Events in order, and the index to go on from: all that was asked for below it is in this or an earlier page."""

    events: Sequence[LoggedEvent]
    following: int
    standing: LogPosition

    @property
    def complete(self) -> bool:
        """Whether it reaches the log's end."""
        return self.following >= self.standing.next_index


# What is stored is summed up before anything is unpacked, and what is sent after that: so neither PostgreSQL nor who
# asks has more than a page in hand, however large the events are. What precedes an event is summed up, not what it
# weighs itself: a page has one event at least.
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
    """The events from an index on, inclusive, of these types or of all; None when there is no such execution.

    Args:
        limit: events at most.
        max_bytes: no event follows once those before it hold so many bytes of data.
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
    # All that was found is here, and there was less than was asked for: whatever comes next is not written yet.
    complete = not events or (len(events) == rows[0][9] and len(events) < limit)
    following = max(from_index, standing.next_index) if complete else events[-1].index + 1
    return LogPage(events, following, standing)


async def standing(connection: Connection, execution: ExecutionId) -> LogPosition | None:
    """Where an execution stands; None when there is none of that id."""
    cursor = await connection.execute(
        "SELECT phase, attempt, next_event_index, children_active FROM chaingraph.executions WHERE id = %s",
        (execution,),
    )
    row = await cursor.fetchone()
    return None if row is None else LogPosition(*row)
