"""Refuse signals of a spec: one transaction, as for every command."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from chaingraph_store import signals
from chaingraph_store.commands.observed_generation import Stale
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import CHANGES, Connection
from chaingraph_store.signals import RefusedSignal

_LOCK: Final = "SELECT observed_generation FROM chaingraph.executions WHERE id = %s FOR UPDATE"
_HEED: Final = """
UPDATE chaingraph.executions
SET observed_generation = %(generation)s, change_seq = nextval('chaingraph.change_seq')
WHERE id = %(id)s RETURNING pg_notify(%(changes)s, id)
"""


async def refuse(
    connection: Connection,
    execution: ExecutionId,
    refused: Sequence[RefusedSignal],
    *,
    spec_ids: Collection[str],
    generation: int,
) -> Stale | None:
    """Record that signals are refused, and why, inside the caller's transaction.

    Args:
        spec_ids: the ids of all signals of the spec.
        generation: that of the spec. It is recorded as observed.

    Returns:
        Stale, without effect, when a later generation was observed.
    """
    row = await (await connection.execute(_LOCK, (execution,))).fetchone()
    if row is None:
        return None
    if row[0] > generation:
        return Stale(row[0])
    await signals.refuse(connection, execution, refused, spec_ids=spec_ids)
    await connection.execute(_HEED, {"id": execution, "generation": generation, "changes": CHANGES})
    return None
