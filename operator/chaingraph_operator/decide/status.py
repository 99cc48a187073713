"""Build the status of an Execution from its row in the ledger, or from the reason why it has none. Pure.

`phase` is derived; conditions carry the meaning. `Reconciling` and `Stalled` are absent when not true (kstatus). The
status stays small whatever the graph: counts, a bounded list of running nodes, outputs up to a limit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from chaingraph_crds import limits
from chaingraph_crds.conditions import ConditionStatus, ConditionType
from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.execution_status import (
    AttemptRecord,
    ExecutionError,
    ExecutionPhase,
    ExecutionStatus,
    NodeCounts,
    OmittedOutput,
    ParentRef,
)
from chaingraph_crds.numbers import numbers_in, refused_by_kubernetes
from chaingraph_flow.ports.json_values import render
from chaingraph_operator.decide import children_status, paused_condition, signals, waits
from chaingraph_operator.decide.flow_status import counted
from chaingraph_operator.decide.ignored import Ignored, claim
from chaingraph_operator.decide.plan import (
    ObjectMeta,
    Refuse,
    RetryImpossible,
    StopUncreated,
    Verdict,
    Wait,
    retry_token,
)
from chaingraph_operator.decide.retry_refusals import retry_refused
from chaingraph_operator.kube.conditions import ConditionValue, conditions, shortened
from chaingraph_store.attempts import running_nodes
from chaingraph_store.children.child_rows import ChildSummary
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.signals import KnownSignals

_NAMED: Final = 3
"""Maximum nodes and outputs that a message names."""


@dataclass(frozen=True, slots=True)
class _State:
    """The facts that the conditions are built from."""

    phase: ExecutionPhase
    reason: str
    message: str
    stalled: bool = False


def execution_status(
    meta: ObjectMeta,
    spec: ExecutionSpec,
    row: ExecutionRow | None,
    verdict: Verdict | None,
    previous: ExecutionStatus,
    *,
    now: datetime,
    queue_served: bool | None = None,
    children: ChildSummary | None = None,
    below: Mapping[str, int] | None = None,
    parent_name: str | None = None,
    ignored: Sequence[Ignored] = (),
    known_signals: KnownSignals | None = None,
) -> dict[str, Any]:
    """Build the status as JSON.

    Args:
        row: the ledger's row. When there is one, it decides.
        verdict: why there is no row. Without row and verdict the previous status stays, with the new generation: so it
            does when an execution that ended without a row cannot be retried.
        queue_served: whether a live worker serves the execution's queue; None when unknown.
        children: the row's children; None when there are none, or when they were not read. The previous status is kept
            then.
        below: the result of the store's `child_rows.below` for an ended row with children whose `children_active` is 0;
            not needed before.
        parent_name: name of the parent's resource; if absent, the one in the spec.
        ignored: the parts of the spec that have no effect on the row.
        known_signals: what became of the entries of `spec.signals`; None when it has none.
    """
    refused = retry_refused(spec, row, verdict, previous)
    if row is not None:
        paused = paused_condition.paused(spec, row, previous)
        state = _state_of_row(spec, row, queue_served, paused_condition.shown_phase(row, previous), paused)
        family = _family(spec, row, previous, children, parent_name)
        shown_signals = signals.statuses(spec, known_signals)
        body = _from_row(row, previous).model_copy(update=family | {"signals": shown_signals})
    elif verdict is None or isinstance(verdict, RetryImpossible):
        return _confirmed(meta, spec, previous, refused, now)
    else:
        paused = paused_condition.paused(spec, None, previous)
        state = _state_of_verdict(verdict)
        body = _from_verdict(spec, state, verdict, previous, now)
    claims = [
        *_claims(state, row, body, below),
        paused,
        *waits.waiting(row),
        _worker_lost(row),
        *refused,
        *signals.refused(body.signals),
        *claim(ignored),
    ]
    return _written(
        body,
        meta,
        phase=state.phase,
        conditions=conditions(claims, previous=previous.conditions, generation=meta.generation, now=now),
    )


def _confirmed(
    meta: ObjectMeta, spec: ExecutionSpec, previous: ExecutionStatus, refused: list[ConditionValue], now: datetime
) -> dict[str, Any]:
    kept = [
        each.model_copy(update={"observed_generation": meta.generation})
        for each in previous.conditions
        if each.type != ConditionType.RETRY_REFUSED
    ]
    added = conditions(refused, previous=previous.conditions, generation=meta.generation, now=now)
    return _written(previous, meta, conditions=[*kept, *added], last_retry=retry_token(spec) or previous.last_retry)


def _written(body: ExecutionStatus, meta: ObjectMeta, **fields: object) -> dict[str, Any]:
    """Return the status as JSON, without empty lists."""
    whole = body.model_copy(update={"observed_generation": meta.generation, **fields}).manifest()
    return {name: value for name, value in whole.items() if value != []}


def _from_row(row: ExecutionRow, previous: ExecutionStatus) -> ExecutionStatus:
    failed = row.phase == ExecutionPhase.FAILED
    active = row.phase in (ExecutionPhase.RUNNING, ExecutionPhase.PAUSED) and not row.parked
    resuming = active and row.applied_seq < row.control_seq
    return ExecutionStatus(
        execution_id=row.id,
        attempt=row.attempt,
        flow_revision=row.flow_revision,
        nodes=NodeCounts(
            total=row.nodes_total,
            done=row.nodes_completed + row.nodes_failed + row.nodes_skipped,
            completed=row.nodes_completed,
            failed=row.nodes_failed,
            skipped=row.nodes_skipped,
            running=row.nodes_running,
            waiting=row.nodes_waiting,
        ),
        current_nodes=row.current_nodes[: limits.MAX_CURRENT_NODES],
        waiting=waits.waiting_nodes(row),
        breakpoint=None if row.ended else row.pause_node or None,
        outputs=_shown_outputs(row),
        omitted_outputs=[OmittedOutput(name=name, bytes=size) for name, size in _omitted_outputs(row).items()],
        error=ExecutionError(
            node=row.error_node or None,
            message=shortened(row.error_message, limits.MAX_ERROR_MESSAGE),
            reason=shortened(row.error_reason, limits.MAX_REASON) or None,
        )
        if failed
        else None,
        root_execution_id=row.root_id,
        depth=row.depth,
        start_time=row.started_at,
        completion_time=row.finished_at if row.ended else None,
        worker=shortened(row.worker, limits.MAX_WORKER) or None,
        worker_version=shortened(row.worker_version, limits.MAX_WORKER_VERSION) or None,
        last_step=previous.last_step if row.steps_owed else row.step_token or None,
        last_resume=previous.last_resume if resuming else row.resume_token or None,
        last_retry=row.retry_token or None,
        attempts=[_attempt(each) for each in row.attempts[-limits.MAX_ATTEMPTS :]],
    )


def _family(
    spec: ExecutionSpec,
    row: ExecutionRow,
    previous: ExecutionStatus,
    children: ChildSummary | None,
    parent_name: str | None,
) -> dict[str, Any]:
    """Return the fields that describe parent and children."""
    fields = children_status.fields(row, children, previous)
    if row.parent_id:
        name = parent_name or (spec.spawned_by.parent_name if spec.spawned_by is not None else None)
        fields["parent_ref"] = ParentRef(execution_id=row.parent_id, name=name)
    return fields


def _attempt(record: dict[str, Any]) -> AttemptRecord:
    """Convert an entry of the row's history, where '' means absent."""
    said = {name: value for name, value in record.items() if value not in ("", None)}
    for name, limit in (("reason", limits.MAX_REASON), ("message", limits.MAX_ATTEMPT_MESSAGE)):
        if name in said:
            said[name] = shortened(said[name], limit)
    return AttemptRecord.model_validate(said)


