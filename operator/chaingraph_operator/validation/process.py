"""The operator's side of `validation.server`: start it, get checkers from it, and give each checker one flow at a time.

A checker that exceeds its budget is ended by the kernel, or by the operator after a timeout, and replaced.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson
import structlog

from chaingraph_flow.field_errors import ErrorCode, FieldError
from chaingraph_operator.validation.server import FRAME, OUT_OF_MEMORY

_log = structlog.get_logger(__name__)
_START_SECONDS: Final = 30.0
_EXIT_SECONDS: Final = 5.0
_PASSED_ON: Final = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
"""Environment variables passed to the checkers. Secrets of the operator's environment are kept from them."""


class Exceeded(StrEnum):
    """The limit that ended a validation."""

    CPU = "cpu"
    MEMORY = "memory"
    TIME = "time"
    CRASH = "crash"


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a validation, and the revision of the flow's content."""

    revision: str
    errors: tuple[FieldError, ...] = ()
    warnings: tuple[FieldError, ...] = ()


class CheckServerLost(Exception):
    """The server of checkers has ended, or does not answer. The next validation starts another one."""


@dataclass(slots=True)
class _Child:
    pid: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    exited: asyncio.Future[int]


_Forked = tuple[int, socket.socket, asyncio.Future[int]]


class CheckServer:
    """The process that forks checkers. The first validation that needs it starts it, and again after its loss."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._forking: asyncio.Future[_Forked] | None = None
        self._exits: dict[int, asyncio.Future[int]] = {}
        self._lock = asyncio.Lock()

    async def fork(self, *, memory: int) -> _Child:
        """Fork another checker with this many bytes of memory.

        Raises:
            CheckServerLost: the server has ended, or does not answer.
        """
        async with self._lock:
            control = self._control or self._start()
            self._forking = asyncio.get_running_loop().create_future()
            try:
                control.send(str(memory).encode())
                async with asyncio.timeout(_START_SECONDS):
                    pid, stream, exited = await self._forking
            except (OSError, TimeoutError) as error:
                self.close()
                raise CheckServerLost(f"the validation process does not answer: {error}") from error
            finally:
                self._forking = None
        reader, writer = await asyncio.open_connection(sock=stream)
        return _Child(pid, reader, writer, exited)

    def close(self) -> None:
        """End the server and every checker."""
        control, self._control = self._control, None
        process, self._process = self._process, None
        if control is not None:
            asyncio.get_running_loop().remove_reader(control)
            control.close()
        for pid, exited in self._exits.items():
            # The server is alive and has not reported its exit, so the id belongs to no other process.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            if not exited.done():
                exited.set_result(0)
        self._exits.clear()
        if self._forking is not None and not self._forking.done():
            self._forking.set_exception(OSError("it has ended"))
        if process is not None:
            process.kill()
            process.wait()

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chaingraph_operator.validation.server", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            )
        ours.setblocking(False)
        self._control = ours
        asyncio.get_running_loop().add_reader(ours, self._heard)
        return ours

    def _heard(self) -> None:
        assert self._control is not None
        try:
            told, descriptors, _, _ = socket.recv_fds(self._control, 4096, 1)
        except BlockingIOError:
            return
        except OSError:
            told, descriptors = b"", []
        if not told:
            _log.warning("the validation process has ended, the next validation starts another one")
            self.close()
            return
        said: dict[str, int] = orjson.loads(told)
        if "code" in said:
            exited = self._exits.pop(said["pid"], None)
            if exited is not None and not exited.done():
                exited.set_result(said["code"])
            return
        stream = socket.socket(fileno=descriptors[0])
        if self._forking is None or self._forking.done():
            stream.close()
            return
        exited = asyncio.get_running_loop().create_future()
        self._exits[said["pid"]] = exited
        self._forking.set_result((said["pid"], stream, exited))


class Checker:
    """One checker at a time. It is replaced when a limit has ended it, or when other node types become active."""

    def __init__(self, server: CheckServer, *, memory: int) -> None:
        self._server = server
        self._memory = memory
        self._child: _Child | None = None
        self._knows: bytes = b""

    async def check(self, spec: bytes, catalogue: bytes, *, cpu: float, wall: float) -> Checked | Exceeded:
        """Validate one flow.

        Args:
            spec: the flow as JSON.
            catalogue: the node types as JSON.
            cpu: maximum seconds of CPU time.
            wall: seconds after which it is ended, however little CPU time it got.

        Raises:
            CheckServerLost: the server has ended, or does not answer.
        """
        if self._child is not None and self._knows is not catalogue:
            self._end(self._child)
        child = self._child or await self._begin(catalogue)
        try:
            async with asyncio.timeout(wall):
                await _send(child.writer, b'{"cpu":%f,"spec":%b}' % (cpu, spec))
                size = FRAME.unpack(await child.reader.readexactly(FRAME.size))[0]
                return _read(orjson.loads(await child.reader.readexactly(size)))
        except TimeoutError:
            self._end(child)
            return Exceeded.TIME
        except (asyncio.IncompleteReadError, ConnectionError):
            exceeded = await self._why(child)
            self._end(child)
            return exceeded
        except asyncio.CancelledError:
            self._end(child)
            raise

    async def _begin(self, catalogue: bytes) -> _Child:
        child = await self._server.fork(memory=self._memory)
        self._child, self._knows = child, catalogue
        with suppress(ConnectionError):
            await _send(child.writer, b'{"catalogue":%b}' % catalogue)
        return child

    async def _why(self, child: _Child) -> Exceeded:
        try:
            async with asyncio.timeout(_EXIT_SECONDS):
                code = await asyncio.shield(child.exited)
        except TimeoutError:
            code = 0
        if code in (-signal.SIGPROF, -signal.SIGXCPU):
            return Exceeded.CPU
        # Rust aborts where Python raises MemoryError.
        return Exceeded.MEMORY if code in (OUT_OF_MEMORY, -signal.SIGABRT) else Exceeded.CRASH

    def _end(self, child: _Child) -> None:
        self._child = None
        child.writer.close()
        if not child.exited.done():
            with suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)


async def _send(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(FRAME.pack(len(frame)) + frame)
    await writer.drain()


def _read(answer: dict[str, Any]) -> Checked:
    def errors(name: str) -> tuple[FieldError, ...]:
        return tuple(FieldError(path, ErrorCode(code), text) for path, code, text in answer[name])

    return Checked(answer["revision"], errors("errors"), errors("warnings"))
