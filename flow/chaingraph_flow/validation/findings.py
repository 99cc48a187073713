"""The errors found in a flow so far: bounded, and in the order of the spec's fields."""

from __future__ import annotations

from chaingraph_flow.field_errors import MOST_ERRORS, ErrorCode, FieldError

GRAPH_SECTIONS = 5
"""The sections of one graph: inputs, nodes, edges, outputs, and its name. Those of the subflows follow."""


class Findings:
    """Collects errors. Those over MOST_ERRORS are counted."""

    def __init__(self) -> None:
        self._found: list[tuple[int, int, FieldError]] = []
        self._more = 0
        self._codes_of_more: set[ErrorCode] = set()

    def add(self, section: int, index: int, error: FieldError) -> None:
        """Add an error of a field: its section of the spec, and its position there."""
        if len(self._found) < MOST_ERRORS:
            self._found.append((section, index, error))
        else:
            self._more += 1
            self._codes_of_more.add(error.code)

    def errors(self) -> list[FieldError]:
        """Return the errors in the order of the spec's fields. The last one counts those over MOST_ERRORS."""
        found = [error for _, _, error in sorted(self._found, key=lambda each: each[:2])]
        if self._more:
            code = ErrorCode.TOO_MANY_ERRORS if len(self._codes_of_more) > 1 else next(iter(self._codes_of_more))
            found.append(FieldError("spec", code, f"{self._more} more errors. Fix the listed ones first"))
        return found
