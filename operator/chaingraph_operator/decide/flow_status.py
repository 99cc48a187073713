"""What can be said about a Flow: is it right, and what its status says of it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from chaingraph_crds import names
from chaingraph_crds.conditions import ConditionType
from chaingraph_crds.flow import FlowSpec, FlowStatus
from chaingraph_flow.catalogue import Catalogue
from chaingraph_flow.field_errors import ErrorCode, FieldError
from chaingraph_flow.revision import revision
from chaingraph_flow.validation.unheard import unheard
from chaingraph_flow.validation.validation import validate
from chaingraph_operator.kube.conditions import ConditionValue, conditions
from chaingraph_runtime.objects import TOO_DEEP

_LONGEST_LIST: Final = 8192
"""Characters of errors in a condition's message. What is over is counted: a status must stay small."""

_TYPE_ERRORS: Final = (ErrorCode.UNKNOWN_NODE_TYPE, ErrorCode.MISSPELLED_NODE_TYPE)
WITH_WARNINGS: Final = "ValidWithWarnings"
CHECKING: Final = "the flow is being checked"
TOO_COMPLEX: Final = "TooComplex"
WAITING_FOR_WORKERS: Final = (
    "no worker has published the node types that it has, so the flow cannot be checked; "
    "it is checked as soon as the first worker starts"
)


@dataclass(frozen=True, slots=True)
class Validated:
    """A flow and what is wrong with it. `warnings`: what is most likely not meant, and keeps it from nothing."""

    spec: FlowSpec
    revision: str
    errors: tuple[FieldError, ...]
    warnings: tuple[FieldError, ...] = ()

    @property
    def valid(self) -> bool:
        return not self.errors

    @property
    def lacks_types_only(self) -> bool:
        """Whether all that is wrong is that no worker has a type of its nodes: a new worker may mend that."""
        return bool(self.errors) and all(error.code in _TYPE_ERRORS for error in self.errors)

    @property
    def misspells_types(self) -> bool:
        """Whether a type is almost one that a worker has: more likely a slip than a type that is still to come."""
        return any(error.code is ErrorCode.MISSPELLED_NODE_TYPE for error in self.errors)


@dataclass(frozen=True, slots=True)
class NotValidated:
    """A flow that cannot be checked, because no node types are known yet."""

    spec: FlowSpec
    revision: str


@dataclass(frozen=True, slots=True)
class Unparseable:
    """A flow whose spec this version cannot read: the CRD is newer than the operator, or it is nested too deep."""

    errors: tuple[str, ...]
    reason: str = "Unreadable"


@dataclass(frozen=True, slots=True)
class Checking:
    """A flow that is being checked at this moment."""

    spec: FlowSpec


@dataclass(frozen=True, slots=True)
class TooComplex:
    """A flow whose check went beyond its budget. `why` names the limit and its setting."""

    spec: FlowSpec
    why: str


FlowValidation = Validated | NotValidated | Unparseable | Checking | TooComplex


def validate_flow(spec: FlowSpec, catalogue: Catalogue | None) -> Validated | NotValidated:
    """Checks a flow against the node types in force; None means that none are known."""
    if catalogue is None:
        return NotValidated(spec, revision(spec))
    errors = tuple(validate(spec, catalogue))
    return Validated(spec, revision(spec), errors, () if errors else tuple(unheard(spec, catalogue)))


def error_lines(errors: Sequence[object], *, longest: int = _LONGEST_LIST) -> str:
    """The errors one a line, each with its path; what does not fit is counted."""
    lines: list[str] = []
    length = 0
    for index, error in enumerate(errors):
        line = str(error)[:longest]
        if lines and length + len(line) > longest:
            lines.append(f"... and {len(errors) - index} more")
            break
        lines.append(line)
        length += len(line) + 1
    return "\n".join(lines)


