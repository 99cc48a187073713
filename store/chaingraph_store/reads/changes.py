"""The change feed: which executions changed since a sequence number.

NOTIFY is a hint, the sequence is the source of truth. Sequence numbers are drawn before their transactions commit, so
they can become visible out of order: a reader has to start slightly before the newest number it has seen.
"""

from __future__ import annotations

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection

LOOK_BEHIND = 1000
"""How many sequence numbers a reader goes back, to see late commits."""


async def newest(connection: Connection) -> int:
    """Return the newest visible sequence number; 0 without any."""
    cursor = await connection.execute("SELECT coalesce(max(change_seq), 0) FROM chaingraph.executions")
    row = await cursor.fetchone()
    return int(row[0]) if row else 0


async def since(connection: Connection, seq: int, *, limit: int = 5000) -> list[tuple[ExecutionId, int]]:
    """Return the executions changed after `seq` with their sequence numbers, oldest first."""
    cursor = await connection.execute(
        "SELECT id, change_seq FROM chaingraph.executions WHERE change_seq > %s ORDER BY change_seq LIMIT %s",
        (seq, limit),
    )
    return [(ExecutionId(row[0]), row[1]) for row in await cursor.fetchall()]
