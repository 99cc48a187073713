"""Fixed texts that a node reads as a language of its own, checked with the flow: templates.

What a text says wrong whatever comes at run time is an error of the flow. Text that an edge brings is checked when the
node runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chaingraph_flow.catalogue import InputPort
from chaingraph_flow.field_errors import ErrorCode, FieldError, Suggestions
from chaingraph_flow.ports.json_values import Segment
from chaingraph_flow.templates import COMING, Given, Known, check

MOST_ERRORS: Final = 10
"""Errors of one text that are described; the others are counted."""
CHECKED_CHARACTERS: Final = 64 * 1024
"""Characters of templates that are checked with a flow: 0.7 s for the densest. The others are checked when they run."""


class Literals:
    """The fixed texts of one flow. Counts how much of them has been checked."""

    def __init__(self, suggest: Suggestions) -> None:
        self._suggest = suggest
        self._left = CHECKED_CHARACTERS
        self.unsure: set[str] = set()
        """Nodes that a invalid edge may lead to: which names they get is not known."""

    def template_errors(
        self, node: str, path: str, text: str, *, values: Any, parts: Sequence[Sequence[Segment]], port: InputPort
    ) -> list[FieldError]:
        """What is wrong with a template.

        Args:
            node: The node's id.
            path: The field that holds it.
            text: The template.
            values: The fixed value of the input with its names.
            parts: Where edges lead inside that input; an empty one leads to the whole of it.
            port: That input.
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
            message = f"{more} more errors of this template are not described: fix these first"
            errors.append(FieldError(path, ErrorCode.INVALID_TEMPLATE, message))
        return errors


def _given(values: dict[str, Any], parts: Sequence[Sequence[Segment]]) -> Given:
    given: dict[str, Any] = {name: Known(value) for name, value in values.items()}
    given |= {str(segments[0]): COMING for segments in parts if segments}
    return given
