"""Validation results of a Flow, and the status that shows them. Pure."""

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
from chaingraph_flow.validation.unhandled_events import unhandled_events
from chaingraph_flow.validation.validation import validate
from chaingraph_operator.kube.conditions import ConditionValue, conditions
from chaingraph_runtime.objects import TOO_DEEP

_LONGEST_LIST: Final = 8192
"""Maximum characters of errors in a condition's message. The rest are counted, so that the status stays small."""

_TYPE_ERRORS: Final = (ErrorCode.UNKNOWN_NODE_TYPE, ErrorCode.MISSPELLED_NODE_TYPE)
WITH_WARNINGS: Final = "ValidWithWarnings"
CHECKING: Final = "Validating the flow"
TOO_COMPLEX: Final = "TooComplex"
_FIX_FLOW: Final = "Fix the flow. See the Ready condition."
WAITING_FOR_WORKERS: Final = (
    "No worker has published its node types yet. The flow is validated as soon as the first worker starts."
)


@dataclass(frozen=True, slots=True)
class Validated:
    """A flow with its errors. `warnings` are probable mistakes that do not prevent it from running."""

    spec: FlowSpec
    revision: str
    errors: tuple[FieldError, ...]
    warnings: tuple[FieldError, ...] = ()

    @property
    def valid(self) -> bool:
        return not self.errors

    @property
    def lacks_types_only(self) -> bool:
        """Whether the only errors are node types that no worker has. A new worker may fix that."""
        return bool(self.errors) and all(error.code in _TYPE_ERRORS for error in self.errors)

    @property
    def misspells_types(self) -> bool:
        """Whether a type resembles one that a worker has: more likely a typo than a type of a future worker."""
        return any(error.code is ErrorCode.MISSPELLED_NODE_TYPE for error in self.errors)


@dataclass(frozen=True, slots=True)
class NotValidated:
    """A flow that cannot be validated, because no node types are known yet."""

    spec: FlowSpec
    revision: str


@dataclass(frozen=True, slots=True)
class Unparseable:
    """A flow whose spec cannot be read: the CRD is newer than the operator, or the spec is nested too deep."""

    errors: tuple[str, ...]
    reason: str = "Unreadable"


@dataclass(frozen=True, slots=True)
class Checking:
    """A flow whose validation is running."""

    spec: FlowSpec


@dataclass(frozen=True, slots=True)
class TooComplex:
    """A flow whose validation exceeded its budget. `why` names the limit and its setting."""

    spec: FlowSpec
    why: str


FlowValidation = Validated | NotValidated | Unparseable | Checking | TooComplex


def validate_flow(spec: FlowSpec, catalogue: Catalogue | None) -> Validated | NotValidated:
    """Validate a flow against the active node types. None means that none are known."""
    if catalogue is None:
        return NotValidated(spec, revision(spec))
    errors = tuple(validate(spec, catalogue))
    return Validated(spec, revision(spec), errors, () if errors else tuple(unhandled_events(spec, catalogue)))


def error_lines(errors: Sequence[object], *, longest: int = _LONGEST_LIST) -> str:
    """Format the errors one per line, each with its path. Errors beyond the limit are counted."""
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
    """Return the condition reason of an object that cannot be read."""
    return "TooDeep" if why == TOO_DEEP else "Malformed"


def counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def flow_status(
    validation: FlowValidation, *, generation: int, previous: FlowStatus, now: datetime, conflict: str = ""
) -> dict[str, Any]:
    """Build the Flow's status as JSON.

    Args:
        conflict: why the ledger rejects its revision; '' when it does not.
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
            ConditionType.STALLED,
            "True",
            names.CONFLICTING_REVISION,
            "The database was changed. See the Ready condition.",
        ),
    ]


def _claims(validation: FlowValidation) -> list[ConditionValue]:
    match validation:
        case Unparseable(errors, reason) if reason != "Unreadable":
            return [
                ConditionValue(ConditionType.READY, "False", reason, error_lines(errors)),
                ConditionValue(ConditionType.STALLED, "True", reason, _FIX_FLOW),
            ]
        case Unparseable(errors):
            message = "This operator version cannot read the spec. Upgrade the operator: " + error_lines(errors)
            return [
                ConditionValue(ConditionType.READY, "False", "Unreadable", message),
                ConditionValue(
                    ConditionType.STALLED,
                    "True",
                    "Unreadable",
                    "Waiting for an operator version that can read the spec",
                ),
            ]
        case NotValidated():
            return [
                ConditionValue(ConditionType.READY, "Unknown", "WaitingForWorkers", WAITING_FOR_WORKERS),
                ConditionValue(ConditionType.RECONCILING, "True", "WaitingForWorkers", "Waiting for a worker"),
            ]
        case Checking():
            return [
                ConditionValue(ConditionType.READY, "Unknown", "Checking", CHECKING),
                ConditionValue(ConditionType.RECONCILING, "True", "Checking", CHECKING),
            ]
        case TooComplex(_, why):
            return [
                ConditionValue(ConditionType.READY, "False", TOO_COMPLEX, why),
                ConditionValue(ConditionType.STALLED, "True", TOO_COMPLEX, _FIX_FLOW),
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
                    "Fix the name of the node type, or start a worker that has this type.",
                ),
            ]
        case Validated(_, _, errors) if validation.lacks_types_only:
            message = (
                f"{counted(len(errors), 'error')}. The flow becomes ready once a worker with these node types starts: "
                f"{error_lines(errors)}"
            )
            return [
                ConditionValue(ConditionType.READY, "False", ErrorCode.UNKNOWN_NODE_TYPE, message),
                ConditionValue(
                    ConditionType.RECONCILING,
                    "True",
                    ErrorCode.UNKNOWN_NODE_TYPE,
                    "Waiting for a worker with the missing node types, or for a change of the flow",
                ),
            ]
        case Validated(_, _, errors):
            lines = error_lines(errors)
            # Columns show the first line only, so the first error stands in it.
            message = lines if len(errors) == 1 else f"{len(errors)} errors: {lines}"
            return [
                ConditionValue(ConditionType.READY, "False", "Invalid", message),
                ConditionValue(ConditionType.STALLED, "True", "Invalid", _FIX_FLOW),
            ]
