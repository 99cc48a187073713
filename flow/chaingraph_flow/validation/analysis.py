"""The passes over one graph of a flow: the flow's own, or a subflow.

They go from independent to dependent facts, and a pass skips whatever an earlier one found invalid: a flow with one
misspelled node type has one error, not one for each of its edges.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chaingraph_crds.flow import INPUTS_NODE_ID, FlowInput, FlowSpec, NodeSpec, SubflowSpec
from chaingraph_crds.limits import MAX_EVENT_NAME
from chaingraph_flow.catalogue import EXECUTE, SYSTEM_OUTPUTS, Catalogue, NodeType
from chaingraph_flow.field_errors import ErrorCode, FieldError, Suggestions
from chaingraph_flow.ports.endpoint import Endpoint, parse_endpoint
from chaingraph_flow.ports.types import BARE, AnyPortType
from chaingraph_flow.validation.findings import Findings
from chaingraph_flow.validation.flow_limits import TOO_DEEP, LimitCheck
from chaingraph_flow.validation.inputs import declared_type, default_faults, schema_faults
from chaingraph_flow.validation.literals import Literals
from chaingraph_flow.validation.order import cycles_and_order
from chaingraph_flow.validation.resolution import NodePorts, resolve_node, type_at, vague
from chaingraph_flow.validation.subflows import Signature, calling, length_fault, path_lengths
from chaingraph_flow.validation.wiring import Connection, GraphOutput

SYSTEM_TYPES: dict[str, AnyPortType] = {port.key: port.type for port in SYSTEM_OUTPUTS}


@dataclass
class Analysis:
    """The passes over one graph, the flow or a subflow, and their results so far."""

    spec: FlowSpec | SubflowSpec
    catalogue: Catalogue
    findings: Findings = field(default_factory=Findings)
    suggest: Suggestions = field(default_factory=Suggestions)
    at: str = "spec"
    base: int = 0
    """The number of the graph's first section; see `Findings`."""
    subflows: dict[str, Signature | None] = field(default_factory=dict)
    """The subflows that it may call. None for one whose ports are not known, because it calls itself."""
    specs: dict[str, SubflowSpec] = field(default_factory=dict)
    """All subflows of the flow, by name."""
    analyses: dict[str, Analysis] = field(default_factory=dict)
    """Of the flow: those of its subflows."""
    unknown_types: dict[str, tuple[ErrorCode, str]] = field(default_factory=dict)
    limits: LimitCheck = field(default_factory=LimitCheck)
    refused: set[str] = field(default_factory=set)
    """Nodes whose inputs exceed a limit, or that call nothing: they are not processed further."""
    nodes: dict[str, tuple[int, NodeSpec, NodeType | None]] = field(default_factory=dict)
    flow_inputs: dict[str, AnyPortType] = field(default_factory=dict)
    """The types of the graph's inputs."""
    connections: list[Connection] = field(default_factory=list)
    order: list[str] = field(default_factory=list)
    cyclic: set[str] = field(default_factory=set)
    resolved: dict[str, NodePorts] = field(default_factory=dict)
    literals: Literals = field(init=False)
    outputs: list[GraphOutput] = field(default_factory=list)
    output_types: dict[str, AnyPortType] = field(default_factory=dict)
    signals: dict[str, str] = field(default_factory=dict)
    """The node that takes each signal."""
    calls: dict[str, str] = field(default_factory=dict)
    """The subflow that each calling node calls."""
    signature: Signature | None = None

    def __post_init__(self) -> None:
        self.literals = Literals(self.suggest)

    def errors(self) -> list[FieldError]:
        """Return the errors in the order of the spec's fields. The last one counts those over MOST_ERRORS."""
        return self.findings.errors()

    def run(self) -> None:
        """Make all passes."""
        self.check_flow_inputs()
        self.check_nodes()
        self.check_edges()
        self.check_order()
        self.check_types()
        self.check_signals()
        self.check_outputs()
        self.check_calls()

    # -- the passes ------------------------------------------------------------------------------------------

    def check_flow_inputs(self) -> None:
        """Check names and defaults of the flow's own inputs."""
        for index, declared in enumerate(self.spec.inputs):
            path = f"{self.at}.inputs[{index}]"
            if declared.name in self.flow_inputs:
                message = f"duplicate input {declared.name!r}: rename one of them"
                self._error(0, index, f"{path}.name", ErrorCode.DUPLICATE_INPUT, message)
                continue
            refused = self._schema_errors(index, declared, f"{path}.schema")
            # An invalid schema says nothing about edges and the default: they are compared with the `type`.
            declared = declared.model_copy(update={"schema_": None}) if refused else declared
            self.flow_inputs[declared.name] = declared_type(declared)
            if self.limits.too_deep(declared.default):
                self._error(0, index, f"{path}.default", ErrorCode.TOO_DEEP, TOO_DEEP)
                continue
            for error in default_faults(declared, f"{path}.default"):
                self._add(0, index, error)

    def _schema_errors(self, index: int, declared: FlowInput, path: str) -> bool:
        if declared.schema_ is None:
            return False
        limit = self.limits.schema_error(path, declared.schema_)
        found = [limit] if limit is not None else schema_faults(declared, path)
        for error in found:
            self._add(0, index, error)
        return bool(found)

    def check_nodes(self) -> None:
        """Check ids and types of the nodes."""
        for index, node in enumerate(self.spec.nodes):
            path = f"{self.at}.nodes[{index}]"
            if node.id == INPUTS_NODE_ID:
                message = f"id {INPUTS_NODE_ID!r} is reserved for the flow's own inputs: choose another one"
                self._error(1, index, f"{path}.id", ErrorCode.RESERVED_ID, message)
            elif node.id in self.nodes:
                message = f"duplicate id {node.id!r}, also used by {self.at}.nodes[{self.nodes[node.id][0]}]"
                self._error(1, index, f"{path}.id", ErrorCode.DUPLICATE_NODE_ID, message)
            node_type = self.catalogue.get(node.type)
            if node_type is not None and node_type.calls is not None:
                called = calling(f"{path}.inputs", node, node_type, self.subflows, self.specs, self.suggest)
                node_type = called.type
                self.calls[node.id] = called.name
                if called.faults or not called.known:
                    self.refused.add(node.id)
                for error in called.faults:
                    self._add(1, index, error)
            if node_type is not None and node_type.listens_to is not None and self.base:
                message = f"a subflow takes no events: move this {node.type} to the flow's own nodes"
                self._error(1, index, f"{path}.type", ErrorCode.INVALID_VALUE, message)
            if node_type is None:
                code, message = self._unknown_type(node.type)
                self._error(1, index, f"{path}.type", code, message)
            if node.id != INPUTS_NODE_ID:
                self.nodes.setdefault(node.id, (index, node, node_type))
            for error in self.limits.node_errors(path, node, node_type):
                self.refused.add(node.id)
                self._add(1, index, error)

    def check_edges(self) -> None:
        """Check form, nodes and target ports of the edges, and that no port has two of them."""
        taken: dict[tuple[str, str], _Taken] = {}
        for index, edge in enumerate(self.spec.edges):
            path = f"{self.at}.edges[{index}]"
            source = self._end(index, f"{path}.from", edge.from_)
            target = self._end(index, f"{path}.to", edge.to)
            if source is not None and not self._known_source(index, f"{path}.from", source):
                source = None
            if target is None or not self._known_target(index, f"{path}.to", target):
                self.literals.unsure.add(edge.to.partition(".")[0])
                continue
            node_type = self.nodes[target.node][2]
            port = node_type.input(target.port) if node_type else None
            connection = Connection(
                index=index,
                source=None if source is None or source.node == INPUTS_NODE_ID else source.node,
                source_port="" if source is None else source.port,
                source_segments=() if source is None else source.segments,
                target=target.node,
                target_port=target.port,
                target_segments=target.segments,
                tolerant=port is not None and port.tolerant,
                from_=edge.from_,
                to=edge.to,
            )
            clash = taken.setdefault((target.node, target.port), _Taken()).take(connection)
            if clash is not None:
                message = (
                    f"{self.at}.edges[{clash.index}] already ends at {clash.to}: a port takes one edge. "
                    "Combine alternatives with a Join node"
                )
                self._error(2, index, f"{path}.to", ErrorCode.PORT_TAKEN, message)
                continue
            self.connections.append(connection)

    def check_order(self) -> None:
        """Check for cycles, and determine the order in which types follow from each other."""
        cycles, self.order = cycles_and_order(list(self.nodes), self.connections)
        for cycle in cycles:
            self.cyclic.update(each.source for each in cycle if each.source)
            last = cycle[-1]
            way = " → ".join([cycle[0].source or "", *(each.target for each in cycle)])
            message = f"closes the cycle {way}: remove one of these edges"
            self._error(2, last.index, f"{self.at}.edges[{last.index}]", ErrorCode.CYCLE, message)

    def check_types(self) -> None:
        """Check static values, missing inputs, and the types along every edge."""
        incoming: dict[str, list[Connection]] = {}
        for connection in self.connections:
            incoming.setdefault(connection.target, []).append(connection)
        for id_ in self.order:
            index, node, node_type = self.nodes[id_]
            if node_type is None or id_ in self.refused:
                continue
            sources = [(each, self._source_type(each)) for each in incoming.get(id_, [])]
            ports = resolve_node(f"{self.at}.nodes[{index}]", node, node_type, sources, self.literals, self.suggest)
            self.resolved[id_] = ports
            for error in ports.node_errors:
                self._add(1, index, error)
            for each, error in ports.edge_errors:
                self._add(2, each, error)

    def check_signals(self) -> None:
        """Check that no two nodes take the same signal."""
        for id_, (index, _, node_type) in self.nodes.items():
            ports = self.resolved.get(id_)
            if node_type is None or ports is None or ports.signal is None:
                continue
            path = f"{self.at}.nodes[{index}].inputs.{node_type.takes_signals}"
            if len(ports.signal) > MAX_EVENT_NAME or not ports.signal.isprintable():
                message = f"the name of a signal has at most {MAX_EVENT_NAME} characters, and no control characters"
                self._error(1, index, path, ErrorCode.INVALID_VALUE, message)
            taker = self.signals.setdefault(ports.signal, id_)
            if taker != id_:
                message = f"the node {taker!r} takes the signal {ports.signal!r} already: give this one another name"
                self._error(1, index, path, ErrorCode.DUPLICATE_SIGNAL, message)

    def check_outputs(self) -> None:
        """Check names and sources of the flow's outputs."""
        seen: set[str] = set()
        for index, output in enumerate(self.spec.outputs):
            path = f"{self.at}.outputs[{index}]"
            if output.name in seen:
                message = f"duplicate output {output.name!r}: rename one of them"
                self._error(3, index, f"{path}.name", ErrorCode.DUPLICATE_OUTPUT, message)
            seen.add(output.name)
            end = self._end(index, f"{path}.from", output.from_, section=3)
            if end is None:
                continue
            if end.node == INPUTS_NODE_ID:
                message = "an output must come from a node, not from an input of the flow"
                self._error(3, index, f"{path}.from", ErrorCode.UNKNOWN_NODE, message)
            elif self._known_node(index, f"{path}.from", end, section=3):
                found = self._output_type(end.node, end.port, end.segments)
                if isinstance(found, str):
                    self._error(3, index, f"{path}.from", ErrorCode.UNKNOWN_PORT, found)
                self.output_types[output.name] = found if isinstance(found, AnyPortType) else BARE
                self.outputs.append(GraphOutput(output.name, end.node, end.port, end.segments))

    def check_calls(self) -> None:
        """Check the lengths of the paths inside its calls, and keep what its own callers have to know."""
        known = {name: each for name, each in self.subflows.items() if each is not None}
        specs = [node for _, node, _ in self.nodes.values()]
        lengths = path_lengths(specs, self.signals, self.catalogue, known)
        reported = any(length_fault(known[name].lengths) for name in self.calls.values() if name in known)
        fault = length_fault(lengths) if self.calls and not reported else None
        if fault is not None:
            self._error(1, 0, f"{self.at}.nodes", ErrorCode.INVALID_VALUE, fault)
        if isinstance(self.spec, SubflowSpec):
            self.signature = Signature(self.spec, self.output_types, lengths)

    def _unknown_type(self, name: str) -> tuple[ErrorCode, str]:
        """Return the error for an unknown type, searched once for all nodes of that type."""
        if name not in self.unknown_types:
            meant, hint = self.suggest.almost(name, self.catalogue)
            code = ErrorCode.MISSPELLED_NODE_TYPE if meant else ErrorCode.UNKNOWN_NODE_TYPE
            self.unknown_types[name] = (code, f"unknown node type {name!r}{hint}")
        return self.unknown_types[name]

    # -- what the passes share -------------------------------------------------------------------------------

    def _error(self, section: int, index: int, path: str, code: ErrorCode, message: str) -> None:
        self._add(section, index, FieldError(path, code, message))

    def _add(self, section: int, index: int, error: FieldError) -> None:
        self.findings.add(self.base + section, index, error)

    def _end(self, index: int, path: str, text: str, section: int = 2) -> Endpoint | None:
        end = parse_endpoint(text)
        if end is None:
            message = f"{text!r} is not of the form node.port, node.port.name or node.port[0].name"
            self._error(section, index, path, ErrorCode.MALFORMED_EDGE, message)
        return end

    def _known_node(self, index: int, path: str, end: Endpoint, section: int = 2) -> bool:
        if end.node in self.nodes:
            return True
        message = f"unknown node {end.node!r}{self.suggest(end.node, self.nodes)}"
        self._error(section, index, path, ErrorCode.UNKNOWN_NODE, message)
        return False

    def _known_source(self, index: int, path: str, end: Endpoint) -> bool:
        if end.node != INPUTS_NODE_ID:
            return self._known_node(index, path, end)
        if end.port in self.flow_inputs:
            return True
        message = f"the flow has no input {end.port!r}{self.suggest(end.port, self.flow_inputs)}"
        self._error(2, index, path, ErrorCode.UNKNOWN_INPUT, message)
        return False

    def _known_target(self, index: int, path: str, end: Endpoint) -> bool:
        if end.node == INPUTS_NODE_ID:
            message = "an edge cannot end at an input of the flow: swap `from` and `to`"
            self._error(2, index, path, ErrorCode.UNKNOWN_NODE, message)
            return False
        if not self._known_node(index, path, end):
            return False
        node_type = self.nodes[end.node][2]
        port = node_type.input(end.port) if node_type else None
        if node_type is not None and port is None:
            known = [each.key for each in node_type.inputs if not each.static] + [EXECUTE]
            message = f"{node_type.type} has no input {end.port!r}{self.suggest(end.port, known)}"
            if any(each.key == end.port for each in node_type.outputs):
                message += " (it is an output; an edge must end at an input)"
            self._error(2, index, path, ErrorCode.UNKNOWN_PORT, message)
            return False
        if port is not None and port.static:
            message = f"{end.port!r} is static: set it in the node's `inputs`, not by an edge"
            self._error(2, index, path, ErrorCode.STATIC_PORT, message)
            return False
        return True

    def _source_type(self, connection: Connection) -> AnyPortType | str | None:
        """Return the type at an edge's source; a text says why there is none, None that it is unknown."""
        if connection.source is not None:
            return self._output_type(connection.source, connection.source_port, connection.source_segments)
        declared = self.flow_inputs.get(connection.source_port)
        return None if declared is None else type_at(declared, connection.source_segments, self.suggest)

    def _output_type(self, node: str, port: str, segments: tuple[str | int, ...]) -> AnyPortType | str | None:
        node_type = self.nodes[node][2]
        resolved = self.resolved.get(node)
        if node_type is None or (resolved is not None and resolved.outputs_unknown):
            return None
        known = dict(SYSTEM_TYPES)
        if resolved is not None:
            known |= resolved.outputs
        else:
            # Within a cycle types are unknown, but names can be checked.
            known |= {each.key: each.type for each in node_type.outputs}
            if port in known or any(each.keys_of is not None for each in node_type.outputs):
                return None
        if port not in known:
            hint = self.suggest(port, [each for each in known if each not in SYSTEM_TYPES])
            if node_type.input(port) is not None:
                hint = f" (it is an input; an edge must start at an output){hint}"
            return f"{node_type.type} has no output {port!r}{hint}"
        found = type_at(known[port], segments, self.suggest)
        if resolved is not None and port in resolved.unknown and not isinstance(found, str) and vague(found):
            # The type would be known without the error of its inputs, which is reported itself.
            return None
        return found


class _Taken:
    """The places of one port that edges write. Two of them overlap when one is inside the other, or the same."""

    def __init__(self) -> None:
        self._at: dict[tuple[str | int, ...], Connection] = {}
        self._inside: dict[tuple[str | int, ...], Connection] = {}

    def take(self, connection: Connection) -> Connection | None:
        """Return the edge that overlaps with this one, or take its place if there is none."""
        place = connection.target_segments
        outer = [place[:length] for length in range(len(place) + 1)]
        clash = self._inside.get(place) or next((self._at[each] for each in outer if each in self._at), None)
        if clash is None:
            self._at[place] = connection
            for each in outer:
                self._inside.setdefault(each, connection)
        return clash
