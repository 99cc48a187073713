"""The engine: runs one graph on the event loop.

`state`, `binding` and `debugger` decide (pure functions and state machines without I/O), `transfer` fills a node's
inputs, `attempt` runs one try of a node, `gate` keeps what is ready until it may begin, `running_time` counts the
flow's time, `scheduler` brings them together and is the only place with tasks, and `engine` adds the
debugger's commands.
"""

from chaingraph_flow.engine.debugger import ControlState
from chaingraph_flow.engine.engine import Engine
from chaingraph_flow.engine.options import EngineOptions
from chaingraph_flow.engine.outputs import emissions_in_order
from chaingraph_flow.engine.recorder import Recorder
from chaingraph_flow.engine.records import NodeRecord, Outcome, without_unhandled_failures
from chaingraph_flow.engine.result import FailureReason, FlowOutcome, FlowResult, NodeError, Progress
from chaingraph_flow.engine.supervision import KilledTry, Supervisor

__all__ = [
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
    "emissions_in_order",
    "without_unhandled_failures",
]
