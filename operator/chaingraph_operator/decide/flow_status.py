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
from chaingraph_flow.faults import Fault, FaultCode
from chaingraph_flow.revision import revision
from chaingraph_flow.unheard import unheard
from chaingraph_flow.validation import validate
from chaingraph_operator.kube.conditions import Claim, conditions
from chaingraph_runtime.objects import TOO_DEEP

_LONGEST_LIST: Final = 8192
"""Characters of faults in a condition's message. What is over is counted: a status must stay small."""

_TYPE_FAULTS: Final = (FaultCode.UNKNOWN_NODE_TYPE, FaultCode.MISSPELLED_NODE_TYPE)
WITH_WARNINGS: Final = "ValidWithWarnings"
CHECKING: Final = "the flow is being checked"
TOO_COMPLEX: Final = "TooComplex"
WAITING_FOR_WORKERS: Final = (
    "no worker has published the node types that it has, so the flow cannot be checked; "
    "it is checked as soon as the first worker starts"
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A flow and what is wrong with it. `warnings`: what is most likely not meant, and keeps it from nothing."""

    spec: FlowSpec
    revision: str
    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...] = ()

    @property
    def valid(self) -> bool:
        return not self.faults

    @property
    def lacks_types_only(self) -> bool:
        """Whether all that is wrong is that no worker has a type of its nodes: a new worker may mend that."""
        return bool(self.faults) and all(fault.code in _TYPE_FAULTS for fault in self.faults)

    @property
    def misspells_types(self) -> bool:
        """Whether a type is almost one that a worker has: more likely a slip than a type that is still to come."""
        return any(fault.code is FaultCode.MISSPELLED_NODE_TYPE for fault in self.faults)


@dataclass(frozen=True, slots=True)
class Unjudged:
    """A flow that cannot be checked, because no node types are known yet."""

    spec: FlowSpec
    revision: str


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A flow whose spec this version cannot read: the CRD is newer than the operator, or it is nested too deep."""

    faults: tuple[str, ...]
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


FlowJudgement = Judged | Unjudged | Unreadable | Checking | TooComplex


def judge(spec: FlowSpec, catalogue: Catalogue | None) -> Judged | Unjudged:
    """Checks a flow against the node types in force; None means that none are known."""
    if catalogue is None:
        return Unjudged(spec, revision(spec))
    faults = tuple(validate(spec, catalogue))
    return Judged(spec, revision(spec), faults, () if faults else tuple(unheard(spec, catalogue)))


def fault_lines(faults: Sequence[object], *, longest: int = _LONGEST_LIST) -> str:
    """The faults one a line, each with its path; what does not fit is counted."""
    lines: list[str] = []
    length = 0
    for index, fault in enumerate(faults):
        line = str(fault)[:longest]
        if lines and length + len(line) > longest:
            lines.append(f"... and {len(faults) - index} more")
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
    judgement: FlowJudgement, *, generation: int, previous: FlowStatus, now: datetime, conflict: str = ""
) -> dict[str, Any]:
    """The Flow's status, as JSON.

    Args:
        conflict: why the ledger does not take its revision; '' when it does.
    """
    spec = None if isinstance(judgement, Unreadable) else judgement.spec
    status = FlowStatus(
        observed_generation=generation,
        revision=judgement.revision if isinstance(judgement, Judged | Unjudged) else None,
        nodes=None if spec is None else len(spec.nodes),
        conditions=conditions(
            _conflicting(conflict) if conflict else _claims(judgement),
            previous=previous.conditions,
            generation=generation,
            now=now,
        ),
    )
    return status.manifest()


def _conflicting(why: str) -> list[Claim]:
    return [
        Claim(ConditionType.READY, "False", names.CONFLICTING_REVISION, why),
        Claim(ConditionType.STALLED, "True", names.CONFLICTING_REVISION, "the database was changed: see Ready"),
    ]


def _claims(judgement: FlowJudgement) -> list[Claim]:
    match judgement:
        case Unreadable(faults, reason) if reason != "Unreadable":
            return [
                Claim(ConditionType.READY, "False", reason, fault_lines(faults)),
                Claim(ConditionType.STALLED, "True", reason, "waits for a change of the flow: see Ready"),
            ]
        case Unreadable(faults):
            message = "this version of the operator cannot read the spec; update it: " + fault_lines(faults)
            return [
                Claim(ConditionType.READY, "False", "Unreadable", message),
                Claim(ConditionType.STALLED, "True", "Unreadable", "waits for an operator that can read the spec"),
            ]
        case Unjudged():
            return [
                Claim(ConditionType.READY, "Unknown", "WaitingForWorkers", WAITING_FOR_WORKERS),
                Claim(ConditionType.RECONCILING, "True", "WaitingForWorkers", "waits for a worker"),
            ]
        case Checking():
            return [
                Claim(ConditionType.READY, "Unknown", "Checking", CHECKING),
                Claim(ConditionType.RECONCILING, "True", "Checking", CHECKING),
            ]
        case TooComplex(_, why):
            return [
                Claim(ConditionType.READY, "False", TOO_COMPLEX, why),
                Claim(ConditionType.STALLED, "True", TOO_COMPLEX, "waits for a change of the flow: see Ready"),
            ]
        case Judged(spec, revision_, ()):
            message = f"{counted(len(spec.nodes), 'node')}, revision {revision_}"
            if not judgement.warnings:
                return [Claim(ConditionType.READY, "True", "Valid", message)]
            message = f"{message}, {counted(len(judgement.warnings), 'warning')}: {fault_lines(judgement.warnings)}"
            return [Claim(ConditionType.READY, "True", WITH_WARNINGS, message)]
        case Judged(_, _, faults) if judgement.misspells_types and judgement.lacks_types_only:
            message = f"{len(faults)} faults: {fault_lines(faults)}" if len(faults) > 1 else str(faults[0])
            return [
                Claim(ConditionType.READY, "False", FaultCode.UNKNOWN_NODE_TYPE, message),
                Claim(
                    ConditionType.STALLED,
                    "True",
                    FaultCode.UNKNOWN_NODE_TYPE,
                    "fix the name of the node type, or start a worker that has this type",
                ),
            ]
        case Judged(_, _, faults) if judgement.lacks_types_only:
            message = (
                f"{counted(len(faults), 'fault')}; the flow becomes ready when a worker with these node types starts: "
                f"{fault_lines(faults)}"
            )
            return [
                Claim(ConditionType.READY, "False", FaultCode.UNKNOWN_NODE_TYPE, message),
                Claim(
                    ConditionType.RECONCILING,
                    "True",
                    FaultCode.UNKNOWN_NODE_TYPE,
                    "waits for a worker that has the missing node types, or for a change of the flow",
                ),
            ]
        case Judged(_, _, faults):
            lines = fault_lines(faults)
            # Columns show the first line: the first fault stands in it.
            message = lines if len(faults) == 1 else f"{len(faults)} faults: {lines}"
            return [
                Claim(ConditionType.READY, "False", "Invalid", message),
                Claim(ConditionType.STALLED, "True", "Invalid", "waits for a change of the flow: see Ready"),
            ]
