"""How a run is going, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from chaingraph_crds.standing import node_standing
from chaingraph_flow.context import Emission


class FlowOutcome(StrEnum):
    """How a flow ended."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"
    PARKED = "Parked"
    """It has not ended: it is paused, and another engine goes on from the journal."""


class FailureReason(StrEnum):
    """Of which kind a failure is."""

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

    @classmethod
    def of(cls, told: str) -> FailureReason:
        """The kind that a record tells; one that another version wrote may be unknown here, and is NodeFailed then."""
        return next((each for each in cls if each == told), cls.NODE_FAILED)


@dataclass(frozen=True, slots=True)
class NodeError:
    """Why a flow failed; `node` is '' when no node is to blame."""

    node: str
    message: str
    reason: FailureReason


@dataclass(frozen=True, slots=True)
class RunningNode:
    """A node that runs, or waits for its next try. Times are milliseconds since 1970.

    Attributes:
        tries: the number of its try, or of the one that has failed last while it waits.
        max_tries: how many its `retry` allows.
        since: when that try began.
        next_at: when the next try begins, while it waits for that.
    """

    node_id: str
    tries: int
    max_tries: int
    since: int
    next_at: int | None = None


def running_then(nodes: Sequence[RunningNode], most: int = 5) -> str:
    """What ran when a flow was ended, as the end of a message; '' when nothing did."""
    if not nodes:
        return ""
    more = f" and {len(nodes) - most} more" if len(nodes) > most else ""
    told = (node_standing(each.node_id, each.tries, each.max_tries, each.since, each.next_at) for each in nodes[:most])
    return f"; running then: {', '.join(told)}{more}"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. `total` counts the nodes that this run concerns, which its trigger decides.

    `running` counts the nodes that run or wait for another try; `current_nodes` names those, and then the nodes that
    the debugger holds, or has let go and that have no slot yet. An engine that goes on after a crash gets them as
    `ControlState.passed`.
    """

    total: int
    completed: int = 0
    failed: int = 0
    skipped: int = 0
    running: int = 0
    current_nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlowResult:
    """The end of a run."""

    outcome: FlowOutcome
    progress: Progress
    outputs: dict[str, Any] = field(default_factory=dict)
    """By the names of the flow's outputs, those without a value left out; see `outputs.py`."""
    error: NodeError | None = None
    reason: str = ""
    """Why it was stopped."""
    emissions: tuple[Emission, ...] = ()
    """By the order of the nodes in the spec, then by position: the same in every replay."""
