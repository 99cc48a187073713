"""The spec of an Execution: one run of a flow and its controls. Its status comes along from `execution_status`."""

from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from chaingraph_crds import forms, limits, names
from chaingraph_crds.execution_status import ExecutionPhase, ExecutionStatus
from chaingraph_crds.flow import FlowSpec, Identifier
from chaingraph_crds.model import ApiModel, kubernetes, rule, validations

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

Token = Annotated[str, Field(min_length=1, max_length=limits.MAX_TOKEN, pattern=forms.TOKEN)]
"""A word that the user changes to ask for something once: a time, a number or a random string.

What is there at creation asks for nothing, and neither does removing it: a manifest without it stays applicable. The
last one is remembered, so that setting it again asks for nothing either.
"""

ExecutionIdText = Annotated[str, Field(min_length=1, max_length=limits.MAX_EXECUTION_ID, pattern=forms.EXECUTION_ID)]


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


class SpawnedBy(ApiModel):
    """Of which execution's emission this one came. Set by the operator alone."""

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
        description="Number of the emission among those of its parent.",
        ge=0,
        le=limits.MAX_POSITION,
    )


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
        description="Any word that was not used before, as a date. A new token on a failed or stopped "
        "Execution starts the next attempt. On one that is active or completed it is refused, which the condition "
        "`RetryRefused` says, and used up. `status.lastRetry` echoes it. One that is there at creation, or is put "
        "back, asks for nothing.",
    )
    from_: Literal["Failed", "Start"] = Field(
        default="Failed",
        alias="from",
        description="`Failed` keeps what completed and runs the rest; `Start` runs every node again.",
    )


class ExecutionOptions(ApiModel):
    """How the engine runs the graph. `breakpoints` take effect at once, the others when an attempt begins to run."""

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
        description="Longest run of the whole graph, in seconds, without its pauses. Then the Execution fails.",
    )
    debug: bool = Field(
        default=False,
        description="Records the finer events too: status changes of nodes and starts of transfers.",
    )
    breakpoints: list[Identifier] = Field(
        default_factory=list,
        max_length=limits.MAX_BREAKPOINTS,
        description="Ids of nodes before which the execution pauses: each such node once an attempt. May be edited at "
        "any time; taking away the one that it is held at does not resume it, `spec.resume` does. An id that the flow "
        "does not have is an error at creation. In an edit, and of a child, it is ignored: condition `SpecIgnored`.",
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
        description="What a stop of this Execution does to children that are still active. May be edited at any time. "
        "A deletion stops them always.",
    )


