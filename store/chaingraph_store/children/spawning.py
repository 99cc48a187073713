"""Spawning: the emissions of an execution that has completed become its children, in bulk.

The end of an attempt says how many children there will be, in one transaction with its phase. They are made after it,
in batches that are one transaction each: rows, announcements, the parent's log, and the enqueue. `children_spawned`
says how far it has come; it is read under the parent's lock. So whoever goes on after a crash makes what is missing and
nothing twice, and the ids are derived, so that even a row that was restored from a backup is met again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chaingraph_store.ids import ExecutionId, child_execution_id, child_name
from chaingraph_store.ledger import CHANGES, Connection, Ledger, dumps, plain
from chaingraph_store.queue import dispatch, order
from chaingraph_store.raw_json import RawJson, unparsed
from chaingraph_store.tenancy import policies

BATCH: Final = 200
"""Children that are made in one transaction: a fifth of a second."""
MAX_EVENT_DATA: Final = 4096
"""Bytes of an emission's payload that the parent's log shows. The child has all of it."""


@dataclass(frozen=True, slots=True)
class EmittedEvent:
    """An event that was emitted. `payload` is JSON.

    `flow` names a Flow of the parent's namespace; '' stands for the parent's own.
    """

    name: str
    payload: bytes
    flow: str = ""


@dataclass(frozen=True, slots=True)
class Parent:
    """An execution that has still to spawn."""

    id: ExecutionId
    name: str
    root_id: ExecutionId
    total: int
    made: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction has made. `unstarted`: children that failed at once, because their flow is not known.

    `barred`: the quota of the namespace had no room for the whole batch.
    """

    made: int
    unstarted: int
    barred: bool = False


_PARENT: Final = """
SELECT e.id, e.name, e.root_id, e.children_total, e.children_spawned FROM chaingraph.executions e
WHERE e.id = %s AND e.children_unspawned > 0
"""


async def parent(connection: Connection, execution: ExecutionId) -> Parent | None:
    """The execution, if it has anything left to spawn."""
    cursor = await connection.execute(_PARENT, (execution,))
    row = await cursor.fetchone()
    return None if row is None else Parent(*row)


@dataclass(frozen=True, slots=True)
class Journal:
    """What an execution has emitted is in here, as JSON: `records` of nodes in no order, `[record, …]`."""

    namespace: str
    flow_spec: bytes
    integration: bytes
    records: bytes


async def journal(connection: Connection, execution: ExecutionId) -> Journal:
    """The journal of an execution, unread: PostgreSQL's own functions refuse a NUL in any text of it."""
    cursor = unparsed(connection)
    await cursor.execute(
        "SELECT e.namespace, f.spec, e.integration, (SELECT coalesce(json_agg(j.record), '[]')"
        " FROM chaingraph.journal j WHERE j.execution_id = e.id)"
        " FROM chaingraph.executions e JOIN chaingraph.flow_revisions f ON f.revision = e.flow_revision"
        " WHERE e.id = %s",
        (execution,),
    )
    row = await cursor.fetchone()
    assert row is not None, "its children were asked for just now, and rows stay for days"
    return Journal(*row)


async def tree_size(connection: Connection, root: ExecutionId) -> int:
    """How many executions the tree has, or will have once everything that was emitted is spawned."""
    cursor = await connection.execute("SELECT size FROM chaingraph.trees WHERE root_id = %s", (root,))
    row = await cursor.fetchone()
    return int(row[0]) if row is not None else 1


