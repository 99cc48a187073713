"""Limits of a flow as an object: the depth of its values, and the cost of the patterns in its schemas.

They are checked before the values are processed. Numbers of nodes and edges and lengths of names are limits of the API:
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
from chaingraph_flow.ports.json_values import DEEPEST, render, size_of
from chaingraph_flow.ports.patterns import LARGEST_PATTERNS, MOST_PATTERNS, PatternRefused, cost

TOO_DEEP: Final = f"is nested deeper than {DEEPEST} levels: flatten it, or pass it as JSON text"

LARGEST_INPUT_SCHEMAS: Final = 64 * 1024
"""Maximum size of the schemas of all inputs of a flow, in bytes of JSON: they are parsed for every execution."""


def deeper_than(value: object, levels: int) -> bool:
    """Whether lists and objects are nested deeper than this many levels. Reads level by level, without recursion."""
    # There may be millions of plain values: a tuple is checked faster than a union.
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
    """Return an error for the first number of a value from the Kubernetes API that may have been rounded."""
    for steps, number in numbers_in(value):
        why = rounded_by_kubernetes(number)
        if why is not None:
            return [FieldError(render(path, steps), ErrorCode.INVALID_VALUE, why)]
    return []


def patterns_in(schema: object) -> Iterator[str]:
    """Yield the patterns in the description of a type."""
    left = [schema]
    while left:
        here = left.pop()
        if isinstance(here, dict) and isinstance(here.get("pattern"), str):
            yield here["pattern"]
        left += [inner for inner in _inside(here) if isinstance(inner, list | dict)]


class LimitCheck:
    """The limits of one flow. Counts its patterns as they come."""

    def __init__(self) -> None:
        self._patterns = 0
        self._size = 0
        self._input_schemas = 0

    @staticmethod
    def too_deep(value: object) -> bool:
        """Whether a value is nested too deeply."""
        return deeper_than(value, DEEPEST)

    def node_errors(self, path: str, node: NodeSpec, node_type: NodeType | None) -> Iterator[FieldError]:
        """Yield errors for a node's fixed inputs that exceed a limit. A node with any is not processed further."""
        for key, value in node.inputs.items():
            if self.too_deep(value):
                yield FieldError(render(path, ["inputs", key]), ErrorCode.TOO_DEEP, TOO_DEEP)
                return
        # A message about a number would repeat it, and it may be a secret.
        secrets = node_type.secret_inputs if node_type is not None else frozenset[str]()
        plain = {key: value for key, value in node.inputs.items() if key not in secrets}
        yield from rounded_numbers(plain, render(path, ["inputs"]))
        for key in _schema_inputs(node_type):
            found = self._pattern_error(node.inputs.get(key))
            if found:
                yield FieldError(render(path, ["inputs", key]), ErrorCode.INVALID_VALUE, found)
                return

    def schema_error(self, path: str, schema: object) -> FieldError | None:
        """Return an error for the schema of a flow's input that exceeds a limit. It is not processed further then."""
        if self.too_deep(schema):
            return FieldError(path, ErrorCode.TOO_DEEP, TOO_DEEP)
        self._input_schemas += size_of(schema, LARGEST_INPUT_SCHEMAS)
        found = self._pattern_error(schema)
        if self._input_schemas > LARGEST_INPUT_SCHEMAS:
            found = (
                f"the schemas of the flow's inputs have more than {LARGEST_INPUT_SCHEMAS} bytes together: check the "
                "details with a Cast node"
            )
        return FieldError(path, ErrorCode.INVALID_VALUE, found) if found else None

    def _pattern_error(self, schema: object) -> str:
        for pattern in patterns_in(schema):
            self._patterns += 1
            try:
                self._size += cost(pattern).size
            except PatternRefused:
                continue  # the schema's own check reports it, with its place
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
