"""Places in the queue: which run of a namespace is taken next.

`fair_share` says which namespace comes next. Its runs of the same priority are taken in the order of `created_at`, so
that is where a place is written. Places are
virtual time, in milliseconds since 1970: a new execution stands at now, the children of a tree one after the other
behind now. Where a queue is slower than places are given, as when a wide tree's children take long, now is far behind
much of what waits. Whoever comes then joins at the time that the queue has come to. See docs/decisions/0006.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, LiteralString

from chaingraph_store.ids import ExecutionId, WorkflowId
from chaingraph_store.ledger import Connection

_TURN_MS: Final = 100
"""How far behind the queue's time a newcomer stands: as far as the children of a tree stand apart, so that one of each
tree has its turn before it."""
_APART_MS: Final = 10
"""How far apart newcomers stand: they are different people's, so more of them have a turn than children of one tree."""
_WORTH_MS: Final = 250
"""What there must be to gain: to be moved costs a statement."""

_NOW: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
# By priority first, for its index: the one by `created_at` alone has all that was ever run before what waits.
_NEXT: Final = """(
SELECT CASE WHEN w.priority = {priority} THEN w.created_at END
FROM (SELECT priority, created_at FROM dbos.workflow_status
      WHERE queue_name = {queue} AND status = 'ENQUEUED' AND queue_partition_key = {namespace}
        AND priority >= {priority}
      ORDER BY priority, created_at LIMIT 1) w)"""
"""The place of the namespace's run that is taken next, of those with this priority; null when none waits."""


def _own_next(namespace: LiteralString) -> LiteralString:
    return _NEXT.format(queue="%(workflow_queue)s", priority="%(workflow_priority)s", namespace=namespace)


# They stand in the order in which they came, so the newest one says it. Some of the newest came for other queues. Each
# is looked up by its key: OFFSET 0 keeps the planner from beginning at the other end.
_LAST_ROOT: Final = """(
SELECT max(w.created_at)
FROM (SELECT workflow_id, queue FROM chaingraph.executions
      WHERE parent_id IS NULL AND namespace = %(workflow_namespace)s ORDER BY created_at DESC, id DESC LIMIT 20) root
CROSS JOIN LATERAL (SELECT created_at FROM dbos.workflow_status
                    WHERE workflow_uuid = root.workflow_id AND status = 'ENQUEUED' AND priority = %(workflow_priority)s
                    OFFSET 0) w
WHERE root.queue = %(workflow_queue)s)"""
"""The place of the namespace's last root that waits; null when none does."""


# What costs more is only asked for where the queue is behind.
def _if_behind(*, namespace: LiteralString, place: LiteralString) -> LiteralString:
    return f"""(
SELECT place FROM (
  SELECT CASE WHEN next + {_TURN_MS + _WORTH_MS} < {_NOW} THEN {place} END AS place
  FROM (SELECT {_own_next(namespace)} AS next OFFSET 0) queue OFFSET 0) turn
WHERE place + {_WORTH_MS} < {_NOW})"""  # noqa: S608 - put together of constants alone


TURN: Final = _if_behind(
    namespace="(SELECT namespace FROM chaingraph.executions WHERE id = %(execution)s)", place=f"next + {_TURN_MS}"
)
"""Where a run stands that is enqueued once more, with `dispatch.run_parameters`; null where now will do."""
NEWCOMERS_TURN: Final = _if_behind(
    namespace="%(workflow_namespace)s", place=f"greatest(next + {_TURN_MS}, {_LAST_ROOT} + {_APART_MS})"
)
"""The same for a new execution, which stands behind those that came before it."""


def queue_time(*, queue: LiteralString, priority: LiteralString, namespace: LiteralString) -> LiteralString:
    """The time that a namespace has come to in a queue: now, or the place that is taken next if that is past.

    An expression of SQL.
    """
    return f"least({_NOW}, {_NEXT.format(queue=queue, priority=priority, namespace=namespace)})"


async def give(connection: Connection, places: Sequence[tuple[WorkflowId | ExecutionId, int]]) -> None:
    """Gives runs that were just enqueued their places."""
    await connection.execute(
        "UPDATE dbos.workflow_status w SET created_at = given.place"
        " FROM unnest(%s::text[], %s::bigint[]) AS given (id, place) WHERE w.workflow_uuid = given.id",
        ([workflow for workflow, _ in places], [place for _, place in places]),
    )