_QUEUE_TIME: Final = order.queue_time(
    queue="e.queue", priority=f"{dispatch.TOP_PRIORITY} - e.priority", namespace="e.namespace"
)
_ADVANCE: Final = f"""
UPDATE chaingraph.trees t SET clock_ms = greatest(t.clock_ms, {_QUEUE_TIME}) + %(taken)s::bigint
FROM chaingraph.executions e WHERE e.id = %(parent)s AND t.root_id = e.root_id
RETURNING t.clock_ms - %(taken)s::bigint
"""  # noqa: S608 - put together of constants alone
_SPAWN: Final = f"""
WITH parent AS (
  SELECT * FROM chaingraph.executions
  WHERE id = %(parent)s AND phase = 'Completed' AND children_spawned = %(first)s AND children_suppressed = 0
  FOR NO KEY UPDATE
), entry AS (
  SELECT * FROM unnest(%(ids)s::text[], %(names)s::text[], %(events)b::json[], %(flows)s::text[], %(logged)b::json[])
         WITH ORDINALITY AS entry (id, name, events, flow, logged, number)
), found AS (
  SELECT entry.id, entry.name, entry.events, entry.flow, entry.number, f.revision, f.nodes, f.inputs,
         entry.flow <> '' AND f.revision IS NULL AS unknown,
         CASE WHEN f.name IS NULL THEN 'there is no Flow %%s in namespace %%s, which %%s names in an event'
              ELSE 'the Flow %%s in namespace %%s, which %%s names in an event, cannot be run: ' END AS refusal,
         coalesce(f.problem, '') AS problem,
         CASE WHEN f.name IS NULL THEN 'FlowNotFound' ELSE coalesce(nullif(f.reason, ''), 'FlowInvalid') END AS reason
  FROM parent CROSS JOIN entry
  LEFT JOIN chaingraph.flows f ON f.namespace = parent.namespace AND f.name = entry.flow
), made AS (
  INSERT INTO chaingraph.executions (id, namespace, name, flow_name, flow_revision, inputs, events, integration,
    options, queue, priority, start_timeout_s, parent_id, root_id, depth, position, phase, workflow_id, nodes_total,
    breakpoints, on_stop, resources, finished_at, error_reason, error_message, next_event_index)
  SELECT c.id, p.namespace, c.name, CASE WHEN c.flow = '' THEN p.flow_name ELSE c.flow END,
    CASE WHEN c.flow = '' THEN p.flow_revision ELSE c.revision END,
    CASE WHEN c.flow = '' THEN p.inputs ELSE coalesce(c.inputs, '{{}}') END, c.events, %(integration)b::json,
    p.options, p.queue, p.priority, p.start_timeout_s, p.id, p.root_id, p.depth + 1, %(first)s + c.number - 1,
    CASE WHEN c.unknown THEN 'Failed' ELSE 'Pending' END, c.id,
    CASE WHEN c.flow = '' THEN %(nodes)s ELSE coalesce(c.nodes, 0) END,
    CASE WHEN c.flow = '' THEN p.breakpoints ELSE '{{}}' END, p.on_stop, p.resources,
    CASE WHEN c.unknown THEN now() END, CASE WHEN c.unknown THEN c.reason ELSE '' END,
    CASE WHEN c.unknown THEN format(c.refusal, quote_literal(c.flow), quote_literal(p.namespace),
                                    quote_literal(p.name)) || c.problem ELSE '' END,
    c.unknown::int
  FROM parent p CROSS JOIN found c
  ON CONFLICT (id) DO NOTHING
  RETURNING *
), announced AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, -1, 'execution:created', now(), json_build_object('executionId', id, 'namespace', namespace, 'name', name,
    'flow', json_build_object('name', flow_name, 'revision', flow_revision, 'nodes', nodes_total),
    'rootExecutionId', root_id, 'parentExecutionId', parent_id, 'depth', depth)
  FROM made
), refused AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, 0, 'flow:failed', now(), json_build_object('error', error_message, 'reason', error_reason)
  FROM made WHERE phase = 'Failed'
), logged AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT parent.id, parent.next_event_index + entry.number - 1, 'child:spawned', now(), entry.logged
  FROM parent CROSS JOIN entry
), counted AS (
  UPDATE chaingraph.executions e
  SET children_spawned = e.children_spawned + %(count)s, next_event_index = e.next_event_index + %(count)s,
      change_seq = nextval('chaingraph.change_seq')
  FROM parent WHERE e.id = parent.id
  RETURNING e.id
)
SELECT (SELECT count(*) FROM made WHERE phase = 'Failed'),
       (SELECT count({dispatch.ENQUEUE_CHILD}) FROM made WHERE phase = 'Pending'),
       pg_notify(%(channel)s, counted.id)
FROM counted
"""  # noqa: S608 - put together of constants alone


