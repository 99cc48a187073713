"""Parking: an attempt that is paused or asleep releases its worker."""

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
  SET phase = CASE WHEN %(asleep)s THEN 'Running' ELSE 'Paused' END, parked = true, owner_epoch = owner_epoch + 1,
      worker = '', nodes_running = 0, current_nodes = %(held)s, applied_seq = %(applied)s, step_seqs = '{}',
      asleep_at = CASE WHEN %(asleep)s THEN now() END,
      wake_at = CASE WHEN %(asleep)s THEN now() + make_interval(secs => %(seconds)s) END,
      change_seq = nextval('chaingraph.change_seq')
  FROM mine
  WHERE e.id = mine.id AND e.control_seq = %(applied)s
    AND CASE WHEN %(asleep)s THEN NOT e.paused ELSE e.paused AND e.pause_logged END
  RETURNING e.id
)
SELECT mine.id, EXISTS (SELECT FROM parked), (SELECT pg_notify(%(channel)s, id) FROM parked) FROM mine
"""


async def park(
    connection: Connection,
    claimed: Claim,
    *,
    applied_seq: int,
    held_nodes: Sequence[str],
    asleep_seconds: float | None = None,
) -> bool:
    """Release the run: no worker has it until another run is enqueued.

    A paused one is enqueued by a resume or a step, one that is asleep when its time has come (see `waking`). Everything
    until now has been flushed before. The run's workflow ends by itself.

    Args:
        applied_seq: number of the last command that the engine has processed.
        held_nodes: the nodes that it holds.
        asleep_seconds: how long nothing happens in it; None when it is paused.

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
            "asleep": asleep_seconds is not None,
            "seconds": max(0.0, asleep_seconds or 0.0),
            "channel": CHANGES,
        },
    )
    row = await cursor.fetchone()
    if row is None:
        raise OwnershipLost(claimed.execution_id, claimed.epoch)
    return bool(row[1])
