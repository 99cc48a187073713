"""A runner from its fork to its end: its limits, its connection to the worker, its heartbeat, one session at a time."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Final, NoReturn

import structlog
from structlog.contextvars import bind_contextvars, clear_contextvars

from chaingraph_flow import Registry
from chaingraph_runtime import logs
from chaingraph_worker.runner import limits, streams
from chaingraph_worker.runner.assignment import Assignment
from chaingraph_worker.runner.board import Board
from chaingraph_worker.runner.children import journaled_children
from chaingraph_worker.runner.endings import MEMORY_EXIT, STUCK_EXIT, WORKER_LOST_EXIT
from chaingraph_worker.runner.frames import Decoder, encode
from chaingraph_worker.runner.session import Session
from chaingraph_worker.runner.settings import RunnerSettings
from chaingraph_worker.runner.streams import ScrubbedStream

BEAT_SECONDS: Final = 0.1
_DEAD_MAN_FACTOR: Final = 4
"""The kernel's alarm comes later than the worker's own check: it is for a runner without a working worker."""
_STACK_BYTES: Final = 1024 * 1024
_LARGEST_MESSAGE: Final = 2**32 - 1

_log = structlog.get_logger(__name__)


def run(connection: socket.socket, board: Board, registry: Registry, settings: RunnerSettings) -> NoReturn:
    """Run as a runner, in a process that was just forked and has one thread. Never returns."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # sent to a process group; the worker decides when its runners end
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        limits.die_with_parent()
        limits.stand_back()
        limits.limit_memory(settings.memory_bytes)
        limits.keep_memory_private()
        outputs = streams.install()
        threading.stack_size(_STACK_BYTES)
        logs.configure(settings.log_level, component="runner")
        asyncio.run(_Runner(board, registry, settings, outputs).serve(connection))
    except MemoryError:
        os._exit(MEMORY_EXIT)
    except BaseException:  # noqa: BLE001 - nothing of the process that it was forked from may run
        _log.exception("the runner failed")
        os._exit(1)
    os._exit(0)


class _Runner(asyncio.Protocol):
    """The process's connection and sessions. Implements the engine's Supervisor."""

    def __init__(
        self, board: Board, registry: Registry, settings: RunnerSettings, outputs: Iterable[ScrubbedStream]
    ) -> None:
        self._outputs = tuple(outputs)
        self._board = board
        self._registry = registry
        self._settings = settings
        self._decoder = Decoder(_LARGEST_MESSAGE)
        self._session: Session | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._idle = False
        self._exit_code = 0
        self.enter = board.enter
        self.enter_thread, self.leave_thread = board.enter_thread, board.leave_thread

    async def serve(self, connection: socket.socket) -> None:
        """Run the executions that the worker sends, until the connection ends."""
        self._loop = asyncio.get_running_loop()
        self._tasks.update(asyncio.all_tasks())
        self._beat: asyncio.TimerHandle | None = None
        self._end = asyncio.Event()
        self._transport, _ = await self._loop.create_connection(lambda: self, sock=connection)
        await self._end.wait()

    # -- the connection --------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        for header, blobs in self._decoder.feed(data):
            if "run" in header:
                self._begin(Assignment.of_frame(header, blobs))
            elif "journal" in header:
                self._begin_to_beat()
                self._start(self._read(*blobs, subflow=header["subflow"]), name="read a journal")
            elif self._session is not None:
                self._session.take(header)

    def connection_lost(self, error: Exception | None) -> None:
        """End everything, because the worker has closed the connection or has ended."""
        os._exit(self._exit_code)

    def _send(self, header: Mapping[str, Any], blobs: Sequence[bytes]) -> None:
        if "ended" in header and not self._left_behind():
            self._idle = True
            header = {**header, "idle": True}
        if not self._transport.is_closing():
            self._transport.write(encode(header, blobs))

    # -- sessions --------------------------------------------------------------------------------------------

    def _begin(self, assignment: Assignment) -> None:
        self._begin_to_beat()
        self._session = Session(assignment, self._registry, self, self._send)
        for each in self._outputs:
            each.begin(self._session.scrubber)
        clear_contextvars()
        bind_contextvars(execution_id=assignment.execution_id, namespace=assignment.namespace, name=assignment.name)
        self._start(self._run(self._session), name=f"run {assignment.execution_id}")

    def _begin_to_beat(self) -> None:
        self._board.clear()
        self._idle = False
        limits.limit_cpu(self._settings.cpu_seconds)
        self._worker_beats, self._heard = -1, self._loop.time()
        self._keep_beating()

    def _start(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, flow_spec: bytes, integration: bytes, journal: bytes, *, subflow: str) -> None:
        """Read an execution's emissions from its journal. In a thread, because a long one takes seconds."""
        try:
            with ThreadPoolExecutor(1) as thread:
                read = partial(journaled_children, flow_spec, integration, journal, subflow=subflow)
                fields, blobs = await self._loop.run_in_executor(thread, read)
        except MemoryError:
            self._exit_for_memory()
        except Exception:  # noqa: BLE001 - the worker is told by the exit code
            _log.exception("cannot read the journal")
            os._exit(1)
        self._send({"children": fields, "idle": True}, blobs)
        self._stop_beating()

    async def _run(self, session: Session) -> None:
        try:
            await session.run()
        except MemoryError:
            self._exit_for_memory()
        for each in self._outputs:
            each.end()
        if not self._idle:
            # Nothing of this execution may continue. The transport writes pending reports, and then ends the process.
            self._transport.close()
            return
        # The next execution may come from here on.
        self._session = None
        self._stop_beating()

    def _left_behind(self) -> bool:
        """Whether a node of the ended session still runs, as a thread or as a task."""
        return self._board.threads > 0 or bool(asyncio.all_tasks() - self._tasks)

    # -- the heartbeat ---------------------------------------------------------------------------------------

    def _keep_beating(self) -> None:
        self._board.beat()
        limits.die_in(self._settings.silence_seconds * _DEAD_MAN_FACTOR)
        now, beats = self._loop.time(), self._board.worker_beats
        if beats != self._worker_beats:
            self._worker_beats, self._heard = beats, now
        elif now - self._heard > self._settings.lease_seconds:
            _log.warning("worker not heard from for the duration of its lease, the runner exits")
            os._exit(WORKER_LOST_EXIT)
        self._beat = self._loop.call_later(BEAT_SECONDS, self._keep_beating)

    def _stop_beating(self) -> None:
        limits.die_in(0)
        if self._beat is not None:
            self._beat.cancel()

    # -- the engine's Supervisor -----------------------------------------------------------------------------

    def leave(self) -> None:
        """Record that no code of a node runs on the event loop, and that the engine has processed its result."""
        self._board.leave()
        if self._session is not None:
            self._session.turn()

    def exhausted(self, node_id: str) -> NoReturn:
        """End the process, because a node reached the memory limit."""
        self._board.blame(node_id)
        with suppress(BaseException):  # there may be no memory left to report it
            if self._session is not None:
                self._session.flush()
        self._exit_for_memory()

    def _exit_for_memory(self) -> NoReturn:
        # Any next allocation may fail as well, in any state: nothing of this process is used again.
        os._exit(MEMORY_EXIT)

    def stuck(self, node_id: str, tries: int, started_at: int, message: str) -> None:
        """End the process, because a node continues after its timeout."""
        if self._session is not None:
            self._session.stuck(node_id, tries, started_at, message)
            self._exit_code = STUCK_EXIT
            self._transport.close()
