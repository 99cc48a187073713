"""What to do about an Execution. Pure: called by `executions`, which carries it out.

The ledger's row is the truth about what runs and which tokens were seen, the spec about what is wanted, the status only
about what ended before there was a row. One decision at a time: each is carried out, and the plan made again from what
is then there, until there is no command left. So every decision can be repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import orjson

from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.execution_status import ExecutionStatus
from chaingraph_flow.faults import Fault, FaultCode
from chaingraph_flow.inputs import bind_inputs
from chaingraph_operator.flow_judgement import WAITING_FOR_WORKERS, Judged, Unjudged, Unreadable, counted, fault_lines
from chaingraph_store import ids, retrying
from chaingraph_store.control import Wanted
from chaingraph_store.creation import NewExecution
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId

MAX_INPUT_BYTES: Final = 1024 * 1024
"""Longest `inputs`, `events` and `integration` together, as JSON. etcd takes objects of 1.5 MiB: what is near that
could be created but not get a status any more."""

DELETED: Final = "the resource was deleted"
DEFAULT_STOP_REASON: Final = "spec.stop was set"


@dataclass(frozen=True, slots=True)
class Meta:
    """What the plan has to know of the object itself."""

    uid: str
    namespace: str
    name: str
    generation: int
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no Flow of that name; `similar` are names that are there."""

    name: str
    similar: tuple[str, ...] = ()


FlowView = Missing | Judged | Unjudged | Unreadable


@dataclass(frozen=True, slots=True)
class Create:
    """Make row, announcement and enqueue (or hold) in one transaction."""

    new: NewExecution


@dataclass(frozen=True, slots=True)
class Steer:
    """Make the row as the spec wants it: paused or not, a step, a resume, breakpoints."""

    id: ExecutionId
    wanted: Wanted


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop an execution that has not ended, and with `children` what it has spawned."""

    id: ExecutionId
    reason: str
    children: bool = True


@dataclass(frozen=True, slots=True)
class Retry:
    """Begin the next attempt of an execution that failed or was stopped."""

    id: ExecutionId
    asked: retrying.Retry


class Refusal(StrEnum):
    """Why a retry is refused: the reason of the condition `RetryRefused`."""

    STILL_RUNNING = "StillRunning"
    ALREADY_COMPLETED = "AlreadyCompleted"
    STOP_IS_SET = "StopIsSet"
    NOT_IN_LEDGER = "NotInLedger"


@dataclass(frozen=True, slots=True)
class RefuseRetry:
    """Record that the retry of this token is refused, and why. That uses the token up."""

    id: ExecutionId
    token: str
    reason: Refusal
    message: str


@dataclass(frozen=True, slots=True)
class RetryImpossible:
    """As `RefuseRetry`, of what ended without a row: the status alone can keep it."""

    token: str
    reason: Refusal
    message: str


@dataclass(frozen=True, slots=True)
class Wait:
    """It cannot be made yet. `stalled`: not without a change by a person."""

    reason: str
    message: str
    stalled: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """It can never be made, because what cannot be changed is wrong. It ends Failed, unseen by the ledger."""

    reason: str
    message: str
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StopUnmade:
    """It was stopped before it was made: it ends Stopped without having been in the ledger."""

    reason: str


@dataclass(frozen=True, slots=True)
class Nothing:
    """All is as it should be."""


Verdict = Wait | Refuse | StopUnmade | RetryImpossible
"""What is to be shown of an execution without a row."""
Command = Steer | Stop | Retry | RefuseRetry
"""What is to be done with a row. Then the plan is made again."""
Plan = Create | Command | Verdict | Nothing


def plan(
    spec: ExecutionSpec, meta: Meta, status: ExecutionStatus, row: ExecutionRow | None, flow: FlowView | None
) -> Plan:
    """What to do now.

    Args:
        status: as last written; it alone knows of an end without a row.
        row: the ledger's, None when it has none.
        flow: the Flow that `flowRef` names, or the inline flow; None where there is a row, which has pinned its own.
    """
    if row is not None:
        return _with_row(spec, meta, row)
    if meta.deleting:
        return Nothing()
    if status.phase is not None and status.phase.finished:
        impossible = _no_retry_unmade(spec, status)
        if impossible is not None:
            return impossible
        # It never ran, and what kept it from that may have been mended.
    elif spec.stop:
        return StopUnmade(spec.stop_reason or DEFAULT_STOP_REASON)
    elif status.execution_id is not None:
        return _LOST
    assert flow is not None, "without a row, the flow decides"
    return _creation(spec, meta, flow)


_LOST: Final = Wait(
    "NotInLedger",
    "this execution was in the ledger and is there no longer: the operator has another database than before, or an "
    "older state of it was restored. It is not run a second time by itself; give the operator the right database, or "
    "create another Execution",
    stalled=True,
)


def retry_token(spec: ExecutionSpec) -> str:
    """The token of the spec's retry; empty when it has none."""
    return spec.retry.token if spec.retry is not None else ""


