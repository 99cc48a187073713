"""Generate the reference of the built-in nodes as Markdown: docs/reference/nodes.md."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby

from chaingraph_flow import nodes
from chaingraph_flow.catalogue import EXECUTE_PORT, SYSTEM_OUTPUTS, InputPort, NodeType, OutputPort
from chaingraph_flow.examples import EXAMPLES
from chaingraph_flow.ports.derive import (
    AnyRule,
    FieldOf,
    FirstOf,
    Fixed,
    Given,
    ItemOf,
    ListOf,
    MergeOf,
    Record,
    SameAs,
    UnionOf,
    When,
)
from chaingraph_flow.ports.types import Any as AnyType
from chaingraph_flow.ports.types import AnyPortType, Array, Enum, Number, Object
from chaingraph_flow.registry import Registry, node_classes

HEADINGS = {
    "values": "Values",
    "flow": "Flow",
    "calls": "Calls of subflows",
    "waits": "Waits",
    "signals": "Signals and approvals",
    "math": "Numbers and truth",
    "transforms": "Lists and objects",
    "data": "Reading and writing",
    "http": "HTTP",
    "template": "Templates",
    "expression": "Expressions",
    "texts": "Texts",
    "utilities": "Utilities",
}

INTRODUCTION = """\
# Built-in nodes

<!-- Generated from the node classes by `make generate`. Do not edit. -->

A port takes its value from the node's `inputs` or from one edge. **static** ports take it from `inputs` only, because
their value determines the node's ports or types. A **tolerant** port keeps its default when its source delivers
nothing, or the path there leads to no value; any other port skips the node then. Where an output's type follows from
the inputs, the table says how.

