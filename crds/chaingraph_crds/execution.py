"""The spec and status of an Execution: one run of a flow, its controls and its progress."""

from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from chaingraph_crds import forms, limits
from chaingraph_crds.conditions import Condition
from chaingraph_crds.flow import FlowSpec, Identifier
from chaingraph_crds.model import (
    ApiModel,
    PreciseTimestamp,
    StatusModel,
    kubernetes,
    rule,
    validations,
)

DEFAULT_QUEUE = "chaingraph-executions"

Token = Annotated[str, Field(min_length=1, max_length=limits.MAX_TOKEN, pattern=forms.TOKEN)]
"""A word that the user changes to ask for something once: a time, a number or a random string."""


class FlowRef(ApiModel):
    """Names a Flow of the same namespace."""

    name: str = Field(
        description="Name of a Flow in the Execution's namespace. "
        "While there is none, or it is not valid, the Execution waits.",
        min_length=1,
        max_length=limits.MAX_RESOURCE_NAME,
        pattern=forms.RESOURCE_NAME,
    )


class ExternalEvent(ApiModel):
    """An event that starts the graph at the EventListener nodes of its name."""

    name: str = Field(
        description="Name of the event, as the flow's EventListener nodes have it.",
        min_length=1,
        max_length=limits.MAX_EVENT_NAME,
    )
    payload: Any = Field(default=None, description="Any JSON value; the listeners' `payload` output.")


class RetrySpec(ApiModel):
    """Asks for the next attempt of an execution that failed or was stopped."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "self.token != oldSelf.token || self.from == oldSelf.from",
                "'from' changes with a new token only: set another retry.token to ask for an attempt",
                field=".from",
            )
        )
    )

    token: Token = Field(
        description="Any word that differs from the last one, as a date. A new token on a failed or stopped "
        "Execution starts the next attempt; `status.lastRetry` echoes it.",
    )
    from_: Literal["Failed", "Start"] = Field(
        default="Failed",
        alias="from",
        description="`Failed` keeps what completed and runs the rest; `Start` runs every node again.",
    )


class ExecutionOptions(ApiModel):
    """How the engine runs the graph."""

    max_concurrency: int = Field(
        default=50, ge=1, le=limits.MAX_NODES, description="Nodes that run at the same time, at most."
    )
    node_timeout_seconds: int = Field(
        default=600,
        ge=1,
        le=limits.MAX_TIMEOUT_SECONDS,
        description="Longest run of one attempt of a node, in seconds, for nodes without a timeout of their own.",
    )
    flow_timeout_seconds: int = Field(
        default=10800,
        ge=1,
        le=limits.MAX_TIMEOUT_SECONDS,
        description="Longest run of the whole graph, in seconds. Then the Execution fails.",
    )
    debug: bool = Field(
        default=False,
        description="Records the finer events too: status changes of nodes and starts of transfers.",
    )
    breakpoints: list[Identifier] = Field(
        default_factory=list,
        max_length=limits.MAX_BREAKPOINTS,
        description="Ids of nodes before which the execution pauses.",
        json_schema_extra=kubernetes(list_type="set"),
    )


class ChildrenSpec(ApiModel):
    """What becomes of the executions that this one spawns by emitting events."""

    resources: Literal["Create", "None"] = Field(
        default="Create",
        description="`Create` shows every child as an Execution resource owned by this one; "
        "`None` leaves children in the database and in this status's counts.",
        json_schema_extra=kubernetes(immutable=True),
    )
    on_stop: Literal["Stop", "Continue"] = Field(
        default="Stop",
        description="What a stop of this Execution does to children that are still active.",
    )


class ExecutionSpec(ApiModel):
    """What to run, how, and what to do with it now."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "has(self.flowRef) != has(self.flow)",
                "exactly one of flowRef and flow must be set: "
                "name a Flow in flowRef.name, or write the graph itself under flow",
            ),
            rule(
                "self.stop || !oldSelf.stop || (has(self.retry) && "
                "(!has(oldSelf.retry) || self.retry.token != oldSelf.retry.token))",
                "stop is one-way: it cannot be taken back. To run a stopped execution again, "
                "set a new retry.token together with stop: false",
                field=".stop",
            ),
            rule(
                "!has(self.stopReason) || self.stop",
                "stopReason goes with stop: true only",
                field=".stopReason",
            ),
            rule(
                "!has(oldSelf.retry) || has(self.retry)",
                "retry cannot be removed: its token says which attempt was asked for",
                field=".retry",
            ),
        )
    )

    flow_ref: FlowRef | None = Field(
        default=None,
        description="The Flow to run. Exactly one of `flowRef` and `flow`.",
        json_schema_extra=kubernetes(immutable=True),
    )
    flow: FlowSpec | None = Field(
        default=None,
        description="The graph itself, for a run without a Flow resource. Exactly one of `flowRef` and `flow`.",
        json_schema_extra=kubernetes(immutable=True),
    )
    inputs: dict[str, Any] = Field(
        default_factory=dict,
        description="Values of the flow's inputs, by name.",
        json_schema_extra=kubernetes(immutable=True),
    )
    events: list[ExternalEvent] = Field(
        default_factory=list,
        max_length=limits.MAX_EVENTS,
        description="Events to start from. With events, only nodes that hang on a listener of their name "
        "run; without, only nodes that hang on none.",
        json_schema_extra=kubernetes(immutable=True, list_type="atomic"),
    )
    integration: dict[str, Any] = Field(
        default_factory=dict,
        description="Free-form context that nodes can read and children inherit, as ids of a chat session.",
        json_schema_extra=kubernetes(immutable=True),
    )
    paused: bool = Field(
        default=False,
        description="Desired state. True from the start: created, but not run. "
        "Changed later: pauses or resumes. A stop wins over it.",
    )
    step: Token | None = Field(
        default=None,
        description="A token for a paused execution: each change runs the waiting nodes once "
        "and stays paused. `status.lastStep` echoes it.",
    )
    stop: bool = Field(
        default=False,
        description="One-way: ends the execution now, also a paused one, and cancels the nodes in flight. "
        "Can be taken back only together with a new `retry.token`.",
    )
    stop_reason: str | None = Field(
        default=None,
        max_length=limits.MAX_STOP_REASON,
        description="Why it is stopped, for people; only with `stop: true`.",
    )
    retry: RetrySpec | None = Field(default=None, description="Runs an execution again that failed or was stopped.")
    options: ExecutionOptions = Field(
        default_factory=ExecutionOptions,
        description="How the engine runs the graph: concurrency, timeouts, breakpoints.",
        json_schema_extra=kubernetes(default={}),
    )
    start_timeout_seconds: int = Field(
        default=300,
        ge=1,
        le=limits.MAX_TIMEOUT_SECONDS,
        description="Longest wait for the start signal, in seconds, for an execution that is not paused.",
    )
    queue: str = Field(
        default=DEFAULT_QUEUE,
        description="Queue that the execution waits in for a worker.",
        min_length=1,
        max_length=limits.MAX_IDENTIFIER,
        pattern=forms.QUEUE,
        json_schema_extra=kubernetes(immutable=True),
    )
    priority: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Executions of a higher priority leave the queue first.",
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=limits.MAX_TTL_SECONDS,
        description="Seconds after its end at which the Execution is deleted. Absent: never.",
    )
    children: ChildrenSpec = Field(
        default_factory=ChildrenSpec,
        description="How child executions are shown and stopped.",
        json_schema_extra=kubernetes(default=ChildrenSpec().complete()),
    )

    @model_validator(mode="after")
    def _one_flow(self) -> Self:
        if (self.flow_ref is None) == (self.flow is None):
            raise PydanticCustomError(
                "one_flow", "exactly one of flowRef and flow must be set, {given}", {"given": self._given()}
            )
        return self

    def _given(self) -> str:
        return "neither is" if self.flow is None else "both are"


