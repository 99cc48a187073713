"""One runner, as the worker sees it: its process, its connection, its board, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Protocol

import structlog

from chaingraph_worker.runner.board import Board
from chaingraph_worker.runner.frames import Decoder, FrameRefused, encode
from chaingraph_worker.runner.limits import processor_of, resident_bytes
from chaingraph_worker.supervision.killed import Bounds, Cause, Ended, explain

_EXIT_SECONDS: Final = 5.0
"""How long to wait for a process's exit code once its connection has ended; then it is killed."""
_MOST_PATIENCE: Final = 3
"""How many times as long a runner may be silent that the machine gives no processor to. Less than the runner's own
alarm, which charges no node."""
_SEND_BUFFER: Final = 1024 * 1024
_log = structlog.get_logger(__name__)


class Silence:
    """For how long a runner's event loop has not answered.

    On a machine that is too busy, a runner that wants the processor may not get it. That is nobody's fault, so only the
    CPU time that it got counts then, up to a limit.
    """

    def __init__(self) -> None:
        self._beats = -1
        self._cpu_seconds = 0.0
        self._seconds = 0.0
        self._counted = 0.0

    def watch(self, seconds: float, beats: int, processor: tuple[bool, float] | None) -> None:
        """Count an interval.

        Args:
            beats: the number of the runner's heartbeats.
            processor: the result of `limits.processor_of`.
        """
        wants, cpu_seconds = processor or (False, 0.0)
        if beats != self._beats:
            self._seconds = self._counted = 0.0
        else:
            self._seconds += seconds
            self._counted += min(seconds, cpu_seconds - self._cpu_seconds) if wants else seconds
        self._beats, self._cpu_seconds = beats, cpu_seconds

    def lasts(self, seconds: float) -> bool:
        """Whether it lasts for so long."""
        return self._counted >= seconds or self._seconds >= seconds * _MOST_PATIENCE


class Listener(Protocol):
    """The current user of the runner."""

    def report(self, header: Mapping[str, Any], blobs: Sequence[bytes]) -> None:
        """Handle a report of the runner."""

    def ended(self, ended: Ended) -> None:
        """Handle the end of the runner before its engine's."""


class Runner(asyncio.Protocol):
    """A runner that is alive, or has just ended."""

    def __init__(self, bounds: Bounds, *, largest_message: int, gone: Callable[[Runner], None]) -> None:
        """Create it. `gone` is called once, when it can run nothing more."""
        self.pid = 0
        self.board, self._board_file = Board.new()
        self.namespace = ""
        """The namespace of its last execution."""
        self.knows_secrets = False
        """A value of a secret may be in its memory: it gets no execution of another namespace."""
        self._bounds = bounds
        self._decoder = Decoder(largest_message)
        self._gone = gone
        self._listener: Listener | None = None
        self._told: Cause | None = None
        self._exit_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self.alive = True
        self.measured_at = 0.0
        self._silence = Silence()

    async def start(self, fork: Callable[[socket.socket, int], Any]) -> None:
        """Create the process. `fork` takes its end of the connection and its board."""
        ours, theirs = socket.socketpair()
        try:
            for each in (ours, theirs):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
            self.pid = await fork(theirs, self._board_file)
        finally:
            theirs.close()
            os.close(self._board_file)
        ours.setblocking(False)
        self._shared = resident_bytes(self.pid) or 0
        self._transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, sock=ours)

    # -- for whoever has it ----------------------------------------------------------------------------------

    def begin(self, listener: Listener, namespace: str, header: Mapping[str, Any], blobs: Sequence[bytes]) -> None:
        """Give it an execution."""
        self._listener = listener
        self.namespace = namespace
        self._silence = Silence()
        self.board.beat_of_worker()
        self.send(header, blobs)

    def send(self, header: Mapping[str, Any], blobs: Sequence[bytes] = ()) -> None:
        """Send it a message. Without effect when it has ended."""
        if not self._transport.is_closing():
            self._transport.write(encode(header, blobs))

    def hold_back(self) -> None:
        """Stop reading from it for now: its reports stay in its own memory."""
        with suppress(RuntimeError):
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Read again."""
        with suppress(RuntimeError):
            self._transport.resume_reading()

    def kill(self, cause: Cause | None) -> None:
        """Kill it at once; None when nothing caused it."""
        if self.alive and self._told is None:
            self._told = cause or Cause.LOST
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    # -- for the pool ----------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether it has an execution, or has not reported yet that it is idle again."""
        return self._listener is not None

    def watch(self, seconds: float) -> None:
        """Check its heartbeat; called at this interval, as far as this worker itself was on time."""
        self.board.beat_of_worker()
        self._silence.watch(seconds, self.board.beats, processor_of(self.pid))

    def silent(self, seconds: float) -> bool:
        """Whether it has been silent for so long."""
        return self._silence.lasts(seconds)

    def own_bytes(self) -> int:
        """Return its memory growth since it was created; 0 when the system does not report it."""
        return (resident_bytes(self.pid) or 0) - self._shared

    def exited(self, code: int) -> None:
        """Handle the exit of its process."""
        if not self._exit_code.done():
            self._exit_code.set_result(code)

    def close(self) -> None:
        """Close its connection: it ends by itself."""
        self._transport.close()

    # -- the connection --------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        try:
            for header, blobs in self._decoder.feed(data):
                if self._listener is None:
                    continue
                self._listener.report(header, blobs)
                if "idle" in header:
                    self._listener = None
                    self._gone(self)
        except (FrameRefused, KeyError, TypeError, ValueError, IndexError) as error:
            _log.exception("runner sent an invalid message, ending it", error=str(error), pid=self.pid)
            self.kill(Cause.MESSAGE)

    def connection_lost(self, error: Exception | None) -> None:
        self.alive = False
        task = asyncio.get_running_loop().create_task(self._bury(), name=f"end of runner {self.pid}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bury(self) -> None:
        code: int | None = None
        for _ in range(2):
            try:
                async with asyncio.timeout(_EXIT_SECONDS):
                    code = await asyncio.shield(self._exit_code)
                break
            except TimeoutError:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, signal.SIGKILL)
        listener, self._listener = self._listener, None
        if listener is not None:
            told = None if self._told is Cause.LOST else self._told
            ended = explain(None if self._told is Cause.LOST else code, told, self._bounds)
            listener.ended(ended)
        self._gone(self)
        self.board.close()
