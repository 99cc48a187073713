"""How much waits in the queues, how long, and which workers serve them: for metrics.

Each statement reads what is in flight by an index made for that, and never what has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from psycopg.rows import class_row

from chaingraph_store.ledger import Connection
from chaingraph_store.queue.dispatch import HOLD_QUEUE


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """One queue. `oldest_seconds`: how far it is behind, that is the age of the place that is taken next.

    An execution's place is when it was enqueued; children have theirs one after the other from then on, and one that
    comes to a queue that is behind stands close to its front. See `places`.
    """

    queue: str
    waiting: int
    running: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class WorkerStatistics:
    """The workers of one version of a pool that have a queue. `slots`: executions of the queue that they run at once.

    `state`: serving; retired, which take only what their version has begun; draining, which end.
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
"""By the index of what is in flight, which DBOS keeps to dequeue by and which has every column that this needs.

What waits for workers of its own version, in a queue of its own, is counted with its queue: see `pinning`."""

_WORKERS: Final = """
SELECT queue, pool, application_version AS version,
       CASE WHEN draining THEN 'draining' WHEN retired THEN 'retired' ELSE 'serving' END AS state,
       count(*) AS workers, sum(concurrency)::bigint AS slots
FROM chaingraph.workers, unnest(queues) AS queue
WHERE expires_at > now() AND application_name = %(application)s
GROUP BY 1, 2, 3, 4
"""


async def queues(connection: Connection, *, application_name: str) -> list[QueueStatistics]:
    """Every queue in which something waits or runs; executions that wait for their START_SIGNAL are in none."""
    async with connection.cursor(row_factory=class_row(QueueStatistics)) as cursor:
        await cursor.execute(_QUEUES, {"application": application_name, "holds": HOLD_QUEUE})
        return await cursor.fetchall()


async def workers(connection: Connection, *, application_name: str) -> list[WorkerStatistics]:
    """The workers with a lease that is good."""
    async with connection.cursor(row_factory=class_row(WorkerStatistics)) as cursor:
        await cursor.execute(_WORKERS, {"application": application_name})
        return await cursor.fetchall()
