"""The spec of an Execution: one run of a flow, and its controls. `execution_status` has its status."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from chaingraph_crds import forms, limits, names
from chaingraph_crds.execution_status import ExecutionPhase, ExecutionStatus
from chaingraph_crds.flow import FlowSpec, Identifier, NodePath
from chaingraph_crds.model import ApiModel, Token, kubernetes, rule, validations
from chaingraph_crds.signals import Signal

__all__ = [
    "ChildrenSpec",
    "ExecutionOptions",
    "ExecutionPhase",
    "ExecutionSpec",
    "ExecutionStatus",
    "ExternalEvent",
    "FlowRef",
    "RetrySpec",
    "SpawnedBy",
]

DEFAULT_QUEUE = "chaingraph-executions"

ExecutionIdText = Annotated[str, Field(min_length=1, max_length=limits.MAX_EXECUTION_ID, pattern=forms.EXECUTION_ID)]


class FlowRef(ApiModel):
    """A reference to a Flow in the same namespace."""

    name: str = Field(
        description="Name of a Flow in the Execution's namespace. "
        "Without a valid Flow of that name, the Execution waits.",
        min_length=1,
        max_length=limits.MAX_RESOURCE_NAME,
        pattern=forms.RESOURCE_NAME,
    )


class ExternalEvent(ApiModel):
    """An event that starts the graph at the EventListener nodes for its name."""

    name: str = Field(
        description="Name of the event, as in the flow's EventListener nodes.",
        min_length=1,
        max_length=limits.MAX_EVENT_NAME,
    )
    payload: Any = Field(default=None, description="Any JSON value; the listeners' `payload` output.")


class SpawnedBy(ApiModel):
    """The emission or the call that this child came from. Set by the operator only."""

    execution_id: ExecutionIdText = Field(description="`executionID` of this execution.")
    parent_execution_id: ExecutionIdText = Field(description="`executionID` of the execution that spawned it.")
    parent_name: str | None = Field(
        default=None,
        description="Name of the parent's Execution resource, which owns this one.",
        min_length=1,
        max_length=limits.MAX_RESOURCE_NAME,
        pattern=forms.RESOURCE_NAME,
    )
    position: int = Field(
        description="Number among the children of its parent.",
        ge=0,
        le=limits.MAX_POSITION,
    )
    node: NodePath | None = Field(
        default=None, description="Path of the node's call in the parent that it is. Absent for a child of an event."
    )
    subflow: Identifier | None = Field(
        default=None, description="Subflow that it runs. With `subflow` and without `node`, it is that of `onExit`."
    )


class RetrySpec(ApiModel):
    """A request for the next attempt of an execution that failed or was stopped."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "self.token != oldSelf.token || self.from == oldSelf.from",
                "'from' changes with a new token only: set another retry.token to request an attempt",
                field=".from",
            ),
            rule(
                "self.token != oldSelf.token || (has(self.node) ? self.node : '') == "
                "(has(oldSelf.node) ? oldSelf.node : '')",
                "'node' changes with a new token only: set another retry.token to request an attempt",
                field=".node",
            ),
            rule(
                "self.token != oldSelf.token || self.flowRevision == oldSelf.flowRevision",
                "'flowRevision' changes with a new token only: set another retry.token to request an attempt",
                field=".flowRevision",
            ),
            rule(
                "self.from != 'Start' || !has(self.node)",
                "with from: Start every node runs again: remove node, or use from: Failed",
                field=".node",
            ),
        )
    )

    token: Token = Field(
        description="Any word that was not used before, such as a date. A new token on a failed or stopped "
        "Execution starts the next attempt. On one that is active or completed it is refused and used up, and the "
        "condition `RetryRefused` says why. `status.lastRetry` shows the last token. A token present at creation, or a "
        "used one, requests nothing.",
    )
    from_: Literal["Failed", "Start"] = Field(
        default="Failed",
        alias="from",
        description="`Failed` keeps completed nodes and runs the rest; `Start` runs every node again.",
    )
    node: Identifier | None = Field(
        default=None,
        description="Id of a finished node to run again, together with every node that depends on it and those that "
        "`from: Failed` runs. All other finished nodes keep their outputs. Signals that these nodes took are "
        "delivered again; approvals are asked for again.",
    )
    flow_revision: Literal["Pinned", "Latest"] = Field(
        default="Pinned",
        description="`Pinned` runs the revision that the Execution has. `Latest` takes the current revision of its "
        "Flow from now on: finished nodes keep their outputs unless they, their inputs or a node before them have "
        "changed. It is refused if the Flow is not `Ready`, or the inputs do not fit. Needs `flowRef`.",
    )


