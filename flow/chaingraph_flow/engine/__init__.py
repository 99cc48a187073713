"""The engine: runs one graph on the event loop.

`state`, `binding` and `debugger` decide (pure functions and state machines without I/O), `transfer` fills a node's
inputs, `attempt` runs one try of a node, `gate` keeps what is ready until it may begin, `running_time` counts the
flow's time, `scheduler` brings them together and is the only place with tasks, and `engine` adds the
debugger's commands.
"""

from .debugger import ControlState
from .engine import Engine
from .options import EngineOptions
from .outputs import emissions_in_order
from .recorder import Recorder
from .records import NodeRecord, Outcome, without_unhandled_failures
from .result import FailureReason, FlowOutcome, FlowResult, NodeError, Progress
from .supervision import KilledTry, Supervisor

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
