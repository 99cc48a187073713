"""The built-in nodes. Every Node class imported here is part of the catalogue, through an entry point."""

from chaingraph_flow.nodes.arithmetic import And, Math, Not, Or, Random
from chaingraph_flow.nodes.calls import Call, ForEach, Repeat
from chaingraph_flow.nodes.data import Cast, CSVRead, JSONRead, JSONWrite, ToNumber, ToText
from chaingraph_flow.nodes.expression import Expression
from chaingraph_flow.nodes.flow import (
    Branch,
    EmitEach,
    EventEmitter,
    EventListener,
    Fail,
    Gate,
    IsRootExecution,
    Join,
    Switch,
)
from chaingraph_flow.nodes.http import HTTP
from chaingraph_flow.nodes.signals import Approval, WaitForSignal
from chaingraph_flow.nodes.template import Template
from chaingraph_flow.nodes.texts import JoinText, SplitText
from chaingraph_flow.nodes.transforms import (
    Concat,
    Element,
    Filter,
    First,
    GroupBy,
    Keys,
    Last,
    Length,
    Merge,
    Pluck,
    Reduce,
    Slice,
    Sort,
    Summarize,
    Unique,
    Values,
)
from chaingraph_flow.nodes.utilities import DebugLog, ServerTime
from chaingraph_flow.nodes.values import ArrayValue, BooleanValue, NumberValue, ObjectValue, Text
from chaingraph_flow.nodes.waits import Sleep, WaitUntil

__all__ = [
    "HTTP",
    "And",
    "Approval",
    "ArrayValue",
    "BooleanValue",
    "Branch",
    "CSVRead",
    "Call",
    "Cast",
    "Concat",
    "DebugLog",
    "Element",
    "EmitEach",
    "EventEmitter",
    "EventListener",
    "Expression",
    "Fail",
    "Filter",
    "First",
    "ForEach",
    "Gate",
    "GroupBy",
    "IsRootExecution",
    "JSONRead",
    "JSONWrite",
    "Join",
    "JoinText",
    "Keys",
    "Last",
    "Length",
    "Math",
    "Merge",
    "Not",
    "NumberValue",
    "ObjectValue",
    "Or",
    "Pluck",
    "Random",
    "Reduce",
    "Repeat",
    "ServerTime",
    "Sleep",
    "Slice",
    "Sort",
    "SplitText",
    "Summarize",
    "Switch",
    "Template",
    "Text",
    "ToNumber",
    "ToText",
    "Unique",
    "Values",
    "WaitForSignal",
    "WaitUntil",
]
