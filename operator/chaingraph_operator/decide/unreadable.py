"""Specs that cannot be read: of a newer CRD, nested too deep or malformed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.field_errors import errors_of
from chaingraph_operator.decide.actions import Refuse, Wait
from chaingraph_operator.decide.flow_status import error_lines, unreadable_reason
from chaingraph_operator.decide.ignored import Ignored, Reason
from chaingraph_operator.kube.cache import Cached


@dataclass(frozen=True, slots=True)
class UnreadableSpec:
    """Why a spec cannot be read.

    Attributes:
        verdict: on an execution that the ledger does not have.
        ignored: what is said of one that it has.
    """

    reason: Reason
    why: str
    verdict: Wait | Refuse
    ignored: Ignored


def read(cached: Cached) -> ExecutionSpec | UnreadableSpec:
    """The spec of an object."""
    if cached.unreadable:
        why = cached.unreadable
        reason = Reason(unreadable_reason(why))
        return UnreadableSpec(reason, why, Refuse(reason, why, (why,)), _ignored(reason, why))
    try:
        return ExecutionSpec.model_validate(cached.spec_object())
    except ValidationError as error:
        why = error_lines(errors_of(error))
        message = f"this version of the operator cannot read the spec; update it: {why}"
        return UnreadableSpec(
            Reason.UNREADABLE,
            why,
            Wait(Reason.UNREADABLE, message, stalled=True),
            _ignored(Reason.UNREADABLE, f"this version of the operator cannot read it; update the operator: {why}"),
        )


def _ignored(reason: Reason, why: str) -> Ignored:
    return Ignored(reason, f"spec: no edit has an effect, and the execution continues as it was: {why}")
