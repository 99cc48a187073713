"""Answers requests for events with streams, and ends those when the process ends. Called by `server`."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from chaingraph_gateway import sse
from chaingraph_gateway.errors import Away, BadRequest, Problem, TooMany
from chaingraph_gateway.metrics import Metrics
from chaingraph_gateway.outages import Reader
from chaingraph_gateway.parameters import Subscription
from chaingraph_gateway.sse import Writer
from chaingraph_gateway.subscriber import Subscriber
from chaingraph_gateway.tail import Tails
from chaingraph_gateway.tasks import end
from chaingraph_store import event_log
from chaingraph_store.event_log import LogPage, Standing
from chaingraph_store.ids import ExecutionId

EXECUTION: Final = "ChainGraph-Execution"
"""The header of a stream that says whose events they are: who asked by name can come back by id."""
_RETRY_SECONDS: Final = 0.5

Judge = Callable[[], Awaitable[object]]
"""Finds out whether somebody may follow. Raises Problem if not, Away if nobody can say."""


class Streams:
    """The open streams of this gateway.

    Args:
        heartbeat_seconds: the silence after which a stream gets a comment.
        max_streams: open at the same time.
        stream_seconds: how long a stream lives at least, at most twice as long; then its subscriber has to ask again,
            and is asked for its rights.
        replays: pages of old events that are read at the same time; the tails need connections too.
    """

    def __init__(
        self,
        tails: Tails,
        reader: Reader,
        metrics: Metrics,
        *,
        heartbeat_seconds: float,
        max_streams: int,
        stream_seconds: float,
        replays: int,
    ) -> None:
        self._tails = tails
        self._reader = reader
        self._metrics = metrics
        self._heartbeat_seconds = heartbeat_seconds
        self._max_streams = max_streams
        self._stream_seconds = stream_seconds
        self._replays = asyncio.Semaphore(replays)
        self._open: set[asyncio.Task[None]] = set()
        self._closing = False

    async def close(self) -> None:
        """Ends every stream after a whole event. Subscribers come back, to another gateway, and go on."""
        self._closing = True
        await asyncio.gather(*(end(each) for each in self._open))

    async def serve(
        self, request: web.Request, execution: ExecutionId, wanted: Subscription, judge: Judge
    ) -> web.StreamResponse:
        """Answers with the stream; with 204 when a subscriber comes back for more and there will be nothing.

        Args:
            judge: whether the subscriber would be let in if it came now.

        Raises:
            BadRequest: the subscriber comes back from an event that does not exist.
            NotFound: the execution has gone just now.
            TooMany: no further stream is served.
            LedgerAway: PostgreSQL does not answer.
        """
        if self._closing or len(self._open) >= self._max_streams:
            raise TooMany(f"this gateway serves {self._max_streams} streams at most; try again later")

        async def read(index: int) -> LogPage | None:
            return await self._page(execution, index, wanted)

        # By chance, so that those who came together do not come back together.
        until = asyncio.get_running_loop().time() + self._stream_seconds * random.uniform(1, 2)
        if not wanted.follow:
            return await self._answer(request, execution, wanted, Subscriber(wanted, read, None, until=until), None)
        async with self._tails.follow(execution) as tail:
            return await self._answer(request, execution, wanted, Subscriber(wanted, read, tail, until=until), judge)

    async def _answer(
        self,
        request: web.Request,
        execution: ExecutionId,
        wanted: Subscription,
        subscriber: Subscriber,
        judge: Judge | None,
    ) -> web.StreamResponse:
        standing = await subscriber.begin()
        if wanted.resumed and nothing_more(wanted, standing):
            return web.Response(status=204)
        response = web.StreamResponse(headers={**sse.HEADERS, EXECUTION: execution})
        await response.prepare(request)
        stream = asyncio.create_task(self._send(subscriber, response, judge), name="stream")
        self._open.add(stream)
        self._metrics.streams.inc()
        try:
            await asyncio.wait({stream})
        finally:
            await end(stream)
            self._open.discard(stream)
            self._metrics.streams.dec()
        if stream.cancelled():
            if not wanted.follow:
                _hang_up(request)
        elif isinstance(stream.exception(), (ConnectionError, TimeoutError)):
            _hang_up(request)
        else:
            stream.result()
        return response

    async def _send(self, subscriber: Subscriber, response: web.StreamResponse, judge: Judge | None) -> None:
        """Sends everything; `judge` is None for a subscriber who does not follow."""
        writer = Writer(response, heartbeat_seconds=self._heartbeat_seconds)
        beat = asyncio.create_task(writer.beat(), name="heartbeat")
        try:
            await writer.open()
            async for frames in subscriber.batches():
                if frames:
                    await writer.send(b"".join(each.content for each in frames))
                    self._metrics.events_sent.inc(len(frames))
            if subscriber.end is not None:
                await writer.send(sse.end(subscriber.end))
            elif subscriber.left_off:
                if judge is not None:
                    await judged(judge)
                self._metrics.streams_aged.inc()
                if judge is None:
                    raise ConnectionAbortedError("a proper end would pass for the end of what there is now")
                await writer.send(sse.pause(subscriber.reached))
            await writer.close()
        finally:
            await end(beat)

    async def _page(self, execution: ExecutionId, index: int, wanted: Subscription) -> LogPage | None:
        types = None if wanted.types is None else sorted(wanted.types)
        async with self._replays, self._reader.connection() as connection:
            page = await event_log.page(connection, execution, from_index=index, types=types)
        self._metrics.reads.labels("subscriber").inc()
        return page


def nothing_more(wanted: Subscription, standing: Standing) -> bool:
    """Whether one who comes back has everything of an execution that has ended, with all below it.

    Raises:
        BadRequest: the event that it comes back from does not exist.
    """
    if wanted.from_index > standing.next_index:
        raise BadRequest(
            "Last-Event-ID",
            str(wanted.from_index - 1),
            f"is beyond the newest event, {standing.next_index - 1}: it is of another execution, or the ledger was "
            "restored to an earlier state; begin anew without it",
        )
    return standing.ended and wanted.from_index == standing.next_index


async def judged(judge: Judge) -> None:
    """Waits until one who came back would be let in or refused, and not turned away because somebody is away.

    Browsers do not ask again then. What is found is remembered for a moment, so nobody is asked once more.
    """
    while True:
        try:
            await judge()
        except Away:
            await asyncio.sleep(_RETRY_SECONDS)
        except Problem:
            return
        else:
            return


def _hang_up(request: web.Request) -> None:
    """Closes the connection of a subscriber who takes nothing, or who must not take this for the end."""
    if request.transport is not None:
        request.transport.abort()
