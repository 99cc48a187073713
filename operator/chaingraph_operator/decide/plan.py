"""Decide the next action for an Execution. Pure: `executions` calls it and carries out the result.

The ledger's row is the source of truth for the state and for used tokens, the spec for the desired state, and the
status only for executions that ended without a row. Each call decides one action. The caller carries it out and plans
again from the new state until no command is left, so every decision can be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from chaingraph_crds.execution import ExecutionSpec, RetrySpec
from chaingraph_crds.execution_status import ExecutionStatus
from chaingraph_operator.decide import retry_cut
from chaingraph_operator.decide.actions import (
    Adopt,
    Command,
    Create,
    FlowView,
    Missing,
    Nothing,
    ObjectMeta,
    ObserveGeneration,
    Plan,
    Refuse,
    RefuseRetry,
    RefuseSignals,
    Retry,
    RetryImpossible,
    RetryRefusal,
    Stop,
    StopUncreated,
    UpdateControl,
    Verdict,
    Wait,
)
from chaingraph_operator.decide.creation import creation
from chaingraph_operator.decide.ignored import changed_options
from chaingraph_operator.decide.retry_cut import RetryFacts
from chaingraph_operator.decide.signals import SignalDecisions, SignalFacts, decide
from chaingraph_store.commands import retrying
from chaingraph_store.commands.control import DesiredControl
from chaingraph_store.commands.journal_cut import JournalCut
from chaingraph_store.commands.tokens import TokenKind, asks
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId

__all__ = [
    "DEFAULT_STOP_REASON",
    "DELETED",
    "Adopt",
    "Command",
    "Create",
    "FlowView",
    "Missing",
    "Nothing",
    "ObjectMeta",
    "ObserveGeneration",
    "Plan",
    "Refuse",
    "RefuseRetry",
    "RefuseSignals",
    "Retry",
    "RetryImpossible",
    "RetryRefusal",
    "Stop",
    "StopUncreated",
    "UpdateControl",
    "Verdict",
    "Wait",
    "plan",
    "retry_token",
    "unconfirmed",
    "wants_cut",
]

DELETED: Final = "Resource deleted"
DEFAULT_STOP_REASON: Final = "Stop requested"


def plan(
    spec: ExecutionSpec,
    meta: ObjectMeta,
    status: ExecutionStatus,
    row: ExecutionRow | None,
    flow: FlowView | None,
    signals: SignalFacts | None = None,
    retry: RetryFacts | None = None,
) -> Plan:
    """Decide the next action.

    Args:
        status: as last written. Only the status records an end without a row.
        row: the ledger's row, or None.
        flow: the Flow that `flowRef` names, or the inline flow; None when there is a row, which has its flow pinned.
        signals: what is needed to decide about `spec.signals`; None without a row, or when the spec has none.
        retry: what is needed to decide about a retry with `node` or `flowRevision: Latest`; None without one.
    """
    if row is not None:
        return _with_row(spec, meta, row, decide(spec, signals, ended=row.ended), retry)
    if meta.deleting:
        return Nothing()
    if spec.spawned_by is not None:
        return Adopt(ExecutionId(spec.spawned_by.execution_id), ExecutionId(spec.spawned_by.parent_execution_id))
    if status.phase is not None and status.phase.finished:
        impossible = _no_retry_unmade(spec, status)
        if impossible is not None:
            return impossible
        # It never ran, and the reason may have been fixed.
    elif spec.stop:
        return StopUncreated(spec.stop_reason or DEFAULT_STOP_REASON)
    elif status.execution_id is not None:
        return _LOST
    assert flow is not None, "without a row, the flow decides"
    return creation(spec, meta, flow)


_LOST: Final = Wait(
    "NotInLedger",
    "Execution not found in the database, although it was created there. The operator uses another database than "
    "before, or the database was restored from an older backup. The execution is not run again automatically. "
    "Configure the right database, or create another Execution.",
    stalled=True,
)


def unconfirmed(spec: ExecutionSpec, status: ExecutionStatus) -> Verdict | Nothing:
    """Return the outcome for a resource that claims to represent a child that the ledger does not confirm."""
    assert spec.spawned_by is not None, "only resources with spawnedBy can be unconfirmed"
    if status.execution_id is None:
        said = spec.spawned_by
        return Wait(
            "NotAChild",
            f"spec.spawnedBy is set by the operator only. The database has no child {said.execution_id!r} of "
            f"{said.parent_execution_id!r} for this Execution, or another Execution represents that child. This "
            "Execution never runs. Delete it, and create an Execution without spec.spawnedBy.",
            stalled=True,
        )
    if status.phase is not None and status.phase.finished:
        return _no_retry_unmade(spec, status) or _LOST
    return _LOST


def retry_token(spec: ExecutionSpec) -> str:
    """Return the token of the spec's retry; empty when it has none."""
    return spec.retry.token if spec.retry is not None else ""


