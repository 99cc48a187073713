"""Running executions stay on the worker version that started them while one of its workers lives. See
docs/decisions/0009.

A claim writes the worker's pool and version into the row. Handed-back work goes to the shared queue. A worker of
another version that finds it there sends it to the queue of its own version, which all workers of that version serve.
Workers return runs that wait for a version without workers to the shared queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, LiteralString

from chaingraph_store.errors import StoreError
from chaingraph_store.ids import ExecutionId, WorkflowId, workflow_id
from chaingraph_store.ledger import Connection
from chaingraph_store.queue import dispatch, order


@dataclass(frozen=True, slots=True, order=True)
class Build:
    """A worker build: all workers of a pool and version have the same code and nodes."""

    pool: str
    version: str

    def __str__(self) -> str:
        return f"{self.pool}/{self.version}"


class PinnedElsewhere(StoreError):
    """A worker was given an execution that is pinned to another build with live workers: `send` it to them."""

    def __init__(self, execution_id: str) -> None:
        super().__init__(f"execution {execution_id} is pinned to another worker version with live workers")


NO_BUILD: Final = Build("", "")
"""For an execution that is not pinned, and a worker that pins nothing."""
_SEPARATOR: Final = "@"
"""Separates a queue and its build: the name of a queue has none."""


def pin_queue(queue: str, build: Build) -> str:
    """Return DBOS's queue for runs of this queue that only this build's workers may take."""
    return f"{queue}{_SEPARATOR}{build}"


def has_worker(row: LiteralString) -> LiteralString:
    """Return a condition of SQL: whether a live worker takes runs pinned like this row of `executions`.

    A retired worker does; a draining one takes nothing.
    """
    return (
        "EXISTS (SELECT FROM chaingraph.workers pinned_worker"
        f" WHERE pinned_worker.pool = {row}.worker_pool AND pinned_worker.application_version = {row}.worker_version"
        f" AND pinned_worker.expires_at > now() AND NOT pinned_worker.draining AND {row}.queue = ANY"
        " (pinned_worker.queues))"
    )


_TAKE_BACK: Final = """
WITH mine AS (
  SELECT id, run, queue, priority, worker_pool, worker_version FROM chaingraph.executions
  WHERE id = %(id)s AND workflow_id = %(workflow)s AND phase = 'Pending' AND worker_version <> '' FOR UPDATE
), given AS (
  SELECT mine.id, w.created_at FROM mine JOIN dbos.workflow_status w ON w.workflow_uuid = %(workflow)s
  WHERE w.status = 'PENDING' AND w.executor_id = %(worker)s
  FOR SHARE OF w
)
UPDATE chaingraph.executions e SET run = e.run + 1, workflow_id = e.id || '-' || (e.run + 1)
FROM mine JOIN given USING (id) WHERE e.id = mine.id
RETURNING e.run, e.queue, e.priority, e.worker_pool, e.worker_version, given.created_at
"""


async def send(
    connection: Connection, execution: ExecutionId, *, workflow: WorkflowId, worker: str, application_name: str
) -> Build | None:
    """Send a run that this worker was given to the queue of the build that it is pinned to, in a transaction.

    It goes as the next run, with its position and priority. The workflow of this run ends by itself, whatever happens
    to its worker. This is not a recovery.

    Returns:
        That build; None when the run no longer belongs to this worker.
    """
    cursor = await connection.execute(_TAKE_BACK, {"id": execution, "workflow": workflow, "worker": worker})
    row = await cursor.fetchone()
    if row is None:
        return None
    run, queue, priority, pool, version, place = row
    build = Build(pool, version)
    await dispatch.enqueue_run(
        connection,
        execution,
        run=run,
        queue=pin_queue(queue, build),
        priority=priority,
        application_name=application_name,
    )
    await order.give(connection, [(workflow_id(execution, run), place)])
    return build


ABANDONED: Final = f"""
EXISTS (SELECT FROM chaingraph.executions e JOIN dbos.workflow_status w ON w.workflow_uuid = e.workflow_id
        WHERE e.phase = 'Pending' AND e.worker_version <> '' AND w.status = 'ENQUEUED' AND w.queue_name <> e.queue
          AND NOT {has_worker("e")})
