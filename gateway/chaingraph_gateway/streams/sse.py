"""The format of Server-Sent Events, and a stream of them to one subscriber.

    id: 7
    event: node:completed
    data: {"index":7,"type":"node:completed","timestamp":"2026-11-24T02:03:16.123Z","data":{...}}

An empty line ends an event; a line that starts with a colon is a comment.
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
    # nginx buffers a stream until its buffer is full, unless told otherwise.
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
    """Format an event of the log for the stream."""
    # JSON may have line breaks between its tokens, and one would end the line of the stream.
    kept = event.data.replace("\n", " ").replace("\r", " ") if event.data is not None else None
    data = kept or f'null,"dataBytes":{event.size}'
    content = (
        f'id: {event.index}\nevent: {event.type}\ndata: {{"index":{event.index},"type":"{event.type}",'
        f'"timestamp":"{event.timestamp}","data":{data}}}\n\n'
    )
    return Frame(event.index, event.type, content.encode())


def end(standing: LogPosition) -> bytes:
    """Format the last event of a stream: the execution has ended, and all its descendants."""
    data = {"phase": standing.phase, "attempt": standing.attempt, "nextIndex": standing.next_index}
    # With the last event's id: a subscriber that reconnects with it gets 204.
    return f"id: {standing.next_index - 1}\nevent: {END}\ndata: {orjson.dumps(data).decode()}\n\n".encode()


def pause(reached: int | None) -> bytes:
    """Format the end of a stream that must be requested again, which is not an event: with the id for that, if any."""
    place = f"id: {reached}\n" if reached is not None else ""
    return f": reconnect, your rights are checked again\n{place}\n".encode()


def refused(problem: Problem) -> bytes:
    """Format the end of a stream whose reader may no longer read: a comment. The next request gets the reason."""
    return f": {int(problem.status)} {type(problem).__name__}: {' '.join(problem.message.split())}\n\n".encode()


class Writer:
    """Sends to one subscriber, which may be slow: a send waits until the connection accepts more."""

    def __init__(self, response: web.StreamResponse, *, heartbeat_seconds: float, stall_seconds: float) -> None:
        self._response = response
        self._stall_seconds = stall_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._one_at_a_time = asyncio.Lock()
        self._last = asyncio.get_running_loop().time()

    async def send(self, content: bytes) -> None:
        """Send complete events.

        Raises:
            ConnectionError: the subscriber is gone.
            TimeoutError: it has taken nothing for too long.
        """
        async with self._one_at_a_time:
            async with asyncio.timeout(self._stall_seconds):
                await self._response.write(content)
            self._last = asyncio.get_running_loop().time()

    async def close(self) -> None:
        """End the stream; errors as `send`."""
        async with self._one_at_a_time, asyncio.timeout(self._stall_seconds):
            await self._response.write_eof()

    async def open(self) -> None:
        """Send the delay before a reconnect. It is random, so that subscribers do not reconnect at the same moment."""
        await self.send(f"retry: {random.randint(*_RETRY_MILLISECONDS)}\n\n".encode())

    async def beat(self) -> None:
        """Send a comment after every silence, until the subscriber is gone."""
        loop = asyncio.get_running_loop()
        while True:
            due = self._last + self._heartbeat_seconds
            if loop.time() < due:
                await asyncio.sleep(due - loop.time())
            else:
                await self.send(_HEARTBEAT)
