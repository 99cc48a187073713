"""The condition `RetryRefused`, and how the ledger's row stores a refusal. Pure."""

from __future__ import annotations

from chaingraph_crds.conditions import ConditionType
from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.execution_status import ExecutionStatus
from chaingraph_operator.decide.plan import RetryImpossible, RetryRefusal, Verdict, Wait, retry_token
from chaingraph_operator.kube.conditions import ConditionValue
from chaingraph_store.executions import ExecutionRow


def retry_refused(
    spec: ExecutionSpec, row: ExecutionRow | None, verdict: Verdict | None, previous: ExecutionStatus
) -> list[ConditionValue]:
    """Return the condition while the spec has the refused token; else nothing."""
    token = retry_token(spec)
    if not token:
        return []
    if row is not None:
        return _of_row(token, row)
    if isinstance(verdict, RetryImpossible):
        return [_refused(token, verdict.reason, verdict.message)]
    if token == previous.last_retry:
        return _kept(previous)
    if isinstance(verdict, Wait) and _seen_active(previous):
        reason = RetryRefusal.STILL_RUNNING if previous.execution_id is None else RetryRefusal.NOT_IN_LEDGER
        return [_refused(token, reason, "the execution has not ended. See the Succeeded condition")]
    return []


def _of_row(token: str, row: ExecutionRow) -> list[ConditionValue]:
    if not row.retry_refusal or row.retry_token != token:
        return []
    return [_refused(token, row.retry_refusal, row.retry_refusal_message)]


def _refused(token: str, reason: str, message: str) -> ConditionValue:
    return ConditionValue(ConditionType.RETRY_REFUSED, "True", reason, f"Retry {token!r} refused: {message}")


def _kept(previous: ExecutionStatus) -> list[ConditionValue]:
    return [
        ConditionValue(ConditionType.RETRY_REFUSED, each.status, each.reason, each.message)
        for each in previous.conditions
        if each.type == ConditionType.RETRY_REFUSED
    ]


def _seen_active(previous: ExecutionStatus) -> bool:
    """Whether the status showed an active execution before: a token that is new now came with an edit then."""
    return previous.phase is not None and not previous.phase.finished
