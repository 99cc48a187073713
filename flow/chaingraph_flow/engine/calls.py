"""The nodes that call graphs: their calls begin, end, and become the end of the node.

A call is a frame. Its end is journaled under the path of the call, unless the node calls once: then the end of the node
follows at once. What an earlier engine or try has journaled is not repeated: the frame of a call begins with the nodes
that have ended, and a call that has ended does not begin.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chaingraph_crds.node_paths import call_of, caller_of, is_call, numbered
from chaingraph_flow.calls import ITERATION_LIMIT, CallEnd, CallFailure, CallPlan, ChildEnd, NextCall
from chaingraph_flow.context import Emission, WaitKind
from chaingraph_flow.engine.children import ChildCalls
from chaingraph_flow.engine.event_publisher import EventPublisher
from chaingraph_flow.engine.frames import MOST_CALLS, Frame, Frames
from chaingraph_flow.engine.journaling import Journaling
from chaingraph_flow.engine.options import EngineOptions
from chaingraph_flow.engine.outputs import call_outputs, flow_emissions
from chaingraph_flow.engine.records import NodeRecord, Outcome, handles_failure
from chaingraph_flow.engine.result import FailureReason
from chaingraph_flow.engine.tries.attempt import LONGEST_ERROR, Calling, Ending, Waiting, measured, refused
from chaingraph_flow.errors import LimitExceeded
from chaingraph_flow.graph import GraphNode
from chaingraph_flow.ports.json_values import UNLIMITED, plain_text, size_of


@dataclass
class _Live:
    """A node whose calls are live. `stale_until`: see `Frame`; `waited_until`: see `Calling`; `tries`: its try."""

    node: GraphNode
    plan: CallPlan
    stale_until: int
    waited_until: int
    tries: int
    frames: dict[str, Frame] = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)
    """The paths of the calls that are executions of their own, in their order."""
    emissions: dict[int, tuple[Emission, ...]] = field(default_factory=dict)
    last_end: int = 0
    dropped: bool = False
    """Its own frame does not continue: the node gets no end."""


@dataclass(frozen=True, slots=True)
class Step:
    """What follows from the ends of calls.

    Attributes:
        decidable: nodes of calls that begin.
        endings: nodes whose calls have ended.
        waiting: nodes whose next call begins later.
        halted: frames of which nothing starts any more.
    """

    decidable: list[str] = field(default_factory=list)
    endings: list[tuple[str, Ending]] = field(default_factory=list)
    waiting: list[tuple[str, Waiting]] = field(default_factory=list)
    halted: list[Frame] = field(default_factory=list)


class Calls:
    """Begins and ends the calls of one run.

    Args:
        plan: returns the plan of a node, given its inputs.
        clock: milliseconds since 1970.
        forget: called with the nodes of a frame that was closed.
    """

    def __init__(
        self,
        frames: Frames,
        children: ChildCalls,
        *,
        plan: Callable[[GraphNode, Mapping[str, Any]], CallPlan],
        journal: Journaling,
        announce: EventPublisher,
        options: EngineOptions,
        clock: Callable[[], int],
        forget: Callable[[Iterable[str]], None],
    ) -> None:
        self._frames = frames
        self._children = children
        self._plan = plan
        self._journal = journal
        self._announce = announce
        self._options = options
        self._clock = clock
        self._forget = forget
        self._live: dict[str, _Live] = {}
        self._due: dict[str, list[Frame]] = {}
        self._kept: defaultdict[str, list[NodeRecord]] = defaultdict(list)
        self._ends: defaultdict[str, dict[int, NodeRecord]] = defaultdict(dict)

    def __contains__(self, id_: str) -> bool:
        return id_ in self._live

    @property
    def due(self) -> bool:
        """Whether `advance` has something to do."""
        return bool(self._due)

    def restore(self, record: NodeRecord) -> None:
        """Keep the end of a call, or of a node inside one, until the call begins."""
        if is_call(record.node_id):
            caller, number = caller_of(record.node_id)
            self._ends[caller][number or 0] = record
        else:
            self._kept[call_of(record.node_id)].append(record)

    def begin(self, node: GraphNode, calling: Calling, *, tries: int, began: int) -> None:
        """Begin the calls of a node.

        Args:
            tries: the number of the node's try.
            began: when the try began, in milliseconds since 1970.
        """
        home = self._frames.of(node.id)
        stale_until = max(home.stale_until, began if tries > 1 else 0)
        live = _Live(node, self._plan(node, calling.values), stale_until, calling.waited_until, tries)
        home.running += 1
        self._live[node.id] = live
        ends = self._ends[node.id]
        for number in sorted(ends):
            record = ends[number]
            if record.outcome is Outcome.FAILED and record.finished_at <= live.stale_until:
                del ends[number]
                continue
            live.last_end = max(live.last_end, record.finished_at)
            live.emissions[number] = record.emissions
            live.plan.ended(number, _end_of(record))
        self._due.setdefault(node.id, [])

    def touch(self, frame: Frame) -> None:
        """Look at a frame in the next `advance` if it is over."""
        if frame.call and frame.over:
            self._due.setdefault(frame.caller, []).append(frame)

    def advance(self) -> Step:
        """Close the frames that are over, and begin the calls that may begin."""
        step = Step()
        due, self._due = self._due, {}
        for id_, over in due.items():
            live = self._live.get(id_)
            if live is None:
                continue
            for frame in over:
                if frame.call in live.frames and frame.over:
                    self._close(live, frame)
            self._go_on(live, step)
        return step

    def child_ended(self, end: ChildEnd) -> None:
        """Take the end of an execution that a node has called."""
        id_, number = caller_of(end.call)
        record = self._children.take(end)
        if record is None:
            return
        live = self._live[id_]
        failed = record.outcome is Outcome.FAILED
        live.children.pop(end.call, None)
        live.last_end = record.finished_at
        if end.execution_id:
            self._announce.child_ended(end)
        if number is not None:
            self._journal.end_child(record)
            self._ends[id_][number] = record
            self._frames.count(record)
            if failed:
                self._announce.log(id_, f"call {number} failed: {record.error}")
        live.plan.ended(number, _end_of(record))
        self._due.setdefault(id_, [])

    def abandon(self, id_: str) -> list[Frame]:
        """Close the calls of a node at once, and those inside them. Returns their frames."""
        live = self._live.pop(id_)
        self._due.pop(id_, None)
        self._frames.of(id_).running -= 1
        closed: list[Frame] = []
        self._stop_children(live)
        for frame in list(live.frames.values()):
            for inner in [each for each in frame.graph.nodes if each in self._live]:
                closed += self.abandon(inner)
            self._journal.end_call(frame, None, completed=False)
            self._shut(live, frame, keep=True)
            closed.append(frame)
        return closed

    def drop(self, frame: Frame) -> list[Frame]:
        """Let the nodes of a frame that call have no end. Returns the frames of which nothing starts any more."""
        halted: list[Frame] = []
        for id_ in frame.graph.nodes:
            live = self._live.get(id_)
            if live is not None and not live.dropped:
                live.dropped = True
                halted += self._halt(live)
                self._due.setdefault(id_, [])
        return halted

    # -- one node's calls ------------------------------------------------------------------------------------

    def _go_on(self, live: _Live, step: Step) -> None:
        id_ = live.node.id
        result = None if live.dropped else live.plan.result()
        if live.dropped or isinstance(result, CallFailure):
            step.halted.extend(self._halt(live))
        if (live.dropped or result is not None) and not live.frames and not live.children:
            del self._live[id_]
            home = self._frames.of(id_)
            home.running -= 1
            if live.dropped:
                self.touch(home)
            else:
                assert result is not None
                step.endings.append((id_, self._ending(live, result)))
            return
        if not live.dropped and result is None:
            self._begin_calls(live, step)

    def _begin_calls(self, live: _Live, step: Step) -> None:
        id_ = live.node.id
        while (call := live.plan.next()) is not None:
            if len(self._frames) + len(self._children) >= MOST_CALLS:
                message = f"{MOST_CALLS} calls of the execution are live: lower maxParallel"
                live.plan.ended(call.number, CallEnd(failure=CallFailure("", FailureReason.LIMIT_EXCEEDED, message)))
                self._due.setdefault(id_, [])
                return
            until = live.last_end + round(call.delay_seconds * 1000)
            # The end of a wait is the timer's, which setting the clock does not move.
            if call.delay_seconds and until > max(self._clock(), live.waited_until):
                del self._live[id_]
                self._frames.of(id_).running -= 1
                step.waiting.append((id_, Waiting(WaitKind.TIME, until)))
                return
            if live.node.child:
                self._call_child(live, call)
                continue
            frame = self._open(live, call)
            step.decidable.extend(frame.state.open_nodes())
            self.touch(frame)
        if live.plan.result() is not None:  # without a call: none of the others has to run
            self._due.setdefault(id_, [])

    def _call_child(self, live: _Live, call: NextCall) -> None:
        path = numbered(live.node.id, call.number)
        self._journal.write(self._frames.of(live.node.id))
        live.children[path] = None
        end = self._children.begin(live.node, path, live.tries, call.inputs)
        if end is not None:
            self.child_ended(end)

    def _open(self, live: _Live, call: NextCall) -> Frame:
        path = numbered(live.node.id, call.number)
        frame = self._frames.open(
            live.node.subflow or "",
            path,
            call.inputs,
            caller=live.node.id,
            number=call.number,
            begun_at=self._clock(),
            stale_until=live.stale_until,
            records=(),
        )
        for record in self._kept.pop(path, ()):
            failed = record.outcome is Outcome.FAILED
            handled = not failed or handles_failure(frame.graph, record.node_id, frame.state.active)
            if handled or record.finished_at > live.stale_until:
                frame.state.restore(record)
                if not handled:
                    frame.failure = frame.failure or failure_of(record, frame.graph.nodes[record.node_id])
        live.frames[path] = frame
        return frame

    def _close(self, live: _Live, frame: Frame) -> None:
        """Close a frame that is over, and give the end of its call to the plan."""
        finished = frame.failure is None and frame.state.finished
        if not finished and frame.failure is None:
            self._journal.end_call(frame, None, completed=False)
            self._shut(live, frame, keep=True)
            return
        record = self._record(frame)
        failed = record.outcome is Outcome.FAILED
        live.last_end = record.finished_at
        self._journal.end_call(frame, record if frame.number is not None else None, completed=not failed)
        if frame.number is not None:
            self._ends[live.node.id][frame.number] = record
            self._frames.count(record)
            if failed:
                self._announce.log(live.node.id, f"call {frame.number} failed: {record.error}")
        live.emissions[frame.number or 0] = record.emissions
        live.plan.ended(frame.number, _end_of(record))
        self._shut(live, frame, keep=failed and isinstance(live.plan.result(), CallFailure))

    def _shut(self, live: _Live, frame: Frame, *, keep: bool) -> None:
        live.frames.pop(frame.call, None)
        if keep:
            self._kept[frame.call] = list(frame.state.ended.values())
        else:
            for id_, node in frame.graph.nodes.items():
                if node.subflow is not None:
                    self._forget_ends(id_)
        self._frames.close(frame)
        self._forget(frame.graph.nodes)

    def _forget_ends(self, id_: str) -> None:
        """Forget the calls of a node that does not call again."""
        for number in self._ends.pop(id_, ()):
            self._kept.pop(numbered(id_, number), None)
        self._kept.pop(id_, None)

    def _stop_children(self, live: _Live) -> None:
        if live.children:
            self._children.stop(live.children)
            live.children.clear()

    def _halt(self, live: _Live) -> list[Frame]:
        self._stop_children(live)
        halted = [each for each in live.frames.values() if not each.stopped]
        for each in halted:
            each.halted = True
        return halted

    # -- ends ------------------------------------------------------------------------------------------------

    def _record(self, frame: Frame) -> NodeRecord:
        """Return the end of a call."""
        call, begun, now = frame.call, frame.begun_at, self._clock()
        failure = frame.failure
        if failure is None:
            outputs, size, too_large = call_outputs(frame.graph, frame.state.ended, self._options.limits)
            if too_large is None:
                emissions = flow_emissions(frame.graph, frame.state.ended)
                return NodeRecord(call, Outcome.COMPLETED, begun, now, outputs, emissions=emissions, size=size)
            failure = CallFailure(call, too_large.reason, too_large.message)
        return NodeRecord(
            call,
            Outcome.FAILED,
            begun,
            now,
            error=_told(failure),
            reason=failure.reason,
            details=failure.to_json(),
        )

    def _ending(self, live: _Live, result: Mapping[str, Any] | CallFailure) -> Ending:
        if isinstance(result, CallFailure):
            details = result.to_json()
            return Ending(
                Outcome.FAILED,
                {},
                _told(result),
                str(result.reason),
                details=details,
                size=size_of(details, UNLIMITED),
                retryable=result.reason != ITERATION_LIMIT,
            )
        self._forget_ends(live.node.id)
        try:
            size = measured(result, self._options.limits)
        except LimitExceeded as error:
            return refused(error)
        emissions = tuple(each for number in sorted(live.emissions) for each in live.emissions[number])
        return Ending(Outcome.COMPLETED, dict(result), emissions=emissions, size=size)


def failure_of(record: NodeRecord, node: GraphNode) -> CallFailure:
    """Return the failure of a call by a node in it: of a node that calls, that of its own call."""
    if node.subflow is not None and isinstance(record.details, dict) and record.details.get("node"):
        return CallFailure(**record.details)
    return CallFailure(record.node_id, record.reason or FailureReason.NODE_FAILED, record.error, record.details)


def _end_of(record: NodeRecord) -> CallEnd:
    if record.outcome is Outcome.FAILED:
        return CallEnd(failure=CallFailure(**record.details))
    return CallEnd(record.outputs)


def _told(failure: CallFailure) -> str:
    text = plain_text(failure.told)
    return text if len(text) <= LONGEST_ERROR else f"{text[:LONGEST_ERROR]}..."
