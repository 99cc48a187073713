"""The dispatcher: decides which nodes run, starts them, and processes their ends.

There is no polling, and one task for each running node. `RunState` decides. A node's end is processed in the callback
of its task, which starts the nodes that became ready, so a chain costs one turn of the event loop per node.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from random import random
from typing import Any, Final

from chaingraph_flow.context import RunContext, WaitKind
from chaingraph_flow.engine.calls import Calls, failure_of
from chaingraph_flow.engine.children import ChildCalls
from chaingraph_flow.engine.event_publisher import EventPublisher
from chaingraph_flow.engine.frames import Frame, Frames
from chaingraph_flow.engine.gate import Gate
from chaingraph_flow.engine.journaling import Journaling
from chaingraph_flow.engine.options import EngineOptions
from chaingraph_flow.engine.records import NodeRecord, Outcome, WaitRecord, handles_failure
from chaingraph_flow.engine.result import FailureReason, NodeError
from chaingraph_flow.engine.standing import Standing
from chaingraph_flow.engine.tries.attempt import Calling, Ending, Waiting, timed_out
from chaingraph_flow.engine.tries.endings import next_try, within_journal, within_limits
from chaingraph_flow.engine.tries.supervision import KilledTry, Supervisor
from chaingraph_flow.engine.tries.tries import Ended, Tries
from chaingraph_flow.engine.waits import Waits

_TURN_SECONDS: Final = 0.02
"""Maximum time for which calls begin and end without a turn of the event loop."""


class Dispatcher:
    """The part of a run that has tasks. The scheduler sets its parts."""

    frames: Frames
    standing: Standing
    """The state of the run. Cheap to read, at any time on the engine's event loop."""
    _announce: EventPublisher
    _calls: Calls
    _children: ChildCalls
    _clock: Callable[[], int]
    _context: RunContext
    _gate: Gate
    _loop: asyncio.AbstractEventLoop
    _options: EngineOptions
    _journal: Journaling
    _supervisor: Supervisor | None
    _tries: Tries
    _waits: Waits

    def __init__(self, on_control: Callable[[], None] | None) -> None:
        self._on_control = on_control or (lambda: None)
        self._undecided: deque[str] = deque()
        self._running: dict[str, asyncio.Task[Ended]] = {}
        self._abandoned: set[asyncio.Task[Ended]] = set()
        self._killed: dict[str, KilledTry] = {}
        self._restored_waits: dict[str, WaitRecord] = {}
        self._error: NodeError | None = None
        self._crash: BaseException | None = None
        self._over = asyncio.Event()
        self._closed = False
        self._control_seen: tuple[Any, ...] = ()

    # -- deciding and starting -------------------------------------------------------------------------------

    def _proceed(self, decidable: Iterable[str]) -> None:
        """Decide these nodes and all that follows, start nodes while there is room, and check for the end."""
        undecided = self._undecided
        undecided.extend(decidable)
        until = time.perf_counter() + _TURN_SECONDS
        while self._error is None and (undecided or self._calls.due):
            if not undecided:
                if time.perf_counter() > until:  # calls whose nodes are all skipped have no task between them
                    self._loop.call_soon(self._command, lambda: None)
                    break
                undecided.extend(self._advance_calls())
                continue
            id_ = undecided.popleft()
            if id_ not in self.frames or (frame := self.frames.of(id_)).stopped:
                continue
            reason = frame.state.skip_reason(id_)
            if reason is None:
                self._announce.status(id_, "idle", "ready")
                undecided.extend(self._ready(id_))
            else:
                undecided.extend(self._skip(id_, reason))
        if self._error is None:
            self._start_ready()
        if self._gate.paused:
            self._journal.write_all()  # a node that has ended is not held again
        if not self._running and (self._error is not None or (self._gate.empty and not self._waits.any)):
            self._over.set()
        elif self._gate.paused or self._waits or self._children or any(self._control_seen):
            self._tell_control()

    def _ready(self, id_: str) -> list[str]:
        """Put a node at the gate, or continue where an earlier engine left it. Returns nodes that can be decided."""
        wait = self._restored_waits.pop(id_, None)
        killed = self._killed.pop(id_, None)
        if killed is not None:
            return self._ended_try(id_, self._tries.restore(killed))
        if wait is None:
            self._gate.put(id_)
            return []
        self._waits.restore(wait)
        if wait.kind is not WaitKind.CALL:
            return []
        refilled = self._tries.refilled(self.frames.node(id_))
        if isinstance(refilled, Calling):
            self._call(id_, refilled)
            return []
        self._waits.returned(id_)
        return self._ended_try(id_, refilled)

    def _start_ready(self) -> None:
        if self._gate.paused:
            self._gate.pay_steps()
        while len(self._running) < self._options.max_concurrency and (id_ := self._gate.take()) is not None:
            self._start(id_)

    def _command(self, carry_out: Callable[[], None]) -> None:
        """Carry out a command. An exception of the recorder ends the run, as anywhere else."""
        if self._over.is_set():
            return
        try:
            carry_out()
            if self.standing.begun:
                self._proceed(())
        except BaseException as error:  # noqa: BLE001 - raised into run()
            self._crash = error
            self._over.set()

    def _tell_control(self) -> None:
        seen = self.standing.control
        if seen != self._control_seen:
            self._control_seen = seen
            self._on_control()

    def _skip(self, id_: str, reason: str) -> list[str]:
        now = self._clock()
        frame = self.frames.of(id_)
        node = frame.graph.nodes[id_]
        for connection in () if self._announce.mutes(node) else node.incoming:
            if (refused := frame.state.refusal(connection)) is not None:
                self._announce.not_delivered(connection, refused)
        self._announce.status(id_, "idle", "skipped")
        return self._end(NodeRecord(id_, Outcome.SKIPPED, now, now, reason=reason))

    def _start(self, id_: str) -> None:
        frame = self.frames.of(id_)
        trying = self._tries.start(frame.graph.nodes[id_], lambda: self._error is None and not frame.stopped)
        frame.running += 1
        self._running[id_] = task = self._loop.create_task(trying, name=f"{self._context.name}/{id_}")
        task.add_done_callback(partial(self._take, id_))

    # -- calls -----------------------------------------------------------------------------------------------

    def _call(self, id_: str, calling: Calling) -> None:
        tries, began = self._tries.count[id_], self._tries.try_began(id_)
        self._calls.begin(self.frames.node(id_), calling, tries=tries, began=began)

    def _advance_calls(self) -> list[str]:
        """Process the ends of calls. Returns the nodes that can be decided now."""
        step = self._calls.advance()
        for frame in step.halted:
            self._halt(frame)
        decidable = step.decidable
        for id_, waiting in step.waiting:
            self._waits.returned(id_)
            self._waits.add(self.frames.node(id_), waiting)
        for id_, ending in step.endings:
            self._waits.returned(id_)
            ending = within_journal(ending, self.frames.journal_bytes, self._options.limits)
            decidable = [*decidable, *self._ended_try(id_, ending)]
        return decidable

    def _halt(self, frame: Frame) -> None:
        """Let nothing of a frame start any more."""
        self._gate.drop(frame.graph.nodes)
        self._waits.drop(frame.graph.nodes)
        for inner in self._calls.drop(frame):
            self._halt(inner)
        self._calls.touch(frame)

    def _abandon(self, id_: str) -> None:
        """End the calls of a node at once."""
        for frame in self._calls.abandon(id_):
            self._gate.drop(frame.graph.nodes)
            self._waits.drop(frame.graph.nodes)
            for each in frame.graph.nodes:
                self._tries.starting.discard(each)
                if (task := self._running.pop(each, None)) is not None:
                    self._abandoned.add(task)
                    task.cancel()

    # -- endings ---------------------------------------------------------------------------------------------

    def _take(self, id_: str, task: asyncio.Task[Ended]) -> None:
        """Process the end of a node's task. Its callback."""
        if self._closed:
            return
        if task in self._abandoned:
            self._abandoned.discard(task)
            if not self._over.is_set():
                self._proceed(())
            return
        del self._running[id_]
        self.frames.of(id_).running -= 1
        if self._supervisor is not None:
            self._supervisor.enter(id_)  # its outputs are written now
        try:
            self._take_ending(id_, task)
        except BaseException as error:  # noqa: BLE001 - raised into run(): a callback's own exception would get lost
            self._crash = error
            self._over.set()
        finally:
            if self._supervisor is not None:
                self._supervisor.leave()

    def _take_ending(self, id_: str, task: asyncio.Task[Ended]) -> None:
        if task.cancelled():
            if self._over.is_set():
                return
            message = "the node cancelled itself"
            ending: Ended = Ending(Outcome.FAILED, {}, message, FailureReason.NODE_FAILED)
        else:
            ending = task.result()
        frame = self.frames.of(id_)
        if ending is None:
            self._turned_back(id_, frame)
            return
        decidable: list[str] = []
        if isinstance(ending, Waiting | Calling):
            if self._error is None and not frame.stopped:  # else the graph has failed: the node is not continued
                self._continue_later(id_, ending)
        else:
            decidable = self._ended_try(id_, within_limits(ending, self.frames, self._options))
        self._calls.touch(frame)
        if not self._over.is_set():
            self._proceed(decidable)

    def _continue_later(self, id_: str, ending: Waiting | Calling) -> None:
        node = self.frames.node(id_)
        if isinstance(ending, Waiting):
            self._waits.add(node, ending)
        else:
            self._waits.call(node)
            self._call(id_, ending)

    def _ended_try(self, id_: str, ending: Ending) -> list[str]:
        """Schedule another try of the node, or keep its end. Returns the nodes that can be decided now."""
        if self._try_again(id_, ending):
            return []
        self._announce.status(id_, "executing", str(ending.outcome))
        return self._end(self._tries.record(id_, ending))

    def _turned_back(self, id_: str, frame: Frame) -> None:
        """Handle a node that did not start: the flow failed or paused first."""
        self._tries.starting.discard(id_)
        self._calls.touch(frame)
        if not self._over.is_set():
            if self._error is None and not frame.stopped:
                self._gate.put(id_)
            self._proceed(())

    def _end(self, record: NodeRecord) -> list[str]:
        """Publish and keep a node's end. Returns the nodes that can be decided now."""
        frame = self.frames.of(record.node_id)
        self._announce.node_ended(frame.graph.nodes[record.node_id], record)
        self._journal.end(frame, record)
        self.frames.count(record)
        self.standing.count(record)
        self._note_failure(frame, record)
        decidable = frame.state.settle(record)
        self._calls.touch(frame)
        return decidable

    def _note_failure(self, frame: Frame, record: NodeRecord) -> None:
        """Fail the graph by a failure that it does not handle. The first one is its error."""
        if record.outcome is not Outcome.FAILED or frame.failure is not None:
            return
        if handles_failure(frame.graph, record.node_id, frame.state.active):
            return
        frame.failure = failure_of(record, frame.graph.nodes[record.node_id])
        if frame.call:
            self._halt(frame)
        else:
            error = NodeError(record.node_id, record.error, str(frame.failure.reason), frame.failure)
            self._error = self._error or error
            self._waits.clear()

    def _try_again(self, id_: str, ending: Ending) -> bool:
        """Whether the node gets another try, after a delay in which it holds no slot."""
        tries = self._tries.count[id_]
        frame = self.frames.of(id_)
        node = frame.graph.nodes[id_]
        next_ = next_try(ending, tries, node.spec.retry, random())
        if next_ is None or self._error is not None or frame.stopped or self._over.is_set():
            return False
        seconds, told = next_
        self._announce.log(id_, told)
        until = self._clock() + round(seconds * 1000)
        self._waits.add(node, Waiting(WaitKind.RETRY, until))
        return True

    def _time_out(self, id_: str) -> None:
        if id_ in self._calls:
            self._abandon(id_)
        seconds = self.frames.node(id_).spec.timeout_seconds or 0
        self._proceed(self._ended_try(id_, Ending(Outcome.FAILED, {}, timed_out(seconds), FailureReason.NODE_TIMEOUT)))
