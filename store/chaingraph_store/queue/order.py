"""Positions in the queue: the order of a namespace's runs.

`fair_share` chooses the next namespace. Its runs with the same priority are taken in the order of `created_at`, so that
column has the position. Positions are virtual time, in milliseconds since 1970: a new execution is placed at now, the
children of a tree one after the other after now. When the queue is slower than that, as with long children of a wide
tree, most waiting runs are placed long before now. A newcomer then joins at the queue's current time. See
docs/decisions/0006.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, LiteralString

from chaingraph_store.ids import ExecutionId, WorkflowId
from chaingraph_store.ledger import Connection

_TURN_MS: Final = 100
"""How far after the queue's time a newcomer is placed: the distance between children of a tree, so that one of each
tree has its turn first."""
_APART_MS: Final = 10
"""Distance between newcomers: they belong to different users, so more of them get a turn than children of one tree."""
_WORTH_MS: Final = 250
"""Minimum gain: moving a run costs a statement."""

_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
# Priority first, for its index: the one by `created_at` only has all past runs before the waiting ones.
_NEXT: Final = """(
SELECT CASE WHEN w.priority = {priority} THEN w.created_at END
FROM (SELECT priority, created_at FROM dbos.workflow_status
      WHERE queue_name = {queue} AND status = 'ENQUEUED' AND queue_partition_key = {namespace}
        AND priority >= {priority}
      ORDER BY priority, created_at LIMIT 1) w)"""
"""The position of the namespace's next run with this priority; null when none waits."""


def _own_next(namespace: LiteralString) -> LiteralString:
    return _NEXT.format(queue="%(workflow_queue)s", priority="%(workflow_priority)s", namespace=namespace)


# Roots are placed in order of arrival, so the newest one has the last position. Some of the newest may be in other
# queues. Each is looked up by its key: OFFSET 0 keeps the planner from starting at the other end.
_LAST_ROOT: Final = """(
SELECT max(w.created_at)
FROM (SELECT workflow_id, queue FROM chaingraph.executions
      WHERE parent_id IS NULL AND namespace = %(workflow_namespace)s ORDER BY created_at DESC, id DESC LIMIT 20) root
CROSS JOIN LATERAL (SELECT created_at FROM dbos.workflow_status
                    WHERE workflow_uuid = root.workflow_id AND status = 'ENQUEUED' AND priority = %(workflow_priority)s
                    OFFSET 0) w
WHERE root.queue = %(workflow_queue)s)"""
"""The position of the namespace's last waiting root; null when none waits."""


# The expensive parts are evaluated only when the queue is behind.
def _if_behind(*, namespace: LiteralString, place: LiteralString) -> LiteralString:
    return f"""(
SELECT place FROM (
  SELECT CASE WHEN next + {_TURN_MS + _WORTH_MS} < {_NOW} THEN {place} END AS place
  FROM (SELECT {_own_next(namespace)} AS next OFFSET 0) queue OFFSET 0) turn
WHERE place + {_WORTH_MS} < {_NOW})"""  # noqa: S608 - put together of constants alone


TURN: Final = _if_behind(
    namespace="(SELECT namespace FROM chaingraph.executions WHERE id = %(execution)s)", place=f"next + {_TURN_MS}"
)
"""The position of a run enqueued once more, with `dispatch.run_parameters`; null when now is right."""
NEWCOMERS_TURN: Final = _if_behind(
    namespace="%(workflow_namespace)s", place=f"greatest(next + {_TURN_MS}, {_LAST_ROOT} + {_APART_MS})"
)
"""The same for a new execution, which is placed behind earlier ones."""


def queue_time(*, queue: LiteralString, priority: LiteralString, namespace: LiteralString) -> LiteralString:
    """Return an expression for a namespace's current time in a queue: now, or the position of its next run if earlier.

    An expression of SQL.
    """
    return f"least({_NOW}, {_NEXT.format(queue=queue, priority=priority, namespace=namespace)})"


async def give(connection: Connection, places: Sequence[tuple[WorkflowId | ExecutionId, int]]) -> None:
    """Set the positions of runs that were just enqueued."""
    await connection.execute(
        "UPDATE dbos.workflow_status w SET created_at = given.place"
        " FROM unnest(%s::text[], %s::bigint[]) AS given (id, place) WHERE w.workflow_uuid = given.id",
        ([workflow for workflow, _ in places], [place for _, place in places]),
    )