def _from_verdict(
    spec: ExecutionSpec, state: _State, verdict: Verdict, previous: ExecutionStatus, now: datetime
) -> ExecutionStatus:
    error = None
    if isinstance(verdict, Refuse):
        error = ExecutionError(message=shortened(verdict.message, limits.MAX_ERROR_MESSAGE), reason=verdict.reason)
    token = retry_token(spec)
    judged_anew = bool(token) and token != previous.last_retry
    since = None if judged_anew else previous.completion_time
    return ExecutionStatus(
        # Keep the id of an execution that the ledger has lost: it must not be created again.
        execution_id=previous.execution_id,
        error=error,
        completion_time=(since or now) if state.phase.finished else None,
        # Without a row, only the status remembers used tokens.
        last_retry=token or previous.last_retry,
    )


def _state_of_verdict(verdict: Wait | Refuse | StopUncreated) -> _State:
    match verdict:
        case Wait(reason, message, stalled):
            return _State(ExecutionPhase.PENDING, reason, message, stalled)
        case Refuse(reason, message):
            return _State(ExecutionPhase.FAILED, reason, message)
        case StopUncreated(reason):
            return _State(ExecutionPhase.STOPPED, "Stopped", f"{reason}; never started")


def _state_of_row(
    spec: ExecutionSpec, row: ExecutionRow, queue_served: bool | None, phase: ExecutionPhase, paused: ConditionValue
) -> _State:
    match phase:
        case ExecutionPhase.PENDING:
            return _State(phase, *_pending(row, queue_served))
        case ExecutionPhase.CREATED:
            if paused.reason == paused_condition.HELD:
                return _State(phase, paused.reason, "Created, not started: spec.paused is true")
            return _State(phase, "Starting", "Start requested")
        case ExecutionPhase.RUNNING:
            return _State(phase, "Running", _progress(row))
        case ExecutionPhase.PAUSED:
            return _State(phase, paused.reason, _paused_where(row, paused))
        case ExecutionPhase.COMPLETED:
            return _State(phase, "Completed", _summary(row) + _note(row))
        case ExecutionPhase.STOPPED:
            interrupted = running_nodes.told(running_nodes.read(row.running_nodes), _NAMED)
            running = f"; interrupted: {interrupted}" if interrupted else ""
            return _State(phase, "Stopped", (row.error_message or "Stopped") + running + _note(row))
        case ExecutionPhase.FAILED:
            where = f"node {row.error_node!r}: " if row.error_node else ""
            reason = shortened(row.error_reason, limits.MAX_REASON) or "Failed"
            return _State(phase, reason, where + row.error_message + _note(row))


