"""Run the tries of a run's nodes: each waits for the journal, passes the gate, fills the inputs, publishes its start
and runs.

The scheduler creates a task for each try and decides whether another one follows.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Mapping
from functools import partial
from typing import Any

from chaingraph_flow.context import ExternalEvent, NodeContext, RunContext, RunResources, Trigger
from chaingraph_flow.engine.attempt import Ending, NodeWatch, run_attempt
from chaingraph_flow.engine.event_publisher import EventPublisher
from chaingraph_flow.engine.gate import Gate
from chaingraph_flow.engine.options import EngineOptions
from chaingraph_flow.engine.recorder import Recorder
from chaingraph_flow.engine.records import NodeRecord, Outcome
from chaingraph_flow.engine.result import RunningNode
from chaingraph_flow.engine.state import RunState
from chaingraph_flow.engine.supervision import KilledTry, Supervisor
from chaingraph_flow.engine.transfer import Untransferable, fill_inputs
from chaingraph_flow.graph import GraphNode
from chaingraph_flow.node import Node
from chaingraph_flow.validation.wiring import Connection


class Tries:
    """Runs tries, and remembers the number and start of each node's tries."""

    def __init__(
        self,
        classes: Mapping[str, type[Node]],
        *,
        state: RunState,
        gate: Gate,
        announce: EventPublisher,
        recorder: Recorder,
        context: RunContext,
        trigger: Trigger | None,
        options: EngineOptions,
        clock: Callable[[], int],
        tried_again: Callable[[], None],
        supervisor: Supervisor | None = None,
    ) -> None:
        """Create it. `tried_again` is called when a try other than the first starts, which no event reports."""
        self._tried_again = tried_again
        self._supervisor = supervisor
        self._classes = classes
        self._state = state
        self._gate = gate
        self._announce = announce
        self._recorder = recorder
        self._context = context
        self._trigger = trigger
        self._options = options
        self._resources = RunResources(options.limits, options.egress)
        self._clock = clock
        self._started_at: dict[str, int] = {}
        self._try_at: dict[str, int] = {}
        self._going: dict[str, int] = {}
        self.count: Counter[str] = Counter()
        """The number of tries that each node has started."""
        self.starting: set[str] = set()
        """The nodes that have a task and have not started."""

    def begin(self) -> None:
        """Begin the run, on the event loop of this thread."""
        self._thread = threading.get_ident()
        self._loop = asyncio.get_running_loop()

    async def close(self) -> None:
        """End the run: ignore nodes that are still running, and close everything."""
        self._going.clear()
        await self._resources.close()

    def start(self, node: GraphNode, wanted: Callable[[], bool]) -> Coroutine[Any, Any, Ending | None]:
        """Run one try of a node, for a task.

        It returns None when the node is no longer `wanted`, or held at the gate, before it starts: the gate is asked
        once more, because a pause may come while the node waits for its task or for the journal.
        """
        self.starting.add(node.id)
        running = self._run(node, wanted)
        return running if self._supervisor is None else _Watched(running, node.id, self._supervisor)

    def restore(self, killed: KilledTry) -> Ending:
        """Restore a try that ended with its process. Returns how it ended."""
        self.count[killed.node_id] = killed.tries
        self._started_at[killed.node_id] = killed.started_at
        return Ending(Outcome.FAILED, {}, killed.message, killed.reason)

    async def _run(self, node: GraphNode, wanted: Callable[[], bool]) -> Ending | None:
        id_ = node.id
        if not node.type.pure:
            await self._recorder.settled()
        if not wanted() or not self._gate.admits(id_):
            return None
        self.starting.discard(id_)
        self.count[id_] = tries = self.count[id_] + 1
        self._going[id_] = tries
        try:
            return await self._try(node, tries)
        finally:
            self._going.pop(id_, None)

    def of(self, id_: str) -> tuple[int, int] | None:
        """Return the number of a node's last try and the start of its first one; None without a try."""
        started_at = self._started_at.get(id_)
        return None if started_at is None else (self.count[id_], started_at)

    def running(self, node: GraphNode, *, next_at: int | None = None) -> RunningNode | None:
        """Describe a node that is running or waiting for its next try; None when it has not started."""
        since = self._try_at.get(node.id)
        if since is None or (node.id in self.starting and next_at is None):
            return None
        retry = node.spec.retry
        return RunningNode(node.id, self.count[node.id], retry.max_attempts if retry else 1, since, next_at)

    def record(self, id_: str, ending: Ending) -> NodeRecord:
        """Return the record of a node whose last try ended this way."""
        return NodeRecord(
            node_id=id_,
            outcome=ending.outcome,
            started_at=self._started_at[id_],
            finished_at=self._clock(),
            outputs=ending.outputs,
            error=ending.message if ending.outcome is Outcome.FAILED else "",
            reason=ending.message if ending.outcome is Outcome.SKIPPED else ending.reason,
            attempts=self.count[id_],
            emissions=ending.emissions,
            size=ending.size,
        )

    async def _try(self, node: GraphNode, tries: int) -> Ending:
        self._try_at[node.id] = now = self._clock()
        self._started_at.setdefault(node.id, now)
        if tries > 1:
            self._tried_again()
        watched: list[tuple[Connection, str | None]] = []
        begun = time.perf_counter()
        try:
            filled = fill_inputs(
                node,
                self._state,
                lambda connection, refused: watched.append((connection, refused)),
                self._options.limits,
            )
        except Untransferable as error:
            return Ending(Outcome.FAILED, {}, str(error), str(error.reason))
        finally:
            if tries == 1:
                self._tell_transfers(watched, round((time.perf_counter() - begun) * 1000, 3))
        if tries == 1:
            self._announce.status(node.id, "ready", "executing")
            self._announce.node_started(node)
        context = NodeContext(
            self._context,
            node.id,
            node_attempt=tries,
            given=filled.given,
            event=self._event_for(node),
            log=partial(self._log, node.id, tries),
            max_children=self._options.max_children,
            max_depth=self._options.max_depth,
            resources=self._resources,
        )
        seconds = node.spec.timeout_seconds or self._options.node_timeout_seconds
        watch = None
        if self._supervisor is not None:
            started_at = self._started_at[node.id]
            watch = NodeWatch(self._supervisor, tries, started_at, self._options.stuck_grace_seconds)
        return await run_attempt(self._classes[node.id], node, filled.values, context, seconds, watch)

    def _tell_transfers(self, watched: list[tuple[Connection, str | None]], milliseconds: float) -> None:
        for connection, refused in watched:
            self._announce.transfer_started(connection)
            if (why := self._state.refusal(connection)) is not None:
                self._announce.not_delivered(connection, why)
            else:
                self._announce.transferred(connection, refused, milliseconds)

    def _event_for(self, node: GraphNode) -> ExternalEvent | None:
        return next((each for each in self._trigger or () if each.name == node.listens_to), None)

    def _log(self, id_: str, tries: int, message: str) -> None:
        if threading.get_ident() != self._thread:
            self._loop.call_soon_threadsafe(self._log, id_, tries, message)
        elif self._going.get(id_) == tries:
            # else: a thread that a timeout left behind, whose node is no longer awaited
            self._announce.log(id_, message)


class _Watched(Coroutine[Any, Any, Ending | None]):
    """A try that reports when its code is on the event loop."""

    __slots__ = ("_node_id", "_running", "_supervisor")

    def __init__(self, running: Coroutine[Any, Any, Ending | None], node_id: str, supervisor: Supervisor) -> None:
        self._running = running
        self._node_id = node_id
        self._supervisor = supervisor

    def send(self, value: Any) -> Any:
        self._supervisor.enter(self._node_id)
        try:
            return self._running.send(value)
        finally:
            self._supervisor.leave()

    def throw(self, *error: Any) -> Any:
        self._supervisor.enter(self._node_id)
        try:
            return self._running.throw(*error)
        finally:
            self._supervisor.leave()

    def close(self) -> None:
        self._running.close()

    def __await__(self) -> Generator[Any, Any, Ending | None]:
        return self._running.__await__()
