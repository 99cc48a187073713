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

from typing import Final

from pydantic import TypeAdapter, ValidationError

from .faults import Fault, FaultCode, shortened
from .json_values import article, render
from .port_types import (
    BARE,
    LONGEST_NAME,
    MOST_FAULTS,
    Any,
    AnyPortType,
    Array,
    Boolean,
    Enum,
    Number,
    Object,
    PortType,
    String,
    listed,
)

__all__ = [
    "BARE",
    "MOST_FAULTS",
    "Any",
    "AnyPortType",
    "Array",
    "Boolean",
    "Enum",
    "Number",
    "Object",
    "PortType",
    "String",
    "accepts",
    "check_value",
    "child",
    "parse_type",
]

_ADAPTER: Final[TypeAdapter[AnyPortType]] = TypeAdapter(PortType)
_LONGEST_REASON: Final = 500


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


def accepts(target: AnyPortType, source: AnyPortType) -> str | None:
    """Why a value of `source` may not go into `target`, or None when it may."""
    return _Fit().reason(target, source)


class _Fit:
    """One comparison of two types. Each pair of their parts is compared once, however often they share it."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], str | None] = {}

    def reason(self, target: AnyPortType, source: AnyPortType) -> str | None:
        if target is source:
            return None
        if isinstance(target, Any):
            return None if target.underlying is None else self.reason(target.underlying, source)
        if isinstance(source, Any):
            if source.underlying is not None:
                return self.reason(target, source.underlying)
            return (
                f"needs {article(target.label())}, and the source could be anything: give the source a `schema`, "
                "or put a Cast node between"
            )
        if isinstance(target, Array | Object) and type(target) is type(source):
            pair = (target.fingerprint, source.fingerprint)
            if pair not in self._known:
                self._known[pair] = None if pair[0] == pair[1] else self._of_parts(target, source)
            return self._known[pair]
        if isinstance(target, Enum) and isinstance(source, Enum):
            extra = [option for option in source.options if option not in target.known]
            return f"knows no option {listed([repr(each) for each in extra])}" if extra else None
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
                return f"needs the property {shown}, which the source has not"
            reason = self._inner(inner, given, f"property {shown}")
            if reason is not None:
                return reason
        return None

    def _inner(self, target: AnyPortType, source: AnyPortType, what: str) -> str | None:
        if source.nullable and not target.nullable and not isinstance(target, Any):
            return f"{what}: may be null at the source and must not be"
        reason = self.reason(target, source)
        return None if reason is None else shortened(f"{what}: {reason}", _LONGEST_REASON)


def child(type_: AnyPortType, segment: str | int) -> AnyPortType | None:
    """The type of a property (str) or an element (int) inside `type_`; None when there is no such place."""
    if isinstance(type_, Any):
        return BARE if type_.underlying is None else child(type_.underlying, segment)
    if isinstance(type_, Array) and isinstance(segment, int):
        return type_.items or BARE
    if isinstance(type_, Object) and isinstance(segment, str):
        return BARE if type_.properties is None else type_.properties.get(segment)
    return None
