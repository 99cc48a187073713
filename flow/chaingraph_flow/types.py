"""The types of ports: what may be connected to what, and which values fit.

A type is a frozen model with a JSON form (`{"type": "array", "items": {"type": "string"}}`), so catalogues,
schemas in a flow's YAML and Python declarations are the same thing. In schemas a bare name is short for the
plain type: `number` for `{"type": "number"}`, and `number or null` for one that may be null.

Connection rules (from the system being rebuilt): same type to same type; anything to `any`; a bare `any` to
nothing but `any`; objects by their properties, extra ones allowed; arrays by their items; no coercion.
`nullable` concerns places inside arrays and objects: at a port itself, whether it is required decides.
Room is left for streams and secrets: they are further members of the union.
"""

from __future__ import annotations

import typing
from functools import lru_cache
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import SchemaError, SchemaValidator, core_schema

from chaingraph_crds.forms import FORMS

from .faults import Fault, FaultCode
from .json_values import Path, article, kind, render

MOST_FAULTS = 20
"""A value with more faults than this is described by its first ones."""

Faults = list[Fault]


class _Type(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True, protected_namespaces=()
    )

    nullable: bool = Field(default=False, description="Inside an array or object: null is allowed here.")

    @model_serializer
    def _without_defaults(self) -> dict[str, typing.Any]:
        given = {name: getattr(self, name) for name in type(self).model_fields}
        fields = type(self).model_fields
        return {
            to_camel(name): value for name, value in given.items() if name == "type" or value != fields[name].default
        }

    def to_json(self) -> dict[str, typing.Any]:
        """The JSON form, without what is default."""
        return self.model_dump(mode="json")

    def label(self) -> str:
        """How messages name this type."""
        return str(self.__dict__["type"])


@lru_cache(maxsize=1024)
def _matcher(pattern: str) -> SchemaValidator:
    # pydantic-core's regular expressions run in linear time, so a pattern in a flow cannot stall the loop.
    return SchemaValidator(core_schema.str_schema(pattern=pattern))


def _compilable(pattern: str | None) -> str | None:
    if pattern is not None:
        try:
            _matcher(pattern)
        except SchemaError as error:
            raise ValueError(f"is not a regular expression: {str(error).splitlines()[-1].strip()}") from None
    return pattern


class String(_Type):
    """Text."""

    type: Literal["string"] = "string"
    min_length: int | None = Field(default=None, ge=0)
    max_length: int | None = Field(default=None, ge=0)
    pattern: Annotated[str | None, AfterValidator(_compilable)] = None

    def empty(self) -> str:
        """The value of an input that was given none."""
        return ""

    def check(self, value: object, path: Path, faults: Faults) -> None:
        """Append what is wrong with `value`."""
        if not isinstance(value, str):
            _wrong(faults, path, f"must be a string, is {kind(value)}")
        elif self.min_length is not None and len(value) < self.min_length:
            _wrong(faults, path, f"must have at least {self.min_length} characters, has {len(value)}")
        elif self.max_length is not None and len(value) > self.max_length:
            _wrong(faults, path, f"must have at most {self.max_length} characters, has {len(value)}")
        elif self.pattern is not None and not _matcher(self.pattern).isinstance_python(value):
            form = FORMS.get(self.pattern)
            right = f"be {form}" if form else f"match {self.pattern!r}"
            _wrong(faults, path, f"must {right}, is {_short(value)}")


