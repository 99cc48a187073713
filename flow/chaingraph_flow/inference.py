"""The types that values show, and what several types have in common: for static values, joins and lists."""

from __future__ import annotations

from collections.abc import Sequence

from .types import BARE, Any, AnyPortType, Array, Boolean, Enum, Number, Object, String


class _Null(Any):
    """The type of null alone, where a type is inferred: together with another one it makes that one nullable."""


def infer(value: object) -> AnyPortType:
    """The narrowest type that describes a JSON value; null is a nullable `any`."""
    if isinstance(value, bool):
        return Boolean()
    if isinstance(value, int | float):
        return Number()
    if isinstance(value, str):
        return String()
    if isinstance(value, list):
        return Array(items=union([infer(item) for item in value]) if value else None)
    if isinstance(value, dict):
        return Object(properties={str(name): infer(inner) for name, inner in value.items()})
    return _Null(nullable=True)


def union(types: Sequence[AnyPortType]) -> AnyPortType:
    """The narrowest type that every one of `types` goes into (arrays and objects by their parts)."""
    result = types[0]
    for each in types[1:]:
        result = _join(result, each)
    return result


def may_be_null(type_: AnyPortType) -> AnyPortType:
    """The same type, allowed to be null inside arrays and objects."""
    return type_ if type_.nullable else type_.model_copy(update={"nullable": True})


def _join(left: AnyPortType, right: AnyPortType) -> AnyPortType:
    if left == right:
        return left
    null = left.nullable or right.nullable
    joined: AnyPortType
    if isinstance(left, _Null):
        return may_be_null(right)
    if isinstance(right, _Null):
        return may_be_null(left)
    if isinstance(left, Array) and isinstance(right, Array):
        items = None if left.items is None or right.items is None else _join(left.items, right.items)
        joined = Array(items=items, nullable=null)
    elif isinstance(left, Object) and isinstance(right, Object):
        joined = Object(properties=_join_properties(left, right), nullable=null)
    elif isinstance(left, Enum) and isinstance(right, Enum):
        joined = Enum(options=tuple(dict.fromkeys(left.options + right.options)), nullable=null)
    elif isinstance(left, String) and isinstance(right, String):
        joined = String(nullable=null)
    elif isinstance(left, Number) and isinstance(right, Number):
        joined = Number(integer=left.integer and right.integer, nullable=null)
    elif left.type == right.type:
        joined = may_be_null(left) if null else left
    else:
        joined = Any(nullable=null)
    return joined


def _join_properties(left: Object, right: Object) -> dict[str, AnyPortType] | None:
    if left.properties is None or right.properties is None:
        return None
    names = dict.fromkeys([*left.properties, *right.properties])
    joined: dict[str, AnyPortType] = {}
    for name in names:
        one, other = left.properties.get(name), right.properties.get(name)
        joined[name] = _join(one, other) if one and other else may_be_null(one or other or BARE)
    return joined
