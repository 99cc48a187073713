"""Stop an execution and its tree: set the rows, cancel the workflows and notify the engines, in one transaction."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from chaingraph_store.children import calling
from chaingraph_store.ids import ExecutionId, WorkflowId, hold_workflow_id
from chaingraph_store.ledger import CHANGES, CONTROL, Connection, plain
from chaingraph_store.queue import dispatch

START_TIMEOUT: Final = "StartTimeout"
NOT_AWAITED: Final = "Nothing waits for it any more: the node that called it has ended"
# OFFSET 0 and the array keep the planner, which estimates every tree as a large part of the ledger, from reading all of
# it for each generation.
_HOLD: Final = """
WITH RECURSIVE tree AS (
  SELECT e.id, %(children)s::boolean AS deeper,
         e.phase NOT IN ('Completed', 'Failed', 'Stopped')
         OR %(children)s AND e.children_total > 0 AND NOT e.tree_stopped
         OR %(deleted)s AND e.uid IS NULL AND e.resources = 'Create' AS busy,
         %(children)s AND e.children_spawned > 0 AS goes_on
  FROM chaingraph.executions e WHERE e.id = %(id)s
  UNION ALL
  SELECT child.id, child.deeper,
         child.phase NOT IN ('Completed', 'Failed', 'Stopped')
         OR child.deeper AND child.children_active > 0 AND NOT child.tree_stopped
         OR %(deleted)s AND child.uid IS NULL AND child.resources = 'Create',
         child.deeper AND child.children_spawned > 0
  FROM tree CROSS JOIN LATERAL (
    SELECT *, %(deleted)s OR on_stop = 'Stop' AS deeper FROM chaingraph.executions
    WHERE parent_id = tree.id OFFSET 0) child
  WHERE tree.goes_on
)
-- In the order of ids, as everywhere, so that two stops in one tree cannot deadlock. Includes rows that changed while
-- we waited: one that has ended or spawned meanwhile has descendants that we have not found.
-- NO KEY, also as everywhere: a transaction that writes a child twice has PostgreSQL check its foreign keys, and would
-- wait for us with the child locked.
SELECT e.id, tree.deeper, e.observed_generation FROM chaingraph.executions e JOIN tree USING (id)
WHERE e.id = ANY(ARRAY(SELECT id FROM tree WHERE busy)) ORDER BY e.id FOR NO KEY UPDATE OF e
"""
# A separate statement: its snapshot shows the rows as they were when the first one got their locks. PostgreSQL also
# checks a row's constraints against the result for the version in an older snapshot.
_STOP: Final = """
WITH held AS MATERIALIZED (
  SELECT e.id, e.phase NOT IN ('Completed', 'Failed', 'Stopped') AS active,
         given.deeper, given.deeper AND NOT e.tree_stopped
         AND (e.children_active > 0 OR e.id = %(id)s AND e.children_total > 0) AS suppresses,
         e.children_unspawned AS unspawned,
         CASE WHEN %(deleted)s AND e.uid IS NULL THEN 'None' ELSE e.resources END AS resources,
         greatest(e.observed_generation, CASE WHEN e.id = %(id)s THEN %(generation)s ELSE 0 END) AS observed
  FROM unnest(%(found)s::text[], %(deeper)s::boolean[]) AS given (id, deeper) JOIN chaingraph.executions e USING (id)
), stopped AS (
  UPDATE chaingraph.executions e
  SET phase = 'Stopped', owner_epoch = owner_epoch + 1, finished_at = now(), nodes_running = 0, nodes_waiting = 0,
      current_nodes = '{}', asleep_at = NULL, wake_at = NULL,
      error_node = '', error_reason = 'Stopped',
      error_message = CASE WHEN e.id = %(id)s THEN %(reason)s ELSE %(inherited)s END,
      parked = false, paused = false, pause_node = '', pause_logged = false, step_seqs = '{}',
      resources = held.resources, observed_generation = held.observed,
      tree_stopped = held.deeper, exit_attempt = CASE WHEN %(deleted)s THEN e.attempt ELSE e.exit_attempt END,
      next_event_index = next_event_index + 1, change_seq = nextval('chaingraph.change_seq')
  FROM held WHERE e.id = held.id AND held.active
  RETURNING e.id, e.workflow_id, e.attempt, e.next_event_index - 1 AS index, e.error_message, e.children_spawned
), logged AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, index, 'flow:cancelled', now(), json_build_object('reason', error_message) FROM stopped
), suppressed AS (
  UPDATE chaingraph.executions e
  SET children_suppressed = e.children_suppressed + held.unspawned,
      children_active = e.children_active - held.unspawned,
      resources = held.resources, observed_generation = held.observed,
      tree_stopped = true,
      change_seq = nextval('chaingraph.change_seq')
  FROM held WHERE e.id = held.id AND NOT held.active AND held.suppresses
  RETURNING e.id
), hidden AS (
  UPDATE chaingraph.executions e SET resources = held.resources
  FROM held WHERE e.id = held.id AND NOT held.active AND NOT held.suppresses AND e.resources <> held.resources
)
SELECT id, workflow_id, attempt, children_spawned, pg_notify(%(changes)s, id), pg_notify(%(control)s, id) FROM stopped
UNION ALL
SELECT id, NULL, 0, 0, pg_notify(%(changes)s, id), NULL FROM suppressed
"""


_OF_OPERATOR: Final = "resources = held.resources, observed_generation = held.observed,"
_HIDDEN: Final = re.compile(r", hidden AS \(.*?\n\)", re.DOTALL)
_STOP_BY_WORKER: Final = _HIDDEN.sub("", _STOP.replace(_OF_OPERATOR, ""))
"""Without the columns that only the operator may write."""


async def stop(
    connection: Connection,
    execution: ExecutionId,
    *,
    reason: str,
    children: bool = True,
    deleted: bool = False,
    generation: int | None = None,
    by_worker: bool = False,
) -> bool:
    """Stop an execution and its active descendants, inside the caller's transaction.

    One that has completed stays Completed: its tree is stopped, and the children that it has not spawned yet never will
    be.

    The new owner epoch fences the worker's next flush; the notification makes it cancel running nodes at once.

    Args:
        children: whether its children are stopped too (`spec.children.onStop`). For theirs, their own rows decide.
        deleted: its resource is gone. All descendants are stopped whatever their settings, and those without a resource
            will not get one.
        generation: that of the spec that requests it; recorded as observed. Without effect when a later one was
            observed, such as that of a retry. None when no spec can revert it.
        by_worker: a worker stops it, whose role may not write the columns of the operator.

    Returns:
        Whether anything was stopped now.
    """
    parameters = {
        "id": execution,
        "children": children or deleted,
        "deleted": deleted,
        "reason": plain(reason),
        "inherited": plain(f"Stopped with its ancestor {execution}: {reason}"),
        "generation": generation or 0,
        "changes": CHANGES,
        "control": CONTROL,
    }
    anything = False
    while True:
        cursor = await connection.execute(_HOLD, parameters)
        found = await cursor.fetchall()
        if not found or _stale(execution, generation, found):
            return anything
        cursor = await connection.execute(
            _STOP_BY_WORKER if by_worker else _STOP,
            parameters | {"found": [row[0] for row in found], "deeper": [row[1] for row in found]},
        )
        moved = await cursor.fetchall()
        ended = [(ExecutionId(row[0]), WorkflowId(row[1]), row[2]) for row in moved if row[1] is not None]
        if ended:
            holds = [hold_workflow_id(id_, attempt) for id_, _, attempt in ended]
            await dispatch.cancel(connection, [run for _, run, _ in ended] + holds)
        anything = anything or bool(moved)
        # It may have had children before we had its lock; the next turn sees them.
        if len(found) == 1 and len(moved) == 1 and moved[0][1] is not None and not moved[0][3]:
            return anything


async def stop_calls(connection: Connection, parent: ExecutionId, calls: Sequence[ExecutionId] | None = None) -> None:
    """Stop executions that nodes have called and no longer wait for: these, or all. Inside the caller's transaction."""
    for each in await calling.unfinished(connection, parent, calls):
        await stop(connection, each, reason=NOT_AWAITED, by_worker=True)


