"""How a run is going, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ..context import Emission


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
