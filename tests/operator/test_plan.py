"""The plan: total, idempotent, stop wins, what has ended stays so; and each decision by example."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.execution_status import ExecutionPhase, ExecutionStatus
from chaingraph_crds.flow import FlowSpec
from chaingraph_operator.flow_judgement import Unjudged, Unreadable
from chaingraph_operator.plan import (
    DELETED,
    MAX_INPUT_BYTES,
    Create,
    FlowView,
    Meta,
    Missing,
    Nothing,
    Plan,
    Refuse,
    Start,
    Stop,
    StopUnmade,
    Wait,
    plan,
)
from chaingraph_operator.status import execution_status
from chaingraph_store.executions import ExecutionRow
from fixtures.execution_cases import (
    FLOW,
    ID,
    INPUTS,
    LACKING,
    META,
    NOW,
    RIGHT,
    TERMINAL,
    UID,
    UNSEEN,
    WRONG,
    flows,
    metas,
    row_of,
    rows,
    spec_of,
    specs,
    statuses,
)


def carried_out(decision: Plan, row: ExecutionRow | None) -> ExecutionRow | None:
    """What the store makes of it, and the hold's workflow of a start."""
    match decision:
        case Create(new):
            return row_of("Created" if new.held else "Pending")
        case Start():
            assert row is not None
            return replace(row, phase="Pending")
        case Stop():
            assert row is not None
            return replace(row, phase="Stopped")
        case _:
            return row


@given(spec=specs, meta=metas, status=statuses, row=rows, flow=flows)
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(
    spec: ExecutionSpec, meta: Meta, status: ExecutionStatus, row: ExecutionRow | None, flow: FlowView
) -> None:
    decision = plan(spec, meta, status, row, flow)
    after = carried_out(decision, row)
    verdict = decision if isinstance(decision, Wait | Refuse | StopUnmade) else None
    shown = execution_status(meta, spec, after, verdict, status, now=NOW)
    again = plan(spec, meta, ExecutionStatus.of(shown), after, flow)
    assert again == (decision if isinstance(decision, Wait) else Nothing())


@given(spec=specs, meta=metas, status=statuses, row=rows, flow=flows)
def test_a_stop_wins_over_everything_that_has_not_ended(
    spec: ExecutionSpec, meta: Meta, status: ExecutionStatus, row: ExecutionRow | None, flow: FlowView
) -> None:
    stopping = spec.model_copy(update={"stop": True})
    after = carried_out(plan(stopping, meta, status, row, flow), row)
    assert after is None or after.ended


@given(spec=specs, meta=metas, status=statuses, phase=st.sampled_from(TERMINAL), flow=flows)
def test_what_has_ended_stays_so(
    spec: ExecutionSpec, meta: Meta, status: ExecutionStatus, phase: str, flow: FlowView
) -> None:
    assert plan(spec, meta, status, row_of(phase), flow) == Nothing()
    ended = status.model_copy(update={"phase": ExecutionPhase(phase)})
    assert plan(spec, meta, ended, None, flow) == Nothing()


@given(spec=specs, status=statuses, row=rows, flow=flows)
def test_a_resource_that_is_being_deleted_is_stopped_and_never_made(
    spec: ExecutionSpec, status: ExecutionStatus, row: ExecutionRow | None, flow: FlowView
) -> None:
    decision = plan(spec, replace(META, deleting=True), status, row, flow)
    if row is None or row.ended:
        assert decision == Nothing()
    else:
        assert decision == Stop(ID, DELETED)


@given(spec=specs, status=statuses, flow=flows)
def test_what_the_ledger_has_lost_is_not_run_a_second_time(
    spec: ExecutionSpec, status: ExecutionStatus, flow: FlowView
) -> None:
    known = status.model_copy(update={"execution_id": ID})
    assert not isinstance(plan(spec, META, known, None, flow), Create)


def test_everything_is_resolved_at_creation() -> None:
    spec = spec_of(
        events=[{"name": "tick", "payload": None}],
        integration={"chat": 7},
        options={"maxConcurrency": 2},
        queue="gpu",
        priority=9,
    )
    decision = plan(spec, META, UNSEEN, None, RIGHT)
    assert isinstance(decision, Create)
    new = decision.new
    assert (new.id, new.uid, new.namespace, new.name) == (ID, UID, "team", "nightly")
    assert (new.flow_name, new.flow_revision, new.nodes_total) == ("report", RIGHT.revision, 1)
    assert FlowSpec.model_validate(new.flow_spec) == FLOW
    assert (new.inputs, new.events, new.integration) == (INPUTS, [{"name": "tick", "payload": None}], {"chat": 7})
    assert new.options["maxConcurrency"] == 2
    assert new.options["nodeTimeoutSeconds"] == 600
    assert (new.queue, new.priority, new.held) == ("gpu", 9, False)


@pytest.mark.parametrize(
    ("flow", "reason", "stalled"),
    [
        (Missing("report"), "FlowNotFound", False),
        (Unjudged(FLOW, "r"), "WaitingForWorkers", False),
        (WRONG, "FlowInvalid", True),
        (LACKING, "UnknownNodeType", False),
        (Unreadable(("spec: odd",)), "FlowInvalid", True),
    ],
)
def test_it_waits_for_its_flow_and_says_why(flow: FlowView, reason: str, stalled: bool) -> None:
    decision = plan(spec_of(), META, UNSEEN, None, flow)
    assert isinstance(decision, Wait)
    assert (decision.reason, decision.stalled) == (reason, stalled)


def test_a_missing_flow_is_named_with_those_like_it() -> None:
    decision = plan(spec_of(), META, UNSEEN, None, Missing("report", ("reports", "resort")))
    assert isinstance(decision, Wait)
    assert "no Flow 'report' in namespace 'team'; there is 'reports' and 'resort'" in decision.message


def test_an_inline_flow_with_faults_is_refused_because_it_can_never_be_mended() -> None:
    spec = ExecutionSpec.model_validate({"flow": {"nodes": [{"id": "a", "type": "Text"}]}})
    decision = plan(spec, META, UNSEEN, None, WRONG)
    assert isinstance(decision, Refuse)
    assert decision.faults == ("spec.flow.nodes[0].id: twice",)


def test_oversized_inputs_are_refused_with_their_path() -> None:
    decision = plan(spec_of(inputs={"city": "x" * MAX_INPUT_BYTES}), META, UNSEEN, None, RIGHT)
    assert isinstance(decision, Refuse)
    assert decision.reason == "TooLarge"
    assert f"spec.inputs: {MAX_INPUT_BYTES + 11} bytes" in decision.message


def test_every_wrong_input_is_named() -> None:
    decision = plan(spec_of(inputs={"town": "Ulm"}), META, UNSEEN, None, RIGHT)
    assert isinstance(decision, Refuse)
    assert decision.reason == "InvalidInputs"
    assert [fault.split(":")[0] for fault in decision.faults] == ["spec.inputs.town", "spec.inputs.city"]
