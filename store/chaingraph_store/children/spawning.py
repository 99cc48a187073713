"""Spawning: the emissions of a completed execution become its children, in bulk.

The end of an attempt sets the number of children, in one transaction with its phase. They are created afterwards, in
batches of one transaction each: rows, creation events, the parent's log, and the enqueue. `children_spawned` is the
progress, read under the parent's lock. So after a crash, the next process creates the missing children and nothing
twice. Ids are derived, so that even a row restored from a backup is recognised.
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
"""Children created in one transaction: a fifth of a second."""
MAX_EVENT_DATA: Final = 4096
"""Maximum bytes of an emission's payload that the parent's log shows. The child has all of it."""


@dataclass(frozen=True, slots=True)
class EmittedEvent:
    """An emitted event. `payload` is JSON.

    `flow` names a Flow of the parent's namespace; '' is the parent's own.
    """

    name: str
    payload: bytes
    flow: str = ""


@dataclass(frozen=True, slots=True)
class Parent:
    """An execution that has yet to spawn children: `made` of `total`. `called`: other children that it has."""

    id: ExecutionId
    name: str
    root_id: ExecutionId
    total: int
    made: int
    called: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """The result of one transaction. `unstarted`: children that failed at once, because their flow is unknown.

    `barred`: the namespace's quota had no room for the whole batch.
    """

    made: int
    unstarted: int
    barred: bool = False


_PARENT: Final = """
SELECT e.id, e.name, e.root_id, e.children_total - e.children_called, e.children_spawned - e.children_called,
       e.children_called
FROM chaingraph.executions e
WHERE e.id = %s AND e.children_unspawned > 0
"""


async def parent(connection: Connection, execution: ExecutionId) -> Parent | None:
    """Return the execution, if it has children left to spawn."""
    cursor = await connection.execute(_PARENT, (execution,))
    row = await cursor.fetchone()
    return None if row is None else Parent(*row)


@dataclass(frozen=True, slots=True)
class Journal:
    """The emissions of an execution, as JSON: `records` of nodes in no order, `[record, …]`."""

    namespace: str
    flow_spec: bytes
    subflow: str
    integration: bytes
    records: bytes


async def journal(connection: Connection, execution: ExecutionId) -> Journal:
    """Return the journal of an execution, unparsed: PostgreSQL's JSON functions reject a NUL in any text of it."""
    cursor = unparsed(connection)
    await cursor.execute(
        "SELECT e.namespace, f.spec, e.subflow, e.integration, (SELECT coalesce(json_agg(j.record), '[]')"
        " FROM chaingraph.journal j WHERE j.execution_id = e.id)"
        " FROM chaingraph.executions e JOIN chaingraph.flow_revisions f ON f.revision = e.flow_revision"
        " WHERE e.id = %s",
        (execution,),
    )
    row = await cursor.fetchone()
    assert row is not None, "the parent was just found, and rows stay for days"
    return Journal(*row)