class ExecutionSpec(ApiModel):
    """What to run, how, and what to do with it now."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "has(self.spawnedBy) || has(self.flowRef) != has(self.flow)",
                "exactly one of flowRef and flow must be set: "
                "name a Flow in flowRef.name, or write the graph itself under flow",
            ),
            rule(
                "!has(self.spawnedBy) || !has(self.flowRef) || !has(self.flow)",
                "flowRef and flow cannot both be set, and with spawnedBy neither has to be: "
                "a child without them runs the graph of its parent",
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
                "!self.stop || !has(self.retry) || (has(oldSelf.retry) && self.retry.token == oldSelf.retry.token)",
                "a stop wins over a retry: set stop: false together with the new retry.token",
                field=".retry",
            ),
            rule(
                f"self.queue != '{names.HELD_QUEUE}'",
                f"the queue {names.HELD_QUEUE} is reserved: name the queue of a worker pool, such as {DEFAULT_QUEUE}",
                field=".queue",
            ),
        )
    )

    flow_ref: FlowRef | None = Field(
        default=None,
        description="The Flow to run. Exactly one of `flowRef` and `flow`; a child of an inline graph has neither.",
        json_schema_extra=kubernetes(immutable=True),
    )
    flow: FlowSpec | None = Field(
        default=None,
        description="The graph itself, for a run without a Flow resource. Exactly one of `flowRef` and `flow`.",
        json_schema_extra=kubernetes(immutable=True),
    )
    spawned_by: SpawnedBy | None = Field(
        default=None,
        description="Where a child comes from. Set by the operator alone, on the Executions that it makes for the "
        "emissions of another one. On an Execution of yours it would be refused, as the database knows no such child: "
        "leave it away.",
        json_schema_extra=kubernetes(immutable=True),
    )
    inputs: dict[str, Any] = Field(
        default_factory=dict,
        max_length=limits.MAX_FLOW_INPUTS,
        description="Values of the flow's inputs, by name. Null counts as not given; `kubectl apply` drops members of "
        "objects that are null, `kubectl apply --server-side` keeps them.",
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
        max_length=limits.MAX_INTEGRATION_KEYS,
        description="Free-form context that nodes can read and children inherit, as ids of a chat session.",
        json_schema_extra=kubernetes(immutable=True),
    )
    paused: bool = Field(
        default=False,
        description="Desired state. True from the start: created, but not run; false or a `step` starts it. "
        "True later: the nodes in flight end, no other one begins. False again: it goes on. A stop wins over it.",
    )
    step: Token | None = Field(
        default=None,
        description="A token for a paused execution: each new one runs the nodes that are held once "
        "and stays paused. While it is not paused, a new one is ignored. Removing the token asks for nothing, and one "
        "that is there at creation, or is put back, neither. `status.lastStep` echoes it.",
    )
    resume: Token | None = Field(
        default=None,
        description="A token for an execution that is held at a breakpoint: each new one lets it go on, to its end "
        "or the next breakpoint. While `paused` is true, set that to false instead. Removing the token asks for "
        "nothing, and one that is there at creation, or is put back, neither. `status.lastResume` echoes it.",
    )
    stop: bool = Field(
        default=False,
        description="One-way: ends the execution now, also a paused one, and cancels the nodes in flight. On one that "
        "has completed it ends what is still active below it, unless `children.onStop` is `Continue`. "
        "Can be taken back only together with a new `retry.token`. Wins over a retry that is set with it.",
    )
    stop_reason: str | None = Field(
        default=None,
        max_length=limits.MAX_STOP_REASON,
        description="Why it is stopped, for people; only with `stop: true`, and read with it.",
    )
    retry: RetrySpec | None = Field(
        default=None,
        description="Runs an execution again that failed or was stopped. With `paused: true` the new attempt begins "
        "paused: one that has never started waits for its start again. Removing it asks for nothing.",
    )
    options: ExecutionOptions = Field(
        default_factory=ExecutionOptions,
        description="How the engine runs the graph: concurrency, timeouts, breakpoints. An edit of `breakpoints` takes "
        "effect at once, any other until the attempt begins to run, and then with the next one.",
        json_schema_extra=kubernetes(default={}),
    )
    start_timeout_seconds: int = Field(
        default=300,
        ge=1,
        le=limits.MAX_TIMEOUT_SECONDS,
        description="Longest wait, in seconds, for the start of an Execution that was created paused, or was retried "
        "paused before it had ever started. Then it fails. May be edited until the start.",
    )
    queue: str = Field(
        default=DEFAULT_QUEUE,
        description="Queue that the execution waits in for a worker. The administrator says which queues a namespace "
        f"may use. `{names.HELD_QUEUE}` is reserved.",
        min_length=1,
        max_length=limits.MAX_IDENTIFIER,
        pattern=forms.QUEUE,
        json_schema_extra=kubernetes(immutable=True),
    )
    priority: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Executions of a higher priority leave the queue first, among those of the same namespace. An "
        "edit counts each time it is in the queue.",
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=0,
        le=limits.MAX_TTL_SECONDS,
        description="Seconds after its end, and that of everything below it, at which the Execution is deleted; its "
        "children's resources go with it. Absent: never.",
    )
    children: ChildrenSpec = Field(
        default_factory=ChildrenSpec,
        description="How child executions are shown and stopped.",
        json_schema_extra=kubernetes(default=ChildrenSpec().complete()),
    )

    @field_validator("queue")
    @classmethod
    def _not_reserved(cls, value: str) -> str:
        if names.reserved_queue(value):
            raise PydanticCustomError(
                "reserved_queue",
                "the queue {queue} is reserved: name the queue of a worker pool, such as {example}",
                {"queue": value, "example": DEFAULT_QUEUE},
            )
        return value

    @field_validator("stop_reason")
    @classmethod
    def _reason_of_a_stop(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not info.data.get("stop"):
            raise PydanticCustomError("reason_without_stop", "stopReason goes with stop: true only")
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
