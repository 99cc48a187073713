"""The built-in nodes. Every Node class that is imported here is part of the catalogue (an entry point names this)."""

from .arithmetic import And, Math, Not, Or, Random
from .flow import Branch, EmitEach, EventEmitter, EventListener, Fail, Gate, IsRootExecution, Join, Sleep, Switch
from .utilities import DebugLog, ServerTime
from .values import ArrayValue, BooleanValue, NumberValue, ObjectValue, Text

__all__ = [
    "And",
    "ArrayValue",
    "BooleanValue",
    "Branch",
    "DebugLog",
    "EmitEach",
    "EventEmitter",
    "EventListener",
    "Fail",
    "Gate",
    "IsRootExecution",
    "Join",
    "Math",
    "Not",
    "NumberValue",
    "ObjectValue",
    "Or",
    "Random",
    "ServerTime",
    "Sleep",
    "Switch",
    "Text",
]
