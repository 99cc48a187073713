"""The plan: total, idempotent, stop wins, what has ended stays so until a retry; and each decision by example."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds.execution import ExecutionOptions, ExecutionSpec
from chaingraph_crds.execution_status import ExecutionPhase, ExecutionStatus
from chaingraph_crds.flow import FlowSpec
from chaingraph_operator.decide.creation import MAX_INPUT_BYTES
from chaingraph_operator.decide.flow_status import NotValidated, Unparseable
from chaingraph_operator.decide.plan import (
    DELETED,
    Command,
    Create,
    FlowView,
    Missing,
    Nothing,
    ObjectMeta,
    ObserveGeneration,
    Plan,
    Refuse,
    RefuseRetry,
    Retry,
    RetryImpossible,
    RetryRefusal,
    Stop,
    UpdateControl,
    Verdict,
    Wait,
    plan,
)
from chaingraph_operator.decide.status import execution_status
from chaingraph_store.commands.control import DesiredControl
from chaingraph_store.executions import ExecutionRow
from fixtures.cluster.execution_cases import (
    FLOW,
    ID,
    INPUTS,
    LACKING,
    META,
    MISSPELLED,
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


def applied(decision: Plan, row: ExecutionRow | None) -> ExecutionRow | None:
    """What the store makes of it."""
    match decision:
        case Create(new):
            return row_of(
                "Created" if new.held else "Pending",
                wants_pause=new.held,
                breakpoints=list(new.breakpoints),
                on_stop=new.on_stop,
                step_token=new.step,
                resume_token=new.resume,
                retry_token=new.retry,
                priority=new.priority,
                options=dict(new.options),
                start_timeout_s=new.start_timeout_seconds,
                started_at=None,
                used_tokens=used([], new.step, new.resume, new.retry),
                observed_generation=new.generation,
            )
        case UpdateControl(_, wanted, generation):
            assert row is not None
            assert not row.ended
            assert row.observed_generation <= generation
            return replace(
                row,
                wants_pause=wanted.paused,
                paused=wanted.paused,
                breakpoints=list(wanted.breakpoints),
                on_stop=wanted.on_stop,
                priority=row.priority if wanted.priority is None else wanted.priority,
                **begins(row, wanted),
                used_tokens=used(known(row), wanted.step, wanted.resume),
                observed_generation=generation,
            )
        case Stop(generation=generation):
            assert row is not None
            return replace(
                row, phase="Stopped", paused=False, observed_generation=generation or row.observed_generation
            )
        case Retry(_, asked, generation):
            assert row is not None
            assert row.phase in ("Failed", "Stopped")
            assert row.observed_generation <= generation
            return row_of(
                "Paused" if asked.paused else "Pending",
                attempt=row.attempt + 1,
                wants_pause=asked.paused,
                paused=asked.paused,
                parked=asked.paused,
                breakpoints=list(asked.breakpoints),
                retry_token=asked.token,
                priority=asked.priority,
                options=dict(asked.options),
                start_timeout_s=asked.start_timeout_seconds,
                used_tokens=used(known(row), asked.step, asked.resume, asked.token),
                observed_generation=generation,
            )
        case RefuseRetry(_, token, reason, message, generation):
            assert row is not None
            assert row.observed_generation <= generation
            spent = used(known(row), retry=token)
            return replace(
                row,
                retry_token=token,
                retry_refusal=reason,
                retry_refusal_message=message,
                used_tokens=spent,
                observed_generation=generation,
            )
        case ObserveGeneration(_, generation, seen):
            assert row is not None
            assert row.observed_generation == seen
            return replace(row, observed_generation=generation)
        case _:
            return row


def begins(row: ExecutionRow, wanted: DesiredControl) -> dict[str, Any]:
    """What an attempt reads when it begins: it can be changed until then."""
    if row.started_at is not None or wanted.options is None:
        return {}
    return {"options": dict(wanted.options), "start_timeout_s": wanted.start_timeout_seconds}


def wanted_of(*fields: Any) -> DesiredControl:
    """These, and the defaults of the settings; the options with the breakpoints."""
    paused, step, resume, breakpoints, on_stop = fields
    options = ExecutionOptions(breakpoints=list(breakpoints)).complete()
    return DesiredControl(paused, step, resume, breakpoints, on_stop, 0, 300, options)


def used(before: list[str], step: str = "", resume: str = "", retry: str = "") -> list[str]:
    tokens = {"step": step, "resume": resume, "retry": retry}
    return [*before, *(f"{kind}:{token}" for kind, token in tokens.items() if token)]


def known(row: ExecutionRow) -> list[str]:
    """The tokens that a row has seen, also one from before it kept a list."""
    return used(row.used_tokens, row.step_token, row.resume_token, row.retry_token)


def settled(
    spec: ExecutionSpec, meta: ObjectMeta, status: ExecutionStatus, row: ExecutionRow | None, flow: FlowView
) -> tuple[list[Plan], ExecutionRow | None]:
    """The decisions one after the other, up to the first that is no command, and the row then."""
    decisions: list[Plan] = []
    while not decisions or isinstance(decisions[-1], Command):
        assert len(decisions) < 5, decisions
        decisions.append(plan(spec, meta, status, row, flow))
        row = applied(decisions[-1], row)
    return decisions, row


@given(spec=specs, meta=metas, status=statuses, row=rows, flow=flows)
def test_a_plan_that_was_carried_out_leaves_nothing_to_do(
    spec: ExecutionSpec, meta: ObjectMeta, status: ExecutionStatus, row: ExecutionRow | None, flow: FlowView
) -> None:
    decisions, after = settled(spec, meta, status, row, flow)
    verdict = decisions[-1] if isinstance(decisions[-1], Verdict) else None
    shown = execution_status(meta, spec, after, verdict, status, now=NOW)
    again = plan(spec, meta, ExecutionStatus.of(shown), after, flow)
    assert again == (verdict if isinstance(verdict, Wait) else Nothing())
    assert len(set(map(type, decisions))) == len(decisions)


@given(spec=specs, meta=metas, status=statuses, row=rows, flow=flows)
def test_stop_wins_over_all_other_settings(
    spec: ExecutionSpec, meta: ObjectMeta, status: ExecutionStatus, row: ExecutionRow | None, flow: FlowView
) -> None:
    stopping = spec.model_copy(update={"stop": True})
    _, after = settled(stopping, meta, status, row, flow)
    assert after is None or after.ended


@given(spec=specs, meta=metas, status=statuses, phase=st.sampled_from(TERMINAL), flow=flows)
def test_ended_execution_stays_ended_without_a_new_retry(
    spec: ExecutionSpec, meta: ObjectMeta, status: ExecutionStatus, phase: str, flow: FlowView
) -> None:
    token = spec.retry.token if spec.retry is not None else ""
    row = row_of(phase, retry_token=token, observed_generation=meta.generation)
    assert plan(spec, meta, status, row, flow) == Nothing()
    ended = status.model_copy(update={"phase": ExecutionPhase(phase), "last_retry": token or None})
    assert plan(spec, meta, ended, None, flow) == Nothing()
    completed, after = settled(spec, meta, status, row_of("Completed"), flow)
    assert after is not None
    assert after.phase == "Completed"
    assert not any(isinstance(each, Retry) for each in completed)


@given(spec=specs, status=statuses, row=rows, flow=flows)
def test_resource_in_deletion_is_stopped_and_never_created(
    spec: ExecutionSpec, status: ExecutionStatus, row: ExecutionRow | None, flow: FlowView
) -> None:
    decision = plan(spec, replace(META, deleting=True), status, row, flow)
    if row is None or row.ended:
        assert decision == Nothing()
    else:
        assert decision == Stop(ID, DELETED, deleted=True)


@given(spec=specs, status=statuses, flow=flows)
def test_execution_lost_from_the_ledger_is_not_run_again(
    spec: ExecutionSpec, status: ExecutionStatus, flow: FlowView
) -> None:
    known = status.model_copy(update={"execution_id": ID})
    assert not isinstance(plan(spec, META, known, None, flow), Create)


def test_creation_resolves_the_whole_spec() -> None:
    spec = spec_of(
        step="s",
        resume="g",
        retry={"token": "r"},
        children={"onStop": "Continue"},
        events=[{"name": "tick", "payload": None}],
        integration={"chat": 7},
        options={"maxConcurrency": 2, "breakpoints": ["a"]},
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
    assert (new.step, new.resume, new.retry) == ("s", "g", "r")
    assert (new.breakpoints, new.on_stop, new.generation) == (("a",), "Continue", 1)


def steady(phase: str, **fields: Any) -> ExecutionRow:
    """A row that is as a spec without any wish has it."""
    return row_of(phase, step_token="s1", resume_token="g1", retry_token="r1", **fields)


@pytest.mark.parametrize("phase", ["Created", "Pending", "Running", "Paused"])
@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        ({"paused": True}, wanted_of(True, "", "", (), "Stop")),
        ({"step": "s2"}, wanted_of(False, "s2", "", (), "Stop")),
        ({"resume": "g2", "step": "s1"}, wanted_of(False, "s1", "g2", (), "Stop")),
        ({"options": {"breakpoints": ["b", "a"]}}, wanted_of(False, "", "", ("b", "a"), "Stop")),
        ({"children": {"onStop": "Continue"}}, wanted_of(False, "", "", (), "Continue")),
    ],
)
def test_active_execution_is_steered_by_spec_changes(
    phase: str, wish: dict[str, Any], expected: DesiredControl
) -> None:
    assert plan(spec_of(**wish), META, UNSEEN, steady(phase), None) == UpdateControl(ID, expected, 1)


def test_end_of_a_pause_is_steered() -> None:
    row = steady("Paused", wants_pause=True, paused=True, parked=True)
    assert plan(spec_of(), META, UNSEEN, row, None) == UpdateControl(ID, wanted_of(False, "", "", (), "Stop"), 1)


@pytest.mark.parametrize("phase", [*ExecutionPhase])
def test_token_removal_and_breakpoint_reordering_do_nothing(phase: str) -> None:
    row = steady(phase, breakpoints=["a", "b"])
    for tokens in ({}, {"step": "s1", "resume": "g1", "retry": {"token": "r1"}}):
        spec = spec_of(**tokens, options={"breakpoints": ["b", "a"]})
        assert plan(spec, META, UNSEEN, row, None) == Nothing()


@pytest.mark.parametrize(("on_stop", "children"), [("Stop", True), ("Continue", False)])
def test_stop_includes_children_unless_on_stop_is_continue(on_stop: str, children: bool) -> None:
    spec = spec_of(stop=True, stopReason="wrong data", children={"onStop": on_stop})
    assert plan(spec, META, UNSEEN, steady("Paused"), None) == Stop(ID, "wrong data", children, 1)
    deleted = replace(META, deleting=True)
    assert plan(spec, deleted, UNSEEN, steady("Paused"), None) == Stop(ID, DELETED, deleted=True)


@pytest.mark.parametrize("phase", ["Failed", "Stopped"])
@pytest.mark.parametrize("from_", ["Failed", "Start"])
def test_new_token_retries_a_failed_or_stopped_execution(phase: str, from_: str) -> None:
    spec = spec_of(
        retry={"token": "r2", "from": from_},
        paused=True,
        step="s2",
        options={"maxConcurrency": 3, "breakpoints": ["a"]},
    )
    decision = plan(spec, META, UNSEEN, steady(phase), None)
    assert isinstance(decision, Retry)
    asked = decision.asked
    assert (asked.token, asked.from_start, asked.paused) == ("r2", from_ == "Start", True)
    assert (asked.breakpoints, asked.options["maxConcurrency"]) == (("a",), 3)
    assert (asked.step, asked.resume) == ("s2", "")


@pytest.mark.parametrize(
    ("phase", "stop", "reason", "words"),
    [
        ("Created", False, RetryRefusal.STILL_RUNNING, "the execution was Created"),
        ("Pending", False, RetryRefusal.STILL_RUNNING, "the execution was Pending"),
        ("Running", False, RetryRefusal.STILL_RUNNING, "stop it first"),
        ("Paused", False, RetryRefusal.STILL_RUNNING, "the execution was Paused"),
        ("Completed", False, RetryRefusal.ALREADY_COMPLETED, "create another Execution"),
        ("Completed", True, RetryRefusal.ALREADY_COMPLETED, "create another Execution"),
        ("Failed", True, RetryRefusal.STOP_IS_SET, "Set spec.stop to false"),
        ("Stopped", True, RetryRefusal.STOP_IS_SET, "Set spec.stop to false"),
    ],
)
def test_impossible_retry_is_refused_with_its_reason(phase: str, stop: bool, reason: RetryRefusal, words: str) -> None:
    decision = plan(spec_of(retry={"token": "r2"}, stop=stop), META, UNSEEN, steady(phase), None)
    assert isinstance(decision, RefuseRetry)
    assert (decision.id, decision.token, decision.reason) == (ID, "r2", reason)
    assert words in decision.message


def test_a_pause_comes_before_the_refusal_of_a_retry() -> None:
    """A command is to be quick, a refusal need not be."""
    spec = spec_of(paused=True, retry={"token": "r2"})
    decisions, _ = settled(spec, META, UNSEEN, steady("Running"), RIGHT)
    assert [type(each) for each in decisions] == [UpdateControl, RefuseRetry, Nothing]


@pytest.mark.parametrize("phase", ["Failed", "Stopped"])
def test_rowless_execution_is_judged_again_on_retry(phase: str) -> None:
    ended = ExecutionStatus(phase=ExecutionPhase(phase), last_retry="r1")
    spec = spec_of(retry={"token": "r2"})
    made = plan(spec, META, ended, None, RIGHT)
    assert isinstance(made, Create)
    assert made.new.retry == "r2"
    assert isinstance(plan(spec, META, ended, None, WRONG), Wait)
    assert plan(spec_of(retry={"token": "r1"}), META, ended, None, RIGHT) == Nothing()
    stopped = plan(spec_of(retry={"token": "r2"}, stop=True), META, ended, None, RIGHT)
    assert isinstance(stopped, RetryImpossible)
    assert stopped.reason == RetryRefusal.STOP_IS_SET


def test_execution_lost_from_the_ledger_is_not_retried() -> None:
    ended = ExecutionStatus(phase=ExecutionPhase.FAILED, execution_id=ID)
    decision = plan(spec_of(retry={"token": "r2"}), META, ended, None, RIGHT)
    assert isinstance(decision, RetryImpossible)
    assert (decision.token, decision.reason) == ("r2", RetryRefusal.NOT_IN_LEDGER)


@pytest.mark.parametrize(
    ("flow", "reason", "stalled"),
    [
        (Missing("report"), "FlowNotFound", False),
        (NotValidated(FLOW, "r"), "WaitingForWorkers", False),
        (WRONG, "FlowInvalid", True),
        (LACKING, "UnknownNodeType", False),
        (MISSPELLED, "UnknownNodeType", True),
        (Unparseable(("spec: odd",)), "FlowInvalid", True),
    ],
)
def test_execution_waits_for_its_flow_and_says_why(flow: FlowView, reason: str, stalled: bool) -> None:
    decision = plan(spec_of(), META, UNSEEN, None, flow)
    assert isinstance(decision, Wait)
    assert (decision.reason, decision.stalled) == (reason, stalled)


def test_missing_flow_is_named_with_similar_flows() -> None:
    decision = plan(spec_of(), META, UNSEEN, None, Missing("report", ("reports", "resort")))
    assert isinstance(decision, Wait)
    assert "Flow 'report' not found in namespace 'team' (did you mean 'reports' or 'resort'?)" in decision.message


def test_invalid_inline_flow_is_refused() -> None:
    spec = ExecutionSpec.model_validate({"flow": {"nodes": [{"id": "a", "type": "Text"}]}})
    decision = plan(spec, META, UNSEEN, None, WRONG)
    assert isinstance(decision, Refuse)
    assert decision.errors == ("spec.flow.nodes[0].id: twice",)


def test_oversized_inputs_are_refused_with_their_path() -> None:
    decision = plan(spec_of(inputs={"city": "x" * MAX_INPUT_BYTES}), META, UNSEEN, None, RIGHT)
    assert isinstance(decision, Refuse)
    assert decision.reason == "TooLarge"
    assert f"spec.inputs: {MAX_INPUT_BYTES + 11} bytes" in decision.message


def test_numbers_that_kubernetes_rounded_are_refused_with_their_path() -> None:
    rounded = float(2**64 - 1)
    spec = ExecutionSpec.model_validate(
        {
            "flowRef": {"name": "f"},
            "inputs": {"city": "Ulm"},
            "events": [{"name": "e", "payload": {"ids": [1e21, rounded]}}],
        }
    )
    decision = plan(spec, META, UNSEEN, None, RIGHT)
    assert isinstance(decision, Refuse)
    assert decision.reason == "InvalidInputs"
    assert "spec.events[0].payload.ids[1]: is 1.8446744073709552e+19, which Kubernetes may have" in decision.message
    decision = plan(spec_of(inputs={"city": [9223372036854775808]}), META, UNSEEN, None, RIGHT)
    assert isinstance(decision, Refuse)
    assert decision.errors[-1].startswith("spec.inputs.city[0]: is 9223372036854775808, which Kubernetes may have")


def test_every_wrong_input_is_named() -> None:
    decision = plan(spec_of(inputs={"town": "Ulm"}), META, UNSEEN, None, RIGHT)
    assert isinstance(decision, Refuse)
    assert decision.reason == "InvalidInputs"
    assert [error.split(":")[0] for error in decision.errors] == ["spec.inputs.town", "spec.inputs.city"]