def _no_retry_unmade(spec: ExecutionSpec, status: ExecutionStatus) -> Nothing | RetryImpossible | None:
    """Return why an execution that ended without a row stays ended; None when it is to be validated again."""
    token = retry_token(spec)
    if not token or token == status.last_retry:
        return Nothing()
    if spec.stop:
        return RetryImpossible(token, RetryRefusal.STOP_IS_SET, _STOP_WINS)
    if status.execution_id is not None:
        return RetryImpossible(
            token,
            RetryRefusal.NOT_IN_LEDGER,
            "the execution is no longer in the database, so there is nothing to retry. Create another Execution",
        )
    return None


_STOP_WINS: Final = "spec.stop is true, and stop takes precedence. Set spec.stop to false and change spec.retry.token"


def _with_row(
    spec: ExecutionSpec, meta: ObjectMeta, row: ExecutionRow, signals: SignalDecisions, retry: RetryFacts | None
) -> Plan:
    if meta.deleting:
        done = row.tree_ended or (row.ended and row.tree_stopped)
        return Nothing() if done else Stop(row.id, DELETED, deleted=True)
    observe = ObserveGeneration(row.id, meta.generation, row.observed_generation, _tokens(spec), spec.children.on_stop)
    if row.observed_generation > meta.generation:
        return observe
    command = _ended(spec, meta, row, retry) if row.ended else _active(spec, meta, row, signals)
    if command is None and signals.refused:
        spec_ids = tuple(each.id for each in spec.signals)
        command = RefuseSignals(row.id, signals.refused, spec_ids, meta.generation)
    # The first generation belongs to the creation, also in rows that do not record it.
    return command or (observe if meta.generation > max(row.observed_generation, 1) else Nothing())


def _active(spec: ExecutionSpec, meta: ObjectMeta, row: ExecutionRow, signals: SignalDecisions) -> Command | None:
    if spec.stop:
        return _stop(spec, meta, row)
    wanted = replace(_wanted(spec), signals=signals.accepted)
    if _differs(wanted, spec, row) or signals.accepted:
        return UpdateControl(row.id, wanted, meta.generation)
    if not _asks_for_retry(spec, row):
        return None
    return RefuseRetry(
        row.id,
        retry_token(spec),
        RetryRefusal.STILL_RUNNING,
        f"the execution was {row.phase}, and only a failed or stopped execution can be retried. Wait for its end, or "
        "stop it first. Then change spec.retry.token",
        meta.generation,
    )


def _stop(spec: ExecutionSpec, meta: ObjectMeta, row: ExecutionRow) -> Stop:
    reason = spec.stop_reason or DEFAULT_STOP_REASON
    return Stop(row.id, reason, children=spec.children.on_stop == "Stop", generation=meta.generation)


