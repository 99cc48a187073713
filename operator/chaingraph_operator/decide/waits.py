"""`status.waiting` and the condition `Waiting`: what an execution waits for. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from chaingraph_crds import limits
from chaingraph_crds.conditions import ConditionType
from chaingraph_crds.execution_status import ExecutionPhase, WaitingNode
from chaingraph_flow.context import LAST_TIME
from chaingraph_operator.kube.conditions import ConditionValue, shortened
from chaingraph_store.attempts import running_nodes
from chaingraph_store.executions import ExecutionRow

_NAMED: Final = 3
"""Maximum nodes that a message names. `status.waiting` lists more."""


def waiting_nodes(row: ExecutionRow) -> list[WaitingNode]:
    """Return the nodes that wait, as far as the row has them."""
    if row.ended:
        return []
    return [
        WaitingNode(
            node=each.node,
            kind=shortened(each.waits_for, limits.MAX_REASON),
            signal=shortened(each.signal, limits.MAX_EVENT_NAME) or None,
            prompt=shortened(each.prompt, limits.MAX_PROMPT) or None,
            since=_time(each.since),
            until=None if each.next_at is None else _time(each.next_at),
        )
        for each in running_nodes.read(row.running_nodes)
        if each.waits_for
    ]


def waiting(row: ExecutionRow | None) -> list[ConditionValue]:
    """Return the condition while all that is left of the execution waits; nothing otherwise."""
    if row is None or row.phase != ExecutionPhase.RUNNING or row.nodes_running or not row.nodes_waiting:
        return []
    found = [each for each in running_nodes.read(row.running_nodes) if each.waits_for]
    if not found:
        return []
    first = min(found, key=lambda each: (each.next_at is None, each.next_at))
    named = running_nodes.told(found[:_NAMED], _NAMED)
    more = f" and {row.nodes_waiting - len(found[:_NAMED])} more" if row.nodes_waiting > _NAMED else ""
    return [ConditionValue(ConditionType.WAITING, "True", first.waits_for, f"{named}{more}")]


def _time(milliseconds: int) -> datetime:
    # A runner reports them, and it runs code of tenants.
    return datetime.fromtimestamp(min(max(milliseconds, 0), LAST_TIME) / 1000, UTC)
