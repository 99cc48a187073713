"""What the status of an execution says of its children, and of everything below it. Pure.

Children exist only below an execution that has completed. Their counts, and the first of them, are shown as they are
read; whether the whole tree has ended says the row's `children_active`, to which every level below adds up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from chaingraph_crds import limits
from chaingraph_crds.conditions import ConditionType
from chaingraph_crds.execution_status import ChildCounts, ChildRef, ExecutionPhase, ExecutionStatus
from chaingraph_operator.decide.flow_status import counted
from chaingraph_operator.kube.conditions import ConditionValue
from chaingraph_store.children.child_rows import BARRED, ChildSummary
from chaingraph_store.executions import ExecutionRow

CHILDREN_ACTIVE: Final = "ChildrenActive"
ALL_COMPLETED: Final = "AllCompleted"
SOME_FAILED: Final = "SomeFailed"
TREE_STOPPED: Final = "TreeStopped"


def fields(row: ExecutionRow, children: ChildSummary | None, previous: ExecutionStatus) -> dict[str, Any]:
    """The fields `children` and `child_refs`.

    Args:
        children: None when they were not read: what the status says of them stays.
    """
    if not row.children_total:
        return {}
    if children is None:
        return {"children": previous.children, "child_refs": previous.child_refs}
    refs = [
        ChildRef(execution_id=each.id, name=each.name if each.shown else None, phase=ExecutionPhase(each.phase))
        for each in children.first[: limits.MAX_CHILD_REFS]
    ]
    return {"children": _counts(row, children.counts), "child_refs": refs}


def _counts(row: ExecutionRow, made: Mapping[str, int]) -> ChildCounts:
    by_phase = {phase.lower(): made.get(phase, 0) for phase in ExecutionPhase}
    # Not `children_spawned`: row and counts are read one after the other, and children are made meanwhile.
    by_phase["pending"] += max(0, row.children_total - row.children_suppressed - sum(made.values()))
    return ChildCounts(total=row.children_total, **by_phase)


def tree_succeeded(row: ExecutionRow, children: ChildCounts | None, below: Mapping[str, int] | None) -> ConditionValue:
    """The condition `TreeSucceeded` of an execution that has completed and has children, or would have.

    Args:
        children: as the status shows them; None when that is not known.
        below: how many executions at any depth are in each phase, and under `BARRED` how many were never made; None
            when that was not read, which leaves the answer open.
    """
    found = {phase: below.get(phase, 0) for phase in ExecutionPhase} if below is not None else None
    if row.children_active or below is None or found is None or any(found[each] for each in _ACTIVE):
        return _claim("Unknown", CHILDREN_ACTIVE, *_standing(row, children), *_barred(row))
    completed, made = found[ExecutionPhase.COMPLETED], sum(found.values())
    barred = [*_barred(row), *_barred_below(below)]
    if completed == made and not barred:
        message = f"all {made} executions below it completed" if made != 1 else "the one execution below it completed"
        return _claim("True", ALL_COMPLETED, message)
    stopped = row.tree_stopped and (barred or found[ExecutionPhase.STOPPED])
    spread = [f"{counted(made, 'execution')} below it: {_spread(found)}"] if made else []
    return _claim("False", TREE_STOPPED if stopped else SOME_FAILED, *spread, *barred)


_ACTIVE: Final = [each for each in ExecutionPhase if not each.finished]


def _claim(status: Any, reason: str, *parts: str) -> ConditionValue:
    return ConditionValue(ConditionType.TREE_SUCCEEDED, status, reason, "; ".join(parts))


def _standing(row: ExecutionRow, children: ChildCounts | None) -> list[str]:
    """What is known of children that have not all ended."""
    if children is None:
        return [f"{row.children_active} of {_children(row.children_total)} not ended, or something below them has not"]
    found = {phase: getattr(children, phase.lower()) for phase in ExecutionPhase}
    parts = [f"{_children(children.total)}: {_spread(found)}"]
    # While children end one after the other, some of them are not counted yet: only afterwards is it what is below.
    if row.children_active and not any(found[each] for each in _ACTIVE):
        parts.append(f"below {row.children_active} of them something has not ended")
    return parts


def _children(number: int) -> str:
    return "1 child" if number == 1 else f"{number} children"


def _spread(found: Mapping[ExecutionPhase, int]) -> str:
    """`5 pending, 4 running, 3 completed`."""
    return ", ".join(f"{count} {phase.lower()}" for phase, count in found.items() if count)


def _barred(row: ExecutionRow) -> list[str]:
    if not row.children_suppressed:
        return []
    return [f"{row.children_suppressed} of {counted(row.children_total, 'event')} spawned nothing: stopped before"]


def _barred_below(below: Mapping[str, int]) -> list[str]:
    number = below.get(BARRED, 0)
    return [f"{counted(number, 'event')} of those executions spawned nothing: stopped before"] if number else []
