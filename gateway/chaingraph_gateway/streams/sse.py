"""The form of Server-Sent Events, and a stream of them to one subscriber.

    id: 7
    event: node:completed
    data: {"index":7,"type":"node:completed","timestamp":"2026-11-24T02:03:16.123Z","data":{...}}

An empty line ends an event; a line that begins with a colon is a comment.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Final

import orjson
from aiohttp import web

from chaingraph_gateway.errors import Problem
from chaingraph_store.reads.event_log import LoggedEvent, LogPosition

HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    # nginx holds a stream back until its buffer is full, unless it is told not to.
    "X-Accel-Buffering": "no",
}
END: Final = "end"
_HEARTBEAT: Final = b": heartbeat\n\n"
_RETRY_MILLISECONDS: Final = (1000, 3000)


@dataclass(frozen=True, slots=True)
class Frame:
    """An event as it is sent."""

    index: int
    type: str
    content: bytes


def frame(event: LoggedEvent) -> Frame:
    """An event of the log in the form of the stream."""
    # JSON has line breaks between its tokens at most, and one would end the line of the stream.
    kept = event.data.replace("\n", " ").replace("\r", " ") if event.data is not None else None
    data = kept or f'null,"dataBytes":{event.size}'
    content = (
        f'id: {event.index}\nevent: {event.type}\ndata: {{"index":{event.index},"type":"{event.type}",'
        f'"timestamp":"{event.timestamp}","data":{data}}}\n\n'
    )
    return Frame(event.index, event.type, content.encode())


def end(standing: LogPosition) -> bytes:
    """The last event of a stream: the execution has ended, and all below it."""
    data = {"phase": standing.phase, "attempt": standing.attempt, "nextIndex": standing.next_index}
    # With the last event's id: who asks for more with it is told that there is nothing.
    return f"id: {standing.next_index - 1}\nevent: {END}\ndata: {orjson.dumps(data).decode()}\n\n".encode()


def pause(reached: int | None) -> bytes:
    """The last words of a stream that is to be asked for again, which are no event: the id to do it with, if any."""
    place = f"id: {reached}\n" if reached is not None else ""
    return f": ask again, your rights are looked at anew\n{place}\n".encode()


def refused(problem: Problem) -> bytes:
    """The last words of a stream whose reader may read no longer: a comment, for whoever asks again is told why."""
    return f": {int(problem.status)} {type(problem).__name__}: {' '.join(problem.message.split())}\n\n".encode()


class Writer:
    """Sends to one subscriber, who may be slow: whoever sends waits until the connection takes more."""

    def __init__(self, response: web.StreamResponse, *, heartbeat_seconds: float, stall_seconds: float) -> None:
        self._response = response
        self._stall_seconds = stall_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._one_at_a_time = asyncio.Lock()
        self._last = asyncio.get_running_loop().time()

    async def send(self, content: bytes) -> None:
        """Sends whole events.

        Raises:
            ConnectionError: the subscriber is gone.
            TimeoutError: it has taken nothing for too long.
        """
        async with self._one_at_a_time:
            async with asyncio.timeout(self._stall_seconds):
                await self._response.write(content)
            self._last = asyncio.get_running_loop().time()

    async def close(self) -> None:
        """Ends the stream; errors as `send`."""
        async with self._one_at_a_time, asyncio.timeout(self._stall_seconds):
            await self._response.write_eof()

    async def open(self) -> None:
        """Sends how long to wait before a new try. It differs, so that not all come back at the same moment."""
        await self.send(f"retry: {random.randint(*_RETRY_MILLISECONDS)}\n\n".encode())

    async def beat(self) -> None:
        """Sends a comment after every silence, until the subscriber is gone."""
        loop = asyncio.get_running_loop()
        while True:
            due = self._last + self._heartbeat_seconds
            if loop.time() < due:
                await asyncio.sleep(due - loop.time())
            else:
                await self.send(_HEARTBEAT)
