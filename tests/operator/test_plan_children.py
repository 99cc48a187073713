"""The plan about parents and children: whose tree is stopped, and which resource stands for a child."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.execution_status import ExecutionPhase, ExecutionStatus
from chaingraph_operator.decide.plan import (
    DELETED,
    Adopt,
    Create,
    Nothing,
    ObserveGeneration,
    RefuseRetry,
    RetryImpossible,
    Stop,
    Wait,
    plan,
    unconfirmed,
)
from chaingraph_store.ids import child_execution_id, execution_id
from fixtures.cluster.execution_cases import ID, META, RIGHT, TERMINAL, UNSEEN, row_of, spec_of, statuses

PARENT = execution_id("parent")
CHILD = child_execution_id(PARENT, 4)
SPAWNED_BY = {"executionID": CHILD, "parentExecutionID": PARENT, "parentName": "nightly", "position": 4}
DELETING = replace(META, deleting=True)


def child_spec(**fields: Any) -> ExecutionSpec:
    """Of an inline flow, unless it names one."""
    return ExecutionSpec.model_validate({"spawnedBy": SPAWNED_BY} | fields)


def parent(*, total: int = 3, still_open: int = 2, **fields: Any) -> Any:
    return row_of("Completed", children_total=total, children_spawned=total, children_active=still_open, **fields)


def test_stop_of_a_completed_parent_stops_its_tree_once() -> None:
    spec = spec_of(stop=True, stopReason="enough")
    assert plan(spec, META, UNSEEN, parent(), None) == Stop(ID, "enough", generation=META.generation)
    assert plan(spec, META, UNSEEN, parent(tree_stopped=True), None) == Nothing()


def test_stop_of_an_ended_tree_is_recorded_for_later_retries() -> None:
    spec = spec_of(stop=True)
    assert isinstance(plan(spec, META, UNSEEN, parent(still_open=0), None), Stop)
    assert plan(spec, META, UNSEEN, parent(still_open=0, tree_stopped=True), None) == Nothing()


def test_stop_does_nothing_with_on_stop_continue_or_no_children() -> None:
    lenient = spec_of(stop=True, children={"onStop": "Continue"})
    assert plan(lenient, META, UNSEEN, parent(), None) == Nothing()
    assert plan(spec_of(stop=True), META, UNSEEN, row_of("Completed"), None) == Nothing()


def test_a_stop_of_the_tree_comes_before_a_retry_is_refused() -> None:
    spec = spec_of(retry={"token": "again"}).model_copy(update={"stop": True})
    assert isinstance(plan(spec, META, UNSEEN, parent(), None), Stop)
    assert isinstance(plan(spec, META, UNSEEN, parent(tree_stopped=True), None), RefuseRetry)


def test_deletion_stops_the_tree_even_with_on_stop_continue() -> None:
    lenient = spec_of(children={"onStop": "Continue"})
    assert plan(lenient, DELETING, UNSEEN, parent(), None) == Stop(ID, DELETED, deleted=True)
    assert plan(lenient, DELETING, UNSEEN, parent(still_open=0), None) == Nothing()
    assert plan(lenient, DELETING, UNSEEN, parent(tree_stopped=True), None) == Nothing(), "the rest when it is gone"


@given(status=statuses, stop=st.booleans(), paused=st.booleans(), flow=st.sampled_from(["", "report"]))
def test_claimed_child_is_adopted_and_never_created(
    status: ExecutionStatus, stop: bool, paused: bool, flow: str
) -> None:
    spec = child_spec(stop=stop, paused=paused, **({"flowRef": {"name": flow}} if flow else {}))
    assert plan(spec, META, status, None, None) == Adopt(CHILD, PARENT)
    assert plan(spec, DELETING, status, None, None) == Nothing()
    verdict = unconfirmed(spec, status)
    assert not isinstance(verdict, Create)
    if status.execution_id is None:
        assert isinstance(verdict, Wait)
        assert (verdict.reason, verdict.stalled) == ("NotAChild", True)


def test_child_lost_from_the_ledger_is_reported_like_any_other() -> None:
    known = ExecutionStatus(execution_id=CHILD)
    lost = unconfirmed(child_spec(), known)
    assert isinstance(lost, Wait)
    assert lost.reason == "NotInLedger"
    ended = known.model_copy(update={"phase": ExecutionPhase.FAILED})
    assert unconfirmed(child_spec(), ended) == Nothing()
    again = unconfirmed(child_spec(retry={"token": "1"}), ended)
    assert isinstance(again, RetryImpossible)


@pytest.mark.parametrize("phase", [*ExecutionPhase])
def test_a_child_with_a_row_is_treated_as_any_other(phase: str) -> None:
    row = row_of(phase, id=CHILD, parent_id=PARENT)
    assert plan(child_spec(), META, UNSEEN, row, None) == Nothing()
    stopped = plan(child_spec(stop=True), META, UNSEEN, row, None)
    assert stopped == Nothing() if phase in TERMINAL else isinstance(stopped, Stop)


def test_creation_resolves_whether_children_are_shown() -> None:
    for resources in ("Create", "None"):
        made = plan(spec_of(children={"resources": resources}), META, UNSEEN, None, RIGHT)
        assert isinstance(made, Create)
        assert made.new.resources == resources


def test_edit_of_on_stop_takes_effect_after_the_end() -> None:
    """What is above may be stopped long after this one has spawned its children."""
    lenient = spec_of(children={"onStop": "Continue"})
    decided = plan(lenient, replace(META, generation=2), UNSEEN, parent(observed_generation=1), None)
    assert isinstance(decided, ObserveGeneration)
    assert decided.on_stop == "Continue"
