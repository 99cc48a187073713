"""What is shown of pauses, steps, retries and their refusals: where it stands, and which field lets it go on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from chaingraph_crds.execution_status import ExecutionPhase, ExecutionStatus
from chaingraph_operator.decide.plan import Refuse, RetryImpossible, RetryRefusal, Wait
from chaingraph_operator.decide.status import execution_status
from chaingraph_store.executions import ExecutionRow
from fixtures.cluster.execution_cases import ID, META, NOW, UNSEEN, row_of, spec_of

BREAKPOINT: dict[str, Any] = {"paused": True, "pause_node": "a"}
BY_SPEC: dict[str, Any] = {"paused": True, "wants_pause": True, "pause_node": ""}


def shown(
    row: ExecutionRow | None, previous: dict[str, Any] | None = None, **spec: Any
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The status, and its conditions by type."""
    status = execution_status(META, spec_of(**spec), row, None, ExecutionStatus.of(previous), now=NOW)
    return status, {each["type"]: each for each in status["conditions"]}


def test_held_execution_shows_the_fields_that_start_it() -> None:
    status, found = shown(row_of("Created", wants_pause=True), paused=True)
    assert (status["phase"], found["Paused"]["status"], found["Paused"]["reason"]) == ("Created", "True", "Held")
    for field in ("spec.paused", "spec.step", "spec.startTimeoutSeconds"):
        assert field in found["Paused"]["message"]
    _, found = shown(row_of("Created"))
    assert (found["Paused"]["status"], found["Succeeded"]["reason"]) == ("False", "Starting")
    _, found = shown(row_of("Created", step_seqs=[1], **BY_SPEC), paused=True, step="1")
    assert (found["Paused"]["status"], found["Paused"]["reason"]) == ("True", "Paused")
    assert found["Succeeded"]["reason"] == "Starting"


def test_pause_by_spec_shows_nodes_and_how_to_resume() -> None:
    row = row_of("Paused", nodes_running=0, current_nodes=["a", "b", "c", "d", "e"], **BY_SPEC)
    status, found = shown(row, paused=True)
    assert (status["phase"], found["Paused"]["reason"]) == ("Paused", "Paused")
    assert found["Paused"]["message"] == (
        "Paused by spec.paused; held before 'a', 'b', 'c' and 2 more; to resume, set spec.paused to false; to run only "
        "the held nodes, change spec.step (kubectl chaingraph resume, or step)"
    )
    assert found["Succeeded"]["message"] == "Paused by spec.paused; 1 of 3 nodes done, 0 running"
    assert (found["Reconciling"]["status"], found["Reconciling"]["reason"]) == ("True", "Paused")
    assert status["currentNodes"] == ["a", "b", "c", "d", "e"]


def test_pause_counts_nodes_in_flight() -> None:
    _, found = shown(row_of("Paused", nodes_running=2, current_nodes=["a", "b"], **BY_SPEC), paused=True)
    assert "; 2 nodes still running; " in found["Paused"]["message"]


def test_breakpoint_pause_shows_nodes_and_how_to_resume() -> None:
    _, found = shown(row_of("Paused", nodes_running=0, **BREAKPOINT), options={"breakpoints": ["a"]})
    assert found["Paused"]["reason"] == "Breakpoint"
    assert found["Paused"]["message"] == (
        "Paused at the breakpoint 'a'; held before 'a'; to resume, change spec.resume; to run only the held nodes, "
        "change spec.step (kubectl chaingraph resume, or step)"
    )
    assert found["Succeeded"]["message"].startswith("Paused at the breakpoint 'a'; ")
    _, found = shown(row_of("Paused", wants_pause=True, **BREAKPOINT), paused=True)
    assert "to resume, set spec.paused to false; " in found["Paused"]["message"]
    # Steps have led on from it.
    _, found = shown(row_of("Paused", nodes_running=0, current_nodes=["b"], **BREAKPOINT))
    assert found["Paused"]["message"].startswith("Paused since the breakpoint 'a'; held before 'b'; ")


