"""Rules by which an output's type follows from a node's inputs, written so that a catalogue can carry them as JSON.

`Output(Array(), typed_by=SameAs(input="items"))` says: what comes out has the type of what went in. The
validation resolves a rule once the types of the node's inputs are known, so a chain of transforms keeps its types
and an edge may go from `pick.result.name` into a string port without a cast.
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
    """The type that a static input describes (see `types.parse_type`); unknown when it is not given."""

    rule: Literal["given"] = "given"
    input: str


class FieldOf(_Rule):
    """The type of the property `name` (a static input) of the elements of an array input, or of an object input."""

    rule: Literal["fieldOf"] = "fieldOf"
    input: str
    name: str


class ListOf(_Rule):
    """An array of what another rule says."""

    rule: Literal["listOf"] = "listOf"
    of: Rule


class Record(_Rule):
    """An object with these properties."""

    rule: Literal["record"] = "record"
    fields: dict[str, Rule]


class Fixed(_Rule):
    """A type as it stands."""

    rule: Literal["fixed"] = "fixed"
    type: PortType


class UnionOf(_Rule):
    """What every one of the given inputs goes into: the connected alternatives of a join."""

    rule: Literal["unionOf"] = "unionOf"
    inputs: tuple[str, ...]


class MergeOf(_Rule):
    """An object with the properties of several object inputs; a later one wins."""

    rule: Literal["mergeOf"] = "mergeOf"
    inputs: tuple[str, ...]


class When(_Rule):
    """By the value of a static input: a rule per value; unknown for the others."""

    rule: Literal["when"] = "when"
    input: str
    cases: dict[str, Rule]


class FirstOf(_Rule):
    """The first of several rules that knows a type."""

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
    """The inputs that a rule speaks of, so that a node class which names none is refused when it is declared."""
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
    """The inputs whose *value* decides the type: these cannot be connected."""
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
    """The inputs that must hold the description of a type."""
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
    """The type that a rule says, or None when it is not known.

    Args:
        rule: The rule of an output.
        actual: The types of the inputs that are given or connected.
        values: The values of the inputs that are static, defaults included.
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
    """A type to put inside another one. No value is nested deeper than DEEPEST, so nothing is said of what is below."""
    return None if type_ is None or type_.depth >= DEEPEST else type_


def unwrapped(type_: AnyPortType) -> AnyPortType:
    """`any` that has adopted a type, as that type."""
    while isinstance(type_, AnyType) and type_.underlying is not None:
        type_ = type_.underlying
    return type_


def narrowed(declared: AnyPortType, value: Any) -> AnyPortType:
    """The type of a static value: the port's own where that says something, else what the value shows."""
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
            # A null of the later object replaces the earlier value too, so its own type stands.
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
