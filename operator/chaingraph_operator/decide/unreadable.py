"""Specs that cannot be read: of a newer CRD, nested too deep, or malformed. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.messages.field_errors import errors_of
from chaingraph_operator.decide.actions import Refuse, Wait
from chaingraph_operator.decide.flow_status import error_lines, unreadable_reason
from chaingraph_operator.decide.ignored import Ignored, Reason
from chaingraph_operator.kube.cache import Cached


@dataclass(frozen=True, slots=True)
class UnreadableSpec:
    """Why a spec cannot be read.

    Attributes:
        verdict: the outcome for an execution without a row.
        ignored: the condition for an execution with a row.
    """

    reason: Reason
    why: str
    verdict: Wait | Refuse
    ignored: Ignored


def read(cached: Cached) -> ExecutionSpec | UnreadableSpec:
    """Parse the spec of an object."""
    if cached.unreadable:
        why = cached.unreadable
        reason = Reason(unreadable_reason(why))
        return UnreadableSpec(reason, why, Refuse(reason, why, (why,)), _ignored(reason, why))
    try:
        return ExecutionSpec.model_validate(cached.spec_object())
    except ValidationError as error:
        why = error_lines(errors_of(error))
        message = f"This operator version cannot read the spec. Upgrade the operator: {why}"
        return UnreadableSpec(
            Reason.UNREADABLE,
            why,
            Wait(Reason.UNREADABLE, message, stalled=True),
            _ignored(Reason.UNREADABLE, f"this operator version cannot read it. Upgrade the operator: {why}"),
        )


def _ignored(reason: Reason, why: str) -> Ignored:
    return Ignored(reason, f"spec: edits have no effect, the execution continues unchanged: {why}")
