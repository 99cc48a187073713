"""The condition `Paused`: whether the execution is paused, why, where, and how to resume. Pure.

The row's `paused` is the desired state, its phase the state that the engine reported. Between the two, a command is in
flight. A step of a parked execution passes through the queue and a worker, and is shown as a pause throughout.
"""

from __future__ import annotations

from typing import Final

from chaingraph_crds.conditions import Condition, ConditionType
from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.execution_status import ExecutionPhase, ExecutionStatus
from chaingraph_operator.decide.flow_status import counted
from chaingraph_operator.kube.conditions import ConditionValue
from chaingraph_store.executions import ExecutionRow

HELD: Final = "Held"
PAUSED: Final = "Paused"
BREAKPOINT: Final = "Breakpoint"
RESUMING: Final = "Resuming"

_NAMED: Final = 3
"""Maximum nodes that a message names. `status.currentNodes` lists them all."""


def shown_phase(row: ExecutionRow, previous: ExecutionStatus) -> ExecutionPhase:
    """Return the row's phase, but Paused while a paused execution makes a step, including its time in the queue."""
    phase = ExecutionPhase(row.phase)
    queued = phase is ExecutionPhase.PENDING
    taken = phase is ExecutionPhase.RUNNING and _was_paused(row, previous)
    return ExecutionPhase.PAUSED if row.paused and (queued or taken) else phase


def paused(spec: ExecutionSpec, row: ExecutionRow | None, previous: ExecutionStatus) -> ConditionValue:
    """Return the condition."""
    if row is None or row.ended:
        return _not_paused()
    if row.phase == ExecutionPhase.CREATED:
        return _held(spec, row)
    if shown_phase(row, previous) is not ExecutionPhase.PAUSED:
        return _on_its_way(row) if row.paused else _not_paused()
    if not row.paused:
        return ConditionValue(ConditionType.PAUSED, "True", RESUMING, "Resume requested")
    return _is_paused(spec, row)


def _is_paused(spec: ExecutionSpec, row: ExecutionRow) -> ConditionValue:
    parts = [f"Paused {what_paused(row)}", *_where(row), _how_to_resume(spec, row)]
    if row.parked:
        parts.append("parked: it occupies no worker slot, and finished nodes are not run again")
    reason = PAUSED if breakpoint_of(row) is None else BREAKPOINT
    return ConditionValue(ConditionType.PAUSED, "True", reason, "; ".join(parts))


def what_paused(row: ExecutionRow) -> str:
    """Return `by spec.paused`, `at the breakpoint 'a'` or, after steps from there, `since the breakpoint 'a'`."""
    node = breakpoint_of(row)
    if node is None:
        return "by spec.paused"
    return f"{'at' if node in row.current_nodes else 'since'} the breakpoint {node!r}"


def breakpoint_of(row: ExecutionRow) -> str | None:
    """Return the node whose breakpoint paused the execution; None when it is not paused, or paused by a command."""
    return row.pause_node or None


def _not_paused() -> ConditionValue:
    return ConditionValue(ConditionType.PAUSED, "False", "NotPaused")


def _held(spec: ExecutionSpec, row: ExecutionRow) -> ConditionValue:
    if row.paused and row.steps_owed:
        return _is_paused(spec, row)
    if not row.wants_pause or row.paused:
        return _not_paused()
    return ConditionValue(
        ConditionType.PAUSED,
        "True",
        HELD,
        "Not started. Set spec.paused to false to start the execution, or change spec.step to run its first nodes "
        "only. It fails after spec.startTimeoutSeconds.",
    )


def _on_its_way(row: ExecutionRow) -> ConditionValue:
    return ConditionValue(ConditionType.PAUSED, "False", "Pausing", "Pause requested by spec.paused")


def _was_paused(row: ExecutionRow, previous: ExecutionStatus) -> bool:
    """Whether this attempt was shown as paused before a worker took it and could confirm the pause."""
    before: Condition | None = next((each for each in previous.conditions if each.type == ConditionType.PAUSED), None)
    known = before is not None and before.status == "True" and before.reason in (PAUSED, BREAKPOINT)
    return known and previous.attempt == row.attempt


def _where(row: ExecutionRow) -> list[str]:
    if row.steps_owed and row.phase in (ExecutionPhase.CREATED, ExecutionPhase.PENDING):
        return [f"step requested, queued in {row.queue!r} for a worker"]
    if row.nodes_running:
        return [f"{counted(row.nodes_running, 'node')} still running"]
    return [f"held before {_names(row.current_nodes)}"] if row.current_nodes else []


def _names(nodes: list[str]) -> str:
    named = ", ".join(repr(node) for node in nodes[:_NAMED])
    return named if len(nodes) <= _NAMED else f"{named} and {len(nodes) - _NAMED} more"


def _how_to_resume(spec: ExecutionSpec, row: ExecutionRow) -> str:
    resume = "set spec.paused to false" if spec.paused or row.wants_pause else "change spec.resume"
    return f"to resume, {resume}; to run only the held nodes, change spec.step (kubectl chaingraph resume, or step)"
