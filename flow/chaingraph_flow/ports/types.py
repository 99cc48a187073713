"""The types of ports: which connections are allowed, and which values fit.

A type is a frozen model with a JSON form (`{"type": "array", "items": {"type": "string"}}`), so catalogues, schemas in
a flow's YAML and Python declarations are the same thing. In schemas, a bare name is short for the plain type: `number`
for `{"type": "number"}`, and `number or null` for one that may be null.

Connection rules: same type to same type, an enum also to a string; anything but a secret to `any`; a bare `any` to
nothing but `any`; objects by their properties, extra ones allowed; arrays by their items; no coercion. `nullable`
applies inside arrays and objects: at a port itself, `required` decides.
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from chaingraph_flow.field_errors import ErrorCode, FieldError, shortened, suggestion
from chaingraph_flow.ports.base_type import AT, LONGEST_NAME, MOST_ERRORS, BaseType, listed
from chaingraph_flow.ports.json_values import Segment, article, kind, render
from chaingraph_flow.ports.port_types import (
    BARE,
    Any,
    AnyPortType,
    Array,
    Boolean,
    Enum,
    Number,
    Object,
    PortType,
    Secret,
    Secrets,
    String,
)

__all__ = [
    "BARE",
    "MOST_ERRORS",
    "Any",
    "AnyPortType",
    "Array",
    "Boolean",
    "Enum",
    "Nowhere",
    "Number",
    "Object",
    "PortType",
    "Secret",
    "Secrets",
    "String",
    "accepts",
    "check_value",
    "child",
    "found_at",
    "parse_type",
]

_ADAPTER: Final[TypeAdapter[AnyPortType]] = TypeAdapter(PortType)
_LONGEST_REASON: Final = 500
_SECRET: Final = "a secret: connect an input of the flow of type `secret`, or set a reference to a Secret"
_MOST_NAMES: Final = 50
"""Maximum properties of an object that are searched for a similar name."""
_CLASSES: Final[dict[str, type[BaseModel]]] = {
    "string": String,
    "number": Number,
    "boolean": Boolean,
    "array": Array,
    "object": Object,
    "enum": Enum,
    "any": Any,
}
_OTHER_WORDS: Final = {
    "integer": ": write {type: number, integer: true}",
    "int": ": write {type: number, integer: true}",
    "float": ": write number",
    "double": ": write number",
    "bool": ": write boolean",
    "text": ": write string",
    "str": ": write string",
    "list": ": write array",
    "dict": ": write object",
    "map": ": write object",
    "null": ": write `or null` after another type, as in `string or null`",
}
"""Names of the types in other languages."""
_EXPECTED: Final = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a string",
    "bool_type": "true or false",
    "dict_type": "an object",
    "tuple_type": "an array",
}
_OTHER_PROPERTIES: Final = {
    "enum": ": write {type: enum, options: [a, b]}, which is for texts",
    "const": ": write {type: enum, options: [a]}, which is for texts",
    "required": ": a property is required unless its type says `or null`, as in `string or null`",
    "additionalProperties": ": other properties are always allowed",
    "exclusiveMinimum": ": write minimum",
    "exclusiveMaximum": ": write maximum",
    "format": ": write a pattern",
}
"""Keywords of JSON Schema that types do not have, with what says the same."""
_ONLY_OF: Final = {
    "pattern": "string",
    "minLength": "string",
    "maxLength": "string",
    "minimum": "number",
    "maximum": "number",
    "integer": "number",
    "items": "array",
    "minItems": "array",
    "maxItems": "array",
    "properties": "object",
    "options": "enum",
}


def parse_type(value: object, path: str) -> AnyPortType | list[FieldError]:
    """Parse a port type from a JSON value or short name, or return the errors of the description."""
    try:
        described = _ADAPTER.validate_python(value)
        if not holds_secrets(described):
            return described
        message = "a secret cannot be described by a schema: it goes from an input of the flow to a port for secrets"
        return [FieldError(path, ErrorCode.INVALID_VALUE, message)]
    except ValidationError as error:
        found = error.errors(include_url=False)
        wrong_inside = {each["loc"][:-1] for each in found}
        return [
            FieldError(_schema_path(path, _location(each)), ErrorCode.INVALID_VALUE, _schema_message(each))
            for each in found
            if each["type"] != "too_short" or each["loc"] not in wrong_inside
        ][:MOST_ERRORS]


def _location(error: ErrorDetails) -> tuple[int | str, ...]:
    inner = error.get("ctx", {}).get(AT)
    return error["loc"] if inner is None else (*error["loc"], inner)


def _schema_path(path: str, location: tuple[int | str, ...]) -> str:
    # pydantic puts the discriminator's value between the steps: array.items.object.properties.name
    steps: list[int | str] = []
    expect_tag = True
    for step in location:
        if expect_tag and step in _CLASSES:
            expect_tag = False
            continue
        steps.append(step)
        expect_tag = step in ("items", "underlying") or (len(steps) > 1 and steps[-2] == "properties")
    return render(path, steps)


def _schema_message(error: ErrorDetails) -> str:
    match error["type"]:
        case "union_tag_invalid":
            name = str(error["ctx"]["tag"])
            several = ": write `string or null` for two of them, and `any` for others" if name.startswith("[") else ""
            hint = several or _OTHER_WORDS.get(name) or suggestion(name, _CLASSES)
            return f"unknown port type {shortened(name, LONGEST_NAME)!r}{hint}"
        case "union_tag_not_found" | "model_attributes_type" | "model_type":
            return f"must be a port type: {', '.join(_CLASSES)}, as a name or as {{type: ...}}"
        case "extra_forbidden":
            type_ = next((str(step) for step in reversed(error["loc"][:-1]) if step in _CLASSES), "")
            known = [field.alias or name for name, field in _CLASSES[type_].model_fields.items()] if type_ else []
            name = str(error["loc"][-1])
            return f"unknown property of type {type_}{_hint(name, type_) or suggestion(name, known)}"
        case "int_type" | "float_type" | "string_type" | "bool_type" | "dict_type" | "tuple_type" as expected:
            return f"must be {_EXPECTED[expected]}, is {kind(error['input'])}"
        case "greater_than_equal":
            return f"must be at least {error['ctx']['ge']}, is {error['input']}"
        case "finite_number":
            return f"must be a finite number, is {error['input']}"
        case "string_too_long":
            return f"must have at most {error['ctx']['max_length']} characters, has {len(error['input'])}"
        case "missing":
            return "is missing"
        case "too_short":
            return "must have at least one option"
        case _:
            return error["msg"].removeprefix("Value error, ")


def _hint(name: str, type_: str) -> str:
    """Explain a property that the type does not have, but another type or JSON Schema does."""
    if name in _ONLY_OF:
        return f": {name!r} is for {article(_ONLY_OF[name])}, not for {article(type_)}"
    return _OTHER_PROPERTIES.get(name, "")


def check_value(type_: AnyPortType, value: object, path: str) -> list[FieldError]:
    """Return the errors of `value`, with `path` before the place inside it (at most 20)."""
    errors: list[FieldError] = []
    type_.check(value, (path,), errors)
    return errors


def accepts(target: AnyPortType, source: AnyPortType) -> str | None:
    """Return why a value of `source` may not go into `target`, or None when it may."""
    return _Fit().reason(target, source)


class _Fit:
    """One comparison of two types. Each pair of their parts is compared once, however often they share it."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], str | None] = {}

    def reason(self, target: AnyPortType, source: AnyPortType) -> str | None:
        if isinstance(target, Secret | Secrets) or isinstance(source, Secret | Secrets):
            return _of_secrets(target, source)
        if target is source:
            return None
        if isinstance(target, Any):
            return None if target.underlying is None else self.reason(target.underlying, source)
        if isinstance(source, Any):
            if source.underlying is not None:
                return self.reason(target, source.underlying)
            return (
                f"needs {article(target.label())}, but the type of the source is unknown: give the source a `schema`, "
                "or add a Cast node in between"
            )
        if isinstance(target, Array | Object) and type(target) is type(source):
            pair = (target.fingerprint, source.fingerprint)
            if pair not in self._known:
                self._known[pair] = None if pair[0] == pair[1] else self._of_parts(target, source)
            return self._known[pair]
        if isinstance(target, Enum) and isinstance(source, Enum):
            extra = [option for option in source.options if option not in target.known]
            return f"does not allow {listed([repr(each) for each in extra])}" if extra else None
        if isinstance(target, String) and isinstance(source, Enum):
            return None  # an enum is one of several texts
        if target.type != source.type:
            return f"needs {article(target.label())}, gets {article(source.label())}"
        return None

    def _of_parts(self, target: AnyPortType, source: AnyPortType) -> str | None:
        if isinstance(target, Array) and isinstance(source, Array):
            return None if target.items is None else self._inner(target.items, source.items or BARE, "its items")
        assert isinstance(target, Object)
        assert isinstance(source, Object)
        for name, inner in (target.properties or {}).items():
            shown = repr(shortened(name, LONGEST_NAME))
            given = BARE if source.properties is None else source.properties.get(name)
            if given is None:
                if inner.nullable or isinstance(inner, Any):
                    continue
                return f"needs the property {shown}, which the source does not have"
            reason = self._inner(inner, given, f"property {shown}")
            if reason is not None:
                return reason
        return None

    def _inner(self, target: AnyPortType, source: AnyPortType, what: str) -> str | None:
        if source.nullable and not target.nullable and not isinstance(target, Any):
            return f"{what}: may be null at the source, but must not be"
        reason = self.reason(target, source)
        return None if reason is None else shortened(f"{what}: {reason}", _LONGEST_REASON)