def _no_retry_unmade(spec: ExecutionSpec, status: ExecutionStatus) -> Nothing | RetryImpossible | None:
    """Why what ended without a row stays ended; None when it is to be judged anew."""
    token = retry_token(spec)
    if not token or token == status.last_retry:
        return Nothing()
    if spec.stop:
        return RetryImpossible(token, Refusal.STOP_IS_SET, _STOP_WINS)
    if status.execution_id is not None:
        return RetryImpossible(
            token,
            Refusal.NOT_IN_LEDGER,
            "the ledger does not have this execution any more, so there is nothing to go on from: create another "
            "Execution",
        )
    return None


_STOP_WINS: Final = "spec.stop is true, and a stop wins: set spec.stop to false together with another spec.retry.token"


def _with_row(spec: ExecutionSpec, meta: Meta, row: ExecutionRow) -> Plan:
    if meta.deleting:
        # A deletion takes the children's resources along, whatever children.onStop says.
        return Nothing() if row.ended else Stop(row.id, DELETED)
    if row.ended:
        return _ended(spec, row)
    if spec.stop:
        return Stop(row.id, spec.stop_reason or DEFAULT_STOP_REASON, children=spec.children.on_stop == "Stop")
    wanted = _wanted(spec, row)
    if _differs(wanted, row):
        return Steer(row.id, wanted)
    token = retry_token(spec)
    if token and token != row.retry_token:
        return RefuseRetry(
            row.id,
            token,
            Refusal.STILL_RUNNING,
            f"it was {row.phase}, and only what failed or was stopped is run again: wait for its end, or stop it "
            "first; then set another spec.retry.token",
        )
    return Nothing()


def _ended(spec: ExecutionSpec, row: ExecutionRow) -> Plan:
    token = retry_token(spec)
    if spec.retry is None or token == row.retry_token:
        return Nothing()
    if row.phase == "Completed":
        return RefuseRetry(
            row.id, token, Refusal.ALREADY_COMPLETED, "it has completed: to run it again, create another Execution"
        )
    if spec.stop:
        return RefuseRetry(row.id, token, Refusal.STOP_IS_SET, _STOP_WINS)
    return Retry(
        row.id,
        retrying.Retry(
            token=token,
            from_start=spec.retry.from_ == "Start",
            paused=spec.paused,
            options=spec.options.complete(),
            breakpoints=tuple(spec.options.breakpoints),
            step=spec.step,
            resume=spec.resume,
        ),
    )


def _wanted(spec: ExecutionSpec, row: ExecutionRow) -> Wanted:
    """What the spec asks for. A token that was removed asks for nothing: the row keeps the last one."""
    return Wanted(
        paused=spec.paused,
        step=spec.step or row.step_token,
        resume=spec.resume or row.resume_token,
        breakpoints=tuple(spec.options.breakpoints),
        on_stop=spec.children.on_stop,
    )


def _differs(wanted: Wanted, row: ExecutionRow) -> bool:
    return (wanted.paused, wanted.step, wanted.resume, wanted.on_stop, set(wanted.breakpoints)) != (
        row.wants_pause,
        row.step_token,
        row.resume_token,
        row.on_stop,
        set(row.breakpoints),
    )


