"""JSON merge patches (RFC 7386) between two statuses. Pure.

In such a patch null means "remove". A null member of an object cannot be stored and is shown as absent. Lists are
replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Any


def storable(value: Json) -> Json:
    """Remove null members of objects, as a merge patch would. Nulls in lists stay."""
    if isinstance(value, Mapping):
        return {key: storable(item) for key, item in value.items() if item is not None}
    return value


def difference(before: Mapping[str, Json], after: Mapping[str, Json]) -> dict[str, Json]:
    """Return the merge patch from `before` to `after`; empty when they are equal. Both must be `storable`."""
    patch: dict[str, Json] = {key: None for key in before if key not in after}
    for key, value in after.items():
        known = before.get(key)
        if key not in before:
            patch[key] = value
        elif isinstance(value, Mapping) and isinstance(known, Mapping):
            inner = difference(known, value)
            if inner:
                patch[key] = inner
        elif not _same(known, value):
            patch[key] = value
    return patch


def apply(before: Json, patch: Json) -> Json:
    """Apply the patch as the API server does, by RFC 7386."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(before) if isinstance(before, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = apply(result.get(key), value)
    return result


def _same(one: Json, other: Json) -> bool:
    """Compare by JSON's rules: Python takes True for 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    return bool(one == other)
