"""The subflows of a flow: the order in which they call each other, and their ports as seen by a calling node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chaingraph_crds.flow import NodeSpec, SubflowSpec
from chaingraph_crds.limits import MAX_CALL_DEPTH, MAX_EVENT_NAME, MAX_NODE_PATH, MAX_PLACES
from chaingraph_crds.node_paths import SUBFLOW
from chaingraph_flow.catalogue import Catalogue, InputPort, NodeType, OutputPort
from chaingraph_flow.field_errors import ErrorCode, FieldError, Suggestions
from chaingraph_flow.ports.json_values import DEEPEST, article
from chaingraph_flow.ports.types import BARE, AnyPortType, Array, Boolean, Object
from chaingraph_flow.ports.types import Any as AnyType
from chaingraph_flow.validation.inputs import SECRET, declared_type

SUPPLIED: Final[Mapping[str, frozenset[str]]] = {
    "once": frozenset(),
    "each": frozenset(("item", "index")),
    "repeat": frozenset(("iteration",)),
}
"""The inputs of the subflow that the calling node supplies itself."""
UNTIL: Final = "until"
_NUMBER_LENGTH: Final = len("[99999]")


@dataclass(frozen=True, slots=True)
class Lengths:
    """How far the calls of a graph reach.

    Attributes:
        depth: how many graphs are inside one another, with its own.
        places: the number of nodes, with those of all its calls.
        path: the length of the longest path of a node.
        signal: the length of the longest name of a signal; 0 without any.
    """

    depth: int
    places: int
    path: int
    signal: int


@dataclass(frozen=True, slots=True)
class Signature:
    """A subflow as its callers see it."""

    spec: SubflowSpec
    outputs: Mapping[str, AnyPortType]
    lengths: Lengths


@dataclass(frozen=True, slots=True)
class Called:
    """What a calling node calls.

    Attributes:
        type: the type of the node, with the subflow's ports.
        name: the name of the subflow; '' when it has none.
        known: whether the ports of the subflow are known.
    """

    type: NodeType
    name: str = ""
    faults: tuple[FieldError, ...] = ()
    known: bool = False


def callee(node: NodeSpec, catalogue: Catalogue) -> str | None:
    """Return the name of the subflow that a node calls; None when it calls none, or names none."""
    node_type = catalogue.get(node.type)
    name = node.inputs.get(SUBFLOW) if node_type is not None and node_type.calls is not None else None
    return name if isinstance(name, str) else None


def call_order(subflows: Sequence[SubflowSpec], catalogue: Catalogue) -> tuple[list[str], list[list[tuple[str, int]]]]:
    """Return the names of the subflows, called ones before their callers; and the circles of calls.

    A circle is a list of subflows with the position of the node that calls the next one. Its members are in the order
    all the same.
    """
    calls = {
        each.name: [
            (name, index) for index, node in enumerate(each.nodes) if (name := callee(node, catalogue)) is not None
        ]
        for each in subflows
    }
    order: dict[str, None] = {}
    circles: list[list[tuple[str, int]]] = []

    def visit(name: str, way: list[tuple[str, int]]) -> None:
        for target, index in calls[name]:
            here = [*way, (name, index)]
            names = [each for each, _ in here]
            if target in names:
                circles.append(here[names.index(target) :])
            elif target in calls and target not in order:
                visit(target, here)
        order.setdefault(name)

    for start in calls:
        if start not in order:
            visit(start, [])
    return list(order), circles


def calling_type(node_type: NodeType, signature: Signature) -> NodeType:
    """Return the type of a node that calls this subflow: with the subflow's inputs and outputs."""
    kind = node_type.calls or "once"
    inputs = [
        InputPort(
            key=each.name,
            type=declared_type(each),
            description=each.description,
            required=each.required and each.default is None,
            default=each.default,
        )
        for each in signature.spec.inputs
        if each.name not in SUPPLIED[kind]
    ]
    own_inputs = list(node_type.inputs)
    own_outputs = list(node_type.outputs)
    if kind == "each":
        item = next((declared_type(each) for each in signature.spec.inputs if each.name == "item"), AnyType())
        items = Array() if isinstance(item, AnyType) else Array(items=item)
        own_inputs = [port.model_copy(update={"type": items}) if port.key == "items" else port for port in own_inputs]
        results = Array(items=_record(signature.outputs))
        own_outputs = [
            port.model_copy(update={"type": results}) if port.key == "results" else port for port in own_outputs
        ]
    else:
        own_outputs += [OutputPort(key=name, type=type_, optional=True) for name, type_ in signature.outputs.items()]
    return node_type.model_copy(update={"inputs": (*own_inputs, *inputs), "outputs": tuple(own_outputs)})


