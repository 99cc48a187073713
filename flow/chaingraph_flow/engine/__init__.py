"""The engine: runs one graph on the event loop.

`state` and `binding` decide (pure functions and a state machine without I/O), `transfer` fills a node's inputs,
`attempt` runs one try of a node, `scheduler` brings them together and is the only place with tasks and timers.
"""

from .options import EngineOptions
from .recorder import Recorder
from .records import NodeRecord, Outcome, without_unhandled_failures
from .result import FailureReason, FlowOutcome, FlowResult, NodeError, Progress
from .scheduler import Engine

__all__ = [
    "Engine",
    "EngineOptions",
    "FailureReason",
    "FlowOutcome",
    "FlowResult",
    "NodeError",
    "NodeRecord",
    "Outcome",
    "Progress",
    "Recorder",
    "without_unhandled_failures",
]
