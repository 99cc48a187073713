"""The status of an Execution, as the operator reports it: counts and bounded lists. The database has the details."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field

from chaingraph_crds import limits
from chaingraph_crds.conditions import Condition
from chaingraph_crds.model import PreciseTimestamp, StatusModel, kubernetes


class ExecutionPhase(StrEnum):
    """The state in one word, for people and columns, derived from the conditions. Programs read the conditions."""

    PENDING = "Pending"
    CREATED = "Created"
    RUNNING = "Running"
    PAUSED = "Paused"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"

    @property
    def finished(self) -> bool:
        """Whether the execution has ended. Only another attempt can change it."""
        return self in (ExecutionPhase.COMPLETED, ExecutionPhase.FAILED, ExecutionPhase.STOPPED)


PHASE_MEANINGS: Final[Mapping[ExecutionPhase, str]] = {
    ExecutionPhase.PENDING: "Waiting for its Flow, or in the queue for a worker, to start or to resume.",
    ExecutionPhase.CREATED: "Created paused and not started: waiting for `paused: false` or a step.",
    ExecutionPhase.RUNNING: "Running on a worker.",
    ExecutionPhase.PAUSED: "Held before its next nodes by `spec.paused` or a breakpoint. A long pause uses no worker.",
    ExecutionPhase.COMPLETED: "Ended successfully; `status.outputs` has the results.",
    ExecutionPhase.FAILED: "Ended by an error, see `status.error`.",
    ExecutionPhase.STOPPED: "Ended by `spec.stop`.",
}


NodeId = Annotated[str, Field(max_length=limits.MAX_NODE_PATH)]


class NodeCounts(StatusModel):
    """Progress, in nodes."""

    total: int = Field(default=0, ge=0, description="Nodes of the graph.")
    done: int = Field(default=0, ge=0, description="Finished nodes: completed, failed or skipped.")
    completed: int = Field(default=0, ge=0, description="Nodes that completed.")
    failed: int = Field(default=0, ge=0, description="Nodes that failed.")
    skipped: int = Field(default=0, ge=0, description="Nodes that were skipped.")
    running: int = Field(default=0, ge=0, description="Nodes that are running.")
    waiting: int = Field(default=0, ge=0, description="Nodes that wait: for a time, a signal or another try.")


class ExecutionError(StatusModel):
    """The error that failed the execution."""

    node: str | None = Field(
        default=None,
        max_length=limits.MAX_IDENTIFIER,
        description="Id of the node that failed; absent when no node caused the error.",
    )
    message: str = Field(max_length=limits.MAX_ERROR_MESSAGE, description="Description of the error.")
    reason: str | None = Field(
        default=None,
        max_length=limits.MAX_REASON,
        description="Kind of error in CamelCase, such as NodeFailed, NodeTimeout or FlowTimeout.",
    )


class WaitingNode(StatusModel):
    """A node that waits."""

    node: NodeId = Field(description="Id of the node.")
    kind: str = Field(
        max_length=limits.MAX_REASON,
        description="Kind of the wait: `Time`, `Signal`, `Approval`, `Child` for the end of a call, or `Retry` for the "
        "next try after a failed one.",
    )
    signal: str | None = Field(
        default=None,
        max_length=limits.MAX_EVENT_NAME,
        description="Name of the signal that it waits for; of an approval as well.",
    )
    prompt: str | None = Field(default=None, max_length=limits.MAX_PROMPT, description="Question to the approver.")
    since: PreciseTimestamp = Field(description="Time when the wait began; of a retry, when the failed try started.")
    until: PreciseTimestamp | None = Field(default=None, description="Time when the node continues, or times out.")


class SignalState(StrEnum):
    """What became of a signal."""

    ACCEPTED = "Accepted"
    REFUSED = "Refused"


class SignalStatus(StatusModel):
    """What became of an entry of `spec.signals`."""

    id: str = Field(max_length=limits.MAX_TOKEN, description="Id of the entry.")
    state: SignalState = Field(
        description="`Accepted`: its node has it, or gets it as soon as it waits for it. `Refused`: it has no effect."
    )
    reason: str | None = Field(
        default=None,
        max_length=limits.MAX_REASON,
        description="Reason for the refusal: `UnknownSignal`, `InvalidPayload`, `NotAnApprover`, `ExecutionEnded`, "
        "`TooManySignals` or `TooLarge`.",
    )
    message: str | None = Field(
        default=None, max_length=limits.MAX_ATTEMPT_MESSAGE, description="The refusal, for people."
    )


class AttemptRecord(StatusModel):
    """The end of an earlier attempt."""

    attempt: int = Field(ge=1, description="Number of the attempt; the first is 1.")
    phase: ExecutionPhase = Field(description="Failed or Stopped.")
    reason: str | None = Field(
        default=None, max_length=limits.MAX_REASON, description="Reason, one word in CamelCase, such as NodeFailed."
    )
    message: str | None = Field(
        default=None,
        max_length=limits.MAX_ATTEMPT_MESSAGE,
        description="Error message, shortened when it is long.",
    )
    node: NodeId | None = Field(
        default=None, description="Id of the node that failed; absent when no node caused the error."
    )
    start_time: PreciseTimestamp | None = Field(
        default=None, description="Time when it started to run; absent when it never did."
    )
    completion_time: PreciseTimestamp | None = Field(default=None, description="Time when it ended.")
    retried_from: str | None = Field(
        default=None,
        max_length=limits.MAX_REASON,
        description="The `spec.retry.from` of the retry that followed.",
    )
    flow_revision: str | None = Field(
        default=None, max_length=64, description="Revision that it ran, if the attempt after it runs another one."
    )
    retried_node: NodeId | None = Field(
        default=None, description="The `spec.retry.node` of the retry that followed, if it had one."
    )
    kept: int | None = Field(
        default=None,
        ge=0,
        description="Finished nodes whose outputs the retry kept. This and the next ones are set after a retry with "
        "`node` or `flowRevision: Latest`.",
    )
    runs_again: list[NodeId] | None = Field(
        default=None,
        max_length=limits.MAX_RUNS_AGAIN,
        description="Finished nodes that the retry ran again; the first of them when there are many.",
        json_schema_extra=kubernetes(list_type="atomic"),
    )
    runs_again_total: int | None = Field(default=None, ge=0, description="Number of these nodes.")
    removed: int | None = Field(
        default=None, ge=0, description="Finished nodes that take no part any more, because the flow has changed."
    )


class OmittedOutput(StatusModel):
    """An output that is too large for `outputs`."""

    name: str = Field(max_length=limits.MAX_IDENTIFIER, description="Name of the output.")
    bytes: int = Field(ge=0, description="Size as JSON, in bytes.")


class ParentRef(StatusModel):
    """The execution that spawned this one."""

    name: str | None = Field(
        default=None,
        max_length=limits.MAX_RESOURCE_NAME,
        description="Name of the parent's Execution resource; absent when it has none.",
    )
    execution_id: str = Field(max_length=limits.MAX_EXECUTION_ID, description="The parent's `executionID`.")


class ChildRef(StatusModel):
    """An execution that this one spawned."""

    execution_id: str = Field(max_length=limits.MAX_EXECUTION_ID, description="The child's `executionID`.")
    name: str | None = Field(
        default=None,
        max_length=limits.MAX_RESOURCE_NAME,
        description="Name of the child's Execution resource; absent while it has none, as with "
        "`children.resources: None`.",
    )
    phase: ExecutionPhase | None = Field(default=None, description="Phase of the child.")


class ChildCounts(StatusModel):
    """The executions that this one spawned, in total and by phase."""

    total: int = Field(default=0, ge=0, description="All children, created or not.")
    pending: int = Field(default=0, ge=0, description="Children in phase Pending, and those yet to be created.")
    created: int = Field(default=0, ge=0, description="Children in phase Created.")
    running: int = Field(default=0, ge=0, description="Children in phase Running.")
    paused: int = Field(default=0, ge=0, description="Children in phase Paused.")
    completed: int = Field(default=0, ge=0, description="Children in phase Completed.")
    failed: int = Field(default=0, ge=0, description="Children in phase Failed.")
    stopped: int = Field(default=0, ge=0, description="Children in phase Stopped.")


class ExecutionStatus(StatusModel):
    """The state of the execution. Details (journal, events) are in the database."""

    observed_generation: int = Field(
        default=-1,
        description="The `metadata.generation` that this status applies to; "
        "-1 until the operator has seen the Execution.",
    )
    execution_id: str | None = Field(
        default=None,
        max_length=limits.MAX_EXECUTION_ID,
        description="Id of the execution in the database and in logs: `EX` and 24 characters.",
    )
    attempt: int | None = Field(default=None, ge=1, description="Attempt that this status describes; the first is 1.")
    flow_revision: str | None = Field(
        default=None,
        max_length=64,
        description="Revision of the flow that it runs. Later edits of the Flow do not change it; a retry with "
        "`flowRevision: Latest` does.",
    )
    phase: ExecutionPhase | None = Field(
        default=None,
        description="The state in one word, for people. Programs read the conditions.",
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=limits.MAX_CONDITIONS,
        description="`Succeeded` is Unknown while the execution is active, then True or False. `TreeSucceeded` "
        "includes all descendants. "
        "`Ready`, `Reconciling` and `Stalled` are for kstatus (Flux, Helm, Argo CD). "
        "`Paused`, `Waiting`, `WorkerLost`, `RetryRefused`, `SignalRefused` and `SpecIgnored` are True while they "
        "apply.",
        json_schema_extra=kubernetes(list_keys=["type"]),
    )
    nodes: NodeCounts | None = Field(default=None, description="Progress, in nodes.")
    current_nodes: list[NodeId] = Field(
        default_factory=list,
        max_length=limits.MAX_CURRENT_NODES,
        description="Ids of nodes that are running or, while it is paused, held; the first of them when there "
        "are many.",
        json_schema_extra=kubernetes(list_type="atomic"),
    )
    waiting: list[WaitingNode] = Field(
        default_factory=list,
        max_length=limits.MAX_CURRENT_NODES,
        description="Nodes that wait, without a worker slot; the first of them when there are many.",
        json_schema_extra=kubernetes(list_keys=["node"]),
    )
    signals: list[SignalStatus] = Field(
        default_factory=list,
        max_length=limits.MAX_SIGNALS,
        description="Whether each entry of `spec.signals` was accepted.",
        json_schema_extra=kubernetes(list_keys=["id"]),
    )
    breakpoint: NodeId | None = Field(default=None, description="Node whose breakpoint has paused the execution.")
    outputs: dict[str, Any] | None = Field(
        default=None,
        description="Results by name, when completed: the smallest first, up to a limit. "
        "`omittedOutputs` names the others.",
    )
    omitted_outputs: list[OmittedOutput] = Field(
        default_factory=list,
        max_length=limits.MAX_FLOW_OUTPUTS,
        description="Outputs that are too large for `outputs`, or have a number that Kubernetes would round. "
        "`kubectl chaingraph outputs NAME --output OUTPUT` prints one.",
        json_schema_extra=kubernetes(list_keys=["name"]),
    )
    error: ExecutionError | None = Field(default=None, description="The error, when it failed.")
    parent_ref: ParentRef | None = Field(default=None, description="The execution that spawned this one.")
    root_execution_id: str | None = Field(
        default=None,
        max_length=limits.MAX_EXECUTION_ID,
        description="`executionID` of the root of the tree; its own when it has no parent.",
    )
    depth: int | None = Field(default=None, ge=0, description="Generations between the root and this one.")
    children: ChildCounts | None = Field(default=None, description="Counts of the children.")
    child_refs: list[ChildRef] = Field(
        default_factory=list,
        max_length=limits.MAX_CHILD_REFS,
        description="The first children. `children.total` counts all of them.",
        json_schema_extra=kubernetes(list_keys=["executionID"]),
    )
    start_time: PreciseTimestamp | None = Field(default=None, description="Time when the current attempt started.")
    completion_time: PreciseTimestamp | None = Field(default=None, description="Time when the execution ended.")
    worker: str | None = Field(
        default=None, max_length=limits.MAX_WORKER, description="Worker that runs it, or ran it last."
    )
    worker_version: str | None = Field(
        default=None,
        max_length=limits.MAX_WORKER_VERSION,
        description="Version of that worker. A running execution stays on this version while one of its workers lives.",
    )
    last_step: str | None = Field(
        default=None,
        max_length=limits.MAX_TOKEN,
        description="The last `spec.step` that was carried out, or ignored because the execution was not paused.",
    )
    last_resume: str | None = Field(
        default=None,
        max_length=limits.MAX_TOKEN,
        description="The last `spec.resume` that was carried out, or ignored because there was nothing to resume.",
    )
    last_retry: str | None = Field(
        default=None,
        max_length=limits.MAX_TOKEN,
        description="The last `spec.retry.token` that was carried out, or refused: then `RetryRefused` is True.",
    )
    attempts: list[AttemptRecord] = Field(
        default_factory=list,
        max_length=limits.MAX_ATTEMPTS,
        description="Earlier attempts, the newest last; only the last ones when there are many.",
        json_schema_extra=kubernetes(list_keys=["attempt"]),
    )
