"""Resolve one node of a flow against its type: the values of its inputs, and its outputs with their types.

This part of validation needs types. It is called for each node in topological order, so the types of its sources are
known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from chaingraph_crds.flow import NodeSpec
from chaingraph_crds.yaml.scalars import asked_for
from chaingraph_flow.catalogue import APPROVERS, EXECUTE, EXECUTE_PORT, InputPort, NodeType, OutputPort
from chaingraph_flow.field_errors import ErrorCode, FieldError, Suggestions
from chaingraph_flow.ports.derive import inputs_of, narrowed, resolve, schema_inputs_of, unwrapped
from chaingraph_flow.ports.json_values import DEEPEST, Segment, article, copied, render
from chaingraph_flow.ports.types import BARE, AnyPortType, Array, Object, accepts, check_value, child, parse_type
from chaingraph_flow.ports.types import Any as AnyType
from chaingraph_flow.validation.literals import Literals
from chaingraph_flow.validation.retry_reasons import reason_errors
from chaingraph_flow.validation.wiring import Connection, InputSlot

Source = tuple[Connection, AnyPortType | str | None]
"""An edge and the type at its source: a text says why there is no such place, None that it is unknown."""


@dataclass
class NodePorts:
    """A node's ports in this flow."""

    type: NodeType
    suggest: Suggestions
    slots: tuple[InputSlot, ...] = ()
    incoming: tuple[Connection, ...] = ()
    outputs: dict[str, AnyPortType] = field(default_factory=dict)
    optional_outputs: frozenset[str] = frozenset()
    listens_to: str | None = None
    signal: str | None = None
    outputs_unknown: bool = False
    """The keys of a dynamic output are invalid, so edges from here cannot be checked."""
    unsound: set[str] = field(default_factory=set)
    """The inputs with an edge of unknown type, or an edge that they refuse."""
    unknown: set[str] = field(default_factory=set)
    """The outputs whose type follows from such inputs: the derived type is unreliable."""
    root: str = "spec"
    """The path of the graph: `spec`, or `spec.subflows[1]`."""
    node_errors: list[FieldError] = field(default_factory=list)
    edge_errors: list[tuple[int, FieldError]] = field(default_factory=list)


def vague(type_: AnyPortType) -> bool:
    """Whether some part of a type's values could be anything."""
    match type_:
        case AnyType():
            return type_.underlying is None or vague(type_.underlying)
        case Array():
            return type_.items is None or vague(type_.items)
        case Object():
            return type_.properties is None or any(map(vague, type_.properties.values()))
        case _:
            return False


def type_at(type_: AnyPortType, segments: Sequence[Segment], suggest: Suggestions) -> AnyPortType | str:
    """Return the type of a place inside a value of `type_`, or why there is none."""
    here: AnyPortType = type_
    for depth, segment in enumerate(segments):
        inner = child(here, segment)
        if inner is None:
            where = render("", segments[:depth]).lstrip(".") or "the value"
            place = f"[{segment}]" if isinstance(segment, int) else repr(segment)
            shown = unwrapped(here)
            hint = ""
            if isinstance(shown, Object) and shown.properties and isinstance(segment, str):
                hint = suggest(segment, shown.properties)
            return f"{where} is {article(shown.label())} and has no {place}{hint}"
        here = inner
    return here


