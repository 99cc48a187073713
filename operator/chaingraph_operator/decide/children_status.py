"""Derive the status fields and the condition that describe children and descendants. Pure.

An execution has children from its calls, its `onExit` and, once it has completed, its events. Their counts, and the
first of them, are shown as read. Whether the whole tree has ended follows from the row's `children_active`, which every
level updates.
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
    """Return the fields `children` and `child_refs`.

    Args:
        children: None when they were not read. The previous status is kept then.
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
    # Not `children_spawned`: row and counts are read one after the other, and children are created meanwhile.
    by_phase["pending"] += max(0, row.children_total - row.children_suppressed - sum(made.values()))
    return ChildCounts(total=row.children_total, **by_phase)


def tree_succeeded(row: ExecutionRow, children: ChildCounts | None, below: Mapping[str, int] | None) -> ConditionValue:
    """Return the condition `TreeSucceeded` of a completed execution with children, or with events to spawn them.

    Args:
        children: as the status shows them; None when unknown.
        below: descendants per phase, at any depth, and under `BARRED` the number that were never created; None when not
            read, which leaves the condition Unknown.
    """
    found = {phase: below.get(phase, 0) for phase in ExecutionPhase} if below is not None else None
    if row.children_active or below is None or found is None or any(found[each] for each in _ACTIVE):
        return _claim("Unknown", CHILDREN_ACTIVE, *_standing(row, children), *_barred(row))
    completed, made = found[ExecutionPhase.COMPLETED], sum(found.values())
    barred = [*_barred(row), *_barred_below(below)]
    if completed == made and not barred:
        return _claim("True", ALL_COMPLETED, f"{made} of {counted(made, 'descendant')} completed")
    stopped = row.tree_stopped and (barred or found[ExecutionPhase.STOPPED])
    spread = [f"{counted(made, 'descendant')}: {_spread(found)}"] if made else []
    return _claim("False", TREE_STOPPED if stopped else SOME_FAILED, *spread, *barred)


_ACTIVE: Final = [each for each in ExecutionPhase if not each.finished]


def _claim(status: Any, reason: str, *parts: str) -> ConditionValue:
    return ConditionValue(ConditionType.TREE_SUCCEEDED, status, reason, "; ".join(parts))


def _standing(row: ExecutionRow, children: ChildCounts | None) -> list[str]:
    """Describe the children while some have not ended."""
    if children is None:
        return [f"{row.children_active} of {_children(row.children_total)} unfinished, or with unfinished descendants"]
    found = {phase: getattr(children, phase.lower()) for phase in ExecutionPhase}
    parts = [f"{_children(children.total)}: {_spread(found)}"]
    # While children are ending, the count lags behind. Only once none is active is the rest deeper in the tree.
    if row.children_active and not any(found[each] for each in _ACTIVE):
        parts.append(f"unfinished descendants below {row.children_active} of them")
    return parts


def _children(number: int) -> str:
    return "1 child" if number == 1 else f"{number} children"


def _spread(found: Mapping[ExecutionPhase, int]) -> str:
    """`5 pending, 4 running, 3 completed`."""
    return ", ".join(f"{count} {phase.lower()}" for phase, count in found.items() if count)


def _barred(row: ExecutionRow) -> list[str]:
    if not row.children_suppressed:
        return []
    return [
        f"{row.children_suppressed} of {counted(row.children_total, 'event')} spawned no execution because of the stop"
    ]


def _barred_below(below: Mapping[str, int]) -> list[str]:
    number = below.get(BARRED, 0)
    return [f"{counted(number, 'event')} of descendants spawned no execution because of the stop"] if number else []