def test_parked_pause_says_no_worker_is_kept() -> None:
    _, found = shown(row_of("Paused", parked=True, worker="", nodes_running=0, **BREAKPOINT))
    assert found["Paused"]["message"].endswith(
        "; parked: it occupies no worker slot, and finished nodes are not run again"
    )


def test_pending_commands_show_as_pausing_and_resuming() -> None:
    status, found = shown(row_of("Running", control_seq=1, **BY_SPEC), paused=True)
    assert (status["phase"], found["Paused"]["status"], found["Paused"]["reason"]) == ("Running", "False", "Pausing")
    status, found = shown(row_of("Paused", control_seq=2, applied_seq=1))
    assert (status["phase"], found["Paused"]["status"], found["Paused"]["reason"]) == ("Paused", "True", "Resuming")


def test_step_of_a_parked_execution_stays_paused_until_done() -> None:
    parked, _ = shown(row_of("Paused", parked=True, nodes_running=0, **BREAKPOINT))
    owed = {"step_seqs": [1], "control_seq": 1, "step_token": "s1", "run": 2} | BREAKPOINT
    queued, found = shown(row_of("Pending", **owed), parked, step="s1")
    assert (queued["phase"], found["Paused"]["status"]) == ("Paused", "True")
    assert "step requested, queued in 'chaingraph-executions' for a worker" in found["Paused"]["message"]
    assert "lastStep" not in queued
    taken, found = shown(row_of("Running", **owed), queued, step="s1")
    assert (taken["phase"], found["Paused"]["status"]) == ("Paused", "True")
    done, found = shown(row_of("Paused", applied_seq=1, **owed | {"step_seqs": []}), taken, step="s1")
    assert (done["phase"], done["lastStep"]) == ("Paused", "s1")


def test_tokens_are_echoed_when_they_are_carried_out() -> None:
    row: dict[str, Any] = {"step_token": "s2", "resume_token": "g2", "control_seq": 7, "step_seqs": [7]}
    before = {"lastStep": "s1", "lastResume": "g1", "attempt": 1}
    status, _ = shown(row_of("Paused", applied_seq=6, **row, **BREAKPOINT), before)
    assert (status["lastStep"], status["lastResume"]) == ("s1", "g1")
    # Taken, and not made yet: it is owed to the nodes that come next.
    status, _ = shown(row_of("Paused", applied_seq=7, **row, **BREAKPOINT), before)
    assert (status["lastStep"], status["lastResume"]) == ("s1", "g2")
    status, _ = shown(row_of("Paused", applied_seq=7, **row | {"step_seqs": []}, **BREAKPOINT), before)
    assert (status["lastStep"], status["lastResume"]) == ("s2", "g2")
    status, _ = shown(row_of("Paused", parked=True, applied_seq=6, **row, **BREAKPOINT), before)
    assert status["lastResume"] == "g2"
    status, _ = shown(row_of("Pending", step_token="s", resume_token="g", retry_token="r"))
    assert (status["lastStep"], status["lastResume"], status["lastRetry"]) == ("s", "g", "r")


def test_status_shows_the_last_ten_attempts() -> None:
    history = [
        {
            "attempt": number,
            "phase": "Failed",
            "reason": "NodeFailed",
            "message": "x" * 1025 if number == 12 else "",
            "node": "" if number < 12 else "a",
            "startTime": None if number < 12 else "2026-05-04T12:00:00Z",
            "completionTime": "2026-05-04T12:00:01Z",
            "retriedFrom": "Start",
        }
        for number in range(1, 13)
    ]
    status, _ = shown(row_of("Running", attempt=13, attempts=history))
    assert [each["attempt"] for each in status["attempts"]] == list(range(3, 13))
    assert status["attempts"][0] == {
        "attempt": 3,
        "phase": "Failed",
        "reason": "NodeFailed",
        "completionTime": "2026-05-04T12:00:01.000Z",
        "retriedFrom": "Start",
    }
    last = status["attempts"][-1]
    assert (last["node"], len(last["message"]), last["startTime"]) == ("a", 1024, "2026-05-04T12:00:00.000Z")
    assert "attempts" not in shown(row_of("Running"))[0]


