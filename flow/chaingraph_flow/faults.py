"""What is wrong with a flow, an input or a value: said once, with the place where it is.

Everything that validates (ports, flows, flow inputs) returns lists of these, so that a person sees every
fault at once. The operator puts them into the `Ready` condition, the CLI prints them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


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


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault: where it is (`spec.edges[2].to`), its code, and what would be right."""

    path: str
    code: FaultCode
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'response'?` for the nearest known name, else the known names if they are few, else ''."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]!r}?"
    if 0 < len(names) <= 12:
        return f"; there is {', '.join(repr(each) for each in sorted(names))}"
    return ""
