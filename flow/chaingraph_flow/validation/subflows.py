"""The subflows of a flow: the order in which they call each other, and their ports as seen by a calling node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from chaingraph_crds.flow import NodeSpec, OnExit, SubflowSpec
from chaingraph_crds.limits import MAX_CALL_DEPTH, MAX_EVENT_NAME, MAX_NODE_PATH, MAX_PLACES
from chaingraph_crds.node_paths import CHILD, FLOW, RUN, SUBFLOW, calls_children
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
INPUTS: Final = "inputs"
OUTPUTS: Final = "outputs"
"""The ports of a node that calls another Flow."""
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
    """Return the name of the subflow that a node calls in its own execution; None when there is none."""
    node_type = catalogue.get(node.type)
    inline = node_type is not None and node_type.calls is not None and not calls_children(node.inputs)
    name = node.inputs.get(SUBFLOW) if inline else None
    return name if isinstance(name, str) else None


def call_order(subflows: Sequence[SubflowSpec], catalogue: Catalogue) -> tuple[list[str], list[list[tuple[str, int]]]]:
    """Return the names of the subflows, called ones before their callers; and the circles of calls.

    A circle is a list of subflows with the position of the node that calls the next one. Its members are in the order
    all the same. Calls that are executions of their own make no circle, and count for the order where they can.
    """
    calls = {
        each.name: [
            (name, index) for index, node in enumerate(each.nodes) if (name := callee(node, catalogue)) is not None
        ]
        for each in subflows
    }
    _, circles = _visited(calls, calls)
    order, _ = _visited(calls, _all_callees_first(subflows))
    return order, circles


def _visited(
    calls: Mapping[str, Sequence[tuple[str, int]]], starts: Iterable[str]
) -> tuple[list[str], list[list[tuple[str, int]]]]:
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

    for start in starts:
        if start not in order:
            visit(start, [])
    return list(order), circles


def _all_callees_first(subflows: Sequence[SubflowSpec]) -> list[str]:
    """Return the names in an order in which callers come after all that they name, except in a circle."""
    named = {each.name: [node.inputs.get(SUBFLOW) for node in each.nodes] for each in subflows}
    order: dict[str, None] = {}
    seen: set[str] = set()

    def visit(name: str) -> None:
        seen.add(name)
        for target in named[name]:
            if isinstance(target, str) and target in named and target not in seen:
                visit(target)
        order.setdefault(name)

    for start in named:
        if start not in seen:
            visit(start)
    return list(order)


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
    path: str,
    node: NodeSpec,
    node_type: NodeType,
    subflows: Mapping[str, Signature | None],
    specs: Mapping[str, SubflowSpec],
    suggest: Suggestions,
) -> Called:
    """Return what a node calls, and every fault of the call.

    Args:
        path: that of the node's inputs.
        subflows: those that it may call; None for one whose ports are not known.
        specs: all subflows of the flow, by name.
    """
    name = node.inputs.get(SUBFLOW)
    place = f"{path}.{SUBFLOW}"
    if node_type.input(FLOW) is not None and node.inputs.get(FLOW) is not None:
        return _calling_flow(path, node, node_type)
    if not isinstance(name, str):
        code = ErrorCode.MISSING_INPUT if name is None else ErrorCode.INVALID_VALUE
        message = f"{SUBFLOW!r} is required: the name of one of the flow's subflows"
        if node_type.input(FLOW) is not None:
            message += f"; or {FLOW!r}, the name of another Flow"
        return Called(node_type, faults=(FieldError(place, code, message),))
    if name not in subflows:
        hint = suggest(name, subflows) if subflows else ": define it in spec.subflows"
        message = f"the flow has no subflow {name!r}{hint}"
        return Called(node_type, name, (FieldError(place, ErrorCode.UNKNOWN_SUBFLOW, message),))
    signature = subflows[name]
    if signature is None and calls_children(node.inputs) and name in specs:
        # It calls itself through children. The types of its outputs follow from themselves.
        outputs: dict[str, AnyPortType] = {each.name: AnyType() for each in specs[name].outputs}
        signature = Signature(specs[name], outputs, Lengths(0, 0, 0, 0))
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


def _calling_flow(path: str, node: NodeSpec, node_type: NodeType) -> Called:
    """Return the type of a node that calls another Flow, whose ports are not known here."""
    faults = []
    if not node.inputs[FLOW]:
        message = "is empty: the name of a Flow, or remove it"
        faults.append(FieldError(f"{path}.{FLOW}", ErrorCode.INVALID_VALUE, message))
    if node.inputs.get(SUBFLOW) is not None:
        message = f"{SUBFLOW!r} and {FLOW!r} exclude each other: remove one of them"
        faults.append(FieldError(f"{path}.{FLOW}", ErrorCode.INVALID_VALUE, message))
    if node.inputs.get(RUN) not in (None, CHILD):
        message = f"another Flow runs as an execution of its own: remove {RUN!r}, or set it to {CHILD}"
        faults.append(FieldError(f"{path}.{RUN}", ErrorCode.INVALID_VALUE, message))
    given = InputPort(key=INPUTS, type=Object(), default={}, description="Inputs of the Flow, by name.")
    result = OutputPort(key=OUTPUTS, type=Object(), description="Outputs of the Flow, by name.")
    type_ = node_type.model_copy(update={"inputs": (*node_type.inputs, given), "outputs": (*node_type.outputs, result)})
    return Called(type_, faults=tuple(faults), known=True)


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


ON_EXIT_INPUTS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("phase", "reason", "message", "node", "name"), "string"),
    "attempt": "number",
    "inputs": "object",
    "outputs": "object",
}
"""The inputs that the subflow of `onExit` may declare, with their types."""


def on_exit_faults(
    on_exit: OnExit, subflows: Mapping[str, SubflowSpec], path: str, suggest: Suggestions
) -> list[FieldError]:
    """Return every fault of a flow's `onExit`."""
    place = f"{path}.{SUBFLOW}"
    spec = subflows.get(on_exit.subflow)
    if spec is None:
        hint = suggest(on_exit.subflow, subflows) if subflows else ": define it in spec.subflows"
        message = f"the flow has no subflow {on_exit.subflow!r}{hint}"
        return [FieldError(place, ErrorCode.UNKNOWN_SUBFLOW, message)]
    found = []
    for each in spec.inputs:
        given = ON_EXIT_INPUTS.get(each.name)
        fits = each.type in (given, "any") if given is not None else not each.required or each.default is not None
        if not fits:
            told = f"has the type {each.type}, and is a {given}" if given is not None else "is required"
            known = ", ".join(f"{name} ({type_})" for name, type_ in ON_EXIT_INPUTS.items())
            message = f"the subflow {spec.name!r} does not fit: its input {each.name!r} {told}. onExit gives {known}"
            found.append(FieldError(place, ErrorCode.INVALID_VALUE, message))
    return found


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
