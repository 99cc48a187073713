"""The scheduler: one dispatcher that starts ready nodes, and the only part of the engine with tasks.

There is no polling, and one task for each running node. `RunState` decides. A node's end is processed in the callback
of its task, which starts the nodes that became ready, so a chain costs one turn of the event loop per node.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from random import random
from typing import Any

from chaingraph_flow.context import RunContext, Signal, Trigger, WaitKind
from chaingraph_flow.engine.binding import active_nodes
from chaingraph_flow.engine.debugger import ControlState
from chaingraph_flow.engine.event_publisher import EventPublisher, wall_clock
from chaingraph_flow.engine.gate import Gate
from chaingraph_flow.engine.mailbox import Mailbox
from chaingraph_flow.engine.options import EngineOptions
from chaingraph_flow.engine.outputs import flow_emissions, flow_outputs, outputs_to_nowhere
from chaingraph_flow.engine.recorder import Recorder
from chaingraph_flow.engine.records import NodeRecord, Outcome, WaitRecord, handles_failure
from chaingraph_flow.engine.result import FailureReason, FlowOutcome, FlowResult, NodeError, running_then
from chaingraph_flow.engine.running_time import RunningTime
from chaingraph_flow.engine.standing import Standing
from chaingraph_flow.engine.state import RunState
from chaingraph_flow.engine.tries.attempt import Ending, Waiting, timed_out
from chaingraph_flow.engine.tries.endings import MaySpawn, next_try, no_listener, refused_family, within_limits
from chaingraph_flow.engine.tries.supervision import KilledTry, Supervisor
from chaingraph_flow.engine.tries.tries import Ended, Tries
from chaingraph_flow.engine.waits import Waits
from chaingraph_flow.graph import Graph
from chaingraph_flow.registry import Registry


class Scheduler:
    """One run of a graph; see `Engine`."""

    def __init__(
        self,
        graph: Graph,
        registry: Registry,
        *,
        context: RunContext,
        recorder: Recorder,
        inputs: Mapping[str, Any] | None = None,
        trigger: Trigger | None = None,
        journal: Sequence[NodeRecord] = (),
        options: EngineOptions | None = None,
        resumed: bool = False,
        control: ControlState | None = None,
        ran_ms: int = 0,
        on_control: Callable[[], None] | None = None,
        may_spawn: MaySpawn | None = None,
        supervisor: Supervisor | None = None,
        killed: Iterable[KilledTry] = (),
        waits: Iterable[WaitRecord] = (),
        signals: Sequence[Signal] = (),
        signals_told: int = 0,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        """Prepare a run.

        Args:
            graph: the graph to run.
            registry: the code of its nodes.
            context: the execution it runs for.
            recorder: receives records and events, and reports when they are durable.
            inputs: the flow's inputs, bound (see `bind_inputs`).
            trigger: the events it was started with; None for a start without one.
            journal: the nodes that ended before. They are not run again, and nothing is published about them.
            options: limits.
            resumed: an earlier engine of this attempt has published flow:started; do not publish it again.
            control: the debugger's initial state; by default not paused and without breakpoints.
            ran_ms: the milliseconds that earlier engines of this attempt have run, without pauses.
            on_control: called on the event loop when `paused`, `quiet` or `held` has changed during the run.
            may_spawn: called once everything has completed and something was emitted; its result fails the flow.
            supervisor: informed about running nodes; ends the process of a node that cannot be ended otherwise.
            killed: tries of this attempt that ended with their process, the last one of each node.
            waits: nodes that waited in an earlier engine of this attempt, and have not ended.
            signals: the signals of the execution, in their order. Nodes of the journal have taken some of them.
            signals_told: the number of the last one that an earlier engine has published.
            clock: milliseconds since 1970, for records and events.

        Raises:
            UnknownNodeType: the registry lacks the class of a node that takes part in this run.
            JournalMismatch: the journal names a node that does not take part in this run.
        """
        self._graph = graph
        self._context = context
        self._recorder = recorder
        self._trigger = trigger
        self._options = options or EngineOptions()
        self._resumed = resumed
        self._clock = clock
        self._announce = EventPublisher(recorder, clock, debug=self._options.debug)
        active = active_nodes(graph, trigger)
        classes = {id_: registry[graph.nodes[id_].type.type] for id_ in active}
        self._state = RunState(graph, active, inputs or {})
        self._time = RunningTime(self._options.flow_timeout_seconds, ran_ms, self._flow_timeout)
        self._gate = Gate(control or ControlState(), self._announce, self._time)
        taken = {each.signal for each in journal if each.signal is not None}
        mailbox = Mailbox(graph, context.attempt, signals, taken)
        self._tries = Tries(
            classes,
            state=self._state,
            gate=self._gate,
            mailbox=mailbox,
            announce=self._announce,
            recorder=recorder,
            context=context,
            trigger=trigger,
            options=self._options,
            clock=clock,
            continued=lambda: self._on_control(),
            supervisor=supervisor,
        )
        self._supervisor = supervisor
        self._killed = {each.node_id: each for each in killed}
        self._on_control = on_control or (lambda: None)
        self._may_spawn = may_spawn
        self._running: dict[str, asyncio.Task[Ended]] = {}
        self._waits = Waits(
            clock,
            mailbox=mailbox,
            untold=[each for each in signals if each.seq > signals_told],
            tries=self._tries,
            gate=self._gate,
            recorder=recorder,
            announce=self._announce,
            command=self._command,
            time_out=self._time_out,
        )
        self._restored_waits = {each.node_id: each for each in waits}
        self._error: NodeError | None = None
        self._stop_reason: str | None = None
        self._crash: BaseException | None = None
        self._over: asyncio.Event = asyncio.Event()
        self._parked = self._closed = False
        self.standing = Standing(
            graph,
            len(active),
            running=self._running.keys(),
            waits=self._waits,
            gate=self._gate,
            tries=self._tries,
            time=self._time,
            over=self._over,
            clock=clock,
        )
        """The state of the run. Cheap to read, at any time on the engine's event loop."""
        self._control_seen = self.standing.control
        self._restore(journal)

    def stop(self, reason: str) -> None:
        """Cancel running nodes; `run` returns Stopped. Call it on the engine's event loop; the first call counts."""
        if not self._over.is_set():
            self._stop_reason = reason
            self._over.set()

    async def run(self) -> FlowResult:
        """Run to the end. Errors of nodes are in the result.

        Raises:
            asyncio.CancelledError: the caller was cancelled; running nodes have been cancelled and awaited.
            Exception: any error of the recorder; running nodes have been cancelled and awaited too.
        """
        self._loop = asyncio.get_running_loop()
        self._tries.begin()
        try:
            if not self._over.is_set():
                self._begin()
            await self._over.wait()
        finally:
            self._over.set()  # also when the caller was cancelled: a node that is cancelled now has not failed
            self.standing.interrupt()
            self._time.stand()
            await self._close()
        if self._crash is not None:
            raise self._crash
        if self._may_spawn is not None and not (self._error or self._parked or self._stop_reason is not None):
            self._error = await refused_family(self._may_spawn, flow_emissions(self._graph, self._state.ended))
        return self._result(self._time.milliseconds)

    # -- beginning and end -----------------------------------------------------------------------------------

    def _restore(self, journal: Iterable[NodeRecord]) -> None:
        for record in journal:
            self._state.restore(record)
            self.standing.counts[record.outcome] += 1
            self._note_failure(record)

    def _begin(self) -> None:
        if not self._resumed:
            self._announce.flow_started(len(self._state.active), self._context.attempt)
        self.standing.begun = True
        self._waits.begin()
        self._gate.begin()
        if self._trigger is not None and not self._state.active:
            self._error = no_listener(self._trigger, self._graph.listeners)
        self._proceed(self._state.open_nodes())

    async def _close(self) -> None:
        self._waits.stop()
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        try:
            if tasks:
                # A node that ignores its cancellation would delay a stop for everyone: leave it behind.
                await asyncio.wait(tasks, timeout=self._options.cancel_grace_seconds)
                await asyncio.sleep(0)
        finally:
            self._closed = True
            await self._tries.close()

    def _result(self, milliseconds: int) -> FlowResult:
        progress = self.standing.progress
        emissions = flow_emissions(self._graph, self._state.ended)
        if self._stop_reason is not None:
            self._announce.flow_cancelled(self._stop_reason)
            return FlowResult(FlowOutcome.STOPPED, progress, reason=self._stop_reason, emissions=emissions)
        if self._parked:
            return FlowResult(FlowOutcome.PARKED, progress, emissions=emissions)
        outputs, too_large = flow_outputs(self._graph, self._state.ended, self._options.limits)
        if (error := self._error or too_large) is not None:
            self._announce.flow_failed(error, milliseconds)
            return FlowResult(FlowOutcome.FAILED, progress, outputs, error, emissions=emissions)
        for node_id, told in outputs_to_nowhere(self._graph, self._state.ended):
            self._announce.log(node_id, told)
        self._announce.flow_completed(milliseconds)
        return FlowResult(FlowOutcome.COMPLETED, progress, outputs, emissions=emissions)

    def _flow_timeout(self) -> None:
        if not self._over.is_set():
            limit = f"the flow timed out after {self._options.flow_timeout_seconds:g} s"
            message = limit + running_then(self.standing.running_nodes)
            self._error = self._error or NodeError("", message, FailureReason.FLOW_TIMEOUT)
            self._over.set()

    # -- deciding and starting -------------------------------------------------------------------------------

    def _proceed(self, decidable: Iterable[str]) -> None:
        """Decide these nodes and all that follows, start nodes while there is room, and check for the end."""
        undecided = deque(decidable)
        while undecided and self._error is None:
            id_ = undecided.popleft()
            reason = self._state.skip_reason(id_)
            if reason is None:
                self._announce.status(id_, "idle", "ready")
                undecided.extend(self._ready(id_))
            else:
                undecided.extend(self._skip(id_, reason))
        if self._error is None:
            self._start_ready()
        if not self._running and (self._error is not None or (self._gate.empty and not self._waits)):
            self._over.set()
        elif self._gate.paused or self._waits or any(self._control_seen):
            self._tell_control()

    def _ready(self, id_: str) -> list[str]:
        """Put a node at the gate, or continue where an earlier engine left it. Returns nodes that can be decided."""
        wait = self._restored_waits.pop(id_, None)
        killed = self._killed.pop(id_, None)
        if killed is not None:
            return self._ended_try(id_, self._tries.restore(killed))
        if wait is not None:
            self._waits.restore(wait)
        else:
            self._gate.put(id_)
        return []

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
        for connection in self._graph.nodes[id_].incoming:
            if (refused := self._state.refusal(connection)) is not None:
                self._announce.not_delivered(connection, refused)
        self._announce.status(id_, "idle", "skipped")
        return self._end(NodeRecord(id_, Outcome.SKIPPED, now, now, reason=reason))

    def _start(self, id_: str) -> None:
        trying = self._tries.start(self._graph.nodes[id_], lambda: self._error is None)
        self._running[id_] = task = self._loop.create_task(trying, name=f"{self._context.name}/{id_}")
        task.add_done_callback(partial(self._take, id_))

    # -- endings ---------------------------------------------------------------------------------------------

    def _take(self, id_: str, task: asyncio.Task[Ended]) -> None:
        """Process the end of a node's task. Its callback."""
        if self._closed:
            return
        del self._running[id_]
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
        if ending is None:
            self._turned_back(id_)
            return
        decidable: list[str] = []
        if isinstance(ending, Waiting):
            if self._error is None:  # else the flow has failed: the node is not continued
                self._waits.add(self._graph.nodes[id_], ending)
        else:
            decidable = self._ended_try(id_, within_limits(ending, self._state, self._options))
        if not self._over.is_set():
            self._proceed(decidable)

    def _ended_try(self, id_: str, ending: Ending) -> list[str]:
        """Schedule another try of the node, or keep its end. Returns the nodes that can be decided now."""
        if self._try_again(id_, ending):
            return []
        self._announce.status(id_, "executing", str(ending.outcome))
        return self._end(self._tries.record(id_, ending))

    def _turned_back(self, id_: str) -> None:
        """Handle a node that did not start: the flow failed or paused first."""
        self._tries.starting.discard(id_)
        if not self._over.is_set():
            if self._error is None:
                self._gate.put(id_)
            self._proceed(())

    def _end(self, record: NodeRecord) -> list[str]:
        """Publish and keep a node's end. Returns the nodes that can be decided now."""
        self._announce.node_ended(record)
        self._recorder.record(record)
        self.standing.counts[record.outcome] += 1
        self._note_failure(record)
        return self._state.settle(record)

    def _note_failure(self, record: NodeRecord) -> None:
        """Fail the flow by a failure that it does not handle. The first one is its error."""
        if record.outcome is not Outcome.FAILED or self._error is not None:
            return
        if not handles_failure(self._graph, record.node_id, self._state.active):
            self._error = NodeError(record.node_id, record.error, record.reason or FailureReason.NODE_FAILED)
            self._waits.clear()

    def _try_again(self, id_: str, ending: Ending) -> bool:
        """Whether the node gets another try, after a delay in which it holds no slot."""
        tries = self._tries.count[id_]
        next_ = next_try(ending, tries, self._graph.nodes[id_].spec.retry, random())
        if next_ is None or self._error is not None or self._over.is_set():
            return False
        seconds, told = next_
        self._announce.log(id_, told)
        node, until = self._graph.nodes[id_], self._clock() + round(seconds * 1000)
        self._waits.add(node, Waiting(WaitKind.RETRY, until))
        return True

    def _time_out(self, id_: str) -> None:
        seconds = self._graph.nodes[id_].spec.timeout_seconds or 0
        self._proceed(self._ended_try(id_, Ending(Outcome.FAILED, {}, timed_out(seconds), FailureReason.NODE_TIMEOUT)))
