"""Release a held execution into its queue."""

from __future__ import annotations

from typing import Final

from chaingraph_store import events
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import CHANGES, Connection
from chaingraph_store.queue import dispatch

_RELEASE: Final = f"""
WITH held AS (
  SELECT id, paused AND step_seqs = '{{}}' AS parks FROM chaingraph.executions
  WHERE id = %(id)s AND phase = 'Created' AND attempt = %(attempt)s FOR UPDATE
), released AS (
  UPDATE chaingraph.executions e
  SET phase = CASE WHEN held.parks THEN 'Paused' ELSE 'Pending' END, parked = held.parks, pause_logged = e.paused,
      next_event_index = next_event_index + e.paused::int, change_seq = nextval('chaingraph.change_seq')
  FROM held WHERE e.id = held.id
  RETURNING e.*
), logged AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, next_event_index - 1, '{events.PAUSED}', now(), {events.PAUSED_DATA}
  FROM released WHERE paused
)
SELECT parked, run, queue, priority, pg_notify(%(channel)s, id) FROM released
"""  # noqa: S608 - put together of constants alone


async def release(connection: Connection, execution: ExecutionId, *, application_name: str, attempt: int = 1) -> bool:
    """Enqueue the run of a held execution after its START_SIGNAL.

    An execution that was paused again meanwhile is parked instead, unless it has a pending step.

    Returns:
        Whether this attempt was still held; False when it was released before, or stopped.
    """
    cursor = await connection.execute(_RELEASE, {"id": execution, "attempt": attempt, "channel": CHANGES})
    row = await cursor.fetchone()
    if row is None:
        return False
    parked, run, queue, priority, _ = row
    if not parked:
        await dispatch.enqueue_run(
            connection, execution, run=run, queue=queue, priority=priority, application_name=application_name
        )
    return True
