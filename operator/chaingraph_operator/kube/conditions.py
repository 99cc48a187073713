"""Build lists of conditions by the API conventions. Pure.

Sources: Kubernetes API conventions (typical status properties); kstatus, which reads `Ready`, `Reconciling` and
`Stalled` and expects the latter two to be absent when they are not true.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from chaingraph_crds.conditions import Condition, ConditionStatus, ConditionType
from chaingraph_crds.limits import MAX_CONDITION_MESSAGE


@dataclass(frozen=True, slots=True)
class ConditionValue:
    """The value of a condition. Its transition time follows from the previous conditions."""

    type: ConditionType
    status: ConditionStatus
    reason: str
    message: str = ""


def conditions(
    claims: Sequence[ConditionValue], *, previous: Sequence[Condition], generation: int, now: datetime
) -> list[Condition]:
    """Return the conditions. `lastTransitionTime` is kept while the status stays; conditions not in `claims` vanish."""
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
    """Shorten the text to the limit, with an ellipsis where something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
