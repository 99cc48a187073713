"""Rules that derive an output's type from a node's inputs, in a form that a catalogue can carry as JSON.

`Output(Array(), typed_by=SameAs(input="items"))` means that the output has the type of that input. Validation resolves
a rule once the types of the node's inputs are known. So a chain of transforms keeps its types, and an edge may go from
`pick.result.name` into a string port without a cast.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_serializer

from chaingraph_flow.ports.inference import infer, union
from chaingraph_flow.ports.json_values import DEEPEST
from chaingraph_flow.ports.types import BARE, AnyPortType, Array, Object, PortType, child, parse_type
from chaingraph_flow.ports.types import Any as AnyType


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_serializer
    def _with_its_name(self) -> dict[str, Any]:
        # a plain dump without defaults would drop the name of the rule, which is one
        return {name: getattr(self, name) for name in type(self).model_fields}


class SameAs(_Rule):
    """The type of an input."""

    rule: Literal["sameAs"] = "sameAs"
    input: str


class ItemOf(_Rule):
    """The type of the elements of an array input."""

    rule: Literal["itemOf"] = "itemOf"
    input: str


class Given(_Rule):
    """The type that a static input describes (see `types.parse_type`); unknown without a value."""

    rule: Literal["given"] = "given"
    input: str


class FieldOf(_Rule):
    """The type of the property `name` (a static input) of the elements of an array input, or of an object input."""

    rule: Literal["fieldOf"] = "fieldOf"
    input: str
    name: str


class ListOf(_Rule):
    """An array of the type that another rule gives."""

    rule: Literal["listOf"] = "listOf"
    of: Rule


class Record(_Rule):
    """An object with these properties."""

    rule: Literal["record"] = "record"
    fields: dict[str, Rule]


class Fixed(_Rule):
    """A fixed type."""

    rule: Literal["fixed"] = "fixed"
    type: PortType


class UnionOf(_Rule):
    """The type that all given inputs fit into: the connected alternatives of a join."""

    rule: Literal["unionOf"] = "unionOf"
    inputs: tuple[str, ...]


class MergeOf(_Rule):
    """An object with the properties of several object inputs. A later one takes precedence."""

    rule: Literal["mergeOf"] = "mergeOf"
    inputs: tuple[str, ...]


class When(_Rule):
    """A rule for each value of a static input; unknown for other values."""

    rule: Literal["when"] = "when"
    input: str
    cases: dict[str, Rule]


class FirstOf(_Rule):
    """The first of several rules that gives a type."""

    rule: Literal["firstOf"] = "firstOf"
    rules: tuple[Rule, ...]


Rule = Annotated[
    SameAs | ItemOf | Given | FieldOf | ListOf | Record | Fixed | UnionOf | MergeOf | When | FirstOf,
    Field(discriminator="rule"),
]
AnyRule = SameAs | ItemOf | Given | FieldOf | ListOf | Record | Fixed | UnionOf | MergeOf | When | FirstOf

for _model in (ListOf, Record, When, FirstOf):
    _model.model_rebuild()


def inputs_of(rule: AnyRule) -> set[str]:
    """Return the inputs that a rule names, so that a node class with an unknown one is rejected when it is declared."""
    match rule:
        case SameAs() | ItemOf() | Given():
            return {rule.input}
        case FieldOf():
            return {rule.input, rule.name}
        case ListOf():
            return inputs_of(rule.of)
        case Record():
            return set().union(*(inputs_of(each) for each in rule.fields.values()))
        case UnionOf() | MergeOf():
            return set(rule.inputs)
        case When():
            return {rule.input}.union(*(inputs_of(each) for each in rule.cases.values()))
        case FirstOf():
            return set().union(*(inputs_of(each) for each in rule.rules))
        case Fixed():
            return set()


def static_inputs_of(rule: AnyRule) -> set[str]:
    """Return the inputs whose *value* determines the type: these cannot be connected."""
    match rule:
        case Given():
            return {rule.input}
        case FieldOf():
            return {rule.name}
        case ListOf():
            return static_inputs_of(rule.of)
        case Record():
            return set().union(*(static_inputs_of(each) for each in rule.fields.values()))
        case When():
            return {rule.input}.union(*(static_inputs_of(each) for each in rule.cases.values()))
        case FirstOf():
            return set().union(*(static_inputs_of(each) for each in rule.rules))
        case SameAs() | ItemOf() | Fixed() | UnionOf() | MergeOf():
            return set()


def schema_inputs_of(rule: AnyRule) -> set[str]:
    """Return the inputs that must hold the description of a type."""
    match rule:
        case Given():
            return {rule.input}
        case ListOf():
            return schema_inputs_of(rule.of)
        case Record():
            return set().union(*(schema_inputs_of(each) for each in rule.fields.values()))
        case When():
            return set().union(*(schema_inputs_of(each) for each in rule.cases.values()))
        case FirstOf():
            return set().union(*(schema_inputs_of(each) for each in rule.rules))
        case _:
            return set()


def resolve(rule: AnyRule, actual: Mapping[str, AnyPortType], values: Mapping[str, Any]) -> AnyPortType | None:
    """Derive the type by a rule, or None when it is unknown.

    Args:
        rule: the rule of an output.
        actual: the types of the inputs that are set or connected.
        values: the values of the static inputs, defaults included.
    """
    match rule:
        case SameAs():
            return actual.get(rule.input)
        case ItemOf():
            return _item(actual.get(rule.input))
        case Given():
            given = None if values.get(rule.input) is None else parse_type(values[rule.input], "")
            return None if isinstance(given, list) else given
        case FieldOf():
            return _field(actual.get(rule.input), values.get(rule.name))
        case ListOf():
            return Array(items=_within(resolve(rule.of, actual, values)))
        case Record():
            fields = {name: _within(resolve(each, actual, values)) or BARE for name, each in rule.fields.items()}
            return Object(properties=fields)
        case Fixed():
            return rule.type
        case UnionOf():
            known = [actual[name] for name in rule.inputs if name in actual]
            return union(known) if known else None
        case MergeOf():
            return _merged([actual[name] for name in rule.inputs if name in actual])
        case When():
            chosen = rule.cases.get(str(values.get(rule.input)))
            return None if chosen is None else resolve(chosen, actual, values)
        case FirstOf():
            found = (resolve(each, actual, values) for each in rule.rules)
            return next((each for each in found if each is not None), None)


def _within(type_: AnyPortType | None) -> AnyPortType | None:
    """Limit a type's nesting to put it inside another one. Values cannot be deeper than DEEPEST, so deeper types are
    unknown."""
    return None if type_ is None or type_.depth >= DEEPEST else type_


def unwrapped(type_: AnyPortType) -> AnyPortType:
    """Return the type that `any` has adopted, or the type itself."""
    while isinstance(type_, AnyType) and type_.underlying is not None:
        type_ = type_.underlying
    return type_


def narrowed(declared: AnyPortType, value: Any) -> AnyPortType:
    """Return the type of a static value: the port's own if specific, else the value's."""
    if isinstance(declared, AnyType) and declared.underlying is None:
        return infer(value)
    if isinstance(declared, Array) and declared.items is None:
        return infer(value)
    if isinstance(declared, Object) and declared.properties is None:
        return infer(value)
    return declared


def _item(type_: AnyPortType | None) -> AnyPortType | None:
    inner = None if type_ is None else unwrapped(type_)
    return inner.items if isinstance(inner, Array) else None


def _field(type_: AnyPortType | None, name: Any) -> AnyPortType | None:
    if type_ is None or not isinstance(name, str) or not name:
        return None
    inner = unwrapped(type_)
    holder = inner.items if isinstance(inner, Array) else inner
    return None if holder is None else child(holder, name)


def _merged(types: list[AnyPortType]) -> AnyPortType | None:
    properties: dict[str, AnyPortType] = {}
    for type_ in map(unwrapped, types):
        if not isinstance(type_, Object) or type_.properties is None:
            return None
        for name, inner in type_.properties.items():
            # A null of the later object replaces the earlier value too, so its own type is used.
            properties[name] = inner
    return Object(properties=properties) if types else None


__all__ = [
    "AnyRule",
    "FieldOf",
    "FirstOf",
    "Fixed",
    "Given",
    "ItemOf",
    "ListOf",
    "MergeOf",
    "Record",
    "Rule",
    "SameAs",
    "UnionOf",
    "When",
    "inputs_of",
    "narrowed",
    "resolve",
    "schema_inputs_of",
    "static_inputs_of",
    "unwrapped",
]
