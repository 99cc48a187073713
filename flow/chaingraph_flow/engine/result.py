"""The progress of a run, and its result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chaingraph_crds.standing import node_standing
from chaingraph_flow.calls import CallFailure
from chaingraph_flow.context import Emission


class FlowOutcome(StrEnum):
    """How a flow ended."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"
    PARKED = "Parked"
    """It has not ended: it is paused, or all that is left of it waits. Another engine continues from the journal."""


class FailureReason(StrEnum):
    """The kinds of failures that the engine gives. A node may give others: `NodeFailed.reason`."""

    NODE_FAILED = "NodeFailed"
    NODE_TIMEOUT = "NodeTimeout"
    NODE_KILLED = "NodeKilled"
    INVALID_INPUT = "InvalidInput"
    INVALID_OUTPUT = "InvalidOutput"
    FLOW_TIMEOUT = "FlowTimeout"
    NO_LISTENER = "NoListener"
    DEPTH_LIMIT = "DepthLimit"
    TOO_MANY_CHILDREN = "TooManyChildren"
    TREE_LIMIT = "TreeLimit"
    LIMIT_EXCEEDED = "LimitExceeded"
    EGRESS_DENIED = "EgressDenied"


@dataclass(frozen=True, slots=True)
class NodeError:
    """Why a flow failed; `node` is '' when no node caused it.

    Attributes:
        reason: a `FailureReason`, or a kind of its own that the node gave.
        cause: the failure of the node that caused it, inside the calls of `node`.
    """

    node: str
    message: str
    reason: str
    cause: CallFailure | None = None


@dataclass(frozen=True, slots=True)
class RunningNode:
    """A node that is running or waiting. Times are milliseconds since 1970.

    Attributes:
        tries: the number of its try, or of the last failed one while it waits for another.
        max_tries: the maximum by its `retry`.
        since: when that try started; of a node that waits for anything else, when the wait began.
        next_at: when it continues, while it waits.
        waits_for: a `WaitKind`; '' while it runs.
        signal: the name of the signal that it waits for, or ''.
        prompt: what a person is asked, or ''.
    """

    node_id: str
    tries: int
    max_tries: int
    since: int
    next_at: int | None = None
    waits_for: str = ""
    signal: str = ""
    prompt: str = ""


def running_then(nodes: Sequence[RunningNode], most: int = 5) -> str:
    """Describe the nodes that a flow's end interrupted, to append to a message; '' when there were none."""
    if not nodes:
        return ""
    more = f" and {len(nodes) - most} more" if len(nodes) > most else ""
    told = (
        node_standing(each.node_id, each.tries, each.max_tries, each.since, each.next_at, each.waits_for, each.signal)
        for each in nodes[:most]
    )
    return f"; interrupted: {', '.join(told)}{more}"


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run. `total` counts the nodes that take part, which depends on the trigger.

    `running` counts the nodes that are running, `waiting` those that wait for a time, a signal or another
    try.
    `current_nodes` names the running ones, and then the nodes that the debugger holds, or has released and that have no
    slot yet. After a crash, the next engine gets them as `ControlState.passed`.
    """

    total: int
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    running: int = 0
    waiting: int = 0
    current_nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlowResult:
    """The end of a run."""

    outcome: FlowOutcome
    progress: Progress
    outputs: dict[str, Any] = field(default_factory=dict)
    """By the names of the flow's outputs, without those that have no value; see `outputs.py`."""
    error: NodeError | None = None
    reason: str = ""
    """Why it was stopped."""
    emissions: tuple[Emission, ...] = ()
    """By the order of the nodes in the spec, then by position: the same in every replay."""
