"""Wake executions that are asleep: enqueue the next run of each when its time has come.

Every worker does this. The database's clock decides, and a row that another worker wakes is skipped. Nothing is polled
for each execution: an index has them in the order of their times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import CHANGES, Connection, Ledger
from chaingraph_store.queue import dispatch

BATCH: Final = 50
"""Maximum executions that one transaction wakes."""
ASLEEP_MS: Final = """
CASE WHEN wake_at IS NULL THEN 0
     ELSE greatest(0, extract(epoch FROM least(now(), wake_at) - asleep_at) * 1000)::bigint END"""
"""How long a row has been asleep, as SQL. Time after `wake_at` does not count: no worker was there."""

# Only as far as the caller sleeps: the role of a pool reads past the executions of other pools.
_NEXT: Final = """
SELECT extract(epoch FROM wake_at - clock_timestamp())::float8 FROM chaingraph.executions
WHERE wake_at < now() + make_interval(secs => %(within)s) ORDER BY wake_at LIMIT 1
"""
_WAKE: Final = f"""
WITH due AS MATERIALIZED (
  SELECT id, wake_at AS due_at FROM chaingraph.executions WHERE wake_at <= now() ORDER BY wake_at LIMIT %(most)s
  FOR NO KEY UPDATE SKIP LOCKED
), woken AS (
  UPDATE chaingraph.executions e
  SET phase = 'Pending', parked = false, ran_ms = ran_ms + {ASLEEP_MS}, asleep_at = NULL, wake_at = NULL,
      run = run + 1, workflow_id = e.id || '-' || run + 1, owner_epoch = owner_epoch + 1,
      change_seq = nextval('chaingraph.change_seq')
  FROM due WHERE e.id = due.id
  RETURNING e.id, e.namespace, e.name, e.run, e.queue, e.priority, due.due_at
)
SELECT id, namespace, name, extract(epoch FROM now() - due_at)::float8, run, queue, priority,
       pg_notify(%(changes)s, id)
FROM woken
"""  # noqa: S608 - put together of constants alone


async def seconds_to_next(connection: Connection, *, within: float) -> float | None:
    """Return the seconds until the next execution is to wake, 0 or less when it is due.

    None when none is to wake `within` these seconds.
    """
    cursor = await connection.execute(_NEXT, {"within": within})
    row = await cursor.fetchone()
    return None if row is None else row[0]


@dataclass(frozen=True, slots=True)
class Woken:
    """An execution that was enqueued."""

    execution_id: ExecutionId
    namespace: str
    name: str
    late_seconds: float
    """How long ago its time came."""


async def wake(ledger: Ledger, *, application_name: str, most: int = BATCH) -> list[Woken]:
    """Enqueue the next run of executions whose time has come, in one transaction.

    Returns:
        Those that were woken. When they are `most`, there may be more.
    """
    async with ledger.transaction() as connection:
        cursor = await connection.execute(_WAKE, {"most": most, "changes": CHANGES})
        rows = await cursor.fetchall()
        for id_, *_, run, queue, priority, _ in rows:
            await dispatch.enqueue_run(
                connection, id_, run=run, queue=queue, priority=priority, application_name=application_name
            )
    return [Woken(ExecutionId(id_), *fields) for id_, *fields, _, _, _, _ in rows]
