"""The flow language and its engine: typed ports, nodes, validation, and an asyncio scheduler without I/O of its own.

The names here are what other parts use. Node authors take `Node`, the ports and the types from here as well.
"""

from .catalogue import Catalogue, InputPort, NodeType, OutputPort
from .context import Emission, ExternalEvent, NodeContext, RunContext, Trigger
from .egress import Egress
from .engine import (
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
    emissions_in_order,
    without_unhandled_failures,
)
from .errors import (
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
from .events import FlowEvent
from .field_errors import ErrorCode, FieldError
from .graph import Graph
from .inputs import bind_inputs
from .limits import Limits
from .node import Input, Node, Output, Outputs, Passthrough
from .registry import Registry
from .revision import revision
from .types import Any, Array, Boolean, Enum, Number, Object, String
from .validation import validate

__all__ = [
    "Any",
    "Array",
    "Boolean",
    "Catalogue",
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
    "String",
    "Supervisor",
    "Trigger",
    "UnknownNodeType",
    "bind_inputs",
    "emissions_in_order",
    "revision",
    "validate",
    "without_unhandled_failures",
]
