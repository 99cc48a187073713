"""Children that nodes of a running execution call: their creation, their ends, and what stops them.

They are created in the transaction that writes the reports of the parent before them, and under its fence. Ids are
derived, so a repetition creates nothing twice. Their ends wake the parent: see `delivery`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from chaingraph_store.children.spawning import ANNOUNCED, REFUSED, grow
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import CHANGES, Connection, plain
from chaingraph_store.queue import dispatch, order
from chaingraph_store.raw_json import RawJson
from chaingraph_store.tenancy import policies


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call of a node.

    Attributes:
        call: its path.
        tried: attempt of the parent and try of the node, as `2.1`.
        subflow: the subflow to run, or ''.
        flow: the Flow of the parent's namespace to run instead, or ''.
        nodes: the number of nodes, if known.
        inputs: JSON.
    """

    id: ExecutionId
    name: str
    call: str
    tried: str
    subflow: str
    flow: str
    nodes: int
    inputs: bytes


@dataclass(frozen=True, slots=True)
class Room:
    """How many more children the quota of the namespace allows; and how many the parent and its tree have."""

    in_namespace: int
    children: int
    tree: int


_SIZES: Final = """
SELECT e.children_total, coalesce(t.size, 1)
FROM chaingraph.executions e LEFT JOIN chaingraph.trees t ON t.root_id = e.root_id WHERE e.id = %s
"""


async def room(connection: Connection, parent: ExecutionId, wanted: int) -> Room:
    """Return the room for the wanted children of an execution."""
    fitting = await policies.room_for_children(connection, parent, wanted)
    cursor = await connection.execute(_SIZES, (parent,))
    row = await cursor.fetchone()
    assert row is not None, "the parent exists while it runs"
    return Room(fitting, int(row[0]), int(row[1]))


_CREATE: Final = f"""
WITH parent AS (
  SELECT * FROM chaingraph.executions WHERE id = %(parent)s
), entry AS (
  SELECT * FROM unnest(%(ids)s::text[], %(names)s::text[], %(calls)s::text[], %(tries)s::text[], %(subflows)s::text[],
                       %(flows)s::text[], %(nodes)s::int[], %(inputs)b::json[])
         WITH ORDINALITY AS entry (id, name, call, tried, subflow, flow, nodes, inputs, number)
), fresh AS (
  SELECT entry.*, row_number() OVER (ORDER BY entry.number) - 1 AS offset_, f.revision,
         entry.flow <> '' AND f.revision IS NULL AS unknown, f.nodes AS flow_nodes,
         CASE WHEN f.name IS NULL THEN 'Flow %%s not found in namespace %%s, called by %%s'
              ELSE 'Flow %%s in namespace %%s, called by %%s, cannot run: ' END AS refusal,
         coalesce(f.problem, '') AS problem,
         CASE WHEN f.name IS NULL THEN 'FlowNotFound' ELSE coalesce(nullif(f.reason, ''), 'FlowInvalid') END AS reason
  FROM parent CROSS JOIN entry
  LEFT JOIN chaingraph.flows f ON f.namespace = parent.namespace AND f.name = entry.flow
  WHERE NOT EXISTS (SELECT FROM chaingraph.executions known WHERE known.id = entry.id)
), made AS (
  INSERT INTO chaingraph.executions (id, namespace, name, flow_name, flow_revision, subflow, inputs, integration,
    options, queue, priority, start_timeout_s, parent_id, root_id, depth, position, called_by, called_in, phase,
    workflow_id, nodes_total, on_stop, resources, finished_at, error_reason, error_message, next_event_index)
  SELECT c.id, p.namespace, c.name, CASE WHEN c.flow = '' THEN p.flow_name ELSE c.flow END,
    CASE WHEN c.flow = '' THEN p.flow_revision ELSE c.revision END, c.subflow, c.inputs, p.integration,
    p.options, p.queue, p.priority, p.start_timeout_s, p.id, p.root_id, p.depth + 1,
    p.children_spawned + c.offset_, c.call, c.tried, CASE WHEN c.unknown THEN 'Failed' ELSE 'Pending' END, c.id,
    CASE WHEN c.flow = '' THEN c.nodes ELSE coalesce(c.flow_nodes, 0) END, p.on_stop, p.resources,
    CASE WHEN c.unknown THEN now() END, CASE WHEN c.unknown THEN c.reason ELSE '' END,
    CASE WHEN c.unknown THEN format(c.refusal, quote_literal(c.flow), quote_literal(p.namespace),
                                    quote_literal(c.call)) || c.problem ELSE '' END, c.unknown::int
  FROM parent p CROSS JOIN fresh c
  RETURNING *
), {ANNOUNCED}, {REFUSED}, counted AS (
  UPDATE chaingraph.executions e
  SET children_total = e.children_total + made.count, children_spawned = e.children_spawned + made.count,
      children_called = e.children_called + made.count, children_active = e.children_active + made.count,
      change_seq = nextval('chaingraph.change_seq')
  FROM (SELECT count(*)::int FROM made) made WHERE e.id = %(parent)s AND made.count > 0
  RETURNING e.id
)
SELECT (SELECT count(*) FROM made WHERE phase = 'Failed'),
       (SELECT count({dispatch.ENQUEUE_CHILD}) FROM made WHERE phase = 'Pending'),
       (SELECT array_agg(id) FROM made WHERE phase = 'Pending'),
       (SELECT pg_notify(%(channel)s, id) FROM counted)
"""  # noqa: S608 - put together of constants alone