def _pending(row: ExecutionRow, queue_served: bool | None) -> tuple[str, str]:
    if queue_served is False:
        return "NoWorker", f"No live worker serves queue {row.queue!r}. The execution starts once one does."
    if row.lost_worker:
        return "Queued", f"Queued in {row.queue!r}, waiting for a worker to replace {row.lost_worker!r}"
    return "Queued", f"Queued in {row.queue!r}, waiting for a free worker slot"


def _progress(row: ExecutionRow) -> str:
    done = row.nodes_completed + row.nodes_failed + row.nodes_skipped
    text = f"{done} of {counted(row.nodes_total, 'node')} done, {row.nodes_running} running"
    if row.nodes_waiting:
        text += f", {row.nodes_waiting} waiting"
    notable = [each for each in running_nodes.read(row.running_nodes) if each.retries or each.waits_for]
    going = row.nodes_running or row.nodes_waiting
    return f"{text}; {running_nodes.told(notable, _NAMED)}" if notable and going else text


def _paused_where(row: ExecutionRow, paused: ConditionValue) -> str:
    """Return the text for the column `Message`. It starts with the reason for the pause."""
    if paused.reason == paused_condition.RESUMING:
        return f"Resuming; {_progress(row)}"
    return f"Paused {paused_condition.what_paused(row)}; {_progress(row)}"


def _summary(row: ExecutionRow) -> str:
    parts = [f"{counted(row.nodes_completed, 'node')} completed"]
    if row.nodes_failed:
        parts.append(f"{row.nodes_failed} failed")
    if row.nodes_skipped:
        parts.append(f"{row.nodes_skipped} skipped")
    text = ", ".join(parts)
    if row.started_at is not None and row.finished_at is not None:
        text += f" in {(row.finished_at - row.started_at).total_seconds():.2f} s"
    return text


