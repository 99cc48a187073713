"""Plans of nodes that call graphs: which calls a node makes, when, and what becomes of their results.

A plan has no I/O and no clock. The engine asks it for calls, runs them, and returns their ends. It makes a new plan in
each pass of the node and returns the ends of the calls that have ended before, so a plan must depend on nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

ITERATION_LIMIT: Final = "IterationLimit"
"""The reason of a loop that did not end within its maximum of rounds."""


@dataclass(frozen=True, slots=True)
class NextCall:
    """A call that may begin.

    Attributes:
        number: its number among the node's calls, from 0; None for a node that calls once.
        inputs: the inputs of the graph, by name.
        delay_seconds: the delay since the end of the node's last call.
    """

    number: int | None
    inputs: Mapping[str, Any]
    delay_seconds: float = 0


@dataclass(frozen=True, slots=True)
class CallFailure:
    """Why a call failed, or the node that makes the calls.

    Attributes:
        node: the path of the node that caused it; '' for the calling node itself.
        reason: one word, as in `NodeError.reason`.
    """

    node: str
    reason: str
    message: str
    details: Any = None

    @property
    def told(self) -> str:
        """The message with the place."""
        return f"{self.node}: {self.message}" if self.node else self.message

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form, like that of the port `__error`."""
        return {"node": self.node, "reason": self.reason, "message": self.message, "details": self.details}


@dataclass(frozen=True, slots=True)
class CallEnd:
    """How a call ended: with outputs, or with a failure."""

    outputs: Mapping[str, Any] = field(default_factory=dict)
    failure: CallFailure | None = None


@dataclass(frozen=True, slots=True)
class ChildCall:
    """A call that runs as an execution of its own.

    Attributes:
        call: the path of the call.
        tried: attempt of the execution and try of the node that calls, as `2.1`: with another one, it is another call.
        subflow: the subflow that it runs, or ''.
        flow: the Flow that it runs instead, or ''.
        inputs: the inputs of the graph.
        nodes: the number of nodes, if known.
    """

    call: str
    tried: str
    subflow: str
    flow: str
    inputs: Mapping[str, Any]
    nodes: int = 0


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How an execution ended that a node has called.

    Attributes:
        call: the path of the call.
        tried: as in `ChildCall`.
        execution_id: its id, and `name` its name.
        phase: Completed, Failed or Stopped.
        node: the path of the node that caused the failure, or ''.
        reason: why it failed.
        cause: the failure of the node that caused it, as `CallFailure.to_json` returns it; None without one.
        finished_at: when it ended, in milliseconds since 1970.
    """

    call: str
    tried: str
    execution_id: str
    name: str
    phase: str
    outputs: Mapping[str, Any] | None = None
    node: str = ""
    reason: str = ""
    message: str = ""
    cause: Mapping[str, Any] | None = None
    finished_at: int = 0


class CallPlan(Protocol):
    """The calls of one node."""

    def next(self) -> NextCall | None:
        """Return a call that may begin now, and count it as begun; None when another one has to end first."""

    def ended(self, number: int | None, end: CallEnd) -> None:
        """Take the end of a call. It may have begun in an earlier plan of the node."""

    def result(self) -> Mapping[str, Any] | CallFailure | None:
        """Return the outputs of the node, or its failure; None while calls are left."""
