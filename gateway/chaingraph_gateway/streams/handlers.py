"""Answer requests for events with streams, and end those on shutdown."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from chaingraph_gateway.errors import BadRequest, Busy, NotFound, Problem, ServiceUnavailable, TooMany
from chaingraph_gateway.metrics import Metrics
from chaingraph_gateway.reader import Reader
from chaingraph_gateway.reads.parameters import Subscription
from chaingraph_gateway.streams import sse
from chaingraph_gateway.streams.sse import Writer
from chaingraph_gateway.streams.subscriber import Subscriber
from chaingraph_gateway.streams.tail import Tails
from chaingraph_gateway.streams.tasks import end
from chaingraph_store.ids import ExecutionId
from chaingraph_store.reads import event_log
from chaingraph_store.reads.event_log import LogPage, LogPosition

EXECUTION: Final = "ChainGraph-Execution"
"""Header with the execution's id: a subscriber by name can reconnect by id."""
_RETRY_SECONDS: Final = 0.5
_LAST_WORD_SECONDS: Final = 5.0
_UNKNOWN_TURNS: Final = 2
"""Failed checks of the reader's rights after which a stream stops sending."""

Judge = Callable[[], Awaitable[object]]
"""Checks whether the reader may follow. Raises Problem if not, ServiceUnavailable if that is unknown."""


class Streams:
    """The open streams of this gateway.

    Args:
        heartbeat_seconds: the silence after which a stream gets a comment.
        reauthorize_seconds: the interval of checking a stream's reader again.
        stall_seconds: how long a reader may take nothing.
        stream_seconds: minimum lifetime of a stream, at most twice as long; then its subscriber must reconnect, which
            checks its rights.
        inline_bytes: larger events are left out.
        replays: maximum pages of old events read at the same time; the tails need connections too.
    """

    def __init__(
        self,
        tails: Tails,
        reader: Reader,
        metrics: Metrics,
        *,
        heartbeat_seconds: float,
        reauthorize_seconds: float,
        stall_seconds: float,
        stream_seconds: float,
        replays: int,
        inline_bytes: int,
    ) -> None:
        self._tails = tails
        self._reader = reader
        self._metrics = metrics
        self._heartbeat_seconds = heartbeat_seconds
        self._reauthorize_seconds = reauthorize_seconds
        self._stall_seconds = stall_seconds
        self._stream_seconds = stream_seconds
        self._inline_bytes = inline_bytes
        self._replays = asyncio.Semaphore(replays)
        self._open: set[asyncio.Task[None]] = set()
        self._closing = False

    async def close(self) -> None:
        """End every stream after a complete event. Subscribers reconnect to another gateway, and continue."""
        self._closing = True
        await asyncio.gather(*(end(each) for each in self._open))

    async def serve(
        self, request: web.Request, execution: ExecutionId, wanted: Subscription, judge: Judge
    ) -> web.StreamResponse:
        """Answer with the stream; with 204 when a subscriber reconnects and there will be no more events.

        Args:
            judge: checks whether the subscriber would be admitted now.

        Raises:
            BadRequest: the subscriber reconnects from an event that does not exist.
            NotFound: the execution was just removed.
            Busy: the gateway is shutting down.
            LedgerAway: PostgreSQL does not answer.
        """
        if self._closing:
            raise Busy("this gateway is shutting down; try again")

        async def read(index: int) -> LogPage | None:
            return await self._page(execution, index, wanted)

        # Random, so that subscribers that connected together do not reconnect together.
        until = asyncio.get_running_loop().time() + self._stream_seconds * random.uniform(1, 2)
        if not wanted.follow:
            return await self._answer(request, execution, wanted, Subscriber(wanted, read, None, until=until), judge)
        async with self._tails.follow(execution) as tail:
            return await self._answer(request, execution, wanted, Subscriber(wanted, read, tail, until=until), judge)

    async def _answer(
        self,
        request: web.Request,
        execution: ExecutionId,
        wanted: Subscription,
        subscriber: Subscriber,
        judge: Judge,
    ) -> web.StreamResponse:
        standing = await subscriber.begin()
        if wanted.resumed and nothing_more(wanted, standing):
            return web.Response(status=204)
        response = web.StreamResponse(headers={**sse.HEADERS, EXECUTION: execution})
        await response.prepare(request)
        stream = asyncio.create_task(self._send(subscriber, response, judge, follow=wanted.follow), name="stream")
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

    async def _send(self, subscriber: Subscriber, response: web.StreamResponse, judge: Judge, *, follow: bool) -> None:
        """Send all events, as long as the subscriber may read them."""
        writer = Writer(response, heartbeat_seconds=self._heartbeat_seconds, stall_seconds=self._stall_seconds)
        guard = Guard(judge, self._reauthorize_seconds)
        beat = asyncio.create_task(writer.beat(), name="heartbeat")
        watching = asyncio.create_task(guard.watch(), name="rights")
        sending = asyncio.create_task(self._events(subscriber, writer, guard), name="events")
        try:
            await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                await end(sending)
                await self._refuse(writer, watching.result(), follow=follow)
                return
            sending.result()
            if subscriber.end is not None:
                await writer.send(sse.end(subscriber.end))
            elif subscriber.left_off:
                if follow:
                    await validated(judge)
                self._metrics.streams_aged.inc()
                if not follow:
                    raise ConnectionAbortedError("a regular end would look like the end of the current events")
                await writer.send(sse.pause(subscriber.reached))
            elif follow:
                # The events ended before the execution did: it was removed.
                await self._refuse(writer, NotFound("the execution is no longer in the database"), follow=follow)
                return
            await writer.close()
        finally:
            for task in (sending, watching, beat):
                await end(task)

    async def _events(self, subscriber: Subscriber, writer: Writer, guard: Guard) -> None:
        await writer.open()
        async for frames in subscriber.batches():
            if frames:
                await guard.known.wait()
                await writer.send(b"".join(each.content for each in frames))
                self._metrics.events_sent.inc(len(frames))

    async def _refuse(self, writer: Writer, problem: Problem, *, follow: bool) -> None:
        """End a stream whose reader may no longer read, with the reason for one that still listens."""
        self._metrics.streams_refused.inc()
        async with asyncio.timeout(_LAST_WORD_SECONDS):
            await writer.send(sse.refused(problem))
            if not follow:
                raise ConnectionAbortedError("a regular end would look like the end of the current events")
            await writer.close()

    async def _page(self, execution: ExecutionId, index: int, wanted: Subscription) -> LogPage | None:
        types = None if wanted.types is None else sorted(wanted.types)
        async with self._replays, self._reader.connection() as connection:
            page = await event_log.page(
                connection, execution, from_index=index, types=types, inline_bytes=self._inline_bytes
            )
        self._metrics.reads.labels("subscriber").inc()
        return page