def _ended(spec: ExecutionSpec, meta: ObjectMeta, row: ExecutionRow, retry: RetryFacts | None) -> Command | None:
    if spec.stop and spec.children.on_stop == "Stop" and row.children_total and not row.tree_stopped:
        return _stop(spec, meta, row)
    if spec.retry is None or not _asks_for_retry(spec, row):
        return None
    token = spec.retry.token
    if row.phase == "Completed":
        message = "the execution has completed. To run it again, create another Execution"
        return RefuseRetry(row.id, token, RetryRefusal.ALREADY_COMPLETED, message, meta.generation)
    if spec.stop:
        return RefuseRetry(row.id, token, RetryRefusal.STOP_IS_SET, _STOP_WINS, meta.generation)
    if not retry_cut.cuts(spec.retry):
        return _retry(spec, spec.retry, meta, row, None)
    if retry is None:
        return None
    if row.flow_revision is None and spec.retry.node is None:
        return _retry(spec, spec.retry, meta, row, None)  # nothing has run, and the retry takes the latest flow anyway
    cut = retry_cut.decide(spec, spec.retry, retry)
    if cut is None:
        return None  # it waits: see `RetryFacts.waits`
    if isinstance(cut, retry_cut.Refused):
        return RefuseRetry(row.id, token, cut.reason, cut.message, meta.generation)
    return _retry(spec, spec.retry, meta, row, cut)


def wants_cut(spec: ExecutionSpec, row: ExecutionRow) -> bool:
    """Whether the spec requests a retry that needs `RetryFacts`."""
    retriable = row.phase in retrying.RETRIABLE_PHASES and not spec.stop
    return retriable and retry_cut.cuts(spec.retry) and _asks_for_retry(spec, row)


def _retry(spec: ExecutionSpec, retry: RetrySpec, meta: ObjectMeta, row: ExecutionRow, cut: JournalCut | None) -> Retry:
    asked = retrying.RetryRequest(
        token=retry.token,
        from_start=retry.from_ == "Start",
        paused=spec.paused,
        options=spec.options.complete(),
        breakpoints=tuple(spec.options.breakpoints),
        step=spec.step or "",
        resume=spec.resume or "",
        priority=spec.priority,
        start_timeout_seconds=spec.start_timeout_seconds,
        cut=cut,
    )
    return Retry(row.id, asked, meta.generation)


def _tokens(spec: ExecutionSpec) -> Mapping[TokenKind, str]:
    return {TokenKind.STEP: spec.step or "", TokenKind.RESUME: spec.resume or "", TokenKind.RETRY: retry_token(spec)}


def _asks_for_retry(spec: ExecutionSpec, row: ExecutionRow) -> bool:
    return asks(TokenKind.RETRY, retry_token(spec), used=row.used_tokens, last=row.retry_token)


def _wanted(spec: ExecutionSpec) -> DesiredControl:
    return DesiredControl(
        paused=spec.paused,
        step=spec.step or "",
        resume=spec.resume or "",
        breakpoints=tuple(spec.options.breakpoints),
        on_stop=spec.children.on_stop,
        priority=spec.priority,
        start_timeout_seconds=spec.start_timeout_seconds,
        options=spec.options.complete(),
    )


def _differs(wanted: DesiredControl, spec: ExecutionSpec, row: ExecutionRow) -> bool:
    """Whether the spec requests a change. A removed or already used token requests nothing."""
    settings = (wanted.paused, wanted.on_stop, set(wanted.breakpoints), wanted.priority)
    return (
        settings != (row.wants_pause, row.on_stop, set(row.breakpoints), row.priority)
        or (row.started_at is None and _begins_differently(spec, row))
        or asks(TokenKind.STEP, wanted.step, used=row.used_tokens, last=row.step_token)
        or asks(TokenKind.RESUME, wanted.resume, used=row.used_tokens, last=row.resume_token)
    )


def _begins_differently(spec: ExecutionSpec, row: ExecutionRow) -> bool:
    """Whether settings that an attempt reads only at its start have changed."""
    changed = changed_options(spec.options, row.options)
    return spec.start_timeout_seconds != row.start_timeout_s or bool(changed)
