"""Infer the types of values, and the common type of several types: for static values, joins and lists."""

from __future__ import annotations

from collections.abc import Sequence

from chaingraph_flow.ports.types import Any, AnyPortType, Array, Boolean, Enum, Number, Object, String


class _Null(Any):
    """The inferred type of null: together with another type it makes that one nullable."""


# Shared, with their fingerprints: a flow may have a hundred thousand values.
_BOOLEAN, _NUMBER, _STRING, _NULL = Boolean(), Number(), String(), _Null(nullable=True)


def infer(value: object) -> AnyPortType:
    """Infer the narrowest type of a JSON value; null is a nullable `any`."""
    if isinstance(value, bool):
        return _BOOLEAN
    if isinstance(value, int | float):
        return _NUMBER
    if isinstance(value, str):
        return _STRING
    if isinstance(value, list):
        return Array(items=union([infer(item) for item in value]) if value else None)
    if isinstance(value, dict):
        return Object(properties={str(name): infer(inner) for name, inner in value.items()})
    return _NULL


def union(types: Sequence[AnyPortType]) -> AnyPortType:
    """Return the narrowest type that all of `types` fit into (arrays and objects by their parts)."""
    return _Union().of(types)


def may_be_null(type_: AnyPortType) -> AnyPortType:
    """Return the same type, but nullable inside arrays and objects."""
    return type_ if type_.nullable else type_.model_copy(update={"nullable": True})


class _Union:
    """One search for the common type of several types.

    All of them are merged together, not one after the other: an array of thousands of differing objects is read once.
    The same parts are merged once, however often the types share them.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, ...], AnyPortType] = {}

    def of(self, types: Sequence[AnyPortType]) -> AnyPortType:
        distinct = list({each.fingerprint: each for each in types}.values()) if len(types) > 1 else list(types)
        if len(distinct) == 1:
            return distinct[0]
        key = tuple(each.fingerprint for each in distinct)
        if key not in self._known:
            self._known[key] = self._joined(distinct)
        return self._known[key]

    def _joined(self, types: list[AnyPortType]) -> AnyPortType:
        null = any(each.nullable for each in types)
        # Two types that differ only in being nullable are one type.
        certain = [
            each.model_copy(update={"nullable": False}) if each.nullable else each
            for each in types
            if not isinstance(each, _Null)
        ]
        some = list({each.fingerprint: each for each in certain}.values())
        first = some[0]
        joined: AnyPortType
        if len(some) == 1:
            joined = first
        elif any(each.type != first.type for each in some):
            joined = Any()
        elif isinstance(first, Array):
            items = [each.items for each in some if isinstance(each, Array)]
            known = [each for each in items if each is not None]
            joined = Array(items=self.of(known) if len(known) == len(items) else None)
        elif isinstance(first, Object):
            joined = Object(properties=self._properties([each for each in some if isinstance(each, Object)]))
        elif isinstance(first, Enum):
            options = [option for each in some if isinstance(each, Enum) for option in each.options]
            joined = Enum(options=tuple(dict.fromkeys(options)))
        elif isinstance(first, String):
            joined = String()
        elif isinstance(first, Number):
            joined = Number(integer=all(isinstance(each, Number) and each.integer for each in some))
        else:
            joined = first
        return may_be_null(joined) if null else joined

    def _properties(self, types: list[Object]) -> dict[str, AnyPortType] | None:
        found: dict[str, list[AnyPortType]] = {}
        for each in types:
            if each.properties is None:
                return None
            for name, inner in each.properties.items():
                found.setdefault(name, []).append(inner)
        joined: dict[str, AnyPortType] = {}
        for name, inners in found.items():
            inner = self.of(inners)
            joined[name] = inner if len(inners) == len(types) else may_be_null(inner)
        return joined