class ExecutionOptions(ApiModel):
    """Options of the engine. `breakpoints` take effect at once, the others when an attempt starts to run."""

    max_concurrency: int = Field(
        default=50, ge=1, le=limits.MAX_NODES, description="Maximum nodes running at the same time."
    )
    node_timeout_seconds: int = Field(
        default=600,
        ge=1,
        le=limits.MAX_TIMEOUT_SECONDS,
        description="Timeout of one attempt of a node, in seconds, for nodes without their own timeout.",
    )
    flow_timeout_seconds: int = Field(
        default=10800,
        ge=1,
        le=limits.MAX_TIMEOUT_SECONDS,
        description="Timeout of the whole graph, in seconds, not counting pauses. After it, the Execution fails.",
    )
    debug: bool = Field(
        default=False,
        description="Records additional events: status changes of nodes and starts of transfers.",
    )
    breakpoints: list[NodePath] = Field(
        default_factory=list,
        max_length=limits.MAX_BREAKPOINTS,
        description="Ids of nodes before which the execution pauses, each once per attempt. May be edited at any time. "
        "A node inside a call has its path: `pages[12].fetch`, or `pages.fetch` for each call. "
        "Removing the breakpoint it is held at does not resume it; `spec.resume` does. An id that is not in the flow "
        "is an error at creation. In an edit, and for a child, it is ignored: condition `SpecIgnored`.",
        json_schema_extra=kubernetes(list_type="set"),
    )


class ChildrenSpec(ApiModel):
    """Settings for the executions that this one spawns by emitting events."""

    resources: Literal["Create", "None"] = Field(
        default="Create",
        description="`Create` shows every child as an Execution resource owned by this one. "
        "`None` keeps children in the database and in this status's counts only.",
        json_schema_extra=kubernetes(immutable=True),
    )
    on_stop: Literal["Stop", "Continue"] = Field(
        default="Stop",
        description="Effect of a stop of this Execution on active children. May be edited at any time. "
        "A deletion always stops them.",
    )


