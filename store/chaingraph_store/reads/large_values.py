"""Read values of any size in pieces, as the text that PostgreSQL stores.

Nothing is parsed, and only one piece is in memory. Each piece is a statement of its own, so that a slow reader occupies
no connection. `version` shows whether the value has changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, LiteralString

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection

Kind = Literal["node", "event", "outputs", "output"]
"""A node's record in the journal, the data of an event, an execution's outputs together, or one of them."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a value's text in UTF-8.

    Attributes:
        size: of the whole value, in bytes.
        version: changes when the value is written again.
        attempt: the attempt it belongs to; 0 when unknown.
    """

    content: bytes
    size: int
    version: str
    attempt: int


_WHERE: Final[dict[Kind, LiteralString]] = {
    "node": "SELECT record AS value, xmin::text AS version, attempt FROM chaingraph.journal"
    " WHERE execution_id = %(id)s AND node_id = %(key)s AND outcome <> 'waiting'",
    "event": "SELECT data AS value, xmin::text AS version, 0 AS attempt FROM chaingraph.events"
    " WHERE execution_id = %(id)s AND index = %(key)s",
    "outputs": "SELECT outputs AS value, md5(outputs::text) AS version, attempt FROM chaingraph.executions"
    " WHERE id = %(id)s AND outputs IS NOT NULL",
    "output": "SELECT outputs -> %(key)s::text AS value, md5(outputs::text) AS version, attempt"
    " FROM chaingraph.executions WHERE id = %(id)s AND outputs -> %(key)s::text IS NOT NULL",
}
# In one place each, so that it is read and converted once: OFFSET 0 keeps the planner from expanding it twice.
_PIECE: Final = """
SELECT substring(whole.bytes FROM %(from)s FOR %(length)s), octet_length(whole.bytes), found.version, found.attempt
FROM ({}) found CROSS JOIN LATERAL (SELECT convert_to(found.value::text, 'UTF8') AS bytes OFFSET 0) whole
"""


async def piece(
    connection: Connection,
    kind: Kind,
    execution: ExecutionId,
    key: str | int | None = None,
    *,
    offset: int,
    length: int,
) -> Piece | None:
    """Return the bytes from an offset on; None when there is no such value.

    Args:
        key: the node's id, the event's index, or the output's name.
    """
    cursor = await connection.execute(
        _PIECE.format(_WHERE[kind]),
        {"id": execution, "key": key, "from": offset + 1, "length": length},
        # Bytes in text form are twice as long.
        binary=True,
    )
    row = await cursor.fetchone()
    return None if row is None else Piece(*row)