A `schema` is a type: one of `string`, `number`, `boolean`, `array`, `object`, `enum`, `any`, alone or with details,
as in `{type: array, items: {type: object, properties: {name: string, age: number or null}}}`.
Inside arrays and objects, `or null` after a name allows null.
[Types](../how-to/pass-data-between-nodes.md#types) lists the details. `kubectl apply` drops null members of objects
from a node's `inputs`:
[Nulls in what you apply](../how-to/pass-data-between-nodes.md#nulls-in-what-you-apply).

A **pure** node has no effects besides its outputs. Before any other node starts, all finished nodes are durable, so a
crash never repeats what its effects were based on.
"""


def markdown() -> str:
    """Return the whole page."""
    registry = Registry(node_classes(nodes, "the built-in nodes"))
    parts = [INTRODUCTION, _system_ports()]
    known = list(HEADINGS)
    types = sorted(registry.catalogue.values(), key=lambda each: (known.index(each.category), each.type))
    for category, members in groupby(types, key=lambda each: each.category):
        parts.append(f"## {HEADINGS[category]}\n")
        parts += [_node(each) for each in members]
    return "\n".join(parts).rstrip() + "\n"


def type_text(type_: AnyPortType) -> str:
    """Format a type: `array of object`, `number, 0 or more`."""
    text = type_.label()
    if isinstance(type_, Enum):
        text = "one of " + ", ".join(f"`{option}`" for option in type_.options)
    elif isinstance(type_, Array) and type_.items is not None:
        text = f"array of {type_text(type_.items)}"
    elif isinstance(type_, Object) and type_.properties:
        text = "object with " + ", ".join(f"{name}: {type_text(each)}" for name, each in type_.properties.items())
    elif isinstance(type_, Number):
        text = _number_text(type_)
    return f"{text} or null" if type_.nullable and not isinstance(type_, AnyType) else text


def _number_text(type_: Number) -> str:
    text = "whole number" if type_.integer else "number"
    if type_.minimum is not None and type_.maximum is not None:
        return f"{text}, {type_.minimum:.15g} to {type_.maximum:.15g}"
    if type_.minimum is not None:
        return f"{text}, {type_.minimum:.15g} or more"
    return text if type_.maximum is None else f"{text}, up to {type_.maximum:.15g}"


def rule_text(rule: AnyRule) -> str:
    """Describe how a type follows from the inputs."""
    match rule:
        case SameAs():
            return f"type of `{rule.input}`"
        case ItemOf():
            return f"type of the elements of `{rule.input}`"
        case Given():
            return f"as `{rule.input}` says"
        case FieldOf():
            return f"type of the property `{rule.name}` in `{rule.input}`"
        case ListOf():
            return f"array of: {rule_text(rule.of)}"
        case Record():
            return "object with " + ", ".join(f"{name} ({rule_text(each)})" for name, each in rule.fields.items())
        case Fixed():
            return type_text(rule.type)
        case UnionOf():
            return f"common type of {_names(rule.inputs)}"
        case MergeOf():
            return f"properties of {_names(rule.inputs)} together"
        case When():
            return ", ".join(f"{rule_text(each)} for `{rule.input}` {value}" for value, each in rule.cases.items())
        case FirstOf():
            return "; else ".join(rule_text(each) for each in rule.rules)


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _system_ports() -> str:
    rows = [_row(EXECUTE_PORT.key, "in", type_text(EXECUTE_PORT.type), "true", EXECUTE_PORT.description)]
    rows += [_row(each.key, "out", type_text(each.type), "", each.description) for each in SYSTEM_OUTPUTS]
    return "\n".join(["## Ports of every node\n", *_HEAD, *rows, ""])


_HEAD = ("| port | | type | default | |", "|---|---|---|---|---|")


_HAS_INPUTS = "| *each input of the subflow* | in | as declared | as declared |"
_HAS_OUTPUTS = "| *each output of the subflow* | out | as derived | | Value of the output; null without one. |"
_CALLED = {
    "once": (f"{_HAS_INPUTS} |", _HAS_OUTPUTS),
    "each": (f"{_HAS_INPUTS} All but `item` and `index`. |",),
    "repeat": (f"{_HAS_INPUTS} All but `iteration`. |", _HAS_OUTPUTS),
}
"""Rows for the ports that a calling node gets from its subflow."""


def _node(node: NodeType) -> str:
    lines = [f"### {node.type}\n", f"{node.description} {'Pure.' if node.pure else 'Not pure.'}\n", *_HEAD]
    outputs = {each.key: each for each in node.outputs}
    for port in node.inputs:
        lines.append(_input_row(port, outputs.get(port.key)))
    lines += [_output_row(each) for each in node.outputs if not _passes(node, each)]
    lines += _CALLED.get(node.calls or "", ())
    lines += ["", "```yaml", EXAMPLES[node.type].strip(), "```", ""]
    return "\n".join(lines)


def _passes(node: NodeType, output: OutputPort) -> bool:
    port = node.input(output.key)
    return port is not None and port.passthrough


def _input_row(port: InputPort, output: OutputPort | None) -> str:
    marks = [mark for mark in ("static", "tolerant") if getattr(port, mark)]
    direction = "in and out" if port.passthrough else "in"
    default = "**required**" if port.required else _default(port)
    type_ = type_text(port.type)
    if port.passthrough and output is not None and isinstance(output.typed_by, FirstOf):
        type_ += f" ({rule_text(output.typed_by)})"
    return _row(port.key, ", ".join([direction, *marks]), type_, default, port.description)


def _default(port: InputPort) -> str:
    return "" if port.default in (None, "", [], {}) else f"`{json.dumps(port.default)}`"


def _output_row(port: OutputPort) -> str:
    key = port.key
    type_ = type_text(port.type)
    if port.keys_of is not None:
        key = f"*each key of {port.keys_of}*"
    elif port.typed_by is not None:
        type_ = f"{type_} ({rule_text(port.typed_by)})"
    return _row(key, "out", type_, "", port.description, plain=port.keys_of is not None)


def _row(key: str, direction: str, type_: str, default: str, text: str, *, plain: bool = False) -> str:
    shown = key if plain else f"`{key}`"
    cells = [shown, direction, type_, default, text]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
