"""The newest events of followed executions, read once for all subscribers.

One connection of the process listens for changes. A notification names an execution; if it is followed, its new events
are read and kept, up to a limit, and subscribers take them at their own pace. A subscriber that falls behind reads the
table instead, so nothing is lost and nobody waits for it.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from chaingraph_gateway.metrics import Metrics
from chaingraph_gateway.reader import LedgerAway, Reader
from chaingraph_gateway.streams import sse
from chaingraph_gateway.streams.sse import Frame
from chaingraph_gateway.streams.tasks import end
from chaingraph_store.hints import Hints
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import CHANGES, Ledger
from chaingraph_store.reads import event_log
from chaingraph_store.reads.event_log import LogPosition

_KEPT_EVENTS: Final = 4000
_KEPT_BYTES: Final = 4_000_000
_TAKEN_AT_ONCE: Final = 500
_TAKEN_BYTES: Final = 250_000
"""Maximum bytes of a subscriber's batch besides the shared events, at least one event."""
_RETRY_SECONDS: Final = 0.5


class Tail:
    """The newest events of one execution.

    Attributes:
        standing: the position as of the last event kept; None before the first reading.
        gone: the execution is no longer in the database.
        news: set when there is something new, and then replaced.
    """

    def __init__(
        self, execution: ExecutionId, reader: Reader, metrics: Metrics, *, reread_seconds: float, inline_bytes: int
    ) -> None:
        self._execution = execution
        self._inline_bytes = inline_bytes
        self._reader = reader
        self._reads = metrics.reads.labels("tail")
        self._frames: list[Frame] = []
        self._bytes = 0
        self._first = 0
        self._hints = Hints(reread_seconds=reread_seconds)
        self.standing: LogPosition | None = None
        self.gone = False
        self.news = asyncio.Event()

    def hint(self) -> None:
        """Record that there may be something new in the table."""
        self._hints.everything()

    @property
    def following(self) -> int:
        """Return the index after the newest event kept."""
        return self._frames[-1].index + 1 if self._frames else self._first

    def after(self, index: int) -> Sequence[Frame] | None:
        """Return events from this index on, in order, in batches; None when the first of them is not kept here."""
        if self.standing is None or index < self._first:
            return None
        start = bisect_left(self._frames, index, key=lambda frame: frame.index)
        taken: list[Frame] = []
        size = 0
        for frame in self._frames[start : start + _TAKEN_AT_ONCE]:
            if size >= _TAKEN_BYTES:
                break
            taken.append(frame)
            size += len(frame.content)
        return taken

    async def run(self) -> None:
        """Read new events until cancelled: after notifications, and regularly, because one may be lost."""
        while True:
            try:
                await self._hints.follow(self._look)
            except LedgerAway:
                await asyncio.sleep(_RETRY_SECONDS)

    async def _look(self, _named: Sequence[str], _everything: bool) -> None:
        if not self.gone:
            await self._read()

    async def _read(self) -> None:
        if self.standing is None:
            await self._begin()
            return
        complete = False
        while not complete:
            async with self._reader.connection() as connection:
                page = await event_log.page(
                    connection, self._execution, from_index=self.following, inline_bytes=self._inline_bytes
                )
            self._reads.inc()
            if page is None:
                self._vanish()
                return
            complete = page.complete
            changed = page.standing != self.standing
            self.standing = page.standing
            self._keep([sse.frame(each) for each in page.events])
            if page.events or changed:
                self._announce()

    async def _begin(self) -> None:
        """Start at the current position. Subscribers read earlier events from the table."""
        async with self._reader.connection() as connection:
            standing = await event_log.standing(connection, self._execution)
        if standing is None:
            self._vanish()
            return
        self.standing, self._first = standing, standing.next_index
        self._announce()

    def _keep(self, frames: Sequence[Frame]) -> None:
        self._frames.extend(frames)
        self._bytes += sum(len(each.content) for each in frames)
        surplus = 0
        # Half of it at once: cutting a list costs its length.
        if len(self._frames) > _KEPT_EVENTS or self._bytes > _KEPT_BYTES:
            while surplus < len(self._frames) and (
                len(self._frames) - surplus > _KEPT_EVENTS // 2 or self._bytes > _KEPT_BYTES // 2
            ):
                self._bytes -= len(self._frames[surplus].content)
                surplus += 1
        if surplus:
            self._first = self._frames[surplus - 1].index + 1
            del self._frames[:surplus]

    def _vanish(self) -> None:
        self.gone = True
        self._announce()

    def _announce(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()


class Tails:
    """The followed executions.

    Args:
        reread_seconds: how long a lost notification may go unnoticed.
        inline_bytes: larger events are left out.
    """

    def __init__(
        self, ledger: Ledger, reader: Reader, metrics: Metrics, *, reread_seconds: float, inline_bytes: int
    ) -> None:
        self._inline_bytes = inline_bytes
        self._reread_seconds = reread_seconds
        self._ledger = ledger
        self._reader = reader
        self._metrics = metrics
        self._followed: dict[ExecutionId, tuple[Tail, asyncio.Task[None], int]] = {}

    async def listen(self) -> None:
        """Listen for changes until cancelled."""

        await self._ledger.listen(CHANGES, self._heard, connected=self._connected)

    def _connected(self) -> None:
        for tail, _, _ in self._followed.values():
            tail.hint()

    def _heard(self, execution: str) -> None:
        followed = self._followed.get(ExecutionId(execution))
        if followed is not None:
            followed[0].hint()

    @asynccontextmanager
    async def follow(self, execution: ExecutionId) -> AsyncIterator[Tail]:
        """Yield the tail of an execution, shared by its subscribers and updated until the last one leaves."""
        followed = self._followed.get(execution)
        if followed is None:
            tail = Tail(
                execution,
                self._reader,
                self._metrics,
                reread_seconds=self._reread_seconds,
                inline_bytes=self._inline_bytes,
            )
            followed = (tail, asyncio.create_task(tail.run(), name=f"tail of {execution}"), 0)
        tail, task, users = followed
        self._followed[execution] = (tail, task, users + 1)
        try:
            yield tail
        finally:
            users = self._followed[execution][2] - 1
            if users:
                self._followed[execution] = (tail, task, users)
            else:
                del self._followed[execution]
                await end(task)
