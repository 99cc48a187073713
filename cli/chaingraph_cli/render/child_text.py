"""What is said of an execution's children, in few words: from its status, or from a row of the gateway. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from chaingraph_cli.execution import CREATED, PAUSED, PENDING, PHASES, RUNNING, Execution

ACTIVE: Final = (PENDING, CREATED, RUNNING, PAUSED)
_BARRED: Final = "barred"


def counted(counts: Mapping[str, Any]) -> str:
    """`30: 2 running, 28 completed`; empty when there are none. Phases may be written large or small."""
    found = {name.lower(): int(number) for name, number in counts.items()}
    if not found.get("total"):
        return ""
    barred = found.get(_BARRED, 0)
    if not barred:
        # The status counts what was never made in its total alone.
        barred = found["total"] - sum(found.get(each.lower(), 0) for each in PHASES)
    parts = [f"{found[each.lower()]} {each.lower()}" for each in PHASES if found.get(each.lower())]
    return f"{found['total']}: " + ", ".join(parts + ([f"{barred} never made"] if barred > 0 else []))


def active_children(execution: Execution) -> int:
    """How many of its own children have not ended."""
    children = execution.status.get("children") or {}
    return sum(int(children.get(each.lower(), 0)) for each in ACTIVE)


def stop_of_tree(execution: Execution) -> str:
    """What a stop does to an execution that has completed, as words after its name."""
    number = active_children(execution)
    if not number:
        return "is completed; what is active below its children is to stop"
    who = "the child that is active is" if number == 1 else f"the {number} children that are active are"
    return f"is completed; {who} to stop, with all below"
