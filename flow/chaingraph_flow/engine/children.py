"""The calls of a run that are executions of their own.

An engine asks for a call again when it continues: the same call is the same execution. Its end comes as a message. So
nothing is journaled before a call has ended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from chaingraph_crds.flow import SubflowSpec
from chaingraph_crds.node_paths import FLOW, inside
from chaingraph_flow.calls import CallFailure, ChildCall, ChildEnd
from chaingraph_flow.context import WaitKind
from chaingraph_flow.engine.frames import bound
from chaingraph_flow.engine.options import EngineOptions
from chaingraph_flow.engine.records import NodeRecord, Outcome
from chaingraph_flow.engine.result import FailureReason, RunningNode
from chaingraph_flow.engine.tries.attempt import measured
from chaingraph_flow.errors import LimitExceeded
from chaingraph_flow.graph import GraphNode

COMPLETED = "Completed"


class Children(Protocol):
    """Creates executions. Implemented by whatever runs an engine; called on the engine's event loop."""

    def call(self, call: ChildCall) -> None:
        """Create the execution of a call, unless it exists, when all earlier records are durable. Must not block."""

    def stop(self, calls: Sequence[str]) -> None:
        """Stop the executions of these calls, when all earlier records are durable. Must not block."""


class ChildCalls:
    """The live ones.

    Args:
        subflows: those of the flow.
        attempt: the attempt of the execution.
        depth: the depth of the execution in its tree.
        children: None when no executions can be created.
    """

    def __init__(
        self,
        subflows: Sequence[SubflowSpec],
        attempt: int,
        depth: int,
        *,
        children: Children | None,
        options: EngineOptions,
        clock: Callable[[], int],
    ) -> None:
        self._specs = {each.name: each for each in subflows}
        self._attempt = attempt
        self._depth = depth
        self._children = children
        self._options = options
        self._clock = clock
        self._live: dict[str, tuple[ChildCall, GraphNode, int]] = {}

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, call: str) -> bool:
        return call in self._live

    def __iter__(self) -> Iterator[RunningNode]:
        for call, (child, node, since) in self._live.items():
            tries = int(child.tried.rpartition(".")[2])
            most = node.spec.retry.max_attempts if node.spec.retry else 1
            yield RunningNode(call, tries, most, since, None, WaitKind.CHILD)

    def begin(self, node: GraphNode, call: str, tries: int, inputs: Mapping[str, Any]) -> ChildEnd | None:
        """Begin a call. Returns its end if it is refused: give it to `take`."""
        tried = f"{self._attempt}.{tries}"
        flow = node.spec.inputs.get(FLOW)
        spec = self._specs.get(node.subflow or "")
        child = ChildCall(
            call,
            tried,
            subflow="" if spec is None else spec.name,
            flow=str(flow) if spec is None else "",
            inputs=dict(inputs) if spec is None else bound(spec, inputs),
            nodes=0 if spec is None else len(spec.nodes),
        )
        self._live[call] = (child, node, self._clock())
        end = self._refusal(child)
        if end is None:
            assert self._children is not None, "else it is refused"
            self._children.call(child)
        return end

    def _refusal(self, child: ChildCall) -> ChildEnd | None:
        reason, message = "", ""
        if self._children is None:
            reason, message = FailureReason.NODE_FAILED, "no executions can be created here: use `run: Inline`"
        elif self._depth >= self._options.max_depth:
            reason = FailureReason.DEPTH_LIMIT
            message = (
                f"the child would be at depth {self._depth + 1}; the limit is {self._options.max_depth} "
                "(CHAINGRAPH_MAX_DEPTH)"
            )
        return ChildEnd(child.call, child.tried, "", "", "Failed", reason=reason, message=message) if reason else None

    def take(self, end: ChildEnd) -> NodeRecord | None:
        """Take the end of a call. Returns its record; None for one that is not live: it came before, or too late."""
        live = self._live.get(end.call)
        if live is None or live[0].tried != end.tried:
            return None
        child, _, since = self._live.pop(end.call)
        return self._record(end, since=since, spec=child.subflow)

    def _record(self, end: ChildEnd, *, since: int, spec: str) -> NodeRecord:
        now = self._clock()
        if end.phase == COMPLETED:
            outputs = dict(end.outputs or {})
            if spec:
                # A flow without declared outputs has those of its last nodes, a call has none.
                outputs = {each.name: outputs.get(each.name) for each in self._specs[spec].outputs}
            try:
                size = measured(outputs, self._options.limits)
            except LimitExceeded as error:
                failure = CallFailure(end.call, FailureReason.LIMIT_EXCEEDED, str(error))
                return _failed(end.call, failure, since, now)
            return NodeRecord(end.call, Outcome.COMPLETED, since, now, outputs, size=size)
        node, reason, message, details = end.node, end.reason or end.phase, end.message, None
        if end.cause is not None:
            node, message, details = end.cause["node"], end.cause["message"], end.cause["details"]
        path = inside(end.call, node) if node else end.call
        return _failed(end.call, CallFailure(path, reason, message, details), since, now)

    def stop(self, calls: Iterable[str]) -> None:
        """Stop calls: nothing waits for them any more."""
        stopped = [call for call in calls if self._live.pop(call, None) is not None]
        if stopped and self._children is not None:
            self._children.stop(stopped)


def _failed(call: str, failure: CallFailure, since: int, now: int) -> NodeRecord:
    told = failure.to_json()
    return NodeRecord(call, Outcome.FAILED, since, now, error=failure.told, reason=str(failure.reason), details=told)