def _of_secrets(target: AnyPortType, source: AnyPortType) -> str | None:
    """Compare two types, at least one of them of secrets. Not even `any` takes a secret: it could be written there."""
    if isinstance(target, Secret | Secrets) and target.type == source.type:
        return None
    if isinstance(target, Secrets) and isinstance(source, Object) and source.properties:
        others = [name for name, inner in source.properties.items() if not isinstance(inner, Secret)]
        return f"needs a secret at {shortened(others[0], LONGEST_NAME)!r}" if others else None
    if isinstance(target, Secret | Secrets):
        return f"needs {_SECRET if isinstance(target, Secret) else 'secrets by name'}"
    return f"needs {article(target.label())}, gets a secret, which only goes to ports for secrets"


def holds_secrets(type_: AnyPortType) -> bool:
    """Whether it is a type of secrets, or a part of it is."""
    left: list[BaseType] = [type_]
    seen = set()
    while left:
        each = left.pop()
        if isinstance(each, Secret | Secrets):
            return True
        if each.fingerprint not in seen:
            seen.add(each.fingerprint)
            left.extend(each.parts())
    return False


def child(type_: AnyPortType, segment: str | int) -> AnyPortType | None:
    """Return the type of a property (str) or an element (int) inside `type_`; None when there is no such place."""
    if isinstance(type_, Any):
        return BARE if type_.underlying is None else child(type_.underlying, segment)
    if isinstance(type_, Array) and isinstance(segment, int):
        return type_.items or BARE
    if isinstance(type_, Object) and isinstance(segment, str):
        return BARE if type_.properties is None else type_.properties.get(segment)
    if isinstance(type_, Secrets) and isinstance(segment, str):
        return Secret()
    return None


