"""Errors of a flow, an input or a value, each with its location.

All validation (ports, flows, flow inputs) returns lists of these, so that a user sees every error at once. The operator
puts them into the `Ready` condition, the CLI prints them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chaingraph_crds.messages.suggestions import almost, nearest, similar, suggestion

MOST_ERRORS: Final = 100
"""Maximum errors of one flow that are described. The rest are counted."""
LONGEST_PATH: Final = 512
LONGEST_MESSAGE: Final = 1024
"""Maximum characters of an error's path and message. Names in a flow can be long, and an error repeats several."""
MOST_SUGGESTIONS: Final = 5
"""Maximum errors of one flow with a search for a similar name: each search reads every name."""

__all__ = ["ErrorCode", "FieldError", "Suggestions", "almost", "shortened", "similar", "suggestion"]


class ErrorCode(StrEnum):
    """The kinds of error, stable enough for programs to react to."""

    UNKNOWN_NODE_TYPE = "UnknownNodeType"
    MISSPELLED_NODE_TYPE = "MisspelledNodeType"
    DUPLICATE_NODE_ID = "DuplicateNodeId"
    UNKNOWN_NODE = "UnknownNode"
    UNKNOWN_PORT = "UnknownPort"
    TYPE_MISMATCH = "TypeMismatch"
    CYCLE = "Cycle"
    PORT_TAKEN = "PortTaken"
    STATIC_PORT = "StaticPort"
    INVALID_VALUE = "InvalidValue"
    MISSING_INPUT = "MissingInput"
    RESERVED_ID = "ReservedId"
    UNKNOWN_INPUT = "UnknownInput"
    MALFORMED_EDGE = "MalformedEdge"
    DUPLICATE_OUTPUT = "DuplicateOutput"
    DUPLICATE_INPUT = "DuplicateInput"
    DUPLICATE_SIGNAL = "DuplicateSignal"
    DUPLICATE_SUBFLOW = "DuplicateSubflow"
    UNKNOWN_SUBFLOW = "UnknownSubflow"
    RECURSIVE_CALL = "RecursiveCall"
    UNHEARD_EVENT = "UnheardEvent"
    INVALID_TEMPLATE = "InvalidTemplate"
    INVALID_EXPRESSION = "InvalidExpression"
    TOO_DEEP = "TooDeep"
    TOO_MANY_ERRORS = "TooManyErrors"


@dataclass(frozen=True, slots=True, order=True)
class FieldError:
    """One error: its path (`spec.edges[2].to`), its code, and the remedy. Long texts are shortened."""

    path: str
    code: ErrorCode
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", shortened(self.path, LONGEST_PATH))
        object.__setattr__(self, "message", shortened(self.message, LONGEST_MESSAGE))

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def shortened(text: str, limit: int) -> str:
    """Shorten the text to the limit, with an ellipsis in the middle."""
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


class Suggestions:
    """`suggestion` for the first few errors of a flow, and nothing for the others."""

    def __init__(self, most: int = MOST_SUGGESTIONS) -> None:
        self._left = most

    def __call__(self, name: str, known: Iterable[str]) -> str:
        if self._left <= 0:
            return ""
        self._left -= 1
        return suggestion(name, known)

    def nearest(self, name: str, known: Iterable[str]) -> str:
        """Return the nearest known name as a suggestion, without a list of all names."""
        if self._left <= 0:
            return ""
        self._left -= 1
        return nearest(name, known)

    def almost(self, name: str, known: Iterable[str]) -> tuple[bool, str]:
        """Return whether the name is a typo of a known one (see `suggestions.almost`), and the suggestion."""
        if self._left <= 0:
            return False, ""
        names = list(known)
        meant = almost(name, names)
        if meant is None:
            return False, self(name, names)
        self._left -= 1
        return True, f"; did you mean {meant!r}?"