def _stale(execution: ExecutionId, generation: int | None, found: Sequence[tuple[Any, ...]]) -> bool:
    return generation is not None and any(id_ == execution and observed > generation for id_, _, observed in found)


_FAIL_UNSTARTED: Final = f"""
WITH held AS (
  SELECT id, start_timeout_s, extract(epoch FROM coalesce(held_at, created_at) + make_interval(secs => start_timeout_s)
                                                 - clock_timestamp())::float8 AS seconds_left
  FROM chaingraph.executions WHERE id = %(id)s AND phase = 'Created' AND attempt = %(attempt)s
  FOR UPDATE
), failed AS (
  UPDATE chaingraph.executions e
  SET phase = 'Failed', owner_epoch = owner_epoch + 1, finished_at = now(), error_reason = '{START_TIMEOUT}',
      error_message = format(%(message)s, held.start_timeout_s), paused = false, pause_node = '', step_seqs = '{{}}',
      next_event_index = next_event_index + 1, change_seq = nextval('chaingraph.change_seq')
  FROM held WHERE e.id = held.id AND held.seconds_left <= 0
  RETURNING e.id, e.next_event_index - 1 AS index, e.error_message
), logged AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, index, 'flow:failed', now(), json_build_object('error', error_message, 'reason', '{START_TIMEOUT}')
  FROM failed
)
SELECT greatest(held.seconds_left, 0), pg_notify(%(changes)s, failed.id) FROM held LEFT JOIN failed USING (id)
"""  # noqa: S608 - put together of constants alone
_NOT_STARTED: Final = (
    "Not started within %s s (spec.startTimeoutSeconds). To start it in time, set spec.paused to false, or increase "
    "spec.startTimeoutSeconds while it waits. A retry with spec.paused: true waits for the start again."
)


async def fail_unstarted(connection: Connection, execution: ExecutionId, *, attempt: int = 1) -> float:
    """End a held attempt as Failed if its start timeout is over.

    Returns:
        Seconds until the timeout; 0 when it was ended now, had started, or had ended before.
    """
    cursor = await connection.execute(
        _FAIL_UNSTARTED, {"id": execution, "attempt": attempt, "message": _NOT_STARTED, "changes": CHANGES}
    )
    row = await cursor.fetchone()
    return 0.0 if row is None else float(row[0])