def _shown_outputs(row: ExecutionRow) -> dict[str, Any] | None:
    """Return the outputs without those that Kubernetes would change."""
    rounded = _rounded_outputs(row)
    return {name: value for name, value in (row.outputs or {}).items() if name not in rounded} or None


def _omitted_outputs(row: ExecutionRow) -> dict[str, int]:
    """Return the outputs that are not shown, with their sizes in bytes of JSON."""
    rounded = {name: len(orjson.dumps((row.outputs or {})[name])) for name in _rounded_outputs(row)}
    return row.omitted_outputs | rounded


def _rounded_outputs(row: ExecutionRow) -> dict[str, str]:
    """Return the outputs with a number that the Kubernetes API cannot hold, each with the first path and the reason."""
    found: dict[str, str] = {}
    for steps, number in numbers_in(row.outputs or {}):
        why = refused_by_kubernetes(number)
        if why is not None:
            found.setdefault(str(steps[0]), f"{render('', steps)} {why}")
    return found


def _note(row: ExecutionRow) -> str:
    """Return a remark on outputs that the status does not show."""
    large, rounded = row.omitted_outputs, _rounded_outputs(row)
    if not large and not rounded:
        return ""
    told = []
    if large:
        told.append(f"{_outputs_are(large)} too large for the status")
    if rounded:
        told.append(f"{_outputs_are(rounded)} not shown here, because {next(iter(rounded.values()))}")
    command = f"kubectl chaingraph outputs {row.name} -n {row.namespace} --output {next(iter(large or rounded))}"
    return f"; {'; '.join(told)}: {command}"


def _outputs_are(names: Collection[str]) -> str:
    some = ", ".join(names if len(names) <= _NAMED else [*list(names)[:_NAMED], "…"])
    return f"output {some} is" if len(names) == 1 else f"{len(names)} outputs ({some}) are"


def _worker_lost(row: ExecutionRow | None) -> ConditionValue:
    if row is not None and row.lost_worker and not row.ended:
        message = (
            f"Worker {row.lost_worker!r} is gone; the execution waits for another worker"
            + (f"; it has lost {row.losses} workers without finishing a node in between" if row.losses > 1 else "")
            + (
                f", {row.losses - row.recoveries} of them while others ran in the same worker"
                if _in_company(row)
                else ""
            )
            + ". Finished nodes are not run again."
        )
        return ConditionValue(ConditionType.WORKER_LOST, "True", "WorkerGone", message)
    return ConditionValue(ConditionType.WORKER_LOST, "False", "NotLost")


def _in_company(row: ExecutionRow) -> bool:
    return row.losses > 1 and row.losses > row.recoveries


def _claims(
    state: _State, row: ExecutionRow | None, body: ExecutionStatus, below: Mapping[str, int] | None
) -> list[ConditionValue]:
    succeeded: ConditionStatus = "Unknown"
    if state.phase.finished:
        succeeded = "True" if state.phase is ExecutionPhase.COMPLETED else "False"
    claims = [
        ConditionValue(ConditionType.SUCCEEDED, succeeded, state.reason, state.message),
        ConditionValue(ConditionType.READY, "True" if succeeded == "True" else "False", state.reason),
    ]
    # kstatus takes its message from these two, and Helm prints it when it times out.
    why = shortened(state.message.partition("\n")[0], limits.MAX_ATTEMPT_MESSAGE)
    if succeeded == "False" or state.stalled:
        claims.append(ConditionValue(ConditionType.STALLED, "True", state.reason, why))
    elif succeeded == "Unknown":
        claims.append(ConditionValue(ConditionType.RECONCILING, "True", state.reason, why))
    if succeeded == "True" and row is not None and row.children_total:
        claims.append(children_status.tree_succeeded(row, body.children, below))
    elif succeeded != "Unknown":
        claims.append(ConditionValue(ConditionType.TREE_SUCCEEDED, succeeded, state.reason))
    return claims