def resolve_node(
    path: str, node: NodeSpec, node_type: NodeType, sources: Sequence[Source], literals: Literals, suggest: Suggestions
) -> NodePorts:
    """Resolve a node's ports in this flow, and find its errors."""
    root = path.rpartition(".")[0]
    ports = NodePorts(node_type, incoming=tuple(connection for connection, _ in sources), suggest=suggest, root=root)
    _unknown_inputs(ports, path, node, node_type)
    by_port: dict[str, list[Source]] = {}
    for each in sources:
        by_port.setdefault(each[0].target_port, []).append(each)
    actual: dict[str, AnyPortType] = {}
    values: dict[str, Any] = {}
    slots: list[InputSlot] = []
    for port in (*node_type.inputs, EXECUTE_PORT):
        edges = by_port.get(port.key, [])
        slot, found = _input(ports, f"{path}.inputs", node, port, edges)
        if port is not EXECUTE_PORT:
            slots.append(slot)
        values[port.key] = slot.value
        if found is not None:
            actual[port.key] = found
    ports.slots = tuple(slots)
    _literal_texts(ports, f"{path}.inputs", node, by_port, literals)
    for output in node_type.outputs:
        _output(ports, f"{path}.inputs", output, actual, values)
    if node_type.listens_to is not None:
        ports.listens_to = str(values.get(node_type.listens_to) or "")
    if node.retry is not None:
        ports.node_errors += reason_errors(f"{path}.retry.retryOn", node.retry.retry_on, suggest)
    if node_type.approval:
        _approver_errors(ports, render(f"{path}.inputs", [APPROVERS]), node.inputs.get(APPROVERS))
    if node_type.takes_signals is not None:
        ports.signal = str(values.get(node_type.takes_signals) or node.id)
    return ports


def _literal_texts(
    ports: NodePorts, path: str, node: NodeSpec, by_port: dict[str, list[Source]], literals: Literals
) -> None:
    """Find the errors of fixed templates and expressions."""
    for port in ports.type.inputs:
        text = node.inputs.get(port.key)
        if isinstance(text, str) and port.expression:
            ports.node_errors += literals.expression_errors(render(path, [port.key]), text)
        values = None if port.template_values is None else ports.type.input(port.template_values)
        if isinstance(text, str) and values is not None:
            parts = [connection.target_segments for connection, _ in by_port.get(values.key, [])]
            given = node.inputs.get(values.key)
            ports.node_errors += literals.template_errors(
                node.id, render(path, [port.key]), text, values=given, parts=parts, port=values
            )


def _approver_errors(ports: NodePorts, path: str, approvers: Any) -> None:
    """Find approvers that nobody is, or in a list of an unknown name: anybody would be refused without a reason."""
    if not isinstance(approvers, dict):
        return
    known = ("users", "groups")
    for name in approvers:
        if name not in known:
            message = f"approvers takes `users` and `groups`, and no {name!r}{ports.suggest(name, known)}"
            ports.node_errors.append(FieldError(render(path, [name]), ErrorCode.INVALID_VALUE, message))
    if not any(approvers.get(name) for name in known):
        message = "names no one who may approve: give `users` or `groups`, such as {groups: [release-managers]}"
        ports.node_errors.append(FieldError(path, ErrorCode.INVALID_VALUE, message))


def _unknown_inputs(ports: NodePorts, path: str, node: NodeSpec, node_type: NodeType) -> None:
    known = [port.key for port in node_type.inputs]
    for key in node.inputs:
        if key not in known and key != EXECUTE:
            message = f"{node_type.type} has no input {key!r}{ports.suggest(key, known)}"
            ports.node_errors.append(FieldError(render(path, ["inputs", key]), ErrorCode.UNKNOWN_PORT, message))


def _literal_errors(type_: AnyPortType, value: Any, place: str) -> list[FieldError]:
    """Return the errors of a value in the flow."""
    errors = check_value(type_, value, place)
    if isinstance(value, bool) and not isinstance(type_, Array | Object):
        return [replace(each, message=each.message + asked_for(str(value).lower())) for each in errors]
    return errors


