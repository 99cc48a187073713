"""A flow that can run: validated, resolved and indexed. Immutable; shared by all runs of one revision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from chaingraph_crds.flow import FlowSpec, NodeSpec
from chaingraph_flow.catalogue import EXECUTE, Catalogue, NodeType
from chaingraph_flow.errors import InvalidFlow
from chaingraph_flow.ports.types import AnyPortType
from chaingraph_flow.validation.validation import Analysis, analyse
from chaingraph_flow.validation.wiring import Connection, GraphOutput, InputSlot


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
    """The outputs by key, including dynamic ones, with the types derived from the inputs."""
    optional_outputs: frozenset[str]
    incoming: tuple[Connection, ...] = ()
    outgoing: tuple[Connection, ...] = ()
    listens_to: str | None = None
    """The name of the event that a listener waits for."""
    signal: str | None = None
    """The name of the signal that it waits for."""

    @property
    def id(self) -> str:
        """The node's id in the flow."""
        return self.spec.id


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes by id in the order of the spec, a topological order, and the flow's outputs."""

    spec: FlowSpec
    nodes: Mapping[str, GraphNode]
    order: tuple[str, ...]
    outputs: tuple[GraphOutput, ...]
    listeners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The ids of the listeners by the event's name."""
    signals: Mapping[str, str] = field(default_factory=dict)
    """The id of the node that takes a signal, by the signal's name."""

    @classmethod
    def build(cls, spec: FlowSpec, catalogue: Catalogue) -> Graph:
        """Build the graph of a flow. Raises InvalidFlow with every error when it has any."""
        analysis = analyse(spec, catalogue)
        errors = analysis.errors()
        if errors:
            raise InvalidFlow(errors)
        nodes = _nodes(analysis)
        return cls(
            spec, nodes, tuple(analysis.order), tuple(analysis.outputs), _listeners(nodes.values()), analysis.signals
        )


def _nodes(analysis: Analysis) -> dict[str, GraphNode]:
    outgoing: dict[str, list[Connection]] = {}
    for connection in analysis.connections:
        if connection.source is not None:
            outgoing.setdefault(connection.source, []).append(connection)
    return {
        id_: GraphNode(
            index=index,
            spec=node,
            type=ports.type,
            inputs=ports.slots,
            execute=node.inputs.get(EXECUTE, True) is not False,
            outputs=ports.outputs,
            optional_outputs=ports.optional_outputs,
            incoming=ports.incoming,
            outgoing=tuple(outgoing.get(id_, ())),
            listens_to=ports.listens_to,
            signal=ports.signal,
        )
        for id_, (index, node, _) in analysis.nodes.items()
        for ports in [analysis.resolved[id_]]
    }


def _listeners(nodes: Iterable[GraphNode]) -> dict[str, tuple[str, ...]]:
    listeners: dict[str, tuple[str, ...]] = {}
    for node in nodes:
        if node.listens_to is not None:
            listeners[node.listens_to] = (*listeners.get(node.listens_to, ()), node.id)
    return listeners
