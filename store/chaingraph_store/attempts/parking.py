"""Parking: a paused attempt releases its worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chaingraph_store.attempts.runs import Claim
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.ledger import CHANGES, Connection

_PARK: Final = """
WITH mine AS (
  SELECT id FROM chaingraph.executions
  WHERE id = %(id)s AND owner_epoch = %(epoch)s AND phase IN ('Running', 'Paused') AND NOT parked
  FOR UPDATE
), parked AS (
  UPDATE chaingraph.executions e
  SET phase = 'Paused', parked = true, owner_epoch = owner_epoch + 1, worker = '', nodes_running = 0,
      current_nodes = %(held)s, applied_seq = %(applied)s, step_seqs = '{}',
      change_seq = nextval('chaingraph.change_seq')
  FROM mine WHERE e.id = mine.id AND e.paused AND e.pause_logged AND e.control_seq = %(applied)s
  RETURNING e.id
)
SELECT mine.id, EXISTS (SELECT FROM parked), (SELECT pg_notify(%(channel)s, id) FROM parked) FROM mine
"""


async def park(connection: Connection, claimed: Claim, *, applied_seq: int, held_nodes: Sequence[str]) -> bool:
    """Release the run because it is paused: no worker has it until a resume or a step enqueues the next run.

    Everything up to the pause has been flushed before. The run's workflow ends by itself.

    Args:
        applied_seq: number of the last command that the engine has processed.
        held_nodes: the nodes that it holds.

    Returns:
        False when it must not be parked: a command came that the engine has not processed, or no pause was flushed.

    Raises:
        OwnershipLost: the attempt no longer belongs to this worker.
    """
    cursor = await connection.execute(
        _PARK,
        {
            "id": claimed.execution_id,
            "epoch": claimed.epoch,
            "applied": applied_seq,
            "held": list(held_nodes),
            "channel": CHANGES,
        },
    )
    row = await cursor.fetchone()
    if row is None:
        raise OwnershipLost(claimed.execution_id, claimed.epoch)
    return bool(row[1])