def _input(
    ports: NodePorts, path: str, node: NodeSpec, port: InputPort, edges: list[Source]
) -> tuple[InputSlot, AnyPortType | None]:
    """Return how the engine fills an input, and the type of its value (None: no value, or unknown)."""
    value = node.inputs.get(port.key)
    given = value is not None
    place = render(path, [port.key])
    if given:
        ports.node_errors += _literal_errors(port.type, value, place) if not _in_parts(edges) else []
    if given and not port.tolerant:
        whole = next((connection for connection, _ in edges if not connection.target_segments), None)
        if whole is not None:
            message = f"{node.id}.{port.key} is also set in the node's `inputs`: remove the value or the edge"
            ports.edge_errors.append((whole.index, FieldError(_to(ports, whole), ErrorCode.PORT_TAKEN, message)))
    if port.required and not given and not edges:
        connect = "" if port.static else f", or connect an edge to {node.id}.{port.key}"
        message = f"{port.key!r} is required: set it here{connect}"
        ports.node_errors.append(FieldError(place, ErrorCode.MISSING_INPUT, message))
    slot = InputSlot(
        key=port.key,
        type=port.type,
        required=port.required,
        value=copied(value if given else port.default),
        given=given,
        connections=tuple(connection for connection, _ in edges),
    )
    start = _start(port, value, given)
    if not edges:
        return slot, start
    return slot, _connected(ports, place, port, edges, start if given else None)


def _in_parts(edges: list[Source]) -> bool:
    return any(connection.target_segments for connection, _ in edges)


def _start(port: InputPort, value: Any, given: bool) -> AnyPortType | None:
    if given:
        return narrowed(port.type, value)
    if port.required or port.default is None:
        return None
    return port.type


def _connected(
    ports: NodePorts, place: str, port: InputPort, edges: list[Source], start: AnyPortType | None
) -> AnyPortType | None:
    """Return the type of the edges' value, and record errors where it does not fit."""
    parts: list[tuple[Connection, AnyPortType]] = []
    sound = True
    for connection, source in edges:
        if isinstance(source, str):
            error = FieldError(f"{ports.root}.edges[{connection.index}].from", ErrorCode.UNKNOWN_PORT, source)
            ports.edge_errors.append((connection.index, error))
        if source is None or isinstance(source, str):
            sound = False
            continue
        target = type_at(port.type, connection.target_segments, ports.suggest)
        if isinstance(target, str):
            ports.edge_errors.append(
                (connection.index, FieldError(_to(ports, connection), ErrorCode.UNKNOWN_PORT, target))
            )
            sound = False
            continue
        reason = None if port is EXECUTE_PORT and connection.of_error else accepts(target, source)
        if reason is not None:
            message = f"{connection.from_} → {connection.to}: {reason}"
            ports.edge_errors.append(
                (connection.index, FieldError(_to(ports, connection), ErrorCode.TYPE_MISMATCH, message))
            )
            sound = False
            continue
        parts.append((connection, unwrapped(source)))
    if not sound:
        ports.unsound.add(port.key)
    if not sound or not parts:
        return None
    if not parts[0][0].target_segments:
        return parts[0][1]
    written = [(connection.target_segments, source) for connection, source in parts]
    return _assembled(ports, place, port, _with_parts(start or BARE, written))


def _assembled(ports: NodePorts, place: str, port: InputPort, whole: AnyPortType) -> AnyPortType:
    reason = accepts(port.type, whole)
    if reason is not None:
        message = f"the value and the edges of {port.key!r} together do not fit: {reason}"
        ports.node_errors.append(FieldError(place, ErrorCode.MISSING_INPUT, message))
    return whole


def _with_parts(whole: AnyPortType, parts: Sequence[tuple[Sequence[Segment], AnyPortType]]) -> AnyPortType:
    """Return the type of a value after all parts were written, with each object built once."""
    heads = {segments[0] for segments, _ in parts if segments}
    if len(parts) == 1 or not all(segments for segments, _ in parts):
        grouped = False
    else:
        grouped = len(heads) == 1 or all(isinstance(head, str) for head in heads)
    if not grouped:
        for segments, part in parts:
            whole = _with_part(whole, segments, part)
        return whole
    groups: dict[Segment, list[tuple[Sequence[Segment], AnyPortType]]] = {}
    for segments, part in parts:
        groups.setdefault(segments[0], []).append((segments[1:], part))
    if any(isinstance(head, int) for head in groups):
        items = whole.items if isinstance(whole, Array) else None
        [group] = groups.values()
        inner = _with_parts(items or BARE, group)
        return Array(items=inner if _shallow(inner) and (items is None or items == inner) else BARE)
    properties = dict(whole.properties or {}) if isinstance(whole, Object) else {}
    for head, group in groups.items():
        inner = _with_parts(properties.get(str(head), BARE), group)
        properties[str(head)] = inner if _shallow(inner) else BARE
    return Object(properties=properties)


