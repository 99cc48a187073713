"""A flow that can run: checked, resolved and indexed. Immutable; shared by all runs of one revision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chaingraph_crds.flow import FlowSpec, NodeSpec

from .catalogue import Catalogue, NodeType
from .json_values import Segment
from .types import AnyPortType


@dataclass(frozen=True, slots=True)
class Connection:
    """An edge, resolved. `source` is None when the value is an input of the flow (`source_port` names it)."""

    index: int
    source: str | None
    source_port: str
    source_segments: tuple[Segment, ...]
    target: str
    target_port: str
    target_segments: tuple[Segment, ...]
    tolerant: bool
    from_: str
    to: str


@dataclass(frozen=True, slots=True)
class InputSlot:
    """One input of a node of the flow, as the engine fills it."""

    key: str
    type: AnyPortType
    required: bool
    value: Any
    """What it has when no edge delivers: the given value, else the default."""
    given: bool
    connections: tuple[Connection, ...] = ()


@dataclass(frozen=True, slots=True)
class GraphNode:
    """A node of the flow, resolved against its type."""

    index: int
    spec: NodeSpec
    type: NodeType
    inputs: tuple[InputSlot, ...]
    execute: bool
    """The given value of `__execute`."""
    outputs: Mapping[str, AnyPortType]
    """The outputs by key, dynamic ones in their place, with the types that follow from the inputs."""
    optional_outputs: frozenset[str]
    incoming: tuple[Connection, ...] = ()
    outgoing: tuple[Connection, ...] = ()
    listens_to: str | None = None
    """The name of the event that a listener waits for."""

    @property
    def id(self) -> str:
        """The node's id in the flow."""
        return self.spec.id


@dataclass(frozen=True, slots=True)
class GraphOutput:
    """An output of the flow, resolved."""

    name: str
    source: str
    source_port: str
    source_segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes by id in the order of the spec, a topological order, and the flow's outputs."""

    spec: FlowSpec
    nodes: Mapping[str, GraphNode]
    order: tuple[str, ...]
    outputs: tuple[GraphOutput, ...]
    listeners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The ids of the listeners by the event's name."""

    @classmethod
    def build(cls, spec: FlowSpec, catalogue: Catalogue) -> Graph:
        """The graph of a flow. Raises InvalidFlow with every fault when it has any."""
        # validation makes graphs, so it imports this module; callers should not need to know that
        from .validation import analyse

        return analyse(spec, catalogue).graph()
