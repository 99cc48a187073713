"""Run the tries of a run's nodes: each waits for the journal, passes the gate, fills the inputs, publishes its start
and runs.

The scheduler creates a task for each try and decides whether another one follows.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping
from functools import partial
from typing import Any

from chaingraph_flow.context import (
    ExternalEvent,
    NodeContext,
    RunContext,
    RunResources,
    Signal,
    Trigger,
    WaitKind,
    Woken,
)
from chaingraph_flow.engine.event_publisher import EventPublisher
from chaingraph_flow.engine.frames import Frames
from chaingraph_flow.engine.gate import Gate
from chaingraph_flow.engine.journaling import Journaling
from chaingraph_flow.engine.mailbox import Mailbox
from chaingraph_flow.engine.options import EngineOptions
from chaingraph_flow.engine.recorder import Recorder
from chaingraph_flow.engine.records import NodeRecord, Outcome, WaitRecord
from chaingraph_flow.engine.result import RunningNode
from chaingraph_flow.engine.tries.attempt import Calling, Ending, NodeWatch, Waiting, failed_by, run_attempt
from chaingraph_flow.engine.tries.secrets import with_secrets
from chaingraph_flow.engine.tries.supervision import KilledTry, Supervisor
from chaingraph_flow.engine.tries.transfer import Untransferable, fill_inputs
from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.graph import GraphNode
from chaingraph_flow.node import Node
from chaingraph_flow.validation.wiring import Connection

Ended = Ending | Waiting | Calling | None
"""The end of a pass; None when the node did not start."""


class Tries:
    """Runs tries, and remembers the number and start of each node's tries."""

    def __init__(
        self,
        registry: Mapping[str, type[Node]],
        *,
        frames: Frames,
        gate: Gate,
        mailbox: Mailbox,
        announce: EventPublisher,
        recorder: Recorder,
        journal: Journaling,
        context: RunContext,
        trigger: Trigger | None,
        options: EngineOptions,
        clock: Callable[[], int],
        continued: Callable[[], None],
        supervisor: Supervisor | None = None,
    ) -> None:
        """Create it. `continued` is called when a pass other than a node's first starts, which no event reports."""
        self._continued = continued
        self._supervisor = supervisor
        self._registry = registry
        self._frames = frames
        self._gate = gate
        self._mailbox = mailbox
        self._announce = announce
        self._recorder = recorder
        self._journal = journal
        self._context = context
        self._trigger = trigger
        self._options = options
        self._resources = RunResources(options.limits, options.egress, options.secrets.scrubber)
        self._clock = clock
        self._started_at: dict[str, int] = {}
        self._try_at: dict[str, int] = {}
        self._going: dict[str, int] = {}
        self._woken: dict[str, Woken] = {}
        self._try_began: dict[str, int] = {}
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

    def start(self, node: GraphNode, wanted: Callable[[], bool]) -> Coroutine[Any, Any, Ended]:
        """Run one try of a node, or a try's pass after a wait, for a task.

        It returns None when the node is no longer `wanted`, or held at the gate, before it starts: the gate is asked
        once more, because a pause may come while the node waits for its task or for the journal.
        """
        self.starting.add(node.id)
        running = self._run(node, wanted)
        return running if self._supervisor is None else _Watched(running, node.id, self._supervisor)

    def restore(self, killed: KilledTry) -> Ending:
        """Restore a try that ended with its process. Returns how it ended."""
        self.count[killed.node_id] = killed.tries
        self._started_at[killed.node_id] = self._try_began[killed.node_id] = killed.started_at
        return Ending(Outcome.FAILED, {}, killed.message, killed.reason)

    def restore_wait(self, record: WaitRecord) -> None:
        """Restore a node that waited in an earlier engine."""
        self.count[record.node_id] = record.attempts
        self._started_at[record.node_id] = record.started_at
        self._try_began[record.node_id] = record.try_at

    def refilled(self, node: GraphNode) -> Calling | Ending:
        """Return what a node calls that called in an earlier engine."""
        try:
            state = self._frames.of(node.id).state
            return Calling(fill_inputs(node, state, lambda *_: None, self._options.limits).values)
        except Untransferable as error:
            return Ending(Outcome.FAILED, {}, str(error), str(error.reason))

    def forget(self, ids: Iterable[str]) -> None:
        """Forget nodes of a call that has ended."""
        for id_ in ids:
            for each in (self._started_at, self._try_at, self._try_began, self._woken, self.count):
                each.pop(id_, None)

    def try_began(self, id_: str) -> int:
        """Return when a node's last try began, in milliseconds since 1970."""
        return self._try_began[id_]

    def waiting(self, node: GraphNode, waiting: Waiting) -> WaitRecord:
        """Return the record of a node whose last pass ended this way. The node's own timeout includes its wait."""
        until, times_out, try_at = waiting.until, False, self._try_began[node.id]
        if node.spec.timeout_seconds is not None and waiting.kind is not WaitKind.RETRY:
            deadline = try_at + round(node.spec.timeout_seconds * 1000)
            times_out = until is None or until > deadline
            until = deadline if until is None else min(until, deadline)
        return WaitRecord(
            node.id,
            waiting.kind,
            since=self._clock(),
            until=until,
            started_at=self._started_at[node.id],
            try_at=try_at,
            attempts=self.count[node.id],
            times_out=times_out,
            signal=node.signal or "" if waiting.kind in (WaitKind.SIGNAL, WaitKind.APPROVAL) else "",
            prompt=waiting.prompt,
        )

    def wake(self, record: WaitRecord, signal: Signal | None = None) -> None:
        """Let the node's next pass be that after the wait; after a wait for a retry, it is another try."""
        if record.kind is not WaitKind.RETRY:
            self._woken[record.node_id] = Woken(record.since, record.until, signal)

    async def _run(self, node: GraphNode, wanted: Callable[[], bool]) -> Ended:
        id_ = node.id
        if not node.type.pure:
            self._journal.write(self._frames.of(id_))
            await self._recorder.settled()
        if not wanted() or not self._gate.admits(id_):
            return None
        self.starting.discard(id_)
        woken = self._woken.pop(id_, None)
        if woken is None:
            self.count[id_] += 1
        self._going[id_] = tries = self.count[id_]
        try:
            return await self._try(node, tries, woken)
        finally:
            self._going.pop(id_, None)

    def of(self, id_: str) -> tuple[int, int] | None:
        """Return the number of a node's last try and the start of its first one; None without a try."""
        started_at = self._started_at.get(id_)
        return None if started_at is None else (self.count[id_], started_at)

    def running(self, node: GraphNode) -> RunningNode | None:
        """Describe a running node; None when it has not started."""
        since = self._try_at.get(node.id)
        if since is None or node.id in self.starting:
            return None
        return RunningNode(node.id, self.count[node.id], _most_tries(node), since)

    def described(self, node: GraphNode, wait: WaitRecord) -> RunningNode:
        """Describe a waiting node."""
        since = wait.try_at if wait.kind is WaitKind.RETRY else wait.since
        fields = (wait.until, str(wait.kind), wait.signal, wait.prompt)
        return RunningNode(node.id, wait.attempts, _most_tries(node), since, *fields)

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
            details=ending.details,
            signal=self._mailbox.taken(self._frames.node(id_)),
        )

    async def _try(self, node: GraphNode, tries: int, woken: Woken | None) -> Ending | Waiting | Calling:
        self._try_at[node.id] = now = self._clock()
        self._started_at.setdefault(node.id, now)
        if woken is None:
            self._try_began[node.id] = now
        first = tries == 1 and woken is None
        if not first:
            self._continued()
        watched: list[tuple[Connection, str | None]] = []
        begun = time.perf_counter()
        try:
            filled = fill_inputs(
                node,
                self._frames.of(node.id).state,
                lambda connection, refused: watched.append((connection, refused)),
                self._options.limits,
            )
        except Untransferable as error:
            return Ending(Outcome.FAILED, {}, str(error), str(error.reason))
        finally:
            if first and not self._announce.mutes(node):
                self._tell_transfers(watched, round((time.perf_counter() - begun) * 1000, 3))
        if first:
            self._announce.status(node.id, "ready", "executing")
            self._announce.node_started(node)
        if node.subflow is not None:
            return Calling(filled.values, (woken.until or 0) if woken is not None else 0)
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
            woken=woken,
            takes_signals=node.signal is not None,
        )
        values = filled.values
        if node.type.secret_inputs:
            try:
                values = await with_secrets(node, values, self._options.secrets)
            except NodeFailed as error:
                return failed_by(error, self._resources)
        seconds = node.spec.timeout_seconds or self._options.node_timeout_seconds
        watch = None
        if self._supervisor is not None:
            started_at = self._started_at[node.id]
            watch = NodeWatch(self._supervisor, tries, started_at, self._options.stuck_grace_seconds)
        return await run_attempt(self._registry[node.type.type], node, values, context, seconds, watch)

    def _tell_transfers(self, watched: list[tuple[Connection, str | None]], milliseconds: float) -> None:
        for connection, refused in watched:
            self._announce.transfer_started(connection)
            if (why := self._frames.of(connection.target).state.refusal(connection)) is not None:
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


def _most_tries(node: GraphNode) -> int:
    return node.spec.retry.max_attempts if node.spec.retry else 1


class _Watched(Coroutine[Any, Any, Ended]):
    """A try that reports when its code is on the event loop."""

    __slots__ = ("_node_id", "_running", "_supervisor")

    def __init__(self, running: Coroutine[Any, Any, Ended], node_id: str, supervisor: Supervisor) -> None:
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

    def __await__(self) -> Generator[Any, Any, Ended]:
        return self._running.__await__()
