"""What to do about an Execution. Pure: called by `executions`, which carries it out.

The ledger's row is the truth about what runs, the spec about what is wanted, the status only about what ended before
there was a row. Every decision can be repeated: a plan that was carried out and is made again comes out as `Nothing`
(or, while a held execution is on its way to its start, as the same idempotent `Start`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.execution_status import ExecutionStatus
from chaingraph_flow.faults import Fault, FaultCode
from chaingraph_flow.inputs import bind_inputs
from chaingraph_operator.flow_judgement import WAITING_FOR_WORKERS, Judged, Unjudged, Unreadable, counted, fault_lines
from chaingraph_store import ids
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
class Start:
    """Send START_SIGNAL to a held execution."""

    id: ExecutionId


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop an execution that has not ended."""

    id: ExecutionId
    reason: str


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


Plan = Create | Start | Stop | Wait | Refuse | StopUnmade | Nothing


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
    if meta.deleting or (status.phase is not None and status.phase.finished):
        return Nothing()
    if spec.stop:
        return StopUnmade(spec.stop_reason or DEFAULT_STOP_REASON)
    if status.execution_id is not None:
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


def _with_row(spec: ExecutionSpec, meta: Meta, row: ExecutionRow) -> Plan:
    if row.ended:
        return Nothing()
    if meta.deleting:
        return Stop(row.id, DELETED)
    if spec.stop:
        return Stop(row.id, spec.stop_reason or DEFAULT_STOP_REASON)
    if row.phase == "Created" and not spec.paused:
        return Start(row.id)
    return Nothing()


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
