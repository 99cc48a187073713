"""Create and stop the executions that nodes of an attempt call.

The flusher writes a new execution together with all reports before it. So nothing is called that a crash could undo,
and a worker that has lost the attempt calls nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import orjson
import structlog

from chaingraph_store.attempts.runs import Claim
from chaingraph_store.children import calling
from chaingraph_store.children.calling import NewCall
from chaingraph_store.children.spawning import BATCH
from chaingraph_store.commands import stopping
from chaingraph_store.errors import OwnershipLost
from chaingraph_store.ids import ExecutionId, called_execution_id, called_name
from chaingraph_store.ledger import Ledger
from chaingraph_store.transient import retry_transient
from chaingraph_worker import metrics
from chaingraph_worker.attempts.flusher import Flusher
from chaingraph_worker.supervision.children import EngineCall

_CALL_BYTES: Final = 512
"""Memory of a call that waits to be made, without its inputs."""
_IN_FLIGHT_SECONDS: Final = 0.002
"""Time between two looks whether the engine has taken the ends: only then the next ones are read."""
_FULL_SECONDS: Final = 1.0
"""Delay before the quota of a full namespace is read again."""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Limits of calls: children of one execution, and executions of its tree."""

    max_children: int
    max_tree: int


class Calling:
    """The calls of one attempt, in their order.

    Args:
        ended: takes the end of a call: the fields of `chaingraph_flow.ChildEnd`, as JSON.
        in_flight: says whether the engine has not taken all ends yet.
        settle: called when executions have ended without a worker, so that their parent has to be told.
        broken: called with an error that does not go away.
    """

    def __init__(
        self,
        ledger: Ledger,
        claim: Claim,
        flusher: Flusher,
        limits: CallLimits,
        *,
        ended: Callable[[str], None],
        in_flight: Callable[[], bool],
        settle: Callable[[], None],
        broken: Callable[[Exception], None],
    ) -> None:
        self._ledger = ledger
        self._claim = claim
        self._flusher = flusher
        self._limits = limits
        self._ended = ended
        self._in_flight = in_flight
        self._settle = settle
        self._broken = broken
        self._live: dict[str, ExecutionId] = {}
        self._queue: asyncio.Queue[tuple[Sequence[EngineCall], Sequence[str]]] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self._working = False
        self._looking: asyncio.Task[None] | None = None
        self._look_again = False

    @property
    def busy(self) -> bool:
        """Whether something is left to create, to stop or to read, or the engine has yet to take an end."""
        reading = self._looking is not None or self._in_flight()
        return self._working or not self._queue.empty() or reading

    def take(self, calls: Sequence[EngineCall], stopped: Sequence[str]) -> None:
        """Take new calls, and the paths of calls to stop."""
        self._queue.put_nowait((calls, stopped))
        self._flusher.count_calls(_size_of(calls))
        self._flusher.expect(bool(calls and not stopped))
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name=f"calls of {self._claim.execution_id}")

    def look(self) -> None:
        """Read the ends of calls, and give them to the engine."""
        self._look_again = True
        if self._looking is None and self._live:
            self._looking = asyncio.create_task(self._look(), name=f"ends of calls of {self._claim.execution_id}")

    async def _look(self) -> None:
        try:
            while self._look_again and self._live:
                self._look_again = False
                ends = await retry_transient(self._read_ends, what="ends of calls")
                for call, id_ in list(self._live.items()):
                    if id_ in ends:
                        del self._live[call]
                for end in ends.values():
                    self._look_again = True  # there may be more
                    self._ended(end)
                while self._in_flight():  # noqa: ASYNC110 - its report has no event of its own
                    await asyncio.sleep(_IN_FLIGHT_SECONDS)
        except Exception as error:  # noqa: BLE001 - the engine must not wait forever
            _log.exception("cannot read the ends of calls")
            self._broken(error)
        finally:
            self._looking = None

    async def _read_ends(self) -> dict[ExecutionId, str]:
        async with self._ledger.connection() as connection:
            return await calling.ended(connection, list(self._live.values()))

    def close(self) -> None:
        """Make no further calls."""
        for task in (self._task, self._looking):
            if task is not None:
                task.cancel()

    async def _work(self) -> None:
        while True:
            self._working = False
            calls, stopped = await self._queue.get()
            self._working = True
            try:
                if stopped:
                    await self._stop([self._live.pop(call) for call in stopped if call in self._live])
                if calls:
                    await self._call([self._new(each) for each in calls])
                self._flusher.count_calls(-_size_of(calls))
            except OwnershipLost:
                return  # the flusher ends the attempt
            except Exception as error:  # noqa: BLE001 - the engine must not wait forever
                _log.exception("cannot create the executions of calls")
                self._broken(error)
                return

    def _new(self, call: EngineCall) -> NewCall:
        id_ = called_execution_id(self._claim.execution_id, call.call, call.tried)
        self._live[call.call] = id_
        name = called_name(self._claim.name, call.call, id_)
        return NewCall(id_, name, call.call, call.tried, call.subflow, call.flow, call.nodes, call.inputs)

    async def _call(self, calls: Sequence[NewCall]) -> None:
        # Most executions that call do so in one run. An earlier one has perhaps made the same calls.
        before = self._claim.calls > 0
        known = await retry_transient(partial(self._known, calls), what="known calls") if before else set()
        left = [each for each in calls if each.id not in known]
        if not left:
            self._flusher.expect(False)
        if known:
            self.look()  # they may have ended long ago
        while left:
            wanted = left[:BATCH]
            room = await retry_transient(partial(self._room, len(wanted)), what="room for calls")
            if not room.in_namespace:
                self._flusher.expect(False)
                _log.info("QuotaExceeded: the namespace has no room for more children; trying again", calls=len(left))
                await asyncio.sleep(_FULL_SECONDS)
                continue
            batch, left = left[: room.in_namespace], left[room.in_namespace :]
            allowed = self._within_limits(batch, room)
            if allowed:
                unstarted = await self._flusher.call(allowed)
                metrics.CHILDREN.inc(len(allowed))
                if unstarted:
                    self._settle()
            else:
                self._flusher.expect(False)

    def _within_limits(self, calls: Sequence[NewCall], room: calling.Room) -> Sequence[NewCall]:
        limits = self._limits
        for number in range(len(calls)):
            children, tree = room.children + number, room.tree + number
            if children < limits.max_children and tree < limits.max_tree:
                continue
            if children >= limits.max_children:
                reason, setting = "TooManyChildren", f"{limits.max_children} (CHAINGRAPH_MAX_CHILDREN)"
                message = f"the execution would have {children + 1} children; the limit is {setting}"
            else:
                reason, setting = "TreeLimit", f"{limits.max_tree} (CHAINGRAPH_MAX_TREE)"
                message = f"the tree would have {tree + 1} executions; the limit is {setting}"
            for refused in calls[number:]:
                now = time.time_ns() // 1_000_000
                end = (refused.call, refused.tried, "", "", "Failed", None, "", reason, message, None, now)
                self._ended(orjson.dumps(end).decode())
            return calls[:number]
        return calls

    async def _room(self, wanted: int) -> calling.Room:
        async with self._ledger.connection() as connection:
            return await calling.room(connection, self._claim.execution_id, wanted)

    async def _known(self, calls: Sequence[NewCall]) -> set[ExecutionId]:
        async with self._ledger.connection() as connection:
            return await calling.known(connection, [each.id for each in calls])

    async def _stop(self, executions: Sequence[ExecutionId]) -> None:
        # What ended the calls is durable first: another engine would call again, and find them stopped.
        await self._flusher.settled()

        async def once() -> None:
            async with self._ledger.transaction() as connection:
                await stopping.stop_calls(connection, self._claim.execution_id, executions)

        await retry_transient(once, what="stop of calls")
        self._settle()


def _size_of(calls: Sequence[EngineCall]) -> int:
    return sum(len(each.inputs) + _CALL_BYTES for each in calls)
