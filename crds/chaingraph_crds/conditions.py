"""The condition type of both kinds, as `metav1.Condition`, and the condition types that ChainGraph sets."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Literal

from pydantic import Field

from chaingraph_crds import forms
from chaingraph_crds.limits import MAX_CONDITION_MESSAGE, MAX_REASON
from chaingraph_crds.model import StatusModel, Timestamp

ConditionStatus = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """The condition types of both kinds.

    A Flow has `Ready`, and while it is not ready `Reconciling` or `Stalled`; an Execution may have any of them.
    """

    SUCCEEDED = "Succeeded"
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    PAUSED = "Paused"
    WAITING = "Waiting"
    WORKER_LOST = "WorkerLost"
    RETRY_REFUSED = "RetryRefused"
    SIGNAL_REFUSED = "SignalRefused"
    SPEC_IGNORED = "SpecIgnored"
    TREE_SUCCEEDED = "TreeSucceeded"


CONDITION_MEANINGS: Final[Mapping[ConditionType, str]] = {
    ConditionType.SUCCEEDED: "Unknown while the execution is active, then True or False.",
    ConditionType.READY: "True when it completed; False before that and after any other end. "
    "Of a Flow: whether it can run.",
    ConditionType.RECONCILING: "True while the execution is in progress; absent otherwise.",
    ConditionType.STALLED: "True when it failed or was stopped, or when it needs a change by a person to proceed; "
    "absent otherwise.",
    ConditionType.PAUSED: "True while it is paused: `Held` before its start, `Paused` by `spec.paused`, "
    "`Breakpoint` at one. The message says where, and how to resume.",
    ConditionType.WAITING: "True while all that is left of it waits: for a `Time`, a `Signal`, an `Approval`, or "
    "for a `Retry` of a node. The message names the nodes. Absent otherwise.",
    ConditionType.WORKER_LOST: "True from the expiry of a worker's lease until another worker continues.",
    ConditionType.RETRY_REFUSED: "True when the last `spec.retry.token` was refused; the message says why. Absent "
    "otherwise.",
    ConditionType.SIGNAL_REFUSED: "True while `spec.signals` has an entry that was refused; the message says why. "
    "`status.signals` has all of them. Absent otherwise.",
    ConditionType.SPEC_IGNORED: "True while a part of the spec has no effect, one line for each, with its path: "
    "`UnknownBreakpoint`, `PriorityTooHigh`, `AlreadyStarted`, `NextAttempt` (takes effect with the next attempt), and "
    "`Unreadable`, `TooDeep` or `Malformed` when the operator cannot read the spec: then no edit has an effect. Absent "
    "otherwise, and when the execution has ended and its spec can be read: a retry uses the whole spec.",
    ConditionType.TREE_SUCCEEDED: "Of an execution that has ended: whether it and all its descendants completed. "
    "Unknown (`ChildrenActive`) until the last descendant has ended, then True (`AllCompleted`) or False: "
    "`TreeStopped` when a stop of it ended a descendant or prevented its creation, else `SomeFailed`. "
    "False immediately when it failed or was stopped itself; as `Succeeded` when it spawned nothing. Absent while it "
    "is active.",
}


class Condition(StatusModel):
    """One aspect of the object's state, with the same fields as `metav1.Condition`."""

    type: str = Field(
        description="Name of the condition in CamelCase. A list has at most one condition of each type.",
        max_length=316,
        min_length=1,
    )
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: str = Field(
        description="Reason for the status, one word in CamelCase, for programs.",
        min_length=1,
        max_length=MAX_REASON,
        pattern=forms.CONDITION_REASON,
    )
    message: str = Field(
        description="Reason for the status, for people. May be empty.",
        max_length=MAX_CONDITION_MESSAGE,
    )
    last_transition_time: Timestamp = Field(
        description="Last time `status` changed. A new reason or message alone does not change it."
    )
    observed_generation: int | None = Field(
        default=None,
        description="The `metadata.generation` that the condition applies to.",
        ge=0,
    )