def unreadable_reason(why: str) -> str:
    """The reason of the conditions of an object that could not be read."""
    return "TooDeep" if why == TOO_DEEP else "Malformed"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def flow_status(
    validation: FlowValidation, *, generation: int, previous: FlowStatus, now: datetime, conflict: str = ""
) -> dict[str, Any]:
    """The Flow's status, as JSON.

    Args:
        conflict: why the ledger does not take its revision; '' when it does.
    """
    spec = None if isinstance(validation, Unparseable) else validation.spec
    status = FlowStatus(
        observed_generation=generation,
        revision=validation.revision if isinstance(validation, Validated | NotValidated) else None,
        nodes=None if spec is None else len(spec.nodes),
        conditions=conditions(
            _conflicting(conflict) if conflict else _claims(validation),
            previous=previous.conditions,
            generation=generation,
            now=now,
        ),
    )
    return status.manifest()


def _conflicting(why: str) -> list[ConditionValue]:
    return [
        ConditionValue(ConditionType.READY, "False", names.CONFLICTING_REVISION, why),
        ConditionValue(
            ConditionType.STALLED, "True", names.CONFLICTING_REVISION, "the database was changed: see Ready"
        ),
    ]


def _claims(validation: FlowValidation) -> list[ConditionValue]:
    match validation:
        case Unparseable(errors, reason) if reason != "Unreadable":
            return [
                ConditionValue(ConditionType.READY, "False", reason, error_lines(errors)),
                ConditionValue(ConditionType.STALLED, "True", reason, "waits for a change of the flow: see Ready"),
            ]
        case Unparseable(errors):
            message = "this version of the operator cannot read the spec; update it: " + error_lines(errors)
            return [
                ConditionValue(ConditionType.READY, "False", "Unreadable", message),
                ConditionValue(
                    ConditionType.STALLED, "True", "Unreadable", "waits for an operator that can read the spec"
                ),
            ]
        case NotValidated():
            return [
                ConditionValue(ConditionType.READY, "Unknown", "WaitingForWorkers", WAITING_FOR_WORKERS),
                ConditionValue(ConditionType.RECONCILING, "True", "WaitingForWorkers", "waits for a worker"),
            ]
        case Checking():
            return [
                ConditionValue(ConditionType.READY, "Unknown", "Checking", CHECKING),
                ConditionValue(ConditionType.RECONCILING, "True", "Checking", CHECKING),
            ]
        case TooComplex(_, why):
            return [
                ConditionValue(ConditionType.READY, "False", TOO_COMPLEX, why),
                ConditionValue(ConditionType.STALLED, "True", TOO_COMPLEX, "waits for a change of the flow: see Ready"),
            ]
        case Validated(spec, revision_, ()):
            message = f"{counted(len(spec.nodes), 'node')}, revision {revision_}"
            if not validation.warnings:
                return [ConditionValue(ConditionType.READY, "True", "Valid", message)]
            message = f"{message}, {counted(len(validation.warnings), 'warning')}: {error_lines(validation.warnings)}"
            return [ConditionValue(ConditionType.READY, "True", WITH_WARNINGS, message)]
        case Validated(_, _, errors) if validation.misspells_types and validation.lacks_types_only:
            message = f"{len(errors)} errors: {error_lines(errors)}" if len(errors) > 1 else str(errors[0])
            return [
                ConditionValue(ConditionType.READY, "False", ErrorCode.UNKNOWN_NODE_TYPE, message),
                ConditionValue(
                    ConditionType.STALLED,
                    "True",
                    ErrorCode.UNKNOWN_NODE_TYPE,
                    "fix the name of the node type, or start a worker that has this type",
                ),
            ]
        case Validated(_, _, errors) if validation.lacks_types_only:
            message = (
                f"{counted(len(errors), 'error')}; the flow becomes ready when a worker with these node types starts: "
                f"{error_lines(errors)}"
            )
            return [
                ConditionValue(ConditionType.READY, "False", ErrorCode.UNKNOWN_NODE_TYPE, message),
                ConditionValue(
                    ConditionType.RECONCILING,
                    "True",
                    ErrorCode.UNKNOWN_NODE_TYPE,
                    "waits for a worker that has the missing node types, or for a change of the flow",
                ),
            ]
        case Validated(_, _, errors):
            lines = error_lines(errors)
            # Columns show the first line: the first error stands in it.
            message = lines if len(errors) == 1 else f"{len(errors)} errors: {lines}"
            return [
                ConditionValue(ConditionType.READY, "False", "Invalid", message),
                ConditionValue(ConditionType.STALLED, "True", "Invalid", "waits for a change of the flow: see Ready"),
            ]
