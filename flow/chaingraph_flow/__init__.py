"""The flow language and its engine: typed ports, nodes, validation, and an asyncio scheduler without I/O of its own.

Node authors import `Node`, the ports and the types from here.
"""

from chaingraph_flow.calls import ChildCall, ChildEnd
from chaingraph_flow.catalogue import Catalogue, InputPort, NodeType, OutputPort
from chaingraph_flow.context import Emission, ExternalEvent, NodeContext, RunContext, Signal, Trigger, WaitKind, Woken
from chaingraph_flow.egress import Egress
from chaingraph_flow.engine import (
    WAITING,
    Children,
    ControlState,
    Engine,
    EngineOptions,
    FailureReason,
    FlowOutcome,
    FlowResult,
    KilledTry,
    NodeError,
    NodeRecord,
    Outcome,
    Progress,
    Recorder,
    Supervisor,
    WaitRecord,
    emissions_in_order,
    without_unhandled_failures,
)
from chaingraph_flow.errors import (
    DuplicateNodeType,
    EgressDenied,
    EmissionRefused,
    FlowError,
    InvalidFlow,
    InvalidNodeClass,
    JournalMismatch,
    LimitExceeded,
    NodeFailed,
    NodeSkipped,
    NotJson,
    UnknownNodeType,
)
from chaingraph_flow.events import FlowEvent
from chaingraph_flow.field_errors import ErrorCode, FieldError
from chaingraph_flow.graph import Graph
from chaingraph_flow.limits import Limits
from chaingraph_flow.node import Input, Node, Output, Outputs, Passthrough
from chaingraph_flow.ports.types import Any, Array, Boolean, Enum, Number, Object, Secret, Secrets, String
from chaingraph_flow.registry import Registry
from chaingraph_flow.revision import revision
from chaingraph_flow.secrets.scrubbing import Scrubber
from chaingraph_flow.secrets.source import NoSecrets, SecretSource
from chaingraph_flow.validation.inputs import bind_inputs
from chaingraph_flow.validation.validation import validate

__all__ = [
    "WAITING",
    "Any",
    "Array",
    "Boolean",
    "Catalogue",
    "ChildCall",
    "ChildEnd",
    "Children",
    "ControlState",
    "DuplicateNodeType",
    "Egress",
    "EgressDenied",
    "Emission",
    "EmissionRefused",
    "Engine",
    "EngineOptions",
    "Enum",
    "ErrorCode",
    "ExternalEvent",
    "FailureReason",
    "FieldError",
    "FlowError",
    "FlowEvent",
    "FlowOutcome",
    "FlowResult",
    "Graph",
    "Input",
    "InputPort",
    "InvalidFlow",
    "InvalidNodeClass",
    "JournalMismatch",
    "KilledTry",
    "LimitExceeded",
    "Limits",
    "NoSecrets",
    "Node",
    "NodeContext",
    "NodeError",
    "NodeFailed",
    "NodeRecord",
    "NodeSkipped",
    "NodeType",
    "NotJson",
    "Number",
    "Object",
    "Outcome",
    "Output",
    "OutputPort",
    "Outputs",
    "Passthrough",
    "Progress",
    "Recorder",
    "Registry",
    "RunContext",
    "Scrubber",
    "Secret",
    "SecretSource",
    "Secrets",
    "Signal",
    "String",
    "Supervisor",
    "Trigger",
    "UnknownNodeType",
    "WaitKind",
    "WaitRecord",
    "Woken",
    "bind_inputs",
    "emissions_in_order",
    "revision",
    "validate",
    "without_unhandled_failures",
]
