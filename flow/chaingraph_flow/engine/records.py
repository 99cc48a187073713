"""The journal's entries: the ends of nodes, and nodes that wait.

A journal is a sequence of these in the order in which the nodes ended. An engine with a journal does not run those
nodes again. A waiting node's entry is replaced by its next wait or its end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from chaingraph_crds.node_paths import is_call
from chaingraph_flow.catalogue import ERROR_PORTS
from chaingraph_flow.context import Emission, Trigger, WaitKind
from chaingraph_flow.engine.binding import active_nodes
from chaingraph_flow.graph import Graph
from chaingraph_flow.ports.json_values import UNLIMITED, size_of

WAITING = "waiting"
"""The outcome in the journal of a node that waits. The node's end replaces it."""


class Outcome(StrEnum):
    """How a node ended."""

    COMPLETED = "completed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """The end of one node. Times are milliseconds since 1970, UTC. Outputs are JSON values."""

    node_id: str
    outcome: Outcome
    started_at: int
    finished_at: int
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    reason: str = ""
    """Why it was skipped, or the kind of failure (NodeFailed, NodeTimeout, InvalidInput, ...)."""
    attempts: int = 0
    emissions: tuple[Emission, ...] = ()
    details: Any = None
    """Of a failure, for programs: a JSON value."""
    signal: int | None = None
    """Number of the signal that the node has taken. It is not delivered again."""
    size: int = field(default=0, compare=False)
    """The size of outputs and payloads, if known; not part of the JSON form (see `measured_size`)."""

    def measured_size(self) -> int:
        """Return the size of outputs and payloads: as measured at the node's end or, for a journal's entry, now."""
        return self.size or sum(
            size_of(value, UNLIMITED)
            for value in (*self.outputs.values(), *(each.payload for each in self.emissions), self.details)
        )

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form; `signal` and `details` only when it has them."""
        value = {
            "nodeId": self.node_id,
            "outcome": str(self.outcome),
            "startedAt": self.started_at,
            "finishedAt": self.finished_at,
            "outputs": dict(self.outputs),
            "error": self.error,
            "reason": self.reason,
            "attempts": self.attempts,
            "emissions": [each.to_json() for each in self.emissions],
        }
        more = {"signal": self.signal, "details": self.details}
        return value | {name: each for name, each in more.items() if each is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Parse the JSON form. Missing fields have their defaults."""
        return cls(
            node_id=value["nodeId"],
            outcome=Outcome(value["outcome"]),
            started_at=value["startedAt"],
            finished_at=value["finishedAt"],
            outputs=value.get("outputs") or {},
            error=value.get("error") or "",
            reason=value.get("reason") or "",
            attempts=value.get("attempts") or 0,
            emissions=tuple(map(Emission.from_json, value.get("emissions") or ())),
            details=value.get("details"),
            signal=value.get("signal"),
        )


@dataclass(frozen=True, slots=True)
class WaitRecord:
    """A node that waits. Times are milliseconds since 1970, UTC.

    Attributes:
        since: when the wait began.
        until: when it ends; None while only a signal ends it.
        started_at: when the node's first try started.
        try_at: when its last try started.
        attempts: the number of tries that the node has started.
        times_out: whether the node fails then, because its own timeout comes before the end of the wait.
        signal: the name of the signal that ends it; '' for another kind.
        prompt: what a person is asked.
    """

    node_id: str
    kind: WaitKind
    since: int
    until: int | None
    started_at: int
    try_at: int
    attempts: int
    times_out: bool = False
    signal: str = ""
    prompt: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON form."""
        return {
            "nodeId": self.node_id,
            "outcome": WAITING,
            "kind": str(self.kind),
            "since": self.since,
            "until": self.until,
            "startedAt": self.started_at,
            "tryAt": self.try_at,
            "attempts": self.attempts,
            "timesOut": self.times_out,
            "signal": self.signal,
            "prompt": self.prompt,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Parse the JSON form."""
        return cls(
            node_id=value["nodeId"],
            kind=WaitKind(value["kind"]),
            since=value["since"],
            until=value["until"],
            started_at=value["startedAt"],
            try_at=value["tryAt"],
            attempts=value["attempts"],
            times_out=value.get("timesOut", False),
            signal=value.get("signal", ""),
            prompt=value.get("prompt", ""),
        )


def handles_failure(graph: Graph, node_id: str, active: Iterable[str]) -> bool:
    """Whether the flow handles a failure of this node: an error port leads to a node or to an output."""
    running = set(active)
    return any(
        each.source_port in ERROR_PORTS and each.target in running for each in graph.nodes[node_id].outgoing
    ) or any(each.source == node_id and each.source_port in ERROR_PORTS for each in graph.outputs)


def without_unhandled_failures(
    graph: Graph, journal: Iterable[NodeRecord], trigger: Trigger | None
) -> tuple[NodeRecord, ...]:
    """Return the journal for a retry of a failed execution: without the nodes whose failure was not handled.

    Nothing that depends on them has been decided, because such a failure halts the flow. All else is kept.
    """
    active = active_nodes(graph, trigger)
    return tuple(each for each in journal if each.outcome is not Outcome.FAILED or _kept(graph, each.node_id, active))


def _kept(graph: Graph, path: str, active: Iterable[str]) -> bool:
    """Whether a failure stays in the journal: its graph handles it. A failed call is made again."""
    if is_call(path):
        return False
    home, id_ = graph.home_of(path)
    return handles_failure(home, id_, active if home is graph else home.nodes)
