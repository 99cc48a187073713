"""The spec and status of a Flow: a graph of typed nodes. The flow package defines their meaning."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from chaingraph_crds import forms, limits
from chaingraph_crds.conditions import Condition
from chaingraph_crds.model import ApiModel, StatusModel, kubernetes, rule, validations

INPUTS_NODE_ID = "inputs"
"""The reserved node id for edges from the flow's own inputs."""

Identifier = Annotated[str, Field(min_length=1, max_length=limits.MAX_IDENTIFIER, pattern=forms.IDENTIFIER)]
NodePath = Annotated[str, Field(min_length=1, max_length=limits.MAX_NODE_PATH, pattern=forms.NODE_PATH)]
Endpoint = Annotated[str, Field(min_length=3, max_length=limits.MAX_ENDPOINT, pattern=forms.ENDPOINT)]

RetryReason = Annotated[str, Field(min_length=1, max_length=limits.MAX_IDENTIFIER, pattern=forms.RETRY_REASON)]
InputType = Literal["string", "number", "boolean", "array", "object", "any", "secret"]


class FlowInput(ApiModel):
    """A value that an Execution of the Flow may or must provide."""

    name: Identifier = Field(description="Name of the input. Edges read it from `inputs.NAME`.")
    type: InputType = Field(
        default="any",
        description="Type that a value must have; `any` accepts every value. With a `schema`, its type decides. The "
        "value of a `secret` is a reference: `{secretKeyRef: {name, key}}` or `{secretFileRef: {name}}`.",
    )
    title: str = Field(default="", description="Name for people, as the label of a form.", max_length=limits.MAX_TITLE)
    schema_: Any = Field(
        default=None,
        alias="schema",
        description="Type of a value in detail, as the `schema` of a node: `{type: enum, options: [eu, us]}`, or "
        "`{minimum: 1, maximum: 10}` for the `type` of the input.",
    )
    required: bool = Field(
        default=False,
        description="Whether an Execution must provide this input. No effect when there is a default.",
    )
    default: Any = Field(
        default=None,
        description="Value of the input when an Execution does not provide it. Any JSON value of the input's type.",
    )
    description: str = Field(
        default="",
        description="Description of the input.",
        max_length=limits.MAX_DESCRIPTION,
    )


class FlowOutput(ApiModel):
    """A value of the graph that becomes a result of the Execution."""

    name: Identifier = Field(description="Name of the output in the Execution's `status.outputs`.")
    from_: Endpoint = Field(
        alias="from",
        description="Source of the value: `node.port`, or a path into it, such as `fetch.response.items[0].name`.",
    )
    description: str = Field(
        default="",
        description="Description of the output.",
        max_length=limits.MAX_DESCRIPTION,
    )


class NodeRetry(ApiModel):
    """How often and after which delays a failed node is run again before its failure counts."""

    max_attempts: int = Field(
        default=3, ge=1, le=20, description="Total attempts, including the first one; 1 means no retry."
    )
    backoff_seconds: float = Field(
        default=1,
        ge=0,
        le=3600,
        description="Delay before the second attempt, in seconds. It grows by `factor` with every further attempt.",
    )
    factor: float = Field(default=2, ge=1, le=10, description="Growth of the delay; 1 keeps it the same.")
    max_backoff_seconds: float = Field(
        default=60,
        ge=0,
        le=86400,
        description="Maximum delay between two attempts, in seconds. A server that says when to come back "
        "(`Retry-After`) can make it longer.",
    )
    jitter: float = Field(
        default=0,
        ge=0,
        le=1,
        description="Random part of the delay, so that nodes that failed together do not return together: with 0.3, "
        "the delay is 70 to 100 % of its length.",
    )
    retry_on: list[RetryReason] = Field(
        default_factory=list,
        max_length=limits.MAX_RETRY_REASONS,
        description="Reasons of failures to retry, such as `NodeTimeout`, `NetworkError`, `HTTP503` or `HTTP5xx`; "
        "no others are retried then. Empty: every failure that can go away, so not an HTTP status of 4xx except "
        "408, 425 and 429.",
        json_schema_extra=kubernetes(list_type="set"),
    )


