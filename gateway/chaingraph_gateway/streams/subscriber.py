"""One subscriber's position in an execution's log: old events from the table, new ones from the tail."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from chaingraph_gateway.errors import NotFound
from chaingraph_gateway.reader import LedgerAway
from chaingraph_gateway.reads.parameters import Subscription
from chaingraph_gateway.streams import sse
from chaingraph_gateway.streams.sse import Frame
from chaingraph_gateway.streams.tail import Tail
from chaingraph_store.events import ANNOUNCEMENT_INDEX
from chaingraph_store.reads.event_log import LogPage, LogPosition

_RETRY_SECONDS: Final = 0.5

ReadPage = Callable[[int], Awaitable[LogPage | None]]
"""Reads a page of the execution's log from an index on, of the requested types. Raises LedgerAway."""


class Subscriber:
    """A subscriber's position.

    Args:
        wanted: the request.
        read: reads the table.
        tail: the execution's newest events; None when not following.
        until: nothing is sent after this time of the event loop's clock, in seconds.

    Attributes:
        left_off: there may be more, but the time was over.
    """

    def __init__(self, wanted: Subscription, read: ReadPage, tail: Tail | None, *, until: float) -> None:
        self._types = wanted.types
        self._read = read
        self._tail = tail
        self._until = until
        self.left_off = False
        self._index = wanted.from_index
        self._standing: LogPosition | None = None
        self._first: LogPage | None = None

    async def begin(self) -> LogPosition:
        """Read the first page, so that errors show before the answer starts.

        Raises:
            NotFound: the execution is gone.
            LedgerAway: PostgreSQL does not answer.
        """
        self._first = await self._read(self._index)
        if self._first is None:
            raise NotFound("the execution is no longer in the database")
        return self._first.standing

    @property
    def end(self) -> LogPosition | None:
        """Return the final position, once the log has ended and the subscriber has everything of it."""
        standing = self._standing
        return standing if standing is not None and standing.ended and self._index >= standing.next_index else None

    @property
    def reached(self) -> int | None:
        """Return the id to reconnect with: of the last event sent, or of a later one that was not requested.

        None before the first, and for a subscriber that waits for an event beyond the newest.
        """
        standings = (self._standing, self._tail.standing if self._tail is not None else None)
        newest = max((each.next_index for each in standings if each is not None), default=self._index - 1)
        return self._index - 1 if ANNOUNCEMENT_INDEX < self._index <= newest else None

    async def batches(self) -> AsyncIterator[Sequence[Frame]]:
        """Yield events in order, in batches, until there are no more, or the time is over.

        Waits out outages of PostgreSQL.
        """
        page = self._first
        while page is not None:
            self._index, self._standing = page.following, page.standing
            yield [sse.frame(each) for each in page.events]
            if self.end is not None or (self._tail is None and page.complete):
                return
            if self._tail is not None:
                async for frames in self._live(self._tail):
                    yield frames
                if self.end is not None or self._tail.gone:
                    return
            page = await self._next_page()

    async def _live(self, tail: Tail) -> AsyncIterator[Sequence[Frame]]:
        """Yield events from the tail, until all have come, or the next ones are no longer kept there."""
        while not tail.gone:
            # Taken before reading: news after the read set it.
            news = tail.news
            frames = tail.after(self._index)
            if tail.standing is not None and frames is not None and not frames:
                self._standing = tail.standing
                if self.end is not None:
                    return
            if self._over():
                return
            if frames:
                self._index = frames[-1].index + 1
                yield self._of_types(frames)
            elif tail.standing is None or frames is not None:
                await self._wait(news)
            else:
                return

    async def _wait(self, news: asyncio.Event) -> None:
        """Wait for news, or for the end of the time."""
        with suppress(TimeoutError):
            async with asyncio.timeout_at(self._until):
                await news.wait()

    def _of_types(self, frames: Iterable[Frame]) -> Sequence[Frame]:
        types = self._types
        return [each for each in frames if types is None or each.type in types]

    async def _next_page(self) -> LogPage | None:
        """Return None when the time is over, and when the execution is gone."""
        while not self._over():
            try:
                return await self._read(self._index)
            except LedgerAway:
                await asyncio.sleep(_RETRY_SECONDS)
        self.left_off = True
        return None

    def _over(self) -> bool:
        return asyncio.get_running_loop().time() >= self._until
