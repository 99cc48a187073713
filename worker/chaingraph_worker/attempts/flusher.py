"""The one writer of a running attempt: it writes the engine's reports in few transactions.

The engine waits for it at `settled`: a node with effects starts only after everything before it is in the journal. An
engine that reports faster than the flusher writes is throttled, and its reports stay in the memory of its runner. Every
write is fenced; the first rejected one ends the flusher, and the engine with it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Final

import psycopg
import structlog

from chaingraph_store.attempts import runs
from chaingraph_store.children import calling
from chaingraph_store.children.calling import NewCall
from chaingraph_store.commands import stopping
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.events import CHILD_SPAWNED
from chaingraph_store.ledger import Connection, Ledger, dumps
from chaingraph_store.transient import retry_transient
from chaingraph_worker import metrics
from chaingraph_worker.supervision.engine import EngineReport, NodeEnd

_TOGETHER_SECONDS: Final = 0.001
"""The end of one node and the start of the next are written together."""
_EXPECT_SECONDS: Final = 0.05
"""Maximum time for which reports wait for announced calls."""
_MOST_PENDING: Final = 8 * 1024 * 1024
"""Maximum bytes waiting to be written. Beyond that, the engine is throttled."""
_log = structlog.get_logger(__name__)


class Flusher:
    """The engine's Recorder.

    Args:
        refused: called once, when a write was rejected permanently.
        ended: called with every finished node.
        congested: called with True when too much waits to be written, and with False when it is written.
        spacing_ms: the distance between the children of a tree in the queue.
    """

    def __init__(
        self,
        ledger: Ledger,
        claim: runs.Claim,
        *,
        interval: float,
        progress: Callable[[], runs.AttemptProgress],
        control: Callable[[], runs.EngineControl | None],
        refused: Callable[[Exception], None],
        ended: Callable[[NodeEnd], None],
        congested: Callable[[bool], None],
        application_name: str = "",
        spacing_ms: int = 0,
    ) -> None:
        self._ledger = ledger
        self._application_name = application_name
        self._spacing_ms = spacing_ms
        self._claim = claim
        self._interval = interval
        self._progress = progress
        self._control = control
        self._refused = refused
        self._ended = ended
        self._congested = congested
        self._pending = 0
        self._waiting = 0
        self._held_back = False
        self._journal: list[runs.JournalEntry] = []
        self._log: list[runs.LogEntry] = []
        self._calls: list[NewCall] = []
        self._has_called = claim.calls > 0
        self._unstarted = False
        self._next_index = claim.next_event_index
        self._flushed_at = math.inf
        self._handed_in = 0
        self._written = 0
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._advanced = asyncio.Condition()
        self._complete = asyncio.Event()
        self._complete.set()
        self._error: Exception | None = None
        self._closing = False
        self._task: asyncio.Task[None] | None = None

    @property
    def has_called(self) -> bool:
        """Whether the execution has called others, in this run or before."""
        return self._has_called

    def start(self) -> None:
        self._task = asyncio.create_task(self._keep_flushing(), name=f"flush {self._claim.execution_id}")

    def take(self, ends: Sequence[NodeEnd], log: Sequence[EngineReport]) -> None:
        """Take the finished nodes and events of one turn of the engine."""
        for end in ends:
            self._journal.append(runs.JournalEntry(end.node_id, end.outcome, end.record))
            self._ended(end)
        self._log.extend(runs.LogEntry(each.type, each.timestamp, each.data) for each in log)
        self._pending += sum(len(end.record) for end in ends) + sum(len(each.data) for each in log)
        self._handed_in += len(ends) + len(log)
        self._throttle()
        self._wake.set()

    def count_calls(self, size: int) -> None:
        """Count bytes of calls that wait to be made; negative when they no longer do."""
        self._waiting += size
        self._throttle()

    def _throttle(self) -> None:
        too_much = self._pending + self._waiting > _MOST_PENDING
        if too_much != self._held_back:
            self._held_back = too_much
            self._congested(too_much)

    def expect(self, calls: bool) -> None:
        """Announce calls, so that they are written together with the reports before them; or that none come now."""
        if calls:
            self._complete.clear()
        else:
            self._complete.set()

    async def call(self, calls: Sequence[NewCall]) -> bool:
        """Create the executions of calls, in the transaction of everything submitted so far.

        Returns:
            Whether any of them has failed at once.

        Raises:
            OwnershipLost: the attempt no longer belongs to this worker.
        """
        self.expect(False)
        now = time.time_ns() // 1_000_000
        self._log.extend(runs.LogEntry(CHILD_SPAWNED, now, _told(self._claim, each)) for each in calls)
        self._calls += calls
        self._has_called = True
        self._handed_in += 1
        self._wake.set()
        self._unstarted = False
        await self.settled()
        return self._unstarted

    def hurry(self) -> None:
        """Write everything at once, and in any case the values of `progress` and `control`."""
        self._handed_in += 1
        self._wake.set()
        self._hurry.set()

    async def settled(self) -> None:
        """Wait until everything submitted so far is in PostgreSQL.

        Raises:
            OwnershipLost: it will never be.
            Exception: it cannot be written, for example because PostgreSQL rejected the data itself.
        """
        target = self._handed_in
        if self._written < target and self._error is None:
            self._hurry.set()
            async with self._advanced:
                await self._advanced.wait_for(lambda: self._written >= target or self._error is not None)
        if self._error is not None:
            raise self._error

    async def finish(self, end: runs.AttemptEnd) -> None:
        """Write the rest together with the attempt's end, in one transaction.

        Raises:
            OwnershipLost: the attempt no longer belongs to this worker.
            Exception: it cannot be written, for example because PostgreSQL rejected the data itself. None of the rest
                was.
        """
        await self.close()
        if isinstance(self._error, OwnershipLost):
            raise self._error
        await self._flush(end)

    async def close(self) -> None:
        """Await a running flush and start no other one: a cancelled statement may or may not have committed."""
        self._closing = True
        self._complete.set()
        self._wake.set()
        self._hurry.set()
        if self._task is not None:
            await self._task
            self._task = None

    def discard(self) -> None:
        """Forget what PostgreSQL rejected, so that `finish` can write the end alone."""
        self._journal, self._log = [], []

    async def _keep_flushing(self) -> None:
        while True:
            await self._wake.wait()
            await self._pause()
            with suppress(TimeoutError):
                async with asyncio.timeout(_EXPECT_SECONDS):
                    await self._complete.wait()
            if self._closing:
                return
            try:
                await self._flush(None)
            except Exception as error:  # noqa: BLE001 - whatever it is, the engine must not run on unrecorded
                await self._fail(error)
                self._refused(error)
                return

    async def _pause(self) -> None:
        """Collect for a moment, unless the engine waits in `settled`.

        A short flow ends within that moment and costs one statement. After a silence, events are written almost at
        once, because subscribers wait for them.
        """
        since_last = time.perf_counter() - self._flushed_at
        seconds = min(self._interval, max(self._interval - since_last, _TOGETHER_SECONDS))
        try:
            async with asyncio.timeout(seconds):
                await self._hurry.wait()
        except TimeoutError:
            pass

    async def _flush(self, end: runs.AttemptEnd | None) -> None:
        self._wake.clear()
        self._hurry.clear()
        journal, self._journal = self._journal, []
        log, self._log = self._log, []
        calls, self._calls = self._calls, []
        self._pending = 0
        target = self._handed_in
        progress, control = self._progress(), self._control()
        if end is not None:
            progress = replace(progress, running=0, waiting=0, current_nodes=())
        started = time.perf_counter()

        async def write(connection: Connection) -> None:
            await runs.flush(
                connection,
                self._claim,
                journal=journal,
                log=log,
                progress=progress,
                control=control,
                end=end,
                # A commit whose answer was lost is not repeated.
                first=self._next_index,
            )

        async def once() -> None:
            abandons = end is not None and end.phase == "Failed" and self._has_called
            if not calls and not abandons:
                async with self._ledger.connection() as connection:
                    await write(connection)
                return
            async with self._ledger.transaction() as connection:
                await write(connection)
                if end is None:
                    self._unstarted |= await calling.create(
                        connection,
                        self._claim.execution_id,
                        calls,
                        spacing_ms=self._spacing_ms,
                        application_name=self._application_name,
                    )
                elif abandons:
                    await stopping.stop_calls(connection, self._claim.execution_id)

        async def with_current_flows() -> None:
            try:
                await once()
            except psycopg.errors.ForeignKeyViolation:
                # The revision of a called Flow was replaced and removed at this moment. Another one is there now.
                await once()

        await retry_transient(with_current_flows, what="journal", failed=lambda _: metrics.FLUSH_RETRIES.inc())
        metrics.FLUSH_SECONDS.observe(time.perf_counter() - started)
        metrics.EVENTS.inc(len(log))
        self._flushed_at = time.perf_counter()
        self._next_index += len(log)
        self._written = target
        self._throttle()
        async with self._advanced:
            self._advanced.notify_all()

    async def _fail(self, error: Exception) -> None:
        self._error = error
        async with self._advanced:
            self._advanced.notify_all()


def _told(claim: runs.Claim, call: NewCall) -> bytes:
    """Return the data of the event of a new child."""
    told = {
        "parentExecutionId": claim.execution_id,
        "childExecutionId": call.id,
        "rootExecutionId": claim.root_id,
        "name": call.name,
        "nodeId": call.call,
    }
    return dumps(told)
