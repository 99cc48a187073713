"""Which of DBOS's queues this worker takes from, while it runs. Called by application.

DBOS reads at its launch which queues a process listens to, and all of them end together. A worker whose version is
retired has to leave the queues that all versions share and stay with its own. So the threads are ours, and what they
run is DBOS's: one thread a queue, as it would start them itself.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from dbos import DBOS
from dbos._queue import Queue, queue_worker_thread


@dataclass(frozen=True, slots=True)
class _Listener:
    thread: threading.Thread
    end: threading.Event = field(default_factory=threading.Event)


class Listening:
    """The queues that are listened to.

    Args:
        dbos: launched.
        queues: all that this worker may ever take from, by name.
    """

    def __init__(self, dbos: DBOS, queues: Mapping[str, Queue]) -> None:
        self._dbos = dbos
        self._queues = queues
        self._listeners: dict[str, _Listener] = {}
        self._leaving: list[tuple[str, threading.Thread]] = []
        self._ended = False

    def listen(self, names: Collection[str]) -> None:
        """Listens to these queues and no others from now on. To be repeated: a thread that died is started again."""
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
        """Whether anything may still be taken from one of these: a thread that was told to leave takes its time.

        May be called in any thread.
        """
        leaving = [name for name, thread in tuple(self._leaving) if thread.is_alive()]
        return any(name in names for name in (*tuple(self._listeners), *leaving))

    def end(self) -> None:
        """Takes nothing more from any queue. It is not taken up again."""
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
