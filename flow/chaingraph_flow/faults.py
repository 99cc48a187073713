"""What is wrong with a flow, an input or a value: said once, with the place where it is.

Everything that validates (ports, flows, flow inputs) returns lists of these, so that a person sees every
fault at once. The operator puts them into the `Ready` condition, the CLI prints them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MOST_FAULTS: Final = 100
"""Faults of one flow that are described; the others are counted."""
LONGEST_PATH: Final = 512
LONGEST_MESSAGE: Final = 1024
"""Characters of a fault's path and message. Names in a flow can be long, and a fault repeats several of them."""
MOST_SUGGESTIONS: Final = 5
"""Faults of one flow for which a similar name is searched: the search reads every name for each of them."""
_MOST_CANDIDATES: Final = 500
_LONGEST_CANDIDATE: Final = 128


class FaultCode(StrEnum):
    """The kinds of fault, stable enough for programs to react to."""

    UNKNOWN_NODE_TYPE = "UnknownNodeType"
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
    UNHEARD_EVENT = "UnheardEvent"
    TOO_DEEP = "TooDeep"
    TOO_MANY_FAULTS = "TooManyFaults"


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault: where it is (`spec.edges[2].to`), its code, and what would be right. Long texts are shortened."""

    path: str
    code: FaultCode
    message: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", shortened(self.path, LONGEST_PATH))
        object.__setattr__(self, "message", shortened(self.message, LONGEST_MESSAGE))

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def shortened(text: str, limit: int) -> str:
    """The text, with an ellipsis in its middle where it is longer than the limit."""
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def similar(name: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Known names that resemble this one, the nearest first. Bounded: 500 names of 128 characters are compared."""
    if len(name) > _LONGEST_CANDIDATE:
        return []
    # Two texts whose lengths differ more than this cannot reach the cutoff.
    shortest, longest = len(name) * cutoff / (2 - cutoff), len(name) * (2 - cutoff) / cutoff
    longest = min(longest, _LONGEST_CANDIDATE)
    candidates = [each for each in known if shortest <= len(each) <= longest]
    if len(candidates) > _MOST_CANDIDATES:
        candidates.sort(key=lambda each: _common(name, each), reverse=True)
        candidates = candidates[:_MOST_CANDIDATES]
    return difflib.get_close_matches(name, candidates, n=most, cutoff=cutoff)


def _common(one: str, other: str) -> int:
    """Characters at the same place: cheap, and high for most slips."""
    return sum(left == right for left, right in zip(one, other, strict=False))


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'response'?` for the nearest known name, else the known names if they are few, else ''."""
    names = list(known)
    near = similar(name, names)
    if near:
        return f"; did you mean {near[0]!r}?"
    if 0 < len(names) <= 12:
        return f"; there is {', '.join(repr(each) for each in sorted(names))}"
    return ""


class Suggestions:
    """`suggestion` for the first few faults of a flow, and nothing for the others."""

    def __init__(self, most: int = MOST_SUGGESTIONS) -> None:
        self._left = most

    def __call__(self, name: str, known: Iterable[str]) -> str:
        if self._left <= 0:
            return ""
        self._left -= 1
        return suggestion(name, known)
