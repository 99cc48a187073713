"""Record the end of children in their parents: the parent's log, and whether a whole tree has ended.

The worker calls this for the children that it ran, and the operator for all others. A child that ends locks no other
row. Its parent is notified afterwards, of many children in one transaction, so that a thousand children ending at once
do not queue for the lock of one row.

`children_active` in a parent's row counts the children with anything active below them, or not created yet. A tree has
ended when its root has, and its count is 0. A retry opens it again, up to the root.
"""

from __future__ import annotations

from typing import Final

from chaingraph_store.children import delivery
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import CHANGES, Connection, Ledger

MOST_AT_ONCE: Final = 500

_SETTLE: Final = """
WITH parent AS (
  SELECT id, next_event_index, phase IN ('Completed', 'Failed', 'Stopped') AS ended FROM chaingraph.executions
  WHERE id = %(id)s FOR NO KEY UPDATE
), due AS MATERIALIZED (
  -- A locked child is being retried, or stopped with its tree: it comes with the next turn.
  SELECT c.id, c.name, c.position, c.phase, c.attempt, c.error_node, c.error_reason, c.error_message, c.finished_at,
         c.parent_notified, c.children_active = 0 AS closed, c.called_by <> '' AS called,
         c.called_by <> '' AND NOT parent.ended AS awaited
  FROM parent JOIN chaingraph.executions c ON c.parent_id = parent.id
  WHERE c.finished_at IS NOT NULL AND NOT c.counted AND (NOT c.parent_notified OR c.children_active = 0)
  ORDER BY c.finished_at, c.position LIMIT %(limit)s
  FOR NO KEY UPDATE OF c SKIP LOCKED
), news AS (
  -- Only the worker of a running parent adds events to its log. That of a call writes the end that it takes.
  SELECT due.*, row_number() OVER (ORDER BY finished_at, position) AS number FROM due CROSS JOIN parent
  WHERE NOT parent_notified AND parent.ended AND NOT called
), logged AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT parent.id, parent.next_event_index + news.number - 1,
         CASE WHEN news.phase = 'Completed' THEN 'child:completed' ELSE 'child:failed' END, now(),
         CASE WHEN news.phase = 'Completed'
              THEN json_build_object('childExecutionId', news.id, 'name', news.name, 'position', news.position,
                                     'attempt', news.attempt)
              ELSE json_build_object('childExecutionId', news.id, 'name', news.name, 'position', news.position,
                                     'attempt', news.attempt, 'phase', news.phase, 'reason', news.error_reason,
                                     'node', news.error_node, 'error', left(news.error_message, 1024)) END
  FROM parent CROSS JOIN news
), marked AS (
  UPDATE chaingraph.executions c SET parent_notified = true, counted = due.closed FROM due WHERE c.id = due.id
), family AS (
  UPDATE chaingraph.executions e
  SET next_event_index = e.next_event_index + (SELECT count(*) FROM news),
      children_active = e.children_active - (SELECT count(*) FROM due WHERE closed),
      change_seq = nextval('chaingraph.change_seq')
  FROM parent WHERE e.id = parent.id AND EXISTS (SELECT FROM due)
  RETURNING e.id, e.parent_id, e.children_active
)
SELECT family.parent_id, family.children_active, (SELECT count(*) FROM due),
       (SELECT array_agg(id ORDER BY finished_at, position) FROM due WHERE awaited AND NOT parent_notified),
       pg_notify(%(channel)s, family.id)
FROM family
"""


async def settle(connection: Connection, parent: ExecutionId, *, application_name: str) -> ExecutionId | None:
    """Count ended children in their parent. One that has ended logs them, another one gets those that it waits for.

    May be repeated, and run concurrently. Call it inside a transaction.

    Returns:
        The parent's own parent, when this ended the parent's tree: it must be notified in turn.
    """
    while True:
        cursor = await connection.execute(_SETTLE, {"id": parent, "limit": MOST_AT_ONCE, "channel": CHANGES})
        row = await cursor.fetchone()
        if row is None:
            return None
        above, still_open, notified, awaited, _ = row
        if awaited:
            ended = [ExecutionId(each) for each in awaited]
            await delivery.deliver(connection, parent, ended, application_name=application_name)
        if notified < MOST_AT_ONCE:
            return ExecutionId(above) if above is not None and still_open == 0 else None


async def settle_upwards(ledger: Ledger, parent: ExecutionId, *, application_name: str) -> None:
    """Notify a parent as `settle` does, and its ancestors as far as trees have ended, one transaction each."""
    above: ExecutionId | None = parent
    while above is not None:
        async with ledger.transaction() as connection:
            above = await settle(connection, above, application_name=application_name)


_OWED: Final = """
SELECT DISTINCT parent_id FROM chaingraph.executions
WHERE parent_id IS NOT NULL AND finished_at IS NOT NULL AND NOT counted AND (NOT parent_notified OR children_active = 0)
"""


async def owed(connection: Connection) -> list[ExecutionId]:
    """Return the parents with pending notifications."""
    cursor = await connection.execute(_OWED)
    return [ExecutionId(row[0]) for row in await cursor.fetchall()]


_AWAITED: Final = """
SELECT DISTINCT parent_id FROM (
  SELECT parent_id FROM chaingraph.executions
  WHERE parent_id IS NOT NULL AND finished_at IS NOT NULL AND NOT counted
    AND (NOT parent_notified OR children_active = 0) AND NOT parent_notified
    AND (called_by <> '' OR subflow <> '') AND finished_at < now() - make_interval(secs => %s)
  LIMIT 100) owed
"""


async def awaited(connection: Connection, *, seconds: float) -> list[ExecutionId]:
    """Return some parents that were told nothing of a call, or of `onExit`, that ended so many seconds ago."""
    cursor = await connection.execute(_AWAITED, (seconds,))
    return [ExecutionId(row[0]) for row in await cursor.fetchall()]


_LINE: Final = """
WITH RECURSIVE line AS (
  SELECT id, parent_id FROM chaingraph.executions WHERE id = %s
  UNION ALL
  SELECT e.id, e.parent_id FROM chaingraph.executions e JOIN line ON e.id = line.parent_id
)
SELECT FROM chaingraph.executions WHERE id = ANY(ARRAY(SELECT id FROM line)) ORDER BY id FOR NO KEY UPDATE
"""


async def hold_line(connection: Connection, execution: ExecutionId) -> None:
    """Lock an execution and its ancestors until the transaction ends, in the order of ids like a stop of a tree."""
    await connection.execute(_LINE, (execution,))


async def reopen(connection: Connection, child: ExecutionId) -> None:
    """Mark a child and its ancestors' trees as not ended, because the child is retried.

    Call this inside the transaction of the retry, after `hold_line`.
    """
    current: ExecutionId | None = child
    first = True
    while current is not None:
        cursor = await connection.execute(
            "SELECT parent_id, counted, children_active FROM chaingraph.executions WHERE id = %s", (current,)
        )
        row = await cursor.fetchone()
        assert row is not None, "a parent stays as long as its children"
        parent, counted, still_open = row
        if not first:
            await connection.execute(
                "UPDATE chaingraph.executions SET children_active = children_active + 1, counted = false,"
                " change_seq = nextval('chaingraph.change_seq') WHERE id = %s RETURNING pg_notify(%s, id)",
                (current, CHANGES),
            )
            counted = counted and still_open == 0
        elif parent is not None:
            await connection.execute(
                "UPDATE chaingraph.executions SET parent_notified = false, counted = false WHERE id = %s", (current,)
            )
        first = False
        current = ExecutionId(parent) if counted and parent is not None else None
