"""A flow that can run: validated, resolved and indexed. Immutable; shared by all runs of one revision."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from chaingraph_crds.flow import FlowSpec, NodeSpec, SubflowSpec
from chaingraph_crds.node_paths import call_of, calls_children, inside, unnumbered
from chaingraph_flow.catalogue import EXECUTE, Catalogue, NodeType
from chaingraph_flow.errors import InvalidFlow
from chaingraph_flow.ports.types import AnyPortType
from chaingraph_flow.validation.analysis import Analysis
from chaingraph_flow.validation.validation import analyse
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
    subflow: str | None = None
    """The name of the subflow that it calls; '' for a node that calls another Flow."""
    child: bool = False
    """Whether its calls are executions of their own."""
    call: str = ""
    """The path of the call in whose graph it is; '' in the flow itself."""

    muted: bool = False
    """Whether it has no effects and is in a loop: only failures and waits of it are worth an event."""

    @property
    def id(self) -> str:
        """The node's id in the flow, or its path inside a subflow."""
        return inside(self.call, self.spec.id) if self.call else self.spec.id


@dataclass(frozen=True, slots=True)
class Graph:
    """The nodes by id in the order of the spec, a topological order, and the graph's outputs."""

    spec: FlowSpec | SubflowSpec
    nodes: Mapping[str, GraphNode]
    order: tuple[str, ...]
    outputs: tuple[GraphOutput, ...]
    listeners: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The ids of the listeners by the event's name."""
    signals: Mapping[str, str] = field(default_factory=dict)
    """The id of the node that takes a signal, by the signal's name."""
    subflows: Mapping[str, Graph] = field(default_factory=dict)
    """The graphs that its nodes may call, by name."""

    @classmethod
    def build(cls, spec: FlowSpec, catalogue: Catalogue) -> Graph:
        """Build the graph of a flow. Raises InvalidFlow with every error when it has any."""
        analysis = analyse(spec, catalogue)
        errors = analysis.errors()
        if errors:
            raise InvalidFlow(errors)
        subflows: dict[str, Graph] = {}
        for name, each in analysis.analyses.items():
            subflows[name] = _built(each, subflows)
        return _built(analysis, subflows)

    def of_call(self, call: str) -> Graph:
        """Return this graph for a call: the ids of its nodes are their paths there."""
        nodes = {inside(call, id_): _of_call(node, call) for id_, node in self.nodes.items()}
        outputs = tuple(replace(each, source=inside(call, each.source)) for each in self.outputs)
        order = tuple(inside(call, each) for each in self.order)
        return Graph(self.spec, nodes, order, outputs, subflows=self.subflows)

    def type_of(self, path: str) -> NodeType:
        """Return the type of a node, or of the node that makes a call. Raises KeyError when there is none."""
        return self._node_of(unnumbered(path)).type

    def subflow_of(self, path: str) -> str | None:
        """Return the name of the subflow that a node calls, or None. Raises KeyError when there is no such node."""
        return self._node_of(unnumbered(path)).subflow

    def has(self, place: str) -> bool:
        """Whether there is a node at this path, or at this place without numbers."""
        try:
            self._node_of(unnumbered(place))
        except KeyError:
            return False
        return True

    def home_of(self, path: str) -> tuple[Graph, str]:
        """Return the graph of a node, the flow's own or that of a subflow, and its id there. Raises KeyError."""
        place = unnumbered(path)
        call = call_of(place)
        if not call:
            return self, place
        caller = self._node_of(call)
        if caller.child:
            raise KeyError(path)
        return self.subflows[caller.subflow or ""], place.rpartition(".")[2]

    def _node_of(self, place: str) -> GraphNode:
        home, id_ = self.home_of(place)
        return home.nodes[id_]


def _built(analysis: Analysis, subflows: Mapping[str, Graph]) -> Graph:
    nodes = _nodes(analysis)
    return Graph(
        analysis.spec,
        nodes,
        tuple(analysis.order),
        tuple(analysis.outputs),
        _listeners(nodes.values()),
        analysis.signals,
        dict(subflows),
    )


def _of_call(node: GraphNode, call: str) -> GraphNode:
    connections = {each.index: _connection_of_call(each, call) for each in (*node.incoming, *node.outgoing)}
    return replace(
        node,
        call=call,
        muted=node.type.pure and "[" in call,
        inputs=tuple(
            replace(slot, connections=tuple(connections[each.index] for each in slot.connections))
            if slot.connections
            else slot
            for slot in node.inputs
        ),
        incoming=tuple(connections[each.index] for each in node.incoming),
        outgoing=tuple(connections[each.index] for each in node.outgoing),
        signal=None if node.signal is None else inside(call, node.signal),
    )


def _connection_of_call(connection: Connection, call: str) -> Connection:
    return replace(
        connection,
        source=None if connection.source is None else inside(call, connection.source),
        target=inside(call, connection.target),
        from_=inside(call, connection.from_),
        to=inside(call, connection.to),
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
            subflow=analysis.calls.get(id_),
            child=id_ in analysis.calls and calls_children(node.inputs),
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