async def tree_size(connection: Connection, root: ExecutionId) -> int:
    """Return the number of executions in the tree, including those yet to be spawned."""
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
ANNOUNCED: Final = """announced AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, -1, 'execution:created', now(), json_build_object('executionId', id, 'namespace', namespace, 'name', name,
    'flow', json_build_object('name', flow_name, 'revision', flow_revision, 'nodes', nodes_total),
    'rootExecutionId', root_id, 'parentExecutionId', parent_id, 'depth', depth)
  FROM made
)"""
"""The creation events of the rows of `made`, as a part of a statement."""
REFUSED: Final = """refused AS (
  INSERT INTO chaingraph.events (execution_id, index, type, at, data)
  SELECT id, 0, 'flow:failed', now(), json_build_object('error', error_message, 'reason', error_reason)
  FROM made WHERE phase = 'Failed'
)"""
"""The ends of those that failed when they were created."""
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
         entry.flow <> '' AND (f.revision IS NULL OR f.problem <> '') AS unknown,
         CASE WHEN f.name IS NULL THEN 'Flow %%s not found in namespace %%s, named by an event of %%s'
              ELSE 'Flow %%s in namespace %%s, named by an event of %%s, cannot run: ' END AS refusal,
         coalesce(f.problem, '') AS problem,
         CASE WHEN f.name IS NULL THEN 'FlowNotFound' ELSE coalesce(nullif(f.reason, ''), 'FlowInvalid') END AS reason
  FROM parent CROSS JOIN entry
  LEFT JOIN chaingraph.flows f ON f.namespace = parent.namespace AND f.name = entry.flow
), made AS (
  INSERT INTO chaingraph.executions (id, namespace, name, flow_name, flow_revision, inputs, events, integration,
    options, queue, priority, start_timeout_s, parent_id, root_id, depth, position, phase, workflow_id, nodes_total,
    breakpoints, on_stop, resources, finished_at, error_reason, error_message, next_event_index)
  SELECT c.id, p.namespace, c.name, CASE WHEN c.flow = '' THEN p.flow_name ELSE c.flow END,
    CASE WHEN c.flow = '' THEN p.flow_revision WHEN NOT c.unknown THEN c.revision END,
    -- An event of a subflow goes to the flow, which has inputs of its own.
    CASE WHEN c.flow = '' AND p.subflow = '' THEN p.inputs ELSE coalesce(c.inputs, '{{}}') END,
    c.events, %(integration)b::json,
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
), {ANNOUNCED}, {REFUSED}, logged AS (
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
    """Create the children of the next emissions, at most `BATCH` of them.

    Args:
        emitted: those from number `parent.made` on.
        nodes: the number of nodes in the parent's flow.
        integration: the integration context of the children, as JSON.
        spacing_ms: the distance between children of a tree in the queue: see docs/decisions/0006.

    Returns:
        None when nothing was created: another process was faster, or a stop or a deletion came first. Call `parent`
        again.
    """
    wanted = min(len(emitted), BATCH)
    async with ledger.connection() as connection:
        room = await policies.room_for_children(connection, parent.id, wanted)
    if not room:
        return Batch(0, 0, barred=True)
    emitted = emitted[:room]
    batch = [_Child.of(parent, number, each) for number, each in enumerate(emitted[:BATCH], parent.made)]
    async with ledger.connection() as connection:
        # In a separate statement: no other end should wait for the tree's row until the children are created.
        place = await _advance(connection, parent.id, len(batch) * spacing_ms)
    async with ledger.transaction() as connection:
        cursor = await connection.execute(
            _SPAWN,
            {
                "parent": parent.id,
                "first": parent.called + parent.made,
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


_GROW: Final = f"""
INSERT INTO chaingraph.trees AS t (root_id, size, clock_ms)
SELECT e.root_id, 1 + %(count)s, {_QUEUE_TIME} + %(taken)s::bigint FROM chaingraph.executions e WHERE e.id = %(parent)s
ON CONFLICT (root_id) DO UPDATE SET size = t.size + %(count)s,
  clock_ms = greatest(t.clock_ms, excluded.clock_ms - %(taken)s::bigint) + %(taken)s::bigint
RETURNING t.clock_ms - %(taken)s::bigint, t.size
"""  # noqa: S608 - put together of constants alone


async def grow(connection: Connection, parent: ExecutionId, count: int, taken: int) -> tuple[int, int]:
    """Count further executions of a tree, and reserve this many milliseconds of its time for them.

    Returns:
        The start of their positions in the queue, in milliseconds since 1970; and the size of the tree with them.
    """
    cursor = await connection.execute(_GROW, {"parent": parent, "count": count, "taken": taken})
    row = await cursor.fetchone()
    assert row is not None, "the parent exists while it runs"
    return int(row[0]), int(row[1])


async def _advance(connection: Connection, parent: ExecutionId, taken: int) -> int:
    """Reserve this many milliseconds of its tree's time for children of an execution.

    Returns:
        The start of their positions in the queue, in milliseconds since 1970.
    """
    cursor = await connection.execute(_ADVANCE, {"parent": parent, "taken": taken})
    row = await cursor.fetchone()
    assert row is not None, "the tree was created with the end of its first parent"
    return int(row[0])


@dataclass(frozen=True, slots=True)
class _Child:
    """One child, in the form of the statement's parameters."""

    id: ExecutionId
    name: str
    flow: str
    events: RawJson
    logged: RawJson

    @classmethod
    def of(cls, parent: Parent, emission: int, emitted: EmittedEvent) -> _Child:
        position = parent.called + emission
        id_ = child_execution_id(parent.id, emission)
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