class Number(_Type):
    """A finite number; with `integer`, one without a fraction."""

    type: Literal["number"] = "number"
    minimum: float | None = None
    maximum: float | None = None
    integer: bool = False

    def empty(self) -> float:
        """The value of an input that was given none."""
        return 0

    def check(self, value: object, path: Path, faults: Faults) -> None:
        """Append what is wrong with `value`."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            _wrong(faults, path, f"must be a number, is {kind(value)}")
        elif value != value or value in (float("inf"), float("-inf")):
            _wrong(faults, path, f"must be a finite number, is {value}")
        elif self.integer and value != int(value):
            _wrong(faults, path, f"must be a whole number, is {value}")
        elif self.minimum is not None and value < self.minimum:
            _wrong(faults, path, f"must be at least {self.minimum:g}, is {value}")
        elif self.maximum is not None and value > self.maximum:
            _wrong(faults, path, f"must be at most {self.maximum:g}, is {value}")


class Boolean(_Type):
    """True or false."""

    type: Literal["boolean"] = "boolean"

    def empty(self) -> bool:
        """The value of an input that was given none."""
        return False

    def check(self, value: object, path: Path, faults: Faults) -> None:
        """Append what is wrong with `value`."""
        if not isinstance(value, bool):
            _wrong(faults, path, f"must be true or false, is {kind(value)}")


class Array(_Type):
    """A list; without `items`, of anything."""

    type: Literal["array"] = "array"
    items: PortType | None = None

    def empty(self) -> list[typing.Any]:
        """The value of an input that was given none."""
        return []

    def check(self, value: object, path: Path, faults: Faults) -> None:
        """Append what is wrong with `value`."""
        if not isinstance(value, list):
            _wrong(faults, path, f"must be an array, is {kind(value)}")
        elif self.items is not None:
            for index, item in enumerate(value):
                _check_inner(self.items, item, (path, index), faults)

    def label(self) -> str:
        """How messages name this type."""
        return "array" if self.items is None else f"array of {self.items.label()}"


class Object(_Type):
    """A mapping of names to values; without `properties`, any names; with them, extra names are allowed."""

    type: Literal["object"] = "object"
    properties: dict[str, PortType] | None = None

    def empty(self) -> dict[str, typing.Any]:
        """The value of an input that was given none."""
        return {}

    def check(self, value: object, path: Path, faults: Faults) -> None:
        """Append what is wrong with `value`. A missing property counts as null."""
        if not isinstance(value, dict):
            _wrong(faults, path, f"must be an object, is {kind(value)}")
        elif self.properties is not None:
            for name, inner in self.properties.items():
                _check_inner(inner, value.get(name), (path, name), faults)


class Enum(_Type):
    """One of a few texts."""

    type: Literal["enum"] = "enum"
    options: tuple[str, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.options)) != len(self.options):
            raise ValueError("options must differ")
        return self

    def empty(self) -> str:
        """The value of an input that was given none: the first option."""
        return self.options[0]

    def check(self, value: object, path: Path, faults: Faults) -> None:
        """Append what is wrong with `value`."""
        if value not in self.options:
            _wrong(faults, path, f"must be one of {', '.join(self.options)}; is {_short(value)}")


class Any(_Type):
    """Any JSON value, null included; with `underlying`, what it has adopted."""

    type: Literal["any"] = "any"
    underlying: PortType | None = None

    def empty(self) -> typing.Any:
        """The value of an input that was given none."""
        return None

    def check(self, value: object, path: Path, faults: Faults) -> None:
        """Append what is wrong with `value`."""
        if self.underlying is not None:
            self.underlying.check(value, path, faults)


def _expand(value: object) -> object:
    if isinstance(value, str):
        name = value.removesuffix(" or null")
        return {"type": name, "nullable": True} if name != value else {"type": name}
    return value


PortType = Annotated[
    String | Number | Boolean | Array | Object | Enum | Any, Field(discriminator="type"), BeforeValidator(_expand)
]
AnyPortType = String | Number | Boolean | Array | Object | Enum | Any
"""The same union for annotations of plain code."""

Array.model_rebuild()
Object.model_rebuild()
Any.model_rebuild()
_ADAPTER: TypeAdapter[AnyPortType] = TypeAdapter(PortType)

BARE = Any()
"""A port type about which nothing is known."""


def parse_type(value: object, path: str) -> AnyPortType | list[Fault]:
    """The port type that a JSON value or short name describes, or what is wrong with the description."""
    try:
        return _ADAPTER.validate_python(value)
    except ValidationError as error:
        return [
            Fault(_schema_path(path, each["loc"]), FaultCode.INVALID_VALUE, _schema_message(each["msg"]))
            for each in error.errors(include_url=False, include_input=False)[:MOST_FAULTS]
        ]


def _schema_path(path: str, location: tuple[int | str, ...]) -> str:
    # pydantic puts the discriminator's value between the steps: array.items.object.properties.name
    tags = {"string", "number", "boolean", "array", "object", "enum", "any"}
    steps: list[int | str] = []
    expect_tag = True
    for step in location:
        if expect_tag and step in tags:
            expect_tag = False
            continue
        steps.append(step)
        expect_tag = step in ("items", "underlying") or (len(steps) > 1 and steps[-2] == "properties")
    return render(path, steps)


def _schema_message(message: str) -> str:
    if "tag" in message or "valid dictionary" in message:
        return "must be a port type: string, number, boolean, array, object, enum or any, as a name or as {type: ...}"
    return message.removeprefix("Value error, ")


def check_value(type_: AnyPortType, value: object, path: str) -> list[Fault]:
    """Everything that keeps `value` from fitting, with `path` before the place inside it (20 faults at most)."""
    faults: list[Fault] = []
    type_.check(value, (path,), faults)
    return faults


def _check_inner(type_: AnyPortType, value: object, path: Path, faults: Faults) -> None:
    if value is not None:
        type_.check(value, path, faults)
    elif not type_.nullable and not isinstance(type_, Any):
        _wrong(faults, path, f"must be {article(type_.label())}, is missing or null")


def _wrong(faults: Faults, path: Path, message: str) -> None:
    if len(faults) < MOST_FAULTS:
        faults.append(Fault(render(path), FaultCode.INVALID_VALUE, message))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def accepts(target: AnyPortType, source: AnyPortType) -> str | None:
    """Why a value of `source` may not go into `target`, or None when it may."""
    if isinstance(target, Any):
        return None if target.underlying is None else accepts(target.underlying, source)
    if isinstance(source, Any):
        if source.underlying is not None:
            return accepts(target, source.underlying)
        return (
            f"needs {article(target.label())}, and the source could be anything: give the source a `schema`, "
            "or put a Cast node between"
        )
    if isinstance(target, Array) and isinstance(source, Array):
        return None if target.items is None else _accepts_inner(target.items, source.items or BARE, "its items")
    if isinstance(target, Object) and isinstance(source, Object):
        return _accepts_properties(target, source)
    if isinstance(target, Enum) and isinstance(source, Enum):
        extra = [option for option in source.options if option not in target.options]
        return f"knows no option {', '.join(map(repr, extra))}" if extra else None
    if target.type != source.type:
        return f"needs {article(target.label())}, gets {article(source.label())}"
    return None


def _accepts_properties(target: Object, source: Object) -> str | None:
    for name, inner in (target.properties or {}).items():
        given = BARE if source.properties is None else source.properties.get(name)
        if given is None:
            if inner.nullable or isinstance(inner, Any):
                continue
            return f"needs the property {name!r}, which the source has not"
        reason = _accepts_inner(inner, given, f"property {name!r}")
        if reason is not None:
            return reason
    return None


def _accepts_inner(target: AnyPortType, source: AnyPortType, what: str) -> str | None:
    if source.nullable and not target.nullable and not isinstance(target, Any):
        return f"{what}: may be null at the source and must not be"
    reason = accepts(target, source)
    return None if reason is None else f"{what}: {reason}"


def child(type_: AnyPortType, segment: str | int) -> AnyPortType | None:
    """The type of a property (str) or an element (int) inside `type_`; None when there is no such place."""
    if isinstance(type_, Any):
        return BARE if type_.underlying is None else child(type_.underlying, segment)
    if isinstance(type_, Array) and isinstance(segment, int):
        return type_.items or BARE
    if isinstance(type_, Object) and isinstance(segment, str):
        return BARE if type_.properties is None else type_.properties.get(segment)
    return None