async def create(
    connection: Connection,
    parent: ExecutionId,
    calls: Sequence[NewCall],
    *,
    spacing_ms: int,
    application_name: str,
) -> bool:
    """Create the executions of calls, except those that exist, inside the caller's transaction.

    The caller has written to the parent's row in this transaction, and so has its lock.

    Args:
        spacing_ms: the distance between children of a tree in the queue: see docs/decisions/0006.

    Returns:
        Whether any of them has failed at once, because its flow is unknown.
    """
    cursor = await connection.execute(
        _CREATE,
        {
            "parent": parent,
            "ids": [each.id for each in calls],
            "names": [each.name for each in calls],
            "calls": [each.call for each in calls],
            "tries": [each.tried for each in calls],
            "subflows": [each.subflow for each in calls],
            "flows": [plain(each.flow) for each in calls],
            "nodes": [each.nodes for each in calls],
            "inputs": [RawJson(each.inputs) for each in calls],
            "channel": CHANGES,
        }
        | dispatch.child_parameters(application_name=application_name),
    )
    row = await cursor.fetchone()
    assert row is not None, "a query without FROM has one row"
    enqueued = [each.id for each in calls if each.id in set(row[2] or ())]
    if row[0] or enqueued:
        # Last, because other parents in the tree wait for the tree's row.
        place, _ = await grow(connection, parent, row[0] + len(enqueued), len(enqueued) * spacing_ms)
        await order.give(connection, [(each, place + number * spacing_ms) for number, each in enumerate(enqueued)])
    return bool(row[0])


END: Final = """json_build_array(c.called_by, c.called_in, c.id, c.name, c.phase, c.outputs, c.error_node,
                          c.error_reason, c.error_message, c.error_details,
                          floor(extract(epoch FROM c.finished_at) * 1000)::bigint)"""
"""The end of a called execution `c`, as SQL: the fields of `chaingraph_flow.ChildEnd`."""


async def known(connection: Connection, ids: Sequence[ExecutionId]) -> set[ExecutionId]:
    """Return which of these executions exist."""
    cursor = await connection.execute("SELECT id FROM chaingraph.executions WHERE id = ANY(%s)", (list(ids),))
    return {ExecutionId(row[0]) for row in await cursor.fetchall()}


_MOST_ENDS: Final = 50
_MOST_BYTES: Final = 4 * 1024 * 1024
_ENDED: Final = f"""
WITH first AS (
  SELECT id, row_number() OVER oldest AS number,
         sum(coalesce(octet_length(outputs::text), 0)
             + coalesce(octet_length(error_details::text), 0)) OVER oldest AS bytes
  FROM (SELECT * FROM chaingraph.executions
        WHERE id = ANY(%(ids)s) AND phase IN ('Completed', 'Failed', 'Stopped')
        ORDER BY finished_at, position LIMIT {_MOST_ENDS}) ended
  WINDOW oldest AS (ORDER BY finished_at, position, id)
)
SELECT {END}::text, c.id FROM first JOIN chaingraph.executions c USING (id)
WHERE first.number = 1 OR first.bytes <= {_MOST_BYTES} ORDER BY first.number
"""  # noqa: S608 - put together of constants alone


async def ended(connection: Connection, ids: Sequence[ExecutionId]) -> dict[ExecutionId, str]:
    """Return the ends of those of these executions that have ended, as the text of `END`.

    At most so many and so large at a time that a worker has room for them: ask again for the others.
    """
    cursor = await connection.execute(_ENDED, {"ids": list(ids)})
    return {ExecutionId(row[1]): row[0] for row in await cursor.fetchall()}


_UNFINISHED: Final = """
SELECT id FROM chaingraph.executions
WHERE parent_id = %(parent)s AND called_by <> '' AND phase NOT IN ('Completed', 'Failed', 'Stopped')
  AND (%(ids)s::text[] IS NULL OR id = ANY(%(ids)s))
ORDER BY id
"""


async def unfinished(
    connection: Connection, parent: ExecutionId, ids: Sequence[ExecutionId] | None = None
) -> list[ExecutionId]:
    """Return the called executions that have not ended: of these, or all."""
    cursor = await connection.execute(_UNFINISHED, {"parent": parent, "ids": None if ids is None else list(ids)})
    return [ExecutionId(row[0]) for row in await cursor.fetchall()]