"""
"""Whether `release` has something to do. An expression of SQL."""
# MATERIALIZED: the planner overestimates the pinned rows, and would read all workflows for them.
_RELEASE: Final = f"""
WITH left_alone AS MATERIALIZED (
  SELECT e.workflow_id, e.queue FROM chaingraph.executions e
  WHERE e.phase = 'Pending' AND e.worker_version <> '' AND NOT {has_worker("e")}
)
UPDATE dbos.workflow_status w SET queue_name = left_alone.queue, updated_at = (extract(epoch FROM now()) * 1000)::bigint
FROM left_alone
WHERE w.workflow_uuid = ANY (ARRAY(SELECT workflow_id FROM left_alone)) AND w.workflow_uuid = left_alone.workflow_id
  AND w.status = 'ENQUEUED' AND w.queue_name <> left_alone.queue
RETURNING w.workflow_uuid
"""  # noqa: S608 - put together of constants alone


async def release(connection: Connection) -> list[WorkflowId]:
    """Return runs that wait for a build without live workers to the shared queue.

    Run it in a transaction of its own: it locks workflows without their executions. The next claim pins them again.

    Returns:
        The workflows that were returned.
    """
    cursor = await connection.execute(_RELEASE)
    return [WorkflowId(row[0]) for row in await cursor.fetchall()]


@dataclass(frozen=True, slots=True)
class WorkerCapacity:
    """The live workers of a build that are not draining. `serving`: those that may take executions not pinned to it."""

    live: int
    serving: int
    retired: int


@dataclass(frozen=True, slots=True)
class Load:
    """The work left of a build. `running`: runs on its workers. `waiting`: executions that wait for them."""

    running: int
    waiting: int

    @property
    def total(self) -> int:
        return self.running + self.waiting


@dataclass(frozen=True, slots=True)
class Builds:
    """All builds, read at one moment. A build that is not listed has nothing."""

    workers: dict[Build, WorkerCapacity]
    loads: dict[Build, Load]


# By executor, and not by the row's pin: runs taken from the queue and not claimed yet count too.
_BUILDS: Final = """
SELECT pool, version, sum(live), sum(serving), sum(retired), sum(running), sum(waiting) FROM (
  SELECT pool, application_version AS version, count(*) AS live, count(*) FILTER (WHERE serving) AS serving,
         count(*) FILTER (WHERE retired) AS retired, 0 AS running, 0 AS waiting
  FROM chaingraph.workers WHERE application_name = %(app)s AND expires_at > now() AND NOT draining GROUP BY 1, 2
  UNION ALL
  SELECT o.pool, o.application_version, 0, 0, 0, count(*), 0
  FROM dbos.workflow_status w JOIN chaingraph.workers o ON o.executor_id = w.executor_id
  WHERE w.status = 'PENDING' AND w.application_name = %(app)s AND w.name = %(run)s GROUP BY 1, 2
  UNION ALL
  SELECT worker_pool, worker_version, 0, 0, 0, 0, count(*)
  FROM chaingraph.executions WHERE phase = 'Pending' AND worker_version <> '' GROUP BY 1, 2
) each_kind GROUP BY 1, 2
"""


async def builds(connection: Connection, *, application_name: str) -> Builds:
    """Return the live workers of each build, and its pinned executions. A parked execution is pinned to nothing."""
    cursor = await connection.execute(_BUILDS, {"app": application_name, "run": dispatch.RUN_WORKFLOW})
    rows: list[tuple[Any, ...]] = await cursor.fetchall()
    return Builds(
        {Build(row[0], row[1]): WorkerCapacity(int(row[2]), int(row[3]), int(row[4])) for row in rows if row[2]},
        {Build(row[0], row[1]): Load(int(row[5]), int(row[6])) for row in rows if row[5] or row[6]},
    )


async def set_retired(connection: Connection, build: Build, *, retired: bool) -> int:
    """Retire the workers of a build, so that they only take runs pinned to it, or make them serve again.

    They learn of it when they renew their leases. A worker that starts later starts like the last one before it.

    Returns:
        How many workers changed.
    """
    cursor = await connection.execute(
        "UPDATE chaingraph.workers SET retired = %(retired)s"
        " WHERE pool = %(pool)s AND application_version = %(version)s AND retired <> %(retired)s",
        {"pool": build.pool, "version": build.version, "retired": retired},
    )
    return cursor.rowcount


async def forget_queues(connection: Connection) -> int:
    """Forget the queues of builds without any known worker, live or dead. Nothing waits in them."""
    cursor = await connection.execute(
        "DELETE FROM dbos.queues q WHERE strpos(q.name, '@') > 0 AND NOT EXISTS (SELECT FROM chaingraph.workers o"
        "   WHERE split_part(q.name, '@', 2) = o.pool || '/' || o.application_version)"
        " AND NOT EXISTS (SELECT FROM dbos.workflow_status w WHERE w.queue_name = q.name"
        "   AND w.status IN ('ENQUEUED', 'PENDING'))"
    )
    return cursor.rowcount
