"""Configure, launch and end DBOS in this worker."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any, Final, NoReturn

import psycopg
from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, _serialization
from dbos import error as dbos_errors
from sqlalchemy import event
from sqlalchemy.engine import Engine, ExceptionContext

from chaingraph_runtime import logs
from chaingraph_store.ledger import IDLE_SECONDS
from chaingraph_store.queue.dispatch import HOLD_QUEUE
from chaingraph_store.queue.pinning import pin_queue
from chaingraph_worker import log_names, metrics
from chaingraph_worker.errors import UnsafeValue
from chaingraph_worker.listening import QueueConsumers
from chaingraph_worker.migrate import JOURNAL_FORMAT, sqlalchemy_url
from chaingraph_worker.settings import WorkerSettings

_made: Final[list[DBOS]] = []
_listening: Final[list[QueueConsumers]] = []
_EXPECTED: Final = (
    dbos_errors.DBOSAwaitedWorkflowCancelledError,
    dbos_errors.DBOSWorkflowCancelledError,
    dbos_errors.DBOSWorkflowConflictIDError,
)
_SHUT_DOWN: Final = "cannot schedule new futures after shutdown"
"""The error of DBOS's threads after `end`: their work was handed back before. At any other time it is an error."""
_ending: Final = threading.Event()
_HOLD_POLL_SECONDS = 0.25


def refuse_pickles() -> None:
    """Keep DBOS from decoding pickles, which run code. A row could demand that, whatever is configured.

    The database rejects such rows as well: see `chaingraph_store.queue.dbos_guards`.
    """

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise UnsafeValue(
            "A row of DBOS's tables is a Python pickle, which runs code when it is read. It was not read. No process "
            "of ChainGraph writes pickles. Find out who can write to this database, and run `chaingraph-worker migrate`"
        )

    # Every module of DBOS calls the one instance of this class. Writing is kept: DBOS records the error with the row.
    setattr(_serialization.DefaultSerializer, "deserialize", refuse)  # noqa: B010 - a method replaced on purpose


def retry_read_only() -> None:
    """Make DBOS retry statements that a read-only stand-by rejects, on a new connection, as after a lost connection.

    Otherwise it would record the rejection as the end of the workflow, and cannot write that either: the workflow would
    be lost.
    """
    event.listen(Engine, "handle_error", _lose_stand_by)


def _lose_stand_by(context: ExceptionContext) -> None:
    if isinstance(context.original_exception, psycopg.errors.ReadOnlySqlTransaction):
        context.is_disconnect = True


def configure(settings: WorkerSettings) -> None:
    """Create the DBOS instance of this process. JSON throughout: a pickled row would run code in its readers."""
    refuse_pickles()
    retry_read_only()
    config: DBOSConfig = {
        "name": settings.application_name,
        "system_database_url": sqlalchemy_url(settings.database_url),
        "application_version": JOURNAL_FORMAT,
        "executor_id": settings.executor_id,
        "serializer": DBOSPortableJSONSerializer(),
        "run_migrations": False,
        "max_executor_threads": settings.threads,
        "log_level": "WARNING" if settings.log_level.lower() == "info" else settings.log_level.upper(),
        "enable_otlp": False,
        # As for our own transactions: a worker that is frozen while it looks into a queue keeps the others from it.
        "sys_db_idle_transaction_timeout_sec": IDLE_SECONDS,
    }
    _made.append(DBOS(config=config))
    logs.adopt("dbos")
    logging.getLogger("dbos").addFilter(is_news)
    logging.getLogger("dbos").addFilter(metrics.count_errors_of_dbos)
    logging.getLogger("dbos").addFilter(log_names.name_execution)
    DBOS.listen_queues([])


def _instance() -> DBOS:
    return _made[-1]


def is_news(record: logging.LogRecord) -> bool:
    """Drop DBOS's stack trace of a workflow that was cancelled or handed back: `attempt` logs that in one line.

    While the process ends, DBOS raises another error as it handles that one.
    """
    error = record.exc_info[1] if record.exc_info else None
    while error is not None:
        if isinstance(error, _EXPECTED) or (_ending.is_set() and str(error) == _SHUT_DOWN):
            return False
        error = error.__context__
    return True


async def launch(settings: WorkerSettings, *, shared_rows: bool = True) -> None:
    """Launch DBOS for the running loop and register its queues: dozens of round trips.

    Nothing is taken from them until `serve`, which needs the lease.

    Args:
        shared_rows: whether the database role may write the rows of DBOS that all workers share. If not, the migration
            has written them.
    """
    await asyncio.to_thread(DBOS.launch)
    # DBOS adopts the loop of the launching thread, which has none. So it adopts ours now, before anything can be
    # submitted to another one.
    _instance()._background_event_loop.set_main_loop()
    if shared_rows:
        await DBOS.set_latest_application_version_async(JOURNAL_FORMAT)
    polls = dict.fromkeys(settings.queue_names, settings.queue_poll_seconds)
    polls |= dict.fromkeys(_own_queues(settings), settings.pin_queue_poll_seconds)
    queues = {
        queue: await DBOS.register_queue_async(
            queue,
            worker_concurrency=settings.worker_concurrency + settings.guest_slots,
            global_concurrency=settings.queue_concurrency + settings.guest_slots,
            polling_interval_sec=poll_seconds,
        )
        for queue, poll_seconds in polls.items()
    }
    if shared_rows:
        queues[HOLD_QUEUE] = await DBOS.register_queue_async(HOLD_QUEUE, polling_interval_sec=_HOLD_POLL_SECONDS)
    else:
        held = await DBOS.retrieve_queue_async(HOLD_QUEUE)
        assert held is not None, "the migration created it together with the role"
        queues[HOLD_QUEUE] = held
    _listening.append(QueueConsumers(_instance(), queues, guests=settings.guest_slots))


def _own_queues(settings: WorkerSettings) -> list[str]:
    """Return the queues of this worker's build, which no other build takes from."""
    return [pin_queue(queue, settings.build) for queue in settings.queue_names]


def _shared_queues(settings: WorkerSettings) -> list[str]:
    return [*settings.queue_names, HOLD_QUEUE]


def serve(settings: WorkerSettings, *, retired: bool) -> None:
    """Take runs pinned to this worker's build from now on and, unless it is retired, all others of its queues.

    Without effect before the launch.
    """
    for listening in _listening[-1:]:
        listening.listen(_own_queues(settings) if retired else [*_own_queues(settings), *_shared_queues(settings)])


def serving(settings: WorkerSettings) -> bool:
    """Whether runs that are not pinned to this worker's build may still be taken."""
    return any(listening.takes_from(_shared_queues(settings)) for listening in _listening[-1:])


def stop_dequeuing() -> None:
    """Take no new work from now on. Running executions continue."""
    for listening in _listening[-1:]:
        listening.end()
    for stop in _instance().background_thread_stop_events:
        stop.set()


async def end() -> None:
    """End DBOS at once. Running workflows stay PENDING in their rows, to be handed back.

    DBOS's own wait for running workflows would wait for every hold as well.
    """
    _ending.set()
    await asyncio.to_thread(DBOS.destroy, workflow_completion_timeout_sec=0)