def _creation(spec: ExecutionSpec, meta: Meta, flow: FlowView) -> Plan:
    match flow:
        case Missing(name, similar):
            hint = f"; there is {' and '.join(map(repr, similar))}" if similar else ""
            return Wait(
                "FlowNotFound",
                f"there is no Flow {name!r} in namespace {meta.namespace!r}{hint}. The execution starts when it comes",
            )
        case Unreadable(faults):
            return Wait("FlowInvalid", f"the operator cannot read the flow\n{fault_lines(faults)}", stalled=True)
        case Unjudged():
            return Wait("WaitingForWorkers", WAITING_FOR_WORKERS)
        case Judged() if flow.valid:
            return _resolved(spec, meta, flow)
        case Judged():
            return _faulty(spec, flow)


def _faulty(spec: ExecutionSpec, flow: Judged) -> Plan:
    lines = fault_lines(flow.faults, longest=2048)
    if flow.lacks_types_only:
        return Wait(
            FaultCode.UNKNOWN_NODE_TYPE,
            f"no worker has {counted(len(flow.faults), 'node type')} of the flow. The execution starts when one "
            f"with them comes\n{lines}",
        )
    if spec.flow_ref is not None:
        return Wait(
            "FlowInvalid",
            f"the Flow {spec.flow_ref.name!r} has {counted(len(flow.faults), 'fault')}. The execution starts when "
            f"they are mended\n{lines}",
            stalled=True,
        )
    return _refusal("InvalidFlow", f"the flow has {counted(len(flow.faults), 'fault')}", _inline(flow.faults))


def _inline(faults: Sequence[Fault]) -> list[str]:
    """The faults with the paths that they have in the Execution: `spec.flow.nodes[0].type`."""
    return [f"{fault.path.replace('spec.', 'spec.flow.', 1)}: {fault.message}" for fault in faults]


def _refusal(reason: str, summary: str, faults: Sequence[str]) -> Refuse:
    # Columns show the first line: a single fault stands in it.
    lines = fault_lines(faults, longest=3000)
    return Refuse(reason, lines if len(faults) == 1 else f"{summary}\n{lines}", tuple(faults))


def _resolved(spec: ExecutionSpec, meta: Meta, flow: Judged) -> Plan:
    events = [{"name": event.name, "payload": event.payload} for event in spec.events]
    oversized = _oversized({"inputs": spec.inputs, "events": events, "integration": spec.integration})
    if oversized is not None:
        return oversized
    inputs, faults = bind_inputs(flow.spec.inputs, spec.inputs)
    if faults:
        found = counted(len(faults), "fault")
        return _refusal("InvalidInputs", f"the inputs have {found}", [str(fault) for fault in faults])
    return Create(
        NewExecution(
            id=ids.execution_id(meta.uid),
            uid=meta.uid,
            namespace=meta.namespace,
            name=meta.name,
            flow_name=spec.flow_ref.name if spec.flow_ref is not None else "",
            flow_revision=flow.revision,
            flow_spec=flow.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True),
            nodes_total=len(flow.spec.nodes),
            inputs=inputs,
            events=events,
            integration=spec.integration,
            options=spec.options.complete(),
            queue=spec.queue,
            priority=spec.priority,
            start_timeout_seconds=spec.start_timeout_seconds,
            held=spec.paused,
            breakpoints=tuple(spec.options.breakpoints),
            on_stop=spec.children.on_stop,
            step=spec.step or "",
            resume=spec.resume or "",
            retry=retry_token(spec),
        )
    )


def _oversized(parts: dict[str, Any]) -> Refuse | None:
    sizes = {f"spec.{name}": len(orjson.dumps(value)) for name, value in parts.items()}
    if sum(sizes.values()) <= MAX_INPUT_BYTES:
        return None
    path = max(sizes, key=lambda name: sizes[name])
    return _refusal(
        "TooLarge",
        "what is given to the execution is too large",
        [
            f"{path}: {sizes[path]} bytes as JSON, {sum(sizes.values())} with the rest; at most {MAX_INPUT_BYTES} in "
            "all. Put large data where the flow can fetch it, and give its address"
        ],
    )
