"""The engine: runs one graph on the event loop.

Decisions are pure functions and state machines without I/O. Only `scheduler` has tasks.
"""

from chaingraph_flow.engine.children import Children
from chaingraph_flow.engine.debugger import ControlState
from chaingraph_flow.engine.engine import Engine
from chaingraph_flow.engine.options import EngineOptions
from chaingraph_flow.engine.outputs import emissions_in_order
from chaingraph_flow.engine.recorder import Recorder
from chaingraph_flow.engine.records import WAITING, NodeRecord, Outcome, WaitRecord, without_unhandled_failures
from chaingraph_flow.engine.result import FailureReason, FlowOutcome, FlowResult, NodeError, Progress
from chaingraph_flow.engine.tries.supervision import KilledTry, Supervisor

__all__ = [
    "WAITING",
    "Children",
    "ControlState",
    "Engine",
    "EngineOptions",
    "FailureReason",
    "FlowOutcome",
    "FlowResult",
    "KilledTry",
    "NodeError",
    "NodeRecord",
    "Outcome",
    "Progress",
    "Recorder",
    "Supervisor",
    "WaitRecord",
    "emissions_in_order",
    "without_unhandled_failures",
]
