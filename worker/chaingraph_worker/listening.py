"""The DBOS queues that this worker takes from, changeable at run time.

DBOS reads its queues at launch, and ends all of them together. A worker whose version is retired must leave the shared
queues and stay with its own. So the threads are ours and run DBOS's code: one thread per queue, as DBOS would start
them. The ledger decides which runs a thread gets, fairly between namespaces: see `fair_share`.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from dbos import DBOS
from dbos._queue import Queue, queue_worker_thread
from dbos._sys_db import SystemDatabase

from chaingraph_store.queue.dispatch import HOLD_QUEUE
from chaingraph_store.queue.fair_share import TAKE, take_parameters


@dataclass(frozen=True, slots=True)
class _Listener:
    thread: threading.Thread
    end: threading.Event = field(default_factory=threading.Event)


class QueueConsumers:
    """The queues that are being served.

    Args:
        dbos: launched.
        queues: all that this worker may ever take from, by name.
        guests: how many of the slots that DBOS counts for a queue are for namespaces with nothing running in it.
    """

    def __init__(self, dbos: DBOS, queues: Mapping[str, Queue], *, guests: int = 0) -> None:
        take_fairly(dbos._sys_db, guests=guests)
        self._dbos = dbos
        self._queues = queues
        self._listeners: dict[str, _Listener] = {}
        self._leaving: list[tuple[str, threading.Thread]] = []
        self._ended = False

    def listen(self, names: Collection[str]) -> None:
        """Serve exactly these queues from now on. To be repeated: a thread that died is restarted."""
        if self._ended:
            return
        self._leaving = [(name, thread) for name, thread in self._leaving if thread.is_alive()]
        for name in [each for each in self._listeners if each not in names]:
            # In this order: `takes_from` finds it in one of the two at any moment.
            self._leaving.append((name, self._listeners[name].thread))
            self._listeners.pop(name).end.set()
        for name in names:
            if name not in self._listeners or not self._listeners[name].thread.is_alive():
                self._listeners[name] = self._start(name)

    def takes_from(self, names: Collection[str]) -> bool:
        """Whether runs may still be taken from one of these: a thread that was told to stop takes a moment.

        May be called in any thread.
        """
        leaving = [name for name, thread in tuple(self._leaving) if thread.is_alive()]
        return any(name in names for name in (*tuple(self._listeners), *leaving))

    def end(self) -> None:
        """Take nothing more from any queue, permanently."""
        self._ended = True
        for each in self._listeners.values():
            each.end.set()

    def _start(self, name: str) -> _Listener:
        end = threading.Event()
        thread = threading.Thread(
            target=queue_worker_thread, args=(end, self._dbos, self._queues[name]), name=f"queue {name}", daemon=True
        )
        thread.start()
        return _Listener(thread, end)


def take_fairly(database: SystemDatabase, *, guests: int) -> None:
    """Make DBOS ask the ledger for the next runs, instead of choosing by priority and age only."""
    of_dbos = database.start_queued_workflows

    def start_queued_workflows(
        queue: Queue,
        executor_id: str,
        app_version: str,
        queue_partition_key: str | None,
        local_running_count: int = 0,
        *arguments: Any,
        owner_xid: str | None = None,
        **options: Any,
    ) -> tuple[list[str], Any]:
        if queue.name == HOLD_QUEUE or queue._worker_concurrency is None or database.app_name is None:
            return of_dbos(
                queue,
                executor_id,
                app_version,
                queue_partition_key,
                local_running_count,
                *arguments,
                owner_xid=owner_xid,
                **options,
            )
        parameters = take_parameters(
            queue=queue.name,
            executor=executor_id,
            application_name=database.app_name,
            version=app_version,
            owner=owner_xid or "",
            free=queue._worker_concurrency - local_running_count,
            guests=guests,
            limit=None if queue._concurrency is None else queue._concurrency - guests,
        )
        # A single statement: a worker that freezes here keeps no lock.
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            return [str(row[0]) for row in connection.exec_driver_sql(TAKE, parameters)], None

    database.start_queued_workflows = start_queued_workflows  # type: ignore[method-assign]