async def spawn(
    ledger: Ledger,
    parent: Parent,
    emitted: Sequence[EmittedEvent],
    *,
    nodes: int,
    integration: bytes,
    spacing_ms: int,
    application_name: str,
) -> Batch | None:
    """Makes the children of the next emissions, at most `BATCH` of them.

    Args:
        emitted: those from number `parent.made` on.
        nodes: how many nodes the parent's flow has.
        integration: the integration context of the children, as JSON.
        spacing_ms: how far apart the children of a tree stand in the queue: see docs/decisions/0006.

    Returns:
        None when nothing was made: somebody else has been faster, or a stop or a deletion came in between. Ask again
        with `parent`.
    """
    wanted = min(len(emitted), BATCH)
    async with ledger.connection() as connection:
        room = await policies.room_for_children(connection, parent.id, wanted)
    if not room:
        return Batch(0, 0, barred=True)
    emitted = emitted[:room]
    batch = [_Child.of(parent, parent.made + number, each) for number, each in enumerate(emitted[:BATCH])]
    async with ledger.connection() as connection:
        # On its own: nobody else's end is to wait for the tree's row until the children are made.
        place = await _advance(connection, parent.id, len(batch) * spacing_ms)
    async with ledger.transaction() as connection:
        cursor = await connection.execute(
            _SPAWN,
            {
                "parent": parent.id,
                "first": parent.made,
                "count": len(batch),
                "ids": [each.id for each in batch],
                "names": [each.name for each in batch],
                "events": [each.events for each in batch],
                "flows": [each.flow for each in batch],
                "logged": [each.logged for each in batch],
                "integration": RawJson(integration),
                "nodes": nodes,
                "channel": CHANGES,
            }
            | dispatch.child_parameters(application_name=application_name),
        )
        row = await cursor.fetchone()
        if row is None:
            return None
        await order.give(connection, [(each.id, place + number * spacing_ms) for number, each in enumerate(batch)])
    return Batch(len(batch), int(row[0]), barred=room < wanted)


async def _advance(connection: Connection, parent: ExecutionId, taken: int) -> int:
    """Takes so many milliseconds of its tree's time for children of an execution.

    Returns:
        Where their places in the queue begin, in milliseconds since 1970.
    """
    cursor = await connection.execute(_ADVANCE, {"parent": parent, "taken": taken})
    row = await cursor.fetchone()
    assert row is not None, "the tree was made with the end of its first parent"
    return int(row[0])


@dataclass(frozen=True, slots=True)
class _Child:
    """One child, in the forms that the statement takes."""

    id: ExecutionId
    name: str
    flow: str
    events: RawJson
    logged: RawJson

    @classmethod
    def of(cls, parent: Parent, position: int, emitted: EmittedEvent) -> _Child:
        id_ = child_execution_id(parent.id, position)
        name = child_name(parent.name, position, id_)
        said: dict[str, Any] = {
            "parentExecutionId": parent.id,
            "childExecutionId": id_,
            "rootExecutionId": parent.root_id,
            "name": name,
            "position": position,
            "eventName": emitted.name,
        }
        shown = len(emitted.payload) <= MAX_EVENT_DATA
        if not shown:
            said["eventDataBytes"] = len(emitted.payload)
        logged = dumps(said)
        if shown:
            logged = logged[:-1] + b',"eventData":' + emitted.payload + b"}"
        event = b'[{"name":' + dumps(emitted.name) + b',"payload":' + emitted.payload + b"}]"
        return cls(id_, name, plain(emitted.flow), RawJson(event), RawJson(logged))
