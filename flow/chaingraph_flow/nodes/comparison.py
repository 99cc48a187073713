"""Compare JSON values, for Branch, Switch, Filter and Sort."""

from __future__ import annotations

from typing import Any

from chaingraph_flow.errors import NodeFailed
from chaingraph_flow.ports.json_values import kind
from chaingraph_flow.ports.types import Enum

OPERATORS = Enum(
    options=("==", "!=", "<", "<=", ">", ">=", "contains", "startsWith", "endsWith", "isEmpty"),
)


def equal(left: Any, right: Any) -> bool:
    """Compare JSON values for equality: true is not 1, 1 is 1.0."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(left[name], right[name]) for name in left)
    return bool(left == right)


def compare(left: Any, operator: str, right: Any) -> bool:
    """Whether `left operator right` holds. Raises NodeFailed when the operator cannot compare the two."""
    match operator:
        case "==":
            return equal(left, right)
        case "!=":
            return not equal(left, right)
        case "isEmpty":
            return left is None or left in ("", [], {})
        case "contains":
            return _contains(left, right)
        case "startsWith" | "endsWith":
            if not (isinstance(left, str) and isinstance(right, str)):
                raise NodeFailed(f"{operator} compares texts, not {kind(left)} with {kind(right)}")
            return left.startswith(right) if operator == "startsWith" else left.endswith(right)
        case _:
            return _ordered(left, operator, right)


def sort_key(value: Any) -> tuple[bool, Any]:
    """Return a sort key that puts null last. `require_one_kind` rejects mixed kinds."""
    return (value is None, 0 if value is None else value)


def require_one_kind(values: list[Any], what: str) -> None:
    """Raise NodeFailed unless the values, apart from null, are all numbers or all texts."""
    kinds = {kind(value) for value in values if value is not None}
    if len(kinds) > 1 or kinds - {"a number", "a string"}:
        raise NodeFailed(f"{what} needs all numbers or all texts, has {' and '.join(sorted(kinds))}")


def _contains(left: Any, right: Any) -> bool:
    if isinstance(left, str) and isinstance(right, str):
        return right in left
    if isinstance(left, list):
        return any(equal(item, right) for item in left)
    if isinstance(left, dict) and isinstance(right, str):
        return right in left
    raise NodeFailed(f"contains cannot search {kind(left)}: it needs a text, an array or an object")


def _ordered(left: Any, operator: str, right: Any) -> bool:
    if left is None or right is None:
        # as in SQL: nothing is less or greater than null
        return False
    both = [left, right]
    require_one_kind(both, f"the comparison {operator}")
    if operator == "<":
        return bool(left < right)
    if operator == "<=":
        return bool(left <= right)
    if operator == ">":
        return bool(left > right)
    return bool(left >= right)
