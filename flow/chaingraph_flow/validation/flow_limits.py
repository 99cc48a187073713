"""Limits of a flow as an object: how deep its values go, and what the patterns of its schemas cost.

Checked before anything reads the values closer. Numbers of nodes and edges and lengths of names are limits of the API:
`chaingraph_crds.limits`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from chaingraph_crds.flow import NodeSpec
from chaingraph_crds.numbers import numbers_in, rounded_by_kubernetes
from chaingraph_flow.catalogue import NodeType
from chaingraph_flow.field_errors import ErrorCode, FieldError
from chaingraph_flow.ports.derive import schema_inputs_of
from chaingraph_flow.ports.json_values import DEEPEST, render
from chaingraph_flow.ports.patterns import LARGEST_PATTERNS, MOST_PATTERNS, PatternRefused, cost

TOO_DEEP: Final = f"is nested deeper than {DEEPEST} levels: make it flatter, or pass it as a JSON text"


def deeper_than(value: object, levels: int) -> bool:
    """Whether lists and objects are nested deeper than so many levels. Reads level by level, however deep it is."""
    # Millions of plain values may stand there: a tuple is looked through faster than a union.
    nests = (list, dict)
    level = [value] if isinstance(value, nests) else []
    for _ in range(levels):
        if not level:
            return False
        level = [inner for each in level for inner in _inside(each) if isinstance(inner, nests)]
    return bool(level)


def _inside(value: object) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def rounded_numbers(value: object, path: str) -> list[FieldError]:
    """The first number of a value from Kubernetes' API that may be another one than was written."""
    for steps, number in numbers_in(value):
        why = rounded_by_kubernetes(number)
        if why is not None:
            return [FieldError(render(path, steps), ErrorCode.INVALID_VALUE, why)]
    return []


def patterns_in(schema: object) -> Iterator[str]:
    """The patterns in the description of a type."""
    left = [schema]
    while left:
        here = left.pop()
        if isinstance(here, dict) and isinstance(here.get("pattern"), str):
            yield here["pattern"]
        left += [inner for inner in _inside(here) if isinstance(inner, list | dict)]


class LimitCheck:
    """One flow. Counts its patterns as they come."""

    def __init__(self) -> None:
        self._patterns = 0
        self._size = 0

    @staticmethod
    def too_deep(value: object) -> bool:
        """Whether a value is nested deeper than any may be."""
        return deeper_than(value, DEEPEST)

    def node_errors(self, path: str, node: NodeSpec, node_type: NodeType | None) -> Iterator[FieldError]:
        """What in a node's fixed inputs is beyond a limit. With any of it, the node is not to be looked at closer."""
        for key, value in node.inputs.items():
            if self.too_deep(value):
                yield FieldError(render(path, ["inputs", key]), ErrorCode.TOO_DEEP, TOO_DEEP)
                return
        yield from rounded_numbers(node.inputs, render(path, ["inputs"]))
        for key in _schema_inputs(node_type):
            found = self._pattern_error(node.inputs.get(key))
            if found:
                yield FieldError(render(path, ["inputs", key]), ErrorCode.INVALID_VALUE, found)
                return

    def _pattern_error(self, schema: object) -> str:
        for pattern in patterns_in(schema):
            self._patterns += 1
            try:
                self._size += cost(pattern).size
            except PatternRefused:
                continue  # which the schema's own check says, with its place
            if self._patterns > MOST_PATTERNS:
                return f"the schemas of the flow have more than {MOST_PATTERNS} patterns: remove some"
            if self._size > LARGEST_PATTERNS:
                return (
                    f"the patterns of the flow are too large together, more than {LARGEST_PATTERNS // 10} kB: use "
                    "minLength and maxLength for lengths, and [a-zA-Z0-9_] for \\w"
                )
        return ""


def _schema_inputs(node_type: NodeType | None) -> list[str]:
    if node_type is None:
        return []
    rules = [output.typed_by for output in node_type.outputs if output.typed_by is not None]
    return sorted(set().union(*(schema_inputs_of(each) for each in rules)))