def calling(
    path: str, node: NodeSpec, node_type: NodeType, subflows: Mapping[str, Signature | None], suggest: Suggestions
) -> Called:
    """Return what a node calls, and every fault of the call.

    Args:
        path: that of the node's inputs.
        subflows: those that it may call; None for one whose ports are not known.
    """
    name = node.inputs.get(SUBFLOW)
    place = f"{path}.{SUBFLOW}"
    if not isinstance(name, str):
        code = ErrorCode.MISSING_INPUT if name is None else ErrorCode.INVALID_VALUE
        message = f"{SUBFLOW!r} is required: the name of one of the flow's subflows"
        return Called(node_type, faults=(FieldError(place, code, message),))
    if name not in subflows:
        hint = suggest(name, subflows) if subflows else ": define it in spec.subflows"
        message = f"the flow has no subflow {name!r}{hint}"
        return Called(node_type, name, (FieldError(place, ErrorCode.UNKNOWN_SUBFLOW, message),))
    signature = subflows[name]
    if signature is None:
        return Called(node_type, name)
    faults = [
        FieldError(place, ErrorCode.INVALID_VALUE, f"the subflow {name!r} does not fit: {clash}")
        for clash in _clashes(node_type, signature.spec)
    ]
    until = node.inputs.get(UNTIL)
    if node_type.calls == "repeat" and isinstance(until, str):
        message = _until_fault(until, name, signature, suggest)
        faults += [FieldError(f"{path}.{UNTIL}", ErrorCode.UNKNOWN_PORT, message)] if message else []
    if faults:
        return Called(node_type, name, tuple(faults))
    return Called(calling_type(node_type, signature), name, known=True)


def _clashes(node_type: NodeType, spec: SubflowSpec) -> list[str]:
    kind = node_type.calls or "once"
    found = [
        f"its input {each.name!r} has the name of an input of {node_type.type}; rename it in the subflow"
        for each in spec.inputs
        if node_type.input(each.name) is not None
    ]
    if kind != "each":
        taken = {port.key for port in node_type.outputs}
        found += [
            f"its output {each.name!r} has the name of an output of {node_type.type}; rename it in the subflow"
            for each in spec.outputs
            if each.name in taken
        ]
    if kind == "repeat":
        secrets = {each.name for each in spec.inputs if each.type == SECRET}
        found += [
            f"its output {each.name!r} would be the secret of the next round; rename it in the subflow"
            for each in spec.outputs
            if each.name in secrets
        ]
    return found


def _until_fault(until: str, name: str, signature: Signature, suggest: Suggestions) -> str:
    type_ = signature.outputs.get(until)
    if type_ is None:
        return f"the subflow {name!r} has no output {until!r}{suggest(until, signature.outputs)}"
    if isinstance(type_, Boolean | AnyType):
        return ""
    return f"the output {until!r} of the subflow {name!r} is {article(type_.label())}, and has to be true or false"


def path_lengths(
    nodes: Iterable[NodeSpec], signals: Iterable[str], catalogue: Catalogue, known: Mapping[str, Signature]
) -> Lengths:
    """Return how far the calls of a graph reach."""
    depth, count, longest, longest_signal = 0, 0, 0, max(map(len, signals), default=0)
    for node in nodes:
        count += 1
        longest = max(longest, len(node.id))
        called = known.get(callee(node, catalogue) or "")
        if called is not None:
            before = len(node.id) + _NUMBER_LENGTH + 1
            depth = max(depth, called.lengths.depth)
            count += called.lengths.places
            longest = max(longest, before + called.lengths.path)
            if called.lengths.signal:
                longest_signal = max(longest_signal, before + called.lengths.signal)
    return Lengths(depth + 1, count, longest, longest_signal)


def length_fault(lengths: Lengths) -> str | None:
    """Return why the calls of a graph reach too far, or None."""
    if lengths.depth > MAX_CALL_DEPTH + 1:
        return f"more than {MAX_CALL_DEPTH} calls are inside one another: make some of them one after the other"
    if lengths.places > MAX_PLACES:
        return (
            f"the flow has {lengths.places} nodes, counting those of a subflow for each call, and {MAX_PLACES} are "
            "possible: call a subflow from fewer nodes, for example by one ForEach"
        )
    if lengths.path > MAX_NODE_PATH:
        return (
            f"the path of a node inside the calls has up to {lengths.path} characters, and {MAX_NODE_PATH} are "
            "possible: use shorter ids"
        )
    if lengths.signal > MAX_EVENT_NAME:
        return (
            f"the name of a signal inside the calls has up to {lengths.signal} characters, and {MAX_EVENT_NAME} are "
            "possible: use shorter ids"
        )
    return None


def _record(outputs: Mapping[str, AnyPortType]) -> AnyPortType:
    shallow = {name: type_ if type_.depth < DEEPEST - 2 else BARE for name, type_ in outputs.items()}
    properties = {name: type_.model_copy(update={"nullable": True}) for name, type_ in shallow.items()}
    return Object(properties=properties or None, nullable=True)
