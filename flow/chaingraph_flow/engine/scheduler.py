"""The scheduler: assembles the parts of a run, begins it, and returns its result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from chaingraph_crds.flow import FlowSpec
from chaingraph_crds.node_paths import call_of, is_call
from chaingraph_flow.calls import CallPlan
from chaingraph_flow.context import RunContext, Signal, Trigger
from chaingraph_flow.engine.binding import active_nodes
from chaingraph_flow.engine.calls import Calls
from chaingraph_flow.engine.children import ChildCalls, Children
from chaingraph_flow.engine.debugger import ControlState
from chaingraph_flow.engine.dispatcher import Dispatcher
from chaingraph_flow.engine.event_publisher import EventPublisher, wall_clock
from chaingraph_flow.engine.frames import Frame, Frames
from chaingraph_flow.engine.gate import Gate
from chaingraph_flow.engine.journaling import Journaling
from chaingraph_flow.engine.mailbox import Mailbox
from chaingraph_flow.engine.options import EngineOptions
from chaingraph_flow.engine.outputs import flow_emissions, flow_outputs, outputs_to_nowhere
from chaingraph_flow.engine.recorder import Recorder
from chaingraph_flow.engine.records import NodeRecord, WaitRecord
from chaingraph_flow.engine.result import FailureReason, FlowOutcome, FlowResult, NodeError, running_then
from chaingraph_flow.engine.running_time import RunningTime
from chaingraph_flow.engine.standing import Standing
from chaingraph_flow.engine.tries.endings import MaySpawn, no_listener, refused_family
from chaingraph_flow.engine.tries.supervision import KilledTry, Supervisor
from chaingraph_flow.engine.tries.tries import Tries
from chaingraph_flow.engine.waits import Waits
from chaingraph_flow.graph import Graph, GraphNode
from chaingraph_flow.limits import Limits
from chaingraph_flow.node import CallingNode
from chaingraph_flow.registry import Registry


class Scheduler(Dispatcher):
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
        children: Children | None = None,
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
            children: creates the executions of calls with `run: Child`; without it they fail.
            clock: milliseconds since 1970, for records and events.

        Raises:
            UnknownNodeType: the registry lacks the class of a node that takes part in this run.
            JournalMismatch: the journal names a node that does not take part in this run.
        """
        super().__init__(on_control)
        self._graph = graph
        self._context = context
        self._trigger = trigger
        self._options = options or EngineOptions()
        self._resumed = resumed
        self._clock = clock
        self._announce = EventPublisher(recorder, clock, debug=self._options.debug)
        active = active_nodes(graph, trigger)
        nodes = [graph.nodes[id_] for id_ in active]
        nodes += [node for each in graph.subflows.values() for node in each.nodes.values()]
        for node in nodes:
            registry[node.type.type]
        self.frames = Frames(Frame(graph, inputs or {}, active=active))
        self._journal = Journaling(recorder, self.frames, debug=self._options.debug)
        self._time = RunningTime(self._options.flow_timeout_seconds, ran_ms, self._flow_timeout)
        self._gate = Gate(control or ControlState(), self._announce, self._time)
        taken = {each.signal for each in journal if each.signal is not None}
        mailbox = Mailbox(context.attempt, signals, taken)
        self._tries = Tries(
            registry,
            frames=self.frames,
            gate=self._gate,
            mailbox=mailbox,
            announce=self._announce,
            recorder=recorder,
            journal=self._journal,
            context=context,
            trigger=trigger,
            options=self._options,
            clock=clock,
            continued=lambda: self._on_control(),
            supervisor=supervisor,
        )
        self._supervisor = supervisor
        self._killed = {each.node_id: each for each in killed}
        self._may_spawn = may_spawn
        self._children = ChildCalls(
            graph.spec.subflows if isinstance(graph.spec, FlowSpec) else (),
            context.attempt,
            context.depth,
            children=children,
            options=self._options,
            clock=clock,
        )
        self._calls = Calls(
            self.frames,
            self._children,
            plan=partial(_plan, registry, self._options.limits),
            journal=self._journal,
            announce=self._announce,
            options=self._options,
            clock=clock,
            forget=self._tries.forget,
        )
        self._waits = Waits(
            clock,
            mailbox=mailbox,
            untold=[each for each in signals if each.seq > signals_told],
            tries=self._tries,
            gate=self._gate,
            journal=self._journal,
            announce=self._announce,
            command=self._command,
            time_out=self._time_out,
            node=self.frames.node,
        )
        self._restored_waits = {each.node_id: each for each in waits}
        self._stop_reason: str | None = None
        self._parked = False
        self.standing = Standing(
            self.frames.node,
            len(active),
            running=self._running.keys(),
            waits=self._waits,
            children=self._children,
            gate=self._gate,
            tries=self._tries,
            time=self._time,
            over=self._over,
            clock=clock,
        )
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
            self._error = await refused_family(
                self._may_spawn, flow_emissions(self._graph, self.frames.root.state.ended)
            )
        return self._result(self._time.milliseconds)

    # -- beginning and end -----------------------------------------------------------------------------------

    def _restore(self, journal: Sequence[NodeRecord]) -> None:
        root = self.frames.root
        for record in journal:
            if call_of(record.node_id) or is_call(record.node_id):
                self._calls.restore(record)
            else:
                root.state.restore(record)
            self.standing.count(record)
        for record in [*root.state.ended.values()]:
            self._note_failure(root, record)
        for record in journal:
            self.frames.count(record)

    def _begin(self) -> None:
        if not self._resumed:
            self._announce.flow_started(len(self.frames.root.state.active), self._context.attempt)
        self.standing.begun = True
        self._waits.begin()
        self._gate.begin()
        if self._trigger is not None and not self.frames.root.state.active:
            self._error = no_listener(self._trigger, self._graph.listeners)
        self._proceed(self.frames.root.state.open_nodes())

    async def _close(self) -> None:
        self._waits.stop()
        tasks = [*self._running.values(), *self._abandoned]
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
        emissions = flow_emissions(self._graph, self.frames.root.state.ended)
        if self._stop_reason is not None:
            self._announce.flow_cancelled(self._stop_reason)
            return FlowResult(FlowOutcome.STOPPED, progress, reason=self._stop_reason, emissions=emissions)
        if self._parked:
            return FlowResult(FlowOutcome.PARKED, progress, emissions=emissions)
        outputs, too_large = flow_outputs(self._graph, self.frames.root.state.ended, self._options.limits)
        if (error := self._error or too_large) is not None:
            self._announce.flow_failed(error, milliseconds)
            return FlowResult(FlowOutcome.FAILED, progress, outputs, error, emissions=emissions)
        for node_id, told in outputs_to_nowhere(self._graph, self.frames.root.state.ended):
            self._announce.log(node_id, told)
        self._announce.flow_completed(milliseconds)
        return FlowResult(FlowOutcome.COMPLETED, progress, outputs, emissions=emissions)

    def _flow_timeout(self) -> None:
        if not self._over.is_set():
            limit = f"the flow timed out after {self._options.flow_timeout_seconds:g} s"
            message = limit + running_then(self.standing.running_nodes)
            self._error = self._error or NodeError("", message, FailureReason.FLOW_TIMEOUT)
            self._over.set()


def _plan(registry: Registry, limits: Limits, node: GraphNode, values: Mapping[str, Any]) -> CallPlan:
    cls = registry[node.type.type]
    assert issubclass(cls, CallingNode), cls
    return cls.plan(values, limits)