def _with_part(whole: AnyPortType, segments: Sequence[Segment], part: AnyPortType) -> AnyPortType:
    """Return the type of a value after `written(value, segments, ...)`."""
    if not segments:
        return part
    head, rest = segments[0], segments[1:]
    if isinstance(head, int):
        items = whole.items if isinstance(whole, Array) else None
        inner = _with_part(items or BARE, rest, part)
        return Array(items=inner if _shallow(inner) and (items is None or items == inner) else BARE)
    properties = dict(whole.properties or {}) if isinstance(whole, Object) else {}
    inner = _with_part(properties.get(head, BARE), rest, part)
    properties[head] = inner if _shallow(inner) else BARE
    return Object(properties=properties)


def _shallow(type_: AnyPortType) -> bool:
    """Whether another type may contain it. Values cannot be nested deeper than DEEPEST."""
    return type_.depth < DEEPEST


def _to(ports: NodePorts, connection: Connection) -> str:
    return f"{ports.root}.edges[{connection.index}].to"


def _output(
    ports: NodePorts, path: str, output: OutputPort, actual: dict[str, AnyPortType], values: dict[str, Any]
) -> None:
    if output.keys_of is not None:
        _dynamic_outputs(ports, path, output, values.get(output.keys_of))
        return
    type_ = output.type
    if output.typed_by is not None:
        _given_type_errors(ports, path, output, values)
        if ports.unsound & inputs_of(output.typed_by):
            ports.unknown.add(output.key)
        derived = resolve(output.typed_by, actual, values)
        if derived is not None and accepts(type_, derived) is None:
            type_ = derived
    ports.outputs[output.key] = type_
    if output.optional or isinstance(type_, AnyType):
        ports.optional_outputs |= {output.key}


def _dynamic_outputs(ports: NodePorts, path: str, output: OutputPort, cases: Any) -> None:
    if not isinstance(cases, dict):
        ports.outputs_unknown = True
        return
    taken = {each.key for each in ports.type.outputs if each.keys_of is None}
    for key in cases:
        if key in taken or key.startswith("__") or not key.replace("-", "_").isidentifier():
            place = render(path, [output.keys_of or "", key])
            names = ", ".join(sorted(taken))
            message = f"{key!r} is not a valid output name: use letters, digits, _ and -, and not {names}"
            ports.node_errors.append(FieldError(place, ErrorCode.INVALID_VALUE, message))
            continue
        ports.outputs[key] = output.type
        if output.optional:
            ports.optional_outputs |= {key}


def _given_type_errors(ports: NodePorts, path: str, output: OutputPort, values: dict[str, Any]) -> None:
    """Record errors of the inputs that describe the type of an output."""
    assert output.typed_by is not None
    for name in sorted(schema_inputs_of(output.typed_by)):
        if values.get(name) is None:
            continue
        place = render(path, [name])
        parsed = parse_type(values[name], place)
        if isinstance(parsed, list):
            ports.node_errors += [error for error in parsed if error not in ports.node_errors]
            continue
        derived = resolve(output.typed_by, {}, values)
        reason = None if derived is None else accepts(output.type, derived)
        if reason is not None:
            message = f"does not fit output {output.key!r}: {reason}"
            ports.node_errors.append(FieldError(place, ErrorCode.INVALID_VALUE, message))