@dataclass(frozen=True, slots=True)
class Nowhere:
    """There is no value at a path. The reason describes its place: `list.value has 2 elements`."""

    reason: str


def found_at(type_: AnyPortType, value: typing.Any, segments: Sequence[Segment], root: str) -> typing.Any | Nowhere:
    """Return the value at a place inside `value`.

    A missing property is null when the type declares it as nullable, as in the validation of values.

    Args:
        type_: the type of the value.
        value: the value to search.
        segments: the path.
        root: the name of the value in messages.
    """
    here: AnyPortType = type_
    for depth, segment in enumerate(segments):
        inner = child(here, segment) or BARE
        if isinstance(segment, int):
            there = isinstance(value, list) and segment < len(value)
        else:
            there = isinstance(value, dict) and segment in value
            if not there and isinstance(value, dict) and _may_be_missing(here, segment):
                value, here = None, inner
                continue
        if not there:
            return Nowhere(f"{render(root, segments[:depth])} {_instead(value, segment)}")
        value, here = value[segment], inner
    return value


def _may_be_missing(type_: AnyPortType, name: str) -> bool:
    while isinstance(type_, Any) and type_.underlying is not None:
        type_ = type_.underlying
    inner = type_.properties.get(name) if isinstance(type_, Object) and type_.properties else None
    return inner is not None and (inner.nullable or isinstance(inner, Any))


def _instead(value: object, segment: Segment) -> str:
    """Describe the place where a path ends."""
    if isinstance(segment, int) and isinstance(value, list):
        return f"has {len(value)} element{'' if len(value) == 1 else 's'}"
    if isinstance(segment, str) and isinstance(value, Mapping):
        names = [name for name in list(value)[:_MOST_NAMES] if len(name) <= LONGEST_NAME]
        hint = suggestion(segment, names) if len(segment) <= LONGEST_NAME else ""
        return f"has no property {shortened(segment, LONGEST_NAME)!r}{hint}"
    return f"is {kind(value)}"
