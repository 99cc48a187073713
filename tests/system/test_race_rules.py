"""The rules that the races are validated by: a sound execution breaks none, and each kind of error breaks one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from chaingraph_store.events import EventRow
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId, WorkflowId
from fixtures.cluster.execution_cases import row_of
from fixtures.races.effects import Call
from fixtures.races.flows import Planned, PlannedFlow
from fixtures.races.rules import broken
from fixtures.races.scripts import Change, Script
from fixtures.races.seen import Applied, Journaled, Seen, Workflow

_FLOW = PlannedFlow((Planned("a", "effect", (), 0), Planned("b", "flaky", ("a",), 0, until=2)))
_SCRIPT = Script(_FLOW, False, (), False, 50, 300, 600, (), Change())
_ID = ExecutionId("EX")
_RETRY = Applied(107.2, Change(retry="Failed"), "t", 200, "")


def _row(**fields: Any) -> ExecutionRow:
    """Completed by its second attempt, for which the first one's failure was retried."""
    retried = [{"attempt": 1, "phase": "Failed", "retriedFrom": "Failed"}]
    ended: dict[str, Any] = {"attempt": 2, "attempts": retried, "nodes_total": 2, "nodes_completed": 2}
    return row_of("Completed", **ended | {"id": _ID, "root_id": _ID, "workflow_id": WorkflowId(_ID)} | fields)


_LOG = (
    "execution:created",
    "flow:started 1",
    "node:started a",
    "node:completed a",
    "node:started b",
    "node:failed b",
    "flow:failed",
    "flow:started 2",
    "node:started b",
    "node:completed b",
    "flow:completed",
)
"""An attempt that fails at its flaky node, and a retry from there."""


def _event(index: int, text: str) -> EventRow:
    type_, _, what = text.partition(" ")
    data: dict[str, Any] = {"attempt": int(what)} if type_ == "flow:started" else {"nodeId": what} if what else {}
    return EventRow(index, type_, datetime.fromtimestamp(100 + index, UTC), data)


def _seen(*log: str, **fields: Any) -> Seen:
    events = [_event(index - 1, text) for index, text in enumerate(log or _LOG)]
    seen = Seen(
        script=_SCRIPT,
        id=_ID,
        name="x",
        began=100.0,
        losses=(),
        resource=None,
        row=_row(),
        events=events,
        journal=(Journaled("a", 1, "completed"), Journaled("b", 2, "completed")),
        applied=(_RETRY,),
        workflows=(Workflow(_ID, "run_execution", "SUCCESS", "w"),),
        calls=(Call(101.5, "a", 1), Call(103.5, "b", 1), Call(107.5, "b", 2)),
        next_index=len(events) - 1,
    )
    return replace(seen, **fields)


def _with(position: int, *lines: str) -> tuple[str, ...]:
    return (*_LOG[:position], *lines, *_LOG[position:])


def test_a_sound_execution_breaks_no_rule() -> None:
    assert broken(_seen()) == []


def test_pauses_that_steps_explain_break_no_rule() -> None:
    step = Applied(0, Change(step=True), "t", 200, "")
    log = _with(8, "flow:paused")
    assert broken(_seen(*log, applied=(step, _RETRY))) == []
    assert "1 steps, and 0 were asked for" in "".join(broken(_seen(*log)))


@pytest.mark.parametrize(
    ("seen", "error"),
    [
        (_seen(events=[*_seen().events[:5], *_seen().events[6:]]), "not dense"),
        (_seen(next_index=12), "the row goes on at 12"),
        (_seen(*_with(8, "flow:started 2")), "flow:started at"),
        (_seen(*_with(3, "node:started a")), "started more than once"),
        (_seen(*_with(5, "node:started a")), "a starts at 4, and it had ended"),
        (_seen(*_with(8, "node:started a")), "a starts at 7, and it had ended"),
        (_seen(*_with(4, "node:completed a")), "a ends again"),
        (_seen(*_with(8, "flow:resumed")), "do not take turns"),
        (_seen(*_with(8, "flow:paused", "flow:paused")), "do not take turns"),
        (_seen(*_with(8, "debug:breakpoint-hit b", "debug:breakpoint-hit b")), "hit more than once"),
        (_seen(*_LOG, "node:completed a"), "the log goes on"),
        (_seen(*_LOG, "flow:completed"), "the log has these ends"),
        (_seen(*_LOG[:-1], "flow:failed"), "the log ends with Failed"),
        (_seen(row=_row(attempts=[])), "the row's history"),
        (_seen(row=_row(paused=True)), "it has ended, and the row"),
        (_seen(row=_row(nodes_completed=1)), "the row counts"),
        (_seen(row=_row(error_reason="TooManyRecoveries")), "TooManyRecoveries"),
        (_seen(journal=(Journaled("b", 2, "completed"),)), "the journal lacks"),
        (_seen(journal=(Journaled("a", 1, "completed"), Journaled("b", 2, "failed"))), "the journal of this attempt"),
        (_seen(calls=(*_seen().calls, Call(108.5, "a", 2))), "its end was kept from before"),
        (_seen(calls=(*_seen().calls, Call(104.5, "a", 1))), "after its end"),
        (_seen(calls=(*_seen().calls, Call(107.6, "b", 2))), "called too often"),
        (_seen(workflows=(Workflow(_ID, "run_execution", "ERROR", "w"),)), "ended badly"),
        (_seen(applied=()), "attempt 2 runs, and 0 retries were asked for"),
        (_seen(applied=(replace(_RETRY, change=Change(back=True)),)), "attempt 2 runs, and 0 retries"),
        (_seen(*_with(8, "flow:paused", "flow:resumed")), "nobody had asked for it"),
        (_seen(applied=(Applied(90.5, Change(paused=True), "t", 200, ""),)), "paused by t, and b starts"),
        (_seen(applied=(Applied(0, Change(step=True), "t", 500, "no"),)), "answered with 500"),
        (_seen(applied=(Applied(0, Change(step=True), "t", 422, "no"),)), "answered with 422"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_error_breaks_a_rule(seen: Seen, error: str) -> None:
    assert error in "\n".join(broken(seen))
