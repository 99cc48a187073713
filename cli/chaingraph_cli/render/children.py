"""Describes the children of an execution in a few words. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from chaingraph_cli.execution import CREATED, PAUSED, PENDING, PHASES, RUNNING, Execution

ACTIVE: Final = (PENDING, CREATED, RUNNING, PAUSED)
_BARRED: Final = "barred"


def counted(counts: Mapping[str, Any]) -> str:
    """Format counts of children as `30: 2 running, 28 completed`; empty if there are none."""
    found = {name.lower(): int(number) for name, number in counts.items()}
    if not found.get("total"):
        return ""
    barred = found.get(_BARRED, 0)
    if not barred:
        # The status counts children that were never spawned in its total alone.
        barred = found["total"] - sum(found.get(each.lower(), 0) for each in PHASES)
    parts = [f"{found[each.lower()]} {each.lower()}" for each in PHASES if found.get(each.lower())]
    return f"{found['total']}: " + ", ".join(parts + ([f"{barred} never spawned"] if barred > 0 else []))


def active_children(execution: Execution) -> int:
    """Return the number of children that have not finished."""
    children = execution.status.get("children") or {}
    return sum(int(children.get(each.lower(), 0)) for each in ACTIVE)


def stop_of_tree(execution: Execution) -> str:
    """Describe the stop of a completed execution, as words after its name."""
    number = active_children(execution)
    if not number:
        return "stop requested for the active executions below its children"
    who = "its active child" if number == 1 else f"its {number} active children"
    return f"stop requested for {who} and everything below"