class ExecutionSpec(ApiModel):
    """The flow to run, its options, and the controls of the run."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "has(self.spawnedBy) || has(self.flowRef) != has(self.flow)",
                "exactly one of flowRef and flow must be set: "
                "name a Flow in flowRef.name, or write the graph under flow",
            ),
            rule(
                "!has(self.spawnedBy) || !has(self.flowRef) || !has(self.flow)",
                "flowRef and flow cannot both be set, and with spawnedBy neither is required: "
                "a child without them runs the graph of its parent",
            ),
            rule(
                "self.stop || !oldSelf.stop || (has(self.retry) && "
                "(!has(oldSelf.retry) || self.retry.token != oldSelf.retry.token))",
                "stop cannot be reverted. To run a stopped execution again, "
                "set a new retry.token together with stop: false",
                field=".stop",
            ),
            rule(
                "!has(self.stopReason) || self.stop",
                "stopReason requires stop: true",
                field=".stopReason",
            ),
            rule(
                "!self.stop || !has(self.retry) || (has(oldSelf.retry) && self.retry.token == oldSelf.retry.token)",
                "stop takes precedence over retry: set stop: false together with the new retry.token",
                field=".retry",
            ),
            rule(
                "!has(self.retry) || self.retry.flowRevision != 'Latest' || has(self.flowRef)",
                "flowRevision: Latest needs flowRef: the flow of this Execution cannot change",
                field=".retry",
            ),
            rule(
                f"self.queue != '{names.HELD_QUEUE}'",
                f"the queue {names.HELD_QUEUE} is reserved: use the queue of a worker pool, such as {DEFAULT_QUEUE}",
                field=".queue",
            ),
        )
    )

    flow_ref: FlowRef | None = Field(
        default=None,
        description="Flow to run. Exactly one of `flowRef` and `flow`; a child of an inline graph has neither.",
        json_schema_extra=kubernetes(immutable=True),
    )
    flow: FlowSpec | None = Field(
        default=None,
        description="Graph to run, without a Flow resource. Exactly one of `flowRef` and `flow`.",
        json_schema_extra=kubernetes(immutable=True),
    )
    spawned_by: SpawnedBy | None = Field(
        default=None,
        description="Origin of a child. Set by the operator only, on the Executions that it creates for the children "
        "of another one. Do not set it: an Execution that you create with it never runs, because the database has no "
        "such child.",
        json_schema_extra=kubernetes(immutable=True),
    )
    inputs: dict[str, Any] = Field(
        default_factory=dict,
        max_length=limits.MAX_FLOW_INPUTS,
        description="Values of the flow's inputs, by name. Null means not given. `kubectl apply` drops null members of "
        "objects, `kubectl apply --server-side` keeps them.",
        json_schema_extra=kubernetes(immutable=True),
    )
    events: list[ExternalEvent] = Field(
        default_factory=list,
        max_length=limits.MAX_EVENTS,
        description="Events to start from. With events, only nodes connected to a listener for their name run; "
        "without events, only nodes not connected to any listener.",
        json_schema_extra=kubernetes(immutable=True, list_type="atomic"),
    )
    integration: dict[str, Any] = Field(
        default_factory=dict,
        max_length=limits.MAX_INTEGRATION_KEYS,
        description="Free-form context that nodes can read and children inherit, such as ids of a chat session.",
        json_schema_extra=kubernetes(immutable=True),
    )
    paused: bool = Field(
        default=False,
        description="Desired state. True at creation: created, but not started; false or a `step` starts it. True "
        "later: running nodes end, no other node starts. False again: the execution resumes. Stop takes precedence.",
    )
    step: Token | None = Field(
        default=None,
        description="A token for a paused execution: each new one runs the held nodes once, and the execution stays "
        "paused. Ignored while it is not paused. Removing the token requests nothing, nor does one present at creation "
        "or a used one. `status.lastStep` shows the last token.",
    )
    resume: Token | None = Field(
        default=None,
        description="A token for an execution held at a breakpoint: each new one resumes it, to its end or the next "
        "breakpoint. While `paused` is true, set that to false instead. Removing the token requests nothing, nor does "
        "one present at creation or a used one. `status.lastResume` shows the last token.",
    )
    signals: list[Signal] = Field(
        default_factory=list,
        max_length=limits.MAX_SIGNALS,
        description="Signals for nodes that wait for one, now or later. New entries are delivered in order, each id "
        "once, and `status.signals` says what became of them. An entry that was delivered may be removed. The "
        "API server refuses to change one: use a new id.",
        json_schema_extra=kubernetes(list_keys=["id"]),
    )
    stop: bool = Field(
        default=False,
        description="Ends the execution now, also a paused one, and cancels running nodes. On a completed execution "
        "it ends active descendants, unless `children.onStop` is `Continue`. "
        "Can be reverted only together with a new `retry.token`. Takes precedence over a retry set with it.",
    )
    stop_reason: str | None = Field(
        default=None,
        max_length=limits.MAX_STOP_REASON,
        description="Reason for the stop, for people. Only with `stop: true`, and read together with it.",
    )
    retry: RetrySpec | None = Field(
        default=None,
        description="Runs an execution again that failed or was stopped. With `paused: true` the new attempt starts "
        "paused; one that has never started waits for its start again. Removing it requests nothing.",
    )
    options: ExecutionOptions = Field(
        default_factory=ExecutionOptions,
        description="Options of the engine: concurrency, timeouts, breakpoints. An edit of `breakpoints` takes "
        "effect immediately, any other until the attempt starts to run, and then with the next attempt.",
        json_schema_extra=kubernetes(default={}),
    )
    start_timeout_seconds: int = Field(
        default=300,
        ge=1,
        le=limits.MAX_TIMEOUT_SECONDS,
        description="Maximum wait, in seconds, for the start of an Execution that was created paused, or was retried "
        "paused before it had ever started. After it, the Execution fails. May be edited until the start.",
    )
    queue: str = Field(
        default=DEFAULT_QUEUE,
        description="Queue in which the execution waits for a worker. The administrator defines the queues of a "
        f"namespace. `{names.HELD_QUEUE}` is reserved.",
        min_length=1,
        max_length=limits.MAX_IDENTIFIER,
        pattern=forms.QUEUE,
        json_schema_extra=kubernetes(immutable=True),
    )
    priority: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Executions with a higher priority leave the queue first, within the same namespace. An "
        "edit takes effect whenever the execution is in the queue.",
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=limits.MAX_TTL_SECONDS,
        description="Seconds after the end of the Execution and all descendants until the Execution is deleted, "
        "together with its children's resources. Absent: never.",
    )
    children: ChildrenSpec = Field(
        default_factory=ChildrenSpec,
        description="Resources and stop behavior of child executions.",
        json_schema_extra=kubernetes(default=ChildrenSpec().complete()),
    )

    @field_validator("queue")
    @classmethod
    def _not_reserved(cls, value: str) -> str:
        if names.reserved_queue(value):
            raise PydanticCustomError(
                "reserved_queue",
                "the queue {queue} is reserved: use the queue of a worker pool, such as {example}",
                {"queue": value, "example": DEFAULT_QUEUE},
            )
        return value

    @field_validator("stop_reason")
    @classmethod
    def _reason_of_a_stop(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not info.data.get("stop"):
            raise PydanticCustomError("reason_without_stop", "stopReason requires stop: true")
        return value

    @model_validator(mode="after")
    def _one_flow(self) -> Self:
        if self.spawned_by is not None:
            if self.flow_ref is not None and self.flow is not None:
                raise PydanticCustomError(
                    "one_flow_at_most",
                    "flowRef and flow cannot both be set; a child without them runs the graph of its parent",
                )
        elif (self.flow_ref is None) == (self.flow is None):
            raise PydanticCustomError(
                "one_flow", "exactly one of flowRef and flow must be set, {given}", {"given": self._given()}
            )
        return self

    def _given(self) -> str:
        return "neither is" if self.flow is None else "both are"
