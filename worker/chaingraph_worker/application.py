"""DBOS as this worker runs it: configuration, queues, launch and end. Called by main."""

from __future__ import annotations

import asyncio

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer

from chaingraph_process import logs
from chaingraph_store.dispatch import HOLD_QUEUE
from chaingraph_worker.migrate import sqlalchemy_url
from chaingraph_worker.settings import WorkerSettings

_HOLD_POLL_SECONDS = 0.25


def configure(settings: WorkerSettings) -> None:
    """Makes the DBOS instance of this process. JSON throughout: a pickled row would run code on whoever reads it."""
    config: DBOSConfig = {
        "name": settings.application_name,
        "system_database_url": sqlalchemy_url(settings.database_url),
        "application_version": settings.application_version,
        "executor_id": settings.executor_id,
        "serializer": DBOSPortableJSONSerializer(),
        "run_migrations": False,
        "max_executor_threads": settings.threads,
        "log_level": "WARNING" if settings.log_level.lower() == "info" else settings.log_level.upper(),
        "enable_otlp": False,
    }
    DBOS(config=config)
    logs.adopt("dbos")
    DBOS.listen_queues([*settings.queue_names, HOLD_QUEUE])


async def launch(settings: WorkerSettings) -> None:
    """Launches DBOS on the running loop and registers its queues. The lease must have been taken before."""
    # DBOS adopts the loop that runs in the launching thread, so the launch itself has to happen on it.
    DBOS.launch()
    for queue in settings.queue_names:
        await DBOS.register_queue_async(
            queue,
            worker_concurrency=settings.worker_concurrency,
            global_concurrency=settings.queue_concurrency,
            polling_interval_sec=settings.queue_poll_seconds,
        )
    await DBOS.register_queue_async(HOLD_QUEUE, polling_interval_sec=_HOLD_POLL_SECONDS)


async def end(*, within: float) -> None:
    """Takes no new work at once, waits for what runs, `within` seconds at most, and ends DBOS.

    What is left stays PENDING in its row, to be handed back.
    """
    await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=int(within))