class NodeSpec(ApiModel):
    """One node of the graph."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                f"self.id != '{INPUTS_NODE_ID}'",
                f"the node id '{INPUTS_NODE_ID}' is reserved for the flow's own inputs: choose another id",
                field=".id",
            )
        )
    )

    id: Identifier = Field(
        description="Id of the node, unique in the flow. Edges and progress refer to it. "
        "`inputs` is reserved for the flow's own inputs.",
    )
    type: str = Field(
        description="Type of the node, such as `HTTP`, `Branch` or a team's own `acme.Shout`. "
        "A Flow with a type that no worker has waits for one.",
        min_length=1,
        max_length=limits.MAX_TYPE,
        pattern=forms.NODE_TYPE,
    )
    title: str = Field(default="", description="Name for people.", max_length=limits.MAX_TITLE)
    inputs: dict[str, Any] = Field(
        default_factory=dict,
        max_length=limits.MAX_NODE_INPUTS,
        description="Fixed values of the node's input ports, by port. "
        "A port takes its value from here or from an edge, not from both.",
    )
    timeout_seconds: int | None = Field(
        default=None,
        ge=1,
        le=limits.MAX_TIMEOUT_SECONDS,
        description="Timeout of one attempt of this node, in seconds. "
        "Absent: the Execution's `options.nodeTimeoutSeconds`.",
    )
    retry: NodeRetry | None = Field(default=None, description="Retries the node when it fails. Absent: no retry.")


class EdgeSpec(ApiModel):
    """A connection: the value of an output port goes to an input port."""

    from_: Endpoint = Field(
        alias="from",
        description="Source: `node.port`, a path into its value (`fetch.response.items[0].name`), "
        "or an input of the flow (`inputs.NAME`).",
    )
    to: Endpoint = Field(
        description="Target: `node.port`, or a path into an object or array port (`tpl.values.city`).",
    )


class SubflowSpec(ApiModel):
    """A graph inside a Flow that its nodes call: `Call`, `ForEach` and `Repeat` name it in their input `subflow`."""

    name: Identifier = Field(description="Name of the subflow, unique in the flow.")
    description: str = Field(default="", description="Description of the subflow.", max_length=limits.MAX_DESCRIPTION)
    inputs: list[FlowInput] = Field(
        default_factory=list,
        max_length=limits.MAX_SUBFLOW_PORTS,
        description="Values that the calling node provides. Each is an input of that node.",
        json_schema_extra=kubernetes(list_keys=["name"]),
    )
    outputs: list[FlowOutput] = Field(
        default_factory=list,
        max_length=limits.MAX_SUBFLOW_PORTS,
        description="Values that the calling node gets. Each is an output of that node; of a ForEach, a property of "
        "each of its `results`.",
        json_schema_extra=kubernetes(list_keys=["name"]),
    )
    nodes: list[NodeSpec] = Field(
        min_length=1,
        max_length=limits.MAX_SUBFLOW_NODES,
        description="The nodes of the graph. They may call other subflows.",
        json_schema_extra=kubernetes(list_keys=["id"]),
    )
    edges: list[EdgeSpec] = Field(
        default_factory=list,
        max_length=limits.MAX_SUBFLOW_EDGES,
        description="The connections between the nodes. Cycles are refused.",
        json_schema_extra=kubernetes(list_type="atomic"),
    )


class OnExit(ApiModel):
    """What runs after the end of each attempt of an Execution, whatever its outcome."""

    subflow: Identifier = Field(
        description="Name of the subflow. It runs as a child, with those of these inputs that it declares: `phase`, "
        "`reason`, `message`, `node`, `attempt`, `name`, `inputs` and `outputs` of the Execution."
    )
    timeout_seconds: int = Field(
        default=600,
        ge=1,
        le=limits.MAX_TIMEOUT_SECONDS,
        description="Timeout of the subflow, in seconds.",
    )


class FlowSpec(ApiModel):
    """A graph: nodes, the edges between them, inputs and outputs."""

    description: str = Field(default="", description="Description of the flow.", max_length=limits.MAX_DESCRIPTION)
    inputs: list[FlowInput] = Field(
        default_factory=list,
        max_length=limits.MAX_FLOW_INPUTS,
        description="Values that an Execution provides in its `spec.inputs`.",
        json_schema_extra=kubernetes(list_keys=["name"]),
    )
    outputs: list[FlowOutput] = Field(
        default_factory=list,
        max_length=limits.MAX_FLOW_OUTPUTS,
        description="Values that a completed Execution shows in `status.outputs`. "
        "Empty: every output port without an edge, by node.",
        json_schema_extra=kubernetes(list_keys=["name"]),
    )
    nodes: list[NodeSpec] = Field(
        min_length=1,
        max_length=limits.MAX_NODES,
        description="The nodes of the graph. Their order has no meaning.",
        json_schema_extra=kubernetes(list_keys=["id"]),
    )
    edges: list[EdgeSpec] = Field(
        default_factory=list,
        max_length=limits.MAX_EDGES,
        description="The connections between the nodes. Cycles are refused.",
        json_schema_extra=kubernetes(list_type="atomic"),
    )
    subflows: list[SubflowSpec] = Field(
        default_factory=list,
        max_length=limits.MAX_SUBFLOWS,
        description="Graphs that nodes of this flow call, once, for each element of a list, or repeatedly.",
        json_schema_extra=kubernetes(list_keys=["name"]),
    )
    on_exit: OnExit | None = Field(
        default=None,
        description="Subflow that runs once after the end of an Execution that has started: also after a failure, a "
        "stop or a timeout, but not after a deletion.",
    )


class FlowStatus(StatusModel):
    """The operator's findings on the Flow."""

    observed_generation: int = Field(
        default=-1,
        description="The `metadata.generation` that this status applies to; -1 until the operator has seen the Flow.",
    )
    revision: str | None = Field(
        default=None,
        max_length=64,
        description="Hash of the flow's content. An Execution keeps the revision that it started with.",
    )
    nodes: int | None = Field(default=None, ge=0, description="Number of nodes.")
    conditions: list[Condition] = Field(
        default_factory=list,
        max_length=limits.MAX_CONDITIONS,
        description="`Ready` shows whether the Flow can run and, if not, every error with its path.",
        json_schema_extra=kubernetes(list_keys=["type"]),
    )