class ExecutionPhase(StrEnum):
    """One word for people and columns, derived from the conditions; programs read the conditions."""

    PENDING = "Pending"
    """Waits for its Flow, or for the operator."""
    CREATED = "Created"
    """In the database, waits for its start or for a worker."""
    RUNNING = "Running"
    PAUSED = "Paused"
    COMPLETED = "Completed"
    FAILED = "Failed"
    STOPPED = "Stopped"

    @property
    def finished(self) -> bool:
        """Whether nothing more happens unless a person asks for another attempt."""
        return self in (ExecutionPhase.COMPLETED, ExecutionPhase.FAILED, ExecutionPhase.STOPPED)


class NodeCounts(StatusModel):
    """Progress in nodes."""

    total: int = Field(default=0, ge=0, description="Nodes of the graph.")
    completed: int = Field(default=0, ge=0, description="Nodes that completed.")
    failed: int = Field(default=0, ge=0, description="Nodes that failed.")
    skipped: int = Field(default=0, ge=0, description="Nodes that were skipped.")
    running: int = Field(default=0, ge=0, description="Nodes that run now.")


class ExecutionError(StatusModel):
    """Why the execution failed."""

    node: str | None = Field(
        default=None,
        max_length=limits.MAX_IDENTIFIER,
        description="Id of the node that failed; absent when the fault is none of a node's.",
    )
    message: str = Field(max_length=limits.MAX_ERROR_MESSAGE, description="What went wrong.")
    reason: str | None = Field(
        default=None,
        max_length=limits.MAX_REASON,
        description="The kind of fault in CamelCase, as NodeFailed, NodeTimeout or FlowTimeout.",
    )


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
        description="Name of the child's Execution resource; absent with `children.resources: None`.",
    )
    phase: ExecutionPhase | None = Field(default=None, description="Phase of the child.")


class ChildCounts(StatusModel):
    """The executions that this one spawned, in all and by phase."""

    total: int = Field(default=0, ge=0, description="Children in all.")
    pending: int = Field(default=0, ge=0, description="Children in phase Pending.")
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
        description="`Succeeded` is Unknown while the execution is active, then True or False. "
        "`Ready`, `Reconciling` and `Stalled` are for kstatus (Flux, Helm, Argo CD); "
        "`Paused` and `WorkerLost` say what their names say.",
        json_schema_extra=kubernetes(list_keys=["type"]),
    )
    nodes: NodeCounts | None = Field(default=None, description="Progress, in nodes.")
    current_nodes: list[str] = Field(
        default_factory=list,
        max_length=limits.MAX_CURRENT_NODES,
        description="Ids of nodes that run now; the first of them when there are many.",
        json_schema_extra=kubernetes(list_type="atomic"),
    )
    outputs: dict[str, Any] | None = Field(
        default=None,
        description="Results by name, when completed. Large ones are left in the database.",
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
    last_step: str | None = Field(
        default=None, max_length=limits.MAX_TOKEN, description="The `spec.step` that was carried out last."
    )
    last_retry: str | None = Field(
        default=None,
        max_length=limits.MAX_TOKEN,
        description="The `spec.retry.token` that was carried out last.",
    )