class Guard:
    """Checks regularly whether a stream's reader may still read.

    Args:
        seconds: maximum interval; each one is random, from half as long on.

    Attributes:
        known: cleared while the answer has been unknown for a while; then nothing is sent.
    """

    def __init__(self, judge: Judge, seconds: float) -> None:
        self._judge = judge
        self._seconds = seconds
        self.known = asyncio.Event()
        self.known.set()

    async def watch(self) -> Problem:
        """Return why the reader may no longer read, as soon as that is so."""
        loop = asyncio.get_running_loop()
        confirmed = loop.time()
        pause = self._seconds * random.uniform(0.5, 1)
        while True:
            await asyncio.sleep(pause)
            try:
                await self._judge()
            except (ServiceUnavailable, Busy, TooMany):
                if loop.time() - confirmed > _UNKNOWN_TURNS * self._seconds:
                    self.known.clear()
                pause = min(_RETRY_SECONDS, self._seconds)
            except Problem as problem:
                return problem
            else:
                confirmed = loop.time()
                self.known.set()
                pause = self._seconds * random.uniform(0.5, 1)


def nothing_more(wanted: Subscription, standing: LogPosition) -> bool:
    """Whether a subscriber that reconnects has every event of an execution that has ended with its descendants.

    Raises:
        BadRequest: the event that it reconnects from does not exist.
    """
    if wanted.from_index > standing.next_index:
        raise BadRequest(
            "Last-Event-ID",
            str(wanted.from_index - 1),
            f"is beyond the newest event, {standing.next_index - 1}: it belongs to another execution, or the database "
            "was restored to an earlier state; start again without it",
        )
    return standing.ended and wanted.from_index == standing.next_index


async def validated(judge: Judge) -> None:
    """Wait until a subscriber that reconnects is either admitted or refused, instead of failing with an outage.

    Browsers do not retry in that case. The answer is cached for a moment, so nothing is requested twice.
    """
    while True:
        try:
            await judge()
        except ServiceUnavailable:
            await asyncio.sleep(_RETRY_SECONDS)
        except Problem:
            return
        else:
            return


def _hang_up(request: web.Request) -> None:
    """Close the connection of a subscriber that takes nothing, or that must not take this for the end."""
    if request.transport is not None:
        request.transport.abort()
