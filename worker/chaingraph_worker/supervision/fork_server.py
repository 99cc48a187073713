"""The connection to the process that forks runners."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import orjson
import structlog

from chaingraph_worker.errors import StartRefused

_log = structlog.get_logger(__name__)
_LONGEST_LINE: Final = 256 * 1024 * 1024
"""Maximum bytes of an answer: the catalogue of the installed nodes is one."""


class ForkServerLost(Exception):
    """The process that forks runners has ended: this worker can run nothing more."""


class ForkServer:
    """Requests runners, and reports their ends.

    Args:
        control: the connection that `runner.fork_server.start` has returned.
        exited: called with a process id and its exit code, negative for a signal.
    """

    def __init__(self, control: socket.socket, *, exited: Callable[[int, int], None]) -> None:
        self._control = control
        self._exited = exited
        self._forked: asyncio.Queue[int] = asyncio.Queue()
        self._asking = asyncio.Lock()
        self.catalogue: Mapping[str, Any] = {}
        self.catalogue_hash = ""
        self.broken: tuple[str, ...] = ()
        """The installed packages whose nodes cannot be loaded, a sentence for each."""

    async def open(self) -> None:
        """Wait until it serves: it imports the installed nodes first.

        Raises:
            StartRefused: it ended.
        """
        self._control.setblocking(False)
        self._reader, self._writer = await asyncio.open_connection(sock=self._control, limit=_LONGEST_LINE)
        said = await self._line()
        if said is None:
            raise StartRefused("cannot load the installed nodes: the process that imports them has ended")
        self.catalogue, self.catalogue_hash = said["catalogue"], said["hash"]
        self.broken = tuple(each["said"] for each in said["broken"])
        for each in said["broken"]:
            _log.error(each["said"], exception=each["traceback"])

    async def listen(self) -> None:
        """Process its answers until cancelled.

        Raises:
            ForkServerLost: it has ended.
        """
        while (said := await self._line()) is not None:
            if "forked" in said:
                self._forked.put_nowait(said["forked"])
            else:
                self._exited(said["exited"], said["status"])
        raise ForkServerLost("the process that forks runners has ended, the worker must restart")

    async def fork(self, connection: socket.socket, board: int) -> int:
        """Fork a runner with this connection and board; returns its process id. Both stay the caller's."""
        async with self._asking:
            socket.send_fds(self._control, [b"f"], [connection.fileno(), board])
            return await self._forked.get()

    def close(self) -> None:
        """Let it end, and every runner with it."""
        with suppress(AttributeError):
            self._writer.close()

    async def _line(self) -> dict[str, Any] | None:
        with suppress(ConnectionError, ValueError):
            if line := await self._reader.readline():
                said = orjson.loads(line)
                assert isinstance(said, dict)
                return said
        return None
