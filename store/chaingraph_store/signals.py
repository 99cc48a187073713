"""The table `signals`: what was sent to nodes of an execution from outside. Each id is accepted or refused once.

An accepted signal has a number among the commands of its execution, and is delivered like them: see `commands/control`.
A claim has all accepted ones, and the journal says which of them nodes have taken.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Connection, plain
from chaingraph_store.raw_json import RawJson, unparsed

# It does not parse the payloads: PostgreSQL could not parse all of them.
_ACCEPTED: Final = """
SELECT coalesce(json_agg(json_build_array(s.seq, s.id, s.name, s.sender, floor(extract(epoch FROM s.at) * 1000)::bigint,
                                          s.attempt, s.payload) ORDER BY s.seq), '[]')
FROM chaingraph.signals s WHERE s.execution_id = %(id)s AND s.seq <= %(until)s
"""


_AFTER: Final = """
SELECT s.seq, s.id, s.name, s.sender, floor(extract(epoch FROM s.at) * 1000)::bigint, s.attempt, s.payload::text
FROM chaingraph.signals s WHERE s.execution_id = %s AND s.seq > %s AND s.seq <= %s ORDER BY s.seq
"""


@dataclass(frozen=True, slots=True)
class NewSignal:
    """A signal to accept. `payload` is JSON, `by` the user who sent it or ''."""

    id: str
    name: str
    payload: bytes
    by: str = ""


@dataclass(frozen=True, slots=True)
class RefusedSignal:
    """A signal that is refused. `reason` is one word in CamelCase."""

    id: str
    name: str
    reason: str
    message: str


async def commands(
    connection: Connection, execution: ExecutionId, *, after: int, until: int
) -> list[dict[str, Any]] | None:
    """Return the commands with these numbers, if all of them are signals; else None."""
    cursor = await connection.execute(_AFTER, (execution, after, until))
    fields = ("seq", "id", "name", "by", "at", "attempt", "payload")
    found = [dict(zip(fields, row, strict=True)) | {"kind": "SIGNAL"} for row in await cursor.fetchall()]
    return found if len(found) == until - after else None


@dataclass(frozen=True, slots=True)
class KnownSignals:
    """What the ledger knows about signals of an execution.

    Attributes:
        refused: the given ids that were refused, with reason and message.
        accepted: the given ids that were accepted.
        count: accepted signals, whatever their ids.
        size: bytes of their payloads.
    """

    refused: Mapping[str, tuple[str, str]]
    accepted: frozenset[str]
    count: int = 0
    size: int = 0


async def accepted(connection: Connection, execution: ExecutionId, *, until: int) -> bytes:
    """Return the accepted signals up to this number as JSON: `[[seq, id, name, by, at, attempt, payload], …]`."""
    cursor = unparsed(connection)
    await cursor.execute(_ACCEPTED, {"id": execution, "until": until})
    row = await cursor.fetchone()
    assert row is not None, "an aggregate has one row"
    return bytes(row[0])


_KNOWN: Final = """
SELECT id, seq IS NOT NULL, refusal, refusal_message FROM chaingraph.signals
WHERE execution_id = %(id)s AND id = ANY(%(ids)s)
"""
_TOTAL: Final = """
SELECT count(*), coalesce(sum(size), 0)::bigint FROM chaingraph.signals
WHERE execution_id = %(id)s AND seq IS NOT NULL
"""


async def known(connection: Connection, execution: ExecutionId, ids: Collection[str]) -> KnownSignals:
    """Return what became of these ids, as far as they are known, and how much was accepted."""
    given = {"id": execution, "ids": list(ids)}
    rows = await (await connection.execute(_KNOWN, given)).fetchall()
    total = await (await connection.execute(_TOTAL, given)).fetchone()
    return KnownSignals(
        refused={id_: (reason, message) for id_, accepted, reason, message in rows if not accepted},
        accepted=frozenset(id_ for id_, accepted, *_ in rows if accepted),
        count=total[0] if total else 0,
        size=total[1] if total else 0,
    )


async def unknown(connection: Connection, execution: ExecutionId, signals: Sequence[NewSignal]) -> list[NewSignal]:
    """Return those that were neither accepted nor refused. The caller has locked the execution."""
    if not signals:
        return []
    given = {"id": execution, "ids": [each.id for each in signals]}
    rows = await (await connection.execute(_KNOWN, given)).fetchall()
    seen = {row[0] for row in rows}
    return [each for each in signals if each.id not in seen]


_ADD: Final = """
INSERT INTO chaingraph.signals (execution_id, id, seq, name, payload, size, sender, attempt)
SELECT e.id, %(signal)s, %(seq)s, %(name)s, %(payload)b::json, %(size)s, %(by)s, e.attempt
FROM chaingraph.executions e WHERE e.id = %(id)s
RETURNING floor(extract(epoch FROM at) * 1000)::bigint, attempt
"""


async def add(connection: Connection, execution: ExecutionId, seq: int, signal: NewSignal) -> dict[str, Any]:
    """Accept a signal under this number. The caller has locked the execution, and knows that the id is unknown.

    Returns:
        The fields of the command that delivers it.
    """
    cursor = await connection.execute(
        _ADD,
        {
            "id": execution,
            "signal": signal.id,
            "seq": seq,
            "name": signal.name,
            "payload": RawJson(signal.payload),
            "size": len(signal.payload),
            "by": plain(signal.by),
        },
    )
    row = await cursor.fetchone()
    assert row is not None, "the execution is locked by us"
    # As text: the worker does not parse it.
    return {
        "id": signal.id,
        "name": signal.name,
        "by": signal.by,
        "at": row[0],
        "attempt": row[1],
        "payload": signal.payload.decode(),
    }


# What was refused is kept as long as the spec has it.
_FORGET: Final = """
DELETE FROM chaingraph.signals WHERE execution_id = %(id)s AND seq IS NULL AND id <> ALL(%(kept)s)
"""
_REFUSE: Final = """
INSERT INTO chaingraph.signals (execution_id, id, name, refusal, refusal_message, attempt)
SELECT e.id, refused.*, e.attempt
FROM chaingraph.executions e,
     unnest(%(ids)s::text[], %(names)s::text[], %(reasons)s::text[], %(messages)s::text[]) AS refused
WHERE e.id = %(id)s
ON CONFLICT DO NOTHING
"""


async def refuse(
    connection: Connection, execution: ExecutionId, refused: Sequence[RefusedSignal], *, spec_ids: Collection[str]
) -> None:
    """Record that these are refused, and why. An id that was accepted or refused before stays so.

    Args:
        spec_ids: all ids of the spec. Refusals of others are forgotten.
    """
    await connection.execute(_FORGET, {"id": execution, "kept": list(spec_ids)})
    await connection.execute(
        _REFUSE,
        {
            "id": execution,
            "ids": [each.id for each in refused],
            "names": [plain(each.name) for each in refused],
            "reasons": [each.reason for each in refused],
            "messages": [plain(each.message) for each in refused],
        },
    )
