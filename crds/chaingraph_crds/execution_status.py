"""The status of an Execution: what the operator reports. Counts and bounded lists only; details are in the database."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Final

from pydantic import Field

from chaingraph_crds import limits
from chaingraph_crds.conditions import Condition
from chaingraph_crds.model import PreciseTimestamp, StatusModel, kubernetes


class ExecutionPhase(StrEnum):
    """One word for people and columns, derived from the conditions; programs read the conditions."""

    PENDING = "Pending"
    CREATED = "Created"
    RUNNING = "Running"
    PAUSED = "Paused"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"

    @property
    def finished(self) -> bool:
        """Whether nothing more happens unless a person asks for another attempt."""
        return self in (ExecutionPhase.COMPLETED, ExecutionPhase.FAILED, ExecutionPhase.STOPPED)


PHASE_MEANINGS: Final[Mapping[ExecutionPhase, str]] = {
    ExecutionPhase.PENDING: "Waits for its Flow, or in the queue for a worker: the start, or to go on.",
    ExecutionPhase.CREATED: "Was created paused and has not started: waits for `paused: false` or a step.",
    ExecutionPhase.RUNNING: "A worker runs the graph.",
    ExecutionPhase.PAUSED: "Holds its nodes back, by `spec.paused` or at a breakpoint. If it lasts, no worker is held.",
    ExecutionPhase.COMPLETED: "Ended well; `status.outputs` has the results.",
    ExecutionPhase.FAILED: "Ended by an error, which `status.error` names.",
    ExecutionPhase.STOPPED: "Ended by `spec.stop`.",
}


NodeId = Annotated[str, Field(max_length=limits.MAX_IDENTIFIER)]


class NodeCounts(StatusModel):
    """Progress in nodes."""

    total: int = Field(default=0, ge=0, description="Nodes of the graph.")
    done: int = Field(default=0, ge=0, description="Nodes that have ended: completed, failed or skipped.")
    completed: int = Field(default=0, ge=0, description="Nodes that completed.")
    failed: int = Field(default=0, ge=0, description="Nodes that failed.")
    skipped: int = Field(default=0, ge=0, description="Nodes that were skipped.")
    running: int = Field(default=0, ge=0, description="Nodes that run now.")


class ExecutionError(StatusModel):
    """Why the execution failed."""

    node: str | None = Field(
        default=None,
        max_length=limits.MAX_IDENTIFIER,
        description="Id of the node that failed; absent when the error is none of a node's.",
    )
    message: str = Field(max_length=limits.MAX_ERROR_MESSAGE, description="What went wrong.")
    reason: str | None = Field(
        default=None,
        max_length=limits.MAX_REASON,
        description="The kind of error in CamelCase, as NodeFailed, NodeTimeout or FlowTimeout.",
    )


class AttemptRecord(StatusModel):
    """How an earlier attempt ended."""

    attempt: int = Field(ge=1, description="Its number; the first is 1.")
    phase: ExecutionPhase = Field(description="How it ended: Failed or Stopped.")
    reason: str | None = Field(
        default=None, max_length=limits.MAX_REASON, description="Why, one word in CamelCase, as NodeFailed."
    )
    message: str | None = Field(
        default=None,
        max_length=limits.MAX_ATTEMPT_MESSAGE,
        description="Why, for people; its beginning when it is long.",
    )
    node: NodeId | None = Field(
        default=None, description="Id of the node that failed; absent when the error is none of a node's."
    )
    start_time: PreciseTimestamp | None = Field(
        default=None, description="When it began to run; absent when it never did."
    )
    completion_time: PreciseTimestamp | None = Field(default=None, description="When it ended.")
    retried_from: str | None = Field(
        default=None,
        max_length=limits.MAX_REASON,
        description="The `spec.retry.from` of the retry that followed it.",
    )


class OmittedOutput(StatusModel):
    """An output that is too large for `outputs`."""

    name: str = Field(max_length=limits.MAX_IDENTIFIER, description="Its name.")
    bytes: int = Field(ge=0, description="Its length as JSON.")


class ParentRef(StatusModel):
    """The execution that spawned this one."""

    name: str | None = Field(
        default=None,
        max_length=limits.MAX_RESOURCE_NAME,
        description="Name of the parent's Execution resource; absent when it has none.",
    )
    execution_id: str = Field(max_length=limits.MAX_EXECUTION_ID, description="The parent's `executionID`.")


class ChildRef(StatusModel):
    """One of the executions that this one spawned."""

    execution_id: str = Field(max_length=limits.MAX_EXECUTION_ID, description="The child's `executionID`.")
    name: str | None = Field(
        default=None,
        max_length=limits.MAX_RESOURCE_NAME,
        description="Name of the child's Execution resource; absent while it has none, as with "
        "`children.resources: None`.",
    )
    phase: ExecutionPhase | None = Field(default=None, description="Phase of the child.")


class ChildCounts(StatusModel):
    """The executions that this one spawned, in all and by phase."""

    total: int = Field(default=0, ge=0, description="Children in all, made or not.")
    pending: int = Field(default=0, ge=0, description="Children in phase Pending, and those still to be made.")
    created: int = Field(default=0, ge=0, description="Children in phase Created.")
    running: int = Field(default=0, ge=0, description="Children in phase Running.")
    paused: int = Field(default=0, ge=0, description="Children in phase Paused.")
    completed: int = Field(default=0, ge=0, description="Children in phase Completed.")
    failed: int = Field(default=0, ge=0, description="Children in phase Failed.")
    stopped: int = Field(default=0, ge=0, description="Children in phase Stopped.")


class ExecutionStatus(StatusModel):
    """Where the execution stands. The details (journal, events) are in the database."""

    observed_generation: int = Field(
        default=-1,
        description="The `metadata.generation` that this status speaks of; "
        "-1 until the operator has seen the Execution.",
    )
    execution_id: str | None = Field(
        default=None,
        max_length=limits.MAX_EXECUTION_ID,
        description="Id of the execution in the database and in logs: `EX` and 24 characters.",
    )
    attempt: int | None = Field(default=None, ge=1, description="Attempt that this status speaks of; the first is 1.")
    flow_revision: str | None = Field(
        default=None,
        max_length=64,
        description="Revision of the flow that runs. Later edits of the Flow do not change it.",
    )
    phase: ExecutionPhase | None = Field(
        default=None,
        description="The state in one word, for people. Programs read the conditions.",
    )
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=limits.MAX_CONDITIONS,
        description="`Succeeded` is Unknown while the execution is active, then True or False; `TreeSucceeded` speaks "
        "of everything below it as well. "
        "`Ready`, `Reconciling` and `Stalled` are for kstatus (Flux, Helm, Argo CD); "
        "`Paused`, `WorkerLost`, `RetryRefused` and `SpecIgnored` say what their names say.",
        json_schema_extra=kubernetes(list_keys=["type"]),
    )
    nodes: NodeCounts | None = Field(default=None, description="Progress, in nodes.")
    current_nodes: list[NodeId] = Field(
        default_factory=list,
        max_length=limits.MAX_CURRENT_NODES,
        description="Ids of nodes that run now or, while it is paused, are held back; the first of them when there "
        "are many.",
        json_schema_extra=kubernetes(list_type="atomic"),
    )
    outputs: dict[str, Any] | None = Field(
        default=None,
        description="Results by name, when completed: as many as there is room for, the smallest first. "
        "`omittedOutputs` names the others.",
    )
    omitted_outputs: list[OmittedOutput] = Field(
        default_factory=list,
        max_length=limits.MAX_FLOW_OUTPUTS,
        description="The outputs that are too large for `outputs`, or have a number that Kubernetes would round. "
        "`kubectl chaingraph outputs NAME --output OUTPUT` prints one.",
        json_schema_extra=kubernetes(list_keys=["name"]),
    )
    error: ExecutionError | None = Field(default=None, description="Why it failed, when it failed.")
    parent_ref: ParentRef | None = Field(default=None, description="The execution that spawned this one.")
    root_execution_id: str | None = Field(
        default=None,
        max_length=limits.MAX_EXECUTION_ID,
        description="`executionID` at the root of the tree; its own for an execution without a parent.",
    )
    depth: int | None = Field(default=None, ge=0, description="Generations between the root and this one.")
    children: ChildCounts | None = Field(default=None, description="Counts of the children.")
    child_refs: list[ChildRef] = Field(
        default_factory=list,
        max_length=limits.MAX_CHILD_REFS,
        description="The first children. `children.total` counts all of them.",
        json_schema_extra=kubernetes(list_keys=["executionID"]),
    )
    start_time: PreciseTimestamp | None = Field(default=None, description="When the current attempt began to run.")
    completion_time: PreciseTimestamp | None = Field(default=None, description="When the execution ended.")
    worker: str | None = Field(
        default=None, max_length=limits.MAX_WORKER, description="Worker that runs it, or ran it last."
    )
    worker_version: str | None = Field(
        default=None,
        max_length=limits.MAX_WORKER_VERSION,
        description="Version of that worker. What has begun goes on with workers of this version as long as one lives.",
    )
    last_step: str | None = Field(
        default=None,
        max_length=limits.MAX_TOKEN,
        description="The last `spec.step` that was carried out, or was ignored because nothing was paused.",
    )
    last_resume: str | None = Field(
        default=None,
        max_length=limits.MAX_TOKEN,
        description="The last `spec.resume` that was carried out, or was ignored because nothing was to be resumed.",
    )
    last_retry: str | None = Field(
        default=None,
        max_length=limits.MAX_TOKEN,
        description="The last `spec.retry.token` that was carried out, or was refused: then `RetryRefused` is True.",
    )
    attempts: list[AttemptRecord] = Field(
        default_factory=list,
        max_length=limits.MAX_ATTEMPTS,
        description="How earlier attempts ended, the newest last; the last of them when there are many.",
        json_schema_extra=kubernetes(list_keys=["attempt"]),
    )
