"""What runs after the end of an execution: the subflow of its flow's `onExit`, as a child.

However the attempt has ended, its row says that the child is due. Every worker creates those that are, so a stop, a
timeout and a lost worker need no code of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg.types.json import Json

from chaingraph_store.children.spawning import ANNOUNCED, grow
from chaingraph_store.events import CHILD_SPAWNED
from chaingraph_store.ids import ExecutionId, called_name, exit_execution_id
from chaingraph_store.ledger import CHANGES, Ledger
from chaingraph_store.queue import dispatch, order
from chaingraph_store.tenancy import policies

BATCH: Final = 20
_IS_DUE: Final = """
exit_subflow <> '' AND phase IN ('Completed', 'Failed', 'Stopped') AND exit_attempt < attempt AND deleted_at IS NULL"""


@dataclass(frozen=True, slots=True)
class Exit:
    """A child that was created."""

    parent: ExecutionId
    id: ExecutionId
    namespace: str
    name: str


_DUE: Final = f"""
SELECT id, namespace, name, attempt, options, exit_timeout_s FROM chaingraph.executions
WHERE {_IS_DUE} AND namespace <> ALL(%s) LIMIT %s
"""  # noqa: S608 - our own constant
_CREATE: Final = f"""
WITH parent AS MATERIALIZED (
  SELECT * FROM chaingraph.executions WHERE id = %(parent)s AND attempt = %(attempt)s AND {_IS_DUE}
  FOR NO KEY UPDATE SKIP LOCKED
), made AS (
  INSERT INTO chaingraph.executions (id, namespace, name, flow_name, flow_revision, subflow, inputs, integration,
    options, queue, priority, start_timeout_s, parent_id, root_id, depth, position, called_in, phase, workflow_id,
    on_stop, resources)
  SELECT %(id)s, p.namespace, %(name)s, p.flow_name, p.flow_revision, p.exit_subflow,
    json_build_object('phase', p.phase, 'reason', p.error_reason, 'message', p.error_message, 'node', p.error_node,
                      'attempt', p.attempt, 'name', p.name, 'inputs', p.inputs,
                      'outputs', coalesce(p.outputs, '{{}}')),
    p.integration, %(options)s, p.queue, p.priority, p.start_timeout_s, p.id, p.root_id, p.depth + 1,
    p.children_spawned, p.attempt::text, 'Pending', %(id)s, p.on_stop, p.resources
  FROM parent p
  RETURNING *
), {ANNOUNCED}, logged AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT parent.id, parent.next_event_index, '{CHILD_SPAWNED}', now(), json_build_object(
    'parentExecutionId', parent.id, 'childExecutionId', made.id, 'rootExecutionId', made.root_id, 'name', made.name,
    'onExit', made.subflow)
  FROM parent CROSS JOIN made
), counted AS (
  UPDATE chaingraph.executions e
  SET children_total = e.children_total + 1, children_spawned = e.children_spawned + 1,
      children_called = e.children_called + 1, children_active = e.children_active + 1, exit_attempt = e.attempt,
      next_event_index = e.next_event_index + 1, change_seq = nextval('chaingraph.change_seq')
  FROM made WHERE e.id = made.parent_id
  RETURNING e.id
)
SELECT {dispatch.ENQUEUE_CHILD}, (SELECT pg_notify(%(channel)s, id) FROM counted) FROM made
"""  # noqa: S608 - put together of constants alone


async def create_due(ledger: Ledger, *, spacing_ms: int, application_name: str) -> list[Exit]:
    """Create children that are due, one transaction each. Without room in its namespace, one is created later."""
    created: list[Exit] = []
    full: set[str] = set()
    while True:
        async with ledger.connection() as connection:
            cursor = await connection.execute(_DUE, (list(full), BATCH))
            due = await cursor.fetchall()
        before = len(full)
        created += await _create(ledger, due, full, spacing_ms=spacing_ms, application_name=application_name)
        if len(full) == before:
            return created


async def _create(
    ledger: Ledger, due: Sequence[tuple[Any, ...]], full: set[str], *, spacing_ms: int, application_name: str
) -> list[Exit]:
    """Create these children; add namespaces without room for them to `full`."""
    created = []
    for parent, namespace, parent_name, attempt, options, timeout in due:
        if namespace in full:
            continue
        async with ledger.connection() as connection:
            if not await policies.room_for_children(connection, parent, 1):
                full.add(namespace)
                continue
            place, _ = await grow(connection, parent, 1, spacing_ms)
        id_ = exit_execution_id(parent, attempt)
        name = called_name(parent_name, "exit", id_)
        async with ledger.transaction() as connection:
            cursor = await connection.execute(
                _CREATE,
                {
                    "parent": parent,
                    "attempt": attempt,
                    "id": id_,
                    "name": name,
                    "options": Json({**options, "flowTimeoutSeconds": timeout}),
                    "channel": CHANGES,
                }
                | dispatch.child_parameters(application_name=application_name),
            )
            if await cursor.fetchone() is None:
                continue  # another worker was faster, or it is retried
            await order.give(connection, [(id_, place)])
        created.append(Exit(ExecutionId(parent), id_, namespace, name))
    return created
