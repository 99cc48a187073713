"""Lists of conditions as the API conventions want them. Pure.

Sources: Kubernetes API conventions (typical status properties); kstatus, which reads `Ready`, `Reconciling` and
`Stalled` and wants the latter two absent when they are not true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from chaingraph_crds.conditions import Condition, ConditionStatus, ConditionType
from chaingraph_crds.limits import MAX_CONDITION_MESSAGE


@dataclass(frozen=True, slots=True)
class ConditionValue:
    """What a condition is to say now; when it began to say so follows from what it said before."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str = ""


def conditions(
    claims: Sequence[ConditionValue], *, previous: Sequence[Condition], generation: int, now: datetime
) -> list[Condition]:
    """The claims as conditions. `lastTransitionTime` stays while the status stays; unclaimed conditions vanish."""
    before: Mapping[str, Condition] = {condition.type: condition for condition in previous}
    return [_condition(claim, before.get(claim.type), generation, now) for claim in claims]


def _condition(claim: ConditionValue, before: Condition | None, generation: int, now: datetime) -> Condition:
    unchanged = before is not None and before.status == claim.status
    return Condition(
        type=claim.type,
        status=claim.status,
        reason=claim.reason,
        message=shortened(claim.message, MAX_CONDITION_MESSAGE),
        last_transition_time=before.last_transition_time if before is not None and unchanged else now,
        observed_generation=generation,
    )


def shortened(text: str, limit: int) -> str:
    """The text, cut to the limit with an ellipsis where something is missing."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
