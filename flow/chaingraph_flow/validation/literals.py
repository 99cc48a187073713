"""Fixed texts in a language of their own, validated with the flow: templates and expressions.

An error that occurs whatever the values at run time is an error of the flow. Text from an edge is checked when the node
runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chaingraph_flow.catalogue import InputPort
from chaingraph_flow.expressions import InvalidExpression, compiled
from chaingraph_flow.field_errors import ErrorCode, FieldError, Suggestions
from chaingraph_flow.ports.json_values import Segment
from chaingraph_flow.templates import COMING, Given, Known, check

MOST_ERRORS: Final = 10
"""Maximum errors of one text that are described. The rest are counted."""
CHECKED_CHARACTERS: Final = 64 * 1024
"""Maximum characters of templates and expressions validated with a flow: 0.7 s for the densest. The rest are checked
at run time."""


class Literals:
    """The fixed texts of one flow. Counts how much of them has been validated."""

    def __init__(self, suggest: Suggestions) -> None:
        self._suggest = suggest
        self._left = CHECKED_CHARACTERS
        self.unsure: set[str] = set()
        """Nodes that an invalid edge may lead to: the names they get are unknown."""

    def template_errors(
        self, node: str, path: str, text: str, *, values: Any, parts: Sequence[Sequence[Segment]], port: InputPort
    ) -> list[FieldError]:
        """Return the errors of a template.

        Args:
            node: the node's id.
            path: the field that holds it.
            text: the template.
            values: the fixed value of the input with its names.
            parts: where edges lead inside that input; an empty one leads to the whole of it.
            port: that input.
        """
        self._left -= len(text)
        if self._left < 0:
            return []
        given = _given(values if isinstance(values, dict) else port.default or {}, parts)
        others = node in self.unsure or () in map(tuple, parts)
        found = check(text, given, others=others, suggest=self._suggest)
        errors = [FieldError(path, ErrorCode.INVALID_TEMPLATE, str(each)) for each in found[:MOST_ERRORS]]
        more = len(found) - len(errors)
        if more:
            message = f"{more} more errors in this template. Fix the listed ones first"
            errors.append(FieldError(path, ErrorCode.INVALID_TEMPLATE, message))
        return errors

    def expression_errors(self, path: str, text: str) -> list[FieldError]:
        """Return the errors of an expression. An empty one is none."""
        self._left -= len(text)
        if self._left < 0 or not text:
            return []
        try:
            compiled(text)
        except InvalidExpression as error:
            return [FieldError(path, ErrorCode.INVALID_EXPRESSION, str(error))]
        return []


def _given(values: dict[str, Any], parts: Sequence[Sequence[Segment]]) -> Given:
    given: dict[str, Any] = {name: Known(value) for name, value in values.items()}
    given |= {str(segments[0]): COMING for segments in parts if segments}
    return given
