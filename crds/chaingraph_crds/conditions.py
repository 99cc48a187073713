"""The condition type of both kinds, as `metav1.Condition`, and the condition types that ChainGraph sets."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from chaingraph_crds import forms
from chaingraph_crds.limits import MAX_CONDITION_MESSAGE, MAX_REASON
from chaingraph_crds.model import StatusModel, Timestamp

ConditionStatus = Literal["True", "False", "Unknown"]


class ConditionType(StrEnum):
    """The condition types of both kinds.

    A Flow has `Ready`, and while it is not ready `Reconciling` or `Stalled`; an Execution has them all.
    """

    SUCCEEDED = "Succeeded"
    """Unknown while active, then True or False."""
    READY = "Ready"
    """Flow: it may be run. Execution: it completed; False before that and after any other end."""
    RECONCILING = "Reconciling"
    """True while active; absent otherwise (kstatus)."""
    STALLED = "Stalled"
    """True when it failed or was stopped, or cannot go on without a change by a person; absent otherwise."""
    PAUSED = "Paused"
    """True while the engine is paused."""
    WORKER_LOST = "WorkerLost"
    """True after a worker's lease ran out, until another worker has taken the execution over."""


class Condition(StatusModel):
    """One aspect of the object's state, with the same fields as `metav1.Condition`."""

    type: str = Field(
        description="Name of the condition in CamelCase; a list has at most one of a type.",
        max_length=316,
        min_length=1,
    )
    status: ConditionStatus = Field(description="True, False or Unknown.")
    reason: str = Field(
        description="Why the condition has this status, one word in CamelCase, for programs.",
        min_length=1,
        max_length=MAX_REASON,
        pattern=forms.CONDITION_REASON,
    )
    message: str = Field(
        description="Why the condition has this status, for people. May be empty.",
        max_length=MAX_CONDITION_MESSAGE,
    )
    last_transition_time: Timestamp = Field(
        description="When `status` last changed; a new reason or message alone leaves it."
    )
    observed_generation: int | None = Field(
        default=None,
        description="The `metadata.generation` that the condition speaks of.",
        ge=0,
    )