@pytest.mark.parametrize(
    ("refusal", "message"), [("StillRunning", "it was Running: wait"), ("FlowNotFound", "Flow 'x' not found")]
)
def test_a_refused_retry_is_shown_while_the_spec_has_its_token(refusal: str, message: str) -> None:
    row = row_of("Running", retry_token="r1", retry_refusal=refusal, retry_refusal_message=message)
    _, found = shown(row, retry={"token": "r1"})
    assert (found["RetryRefused"]["reason"], found["RetryRefused"]["message"]) == (
        refusal,
        f"Retry 'r1' refused: {message}",
    )
    for spec in ({}, {"retry": {"token": "r2"}}):
        assert "RetryRefused" not in shown(row, **spec)[1]
    assert "RetryRefused" not in shown(row_of("Running", retry_token="r1"), retry={"token": "r1"})[1]


def test_waiting_execution_refuses_a_retry_in_status_only() -> None:
    verdict = Wait("FlowNotFound", "none")
    first = execution_status(META, spec_of(retry={"token": "r1"}), None, verdict, UNSEEN, now=NOW)
    assert "RetryRefused" not in {each["type"] for each in first["conditions"]}
    assert first["lastRetry"] == "r1"
    spec = spec_of(retry={"token": "r2"})
    second = execution_status(META, spec, None, verdict, ExecutionStatus.of(first), now=NOW)
    third = execution_status(META, spec, None, verdict, ExecutionStatus.of(second), now=NOW + timedelta(seconds=5))
    assert second == third
    [refused] = [each for each in second["conditions"] if each["type"] == "RetryRefused"]
    assert (refused["reason"], second["lastRetry"]) == (RetryRefusal.STILL_RUNNING, "r2")


def test_rowless_execution_refuses_a_retry_in_status_only() -> None:
    ended = execution_status(META, spec_of(), None, Refuse("TooLarge", "m"), UNSEEN, now=NOW)
    spec = spec_of(retry={"token": "r1"}, stop=True)
    impossible = RetryImpossible("r1", RetryRefusal.STOP_IS_SET, "Set spec.stop to false")
    refused = execution_status(META, spec, None, impossible, ExecutionStatus.of(ended), now=NOW + timedelta(1))
    assert refused["phase"] == "Failed"
    assert refused["completionTime"] == ended["completionTime"]
    assert refused["lastRetry"] == "r1"
    assert {each["type"]: each["reason"] for each in refused["conditions"]}["RetryRefused"] == "StopIsSet"
    again = execution_status(META, spec, None, None, ExecutionStatus.of(refused), now=NOW + timedelta(2))
    assert again == refused


def test_rejudged_execution_gets_a_new_completion_time() -> None:
    ended = execution_status(META, spec_of(), None, Refuse("TooLarge", "m"), UNSEEN, now=NOW)
    later = NOW + timedelta(hours=1)
    spec = spec_of(retry={"token": "r1"})
    again = execution_status(META, spec, None, Refuse("TooLarge", "m"), ExecutionStatus.of(ended), now=later)
    assert again["completionTime"] == "2026-05-04T13:00:00.000Z"
    assert again["lastRetry"] == "r1"


@pytest.mark.parametrize("phase", [*ExecutionPhase])
def test_unpaused_execution_shows_not_paused(phase: str) -> None:
    if phase != ExecutionPhase.PAUSED:
        status, found = shown(row_of(phase))
        assert (status["executionID"], found["Paused"]["status"], found["Paused"]["reason"]) == (
            ID,
            "False",
            "NotPaused",
        )
