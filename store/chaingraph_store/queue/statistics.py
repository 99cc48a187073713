"""Statistics of the queues for metrics: waiting and running executions, their age, and the workers.

Each statement uses an index of unfinished work, and never reads ended executions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row

from chaingraph_store.ledger import Connection
from chaingraph_store.queue.dispatch import HOLD_QUEUE


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """One queue. `oldest_seconds`: how far it is behind, which is the age of the position that is taken next.

    An execution's position is the time it was enqueued. Children have positions one after the other from then on, and a
    newcomer to a queue that is behind is placed close to its front. See `order`.
    """

    queue: str
    waiting: int
    running: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """The workers of one version of a pool for a queue. `slots`: executions of the queue that they can run at once.

    `state`: serving; retired (finishing the executions of their version only); draining (shutting down).
    """

    queue: str
    pool: str
    version: str
    state: str
    workers: int
    slots: int


_QUEUES: Final = """
SELECT split_part(queue_name, '@', 1) AS queue,
       coalesce(sum(many) FILTER (WHERE status = 'ENQUEUED'), 0)::bigint AS waiting,
       coalesce(sum(many) FILTER (WHERE status = 'PENDING'), 0)::bigint AS running,
       greatest(0, coalesce(extract(epoch FROM now()) - min(first) FILTER (WHERE status = 'ENQUEUED') / 1000.0, 0)
         )::float8 AS oldest_seconds
FROM (SELECT queue_name, status, count(*) AS many, min(created_at) AS first
      FROM dbos.workflow_status
      WHERE status IN ('ENQUEUED', 'PENDING') AND application_name = %(application)s
        AND queue_name IS NOT NULL AND queue_name <> %(holds)s
      GROUP BY queue_name, status) each
GROUP BY 1
"""
"""Uses the index of unfinished work that DBOS keeps for dequeuing, which has all columns needed.

Runs that wait for their own worker version, in a queue of its own, are counted with their queue: see `pinning`."""

_WORKERS: Final = """
SELECT queue, pool, application_version AS version,
       CASE WHEN draining THEN 'draining' WHEN retired THEN 'retired' ELSE 'serving' END AS state,
       count(*) AS workers, sum(concurrency)::bigint AS slots
FROM chaingraph.workers, unnest(queues) AS queue
WHERE expires_at > now() AND application_name = %(application)s
GROUP BY 1, 2, 3, 4
"""


async def queues(connection: Connection, *, application_name: str) -> list[QueueStatistics]:
    """Return every queue with waiting or running work. Executions that wait for their START_SIGNAL are in none."""
    async with connection.cursor(row_factory=class_row(QueueStatistics)) as cursor:
        await cursor.execute(_QUEUES, {"application": application_name, "holds": HOLD_QUEUE})
        return await cursor.fetchall()


async def workers(connection: Connection, *, application_name: str) -> list[WorkerStatistics]:
    """Return the workers with a valid lease."""
    async with connection.cursor(row_factory=class_row(WorkerStatistics)) as cursor:
        await cursor.execute(_WORKERS, {"application": application_name})
        return await cursor.fetchall()
