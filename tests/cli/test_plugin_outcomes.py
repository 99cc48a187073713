"""When a verb counts as carried out, and what is said of where an execution stands."""

from __future__ import annotations

from typing import Any

import pytest

from chaingraph_cli.execution import Execution, describe
from chaingraph_cli.executions import outcomes

PAUSED = {"type": "Paused", "status": "True", "reason": "Paused", "message": ""}


SUCCEEDED = {"type": "Succeeded", "status": "Unknown", "reason": "", "message": ""}


def unmade(reason: str, phase: str = "Pending", **status: Any) -> Execution:
    """What the ledger does not have."""
    conditions = [SUCCEEDED | {"reason": reason}]
    return Execution({"metadata": {"name": "one"}, "status": {"phase": phase, "conditions": conditions, **status}})


def execution(*, observed: int = 2, spec: dict[str, Any] | None = None, **status: Any) -> Execution:
    return Execution(
        {
            "metadata": {"name": "one", "generation": 2},
            "spec": spec or {},
            "status": {"observedGeneration": observed, "executionID": "EX1", **status},
        }
    )


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (execution(phase="Pending"), "waiting for a worker"),
        (Execution({"metadata": {"name": "one"}}), "waiting for the operator"),
        (unmade("FlowNotFound"), "waiting for its Flow"),
        (unmade("FlowInvalid"), "waiting for its Flow to be fixed"),
        (unmade("WaitingForWorkers"), "waiting for a worker to validate its Flow"),
        (unmade("UnknownNodeType"), "waiting for a worker with its node types"),
        (execution(phase="Created", spec={"paused": True}), "created and not started"),
        (
            execution(phase="Created", spec={"paused": True}, conditions=[SUCCEEDED | {"reason": "Starting"}]),
            "waiting for a worker",
        ),
        (execution(phase="Running"), "running"),
        (execution(phase="Running", currentNodes=["a", "b", "c", "d"]), "running 'a', 'b', 'c' and 1 more"),
        (execution(phase="Paused", currentNodes=["a"]), "paused before 'a'"),
        (execution(phase="Paused"), "paused"),
        (execution(phase="Paused", currentNodes=["a"], breakpoint="a"), "paused at a breakpoint before 'a'"),
        (
            execution(phase="Paused", currentNodes=["a", "b"], nodes={"running": 1}),
            "pausing: 1 still running, at 'a', 'b'",
        ),
        (execution(phase="Paused", conditions=[PAUSED | {"reason": "Resuming"}]), "resuming"),
        (execution(phase="Completed"), "completed"),
        (execution(phase="Failed", error={"node": "a", "message": "broke"}), "failed: node 'a': broke"),
        (execution(phase="Stopped"), "stopped"),
    ],
)
def test_standing_describes_each_state(shown: Execution, words: str) -> None:
    assert describe(shown) == words


def test_outcome_waits_until_the_operator_has_seen_the_edit() -> None:
    assert outcomes.paused(execution(observed=1, phase="Paused")) is None
    assert outcomes.paused(execution(phase="Paused")) is not None
    assert outcomes.resumed("t")(execution(observed=1, phase="Running", lastResume="t")) is None
    assert outcomes.started(execution(observed=1, phase="Running")) is None
    assert outcomes.started(execution(phase="Running")) is not None


def test_a_pause_waits_for_the_nodes_in_flight() -> None:
    assert outcomes.paused(execution(phase="Paused", nodes={"running": 1})) is None
    missed = outcomes.paused(execution(phase="Completed"))
    assert missed is not None
    assert (missed.text, missed.code) == ("finished before it could pause: completed", 3)


def test_outcome_requires_its_own_token() -> None:
    assert outcomes.stepped("t")(execution(phase="Paused", lastStep="s")) is None
    assert outcomes.stepped("t")(execution(phase="Running", lastStep="t")) is None
    assert outcomes.stepped("t")(execution(phase="Paused", lastStep="t", nodes={"running": 1})) is None
    assert outcomes.stepped("t")(execution(phase="Paused", lastStep="t")) is not None
    assert outcomes.resumed("t")(execution(phase="Running", lastResume="s")) is None
    assert outcomes.resumed("t")(execution(phase="Running", lastResume="t")) is not None
    assert outcomes.retried("t")(execution(phase="Pending", lastRetry="s")) is None
    assert outcomes.retried("t")(execution(phase="Pending", lastRetry="t")) is not None


def test_retry_outcome_names_its_attempt_or_new_judgement() -> None:
    taken = outcomes.retried("t")(execution(phase="Failed", lastRetry="t", attempt=2, error={"message": "broke"}))
    assert taken is not None
    assert taken.text == "retried: attempt 2 failed: broke"
    again = outcomes.retried("t")(unmade("InvalidInputs", "Failed", lastRetry="t", error={"message": "no input 'b'"}))
    assert again is not None
    assert again.text == "validated again: failed: no input 'b'"


def test_retry_outcome_says_what_is_kept() -> None:
    ended = {"attempt": 1, "phase": "Failed", "retriedNode": "clean", "kept": 1}
    again = {"runsAgain": ["clean", "a", "b", "c", "d", "e"], "runsAgainTotal": 30, "removed": 2}
    taken = outcomes.retried("t")(execution(phase="Running", lastRetry="t", attempt=2, attempts=[ended | again]))
    assert taken is not None
    assert taken.text == (
        "retried: attempt 2 running; 1 finished node kept, 30 finished nodes run again: clean, a, b, c, d and 25 more; "
        "2 finished nodes removed"
    )
    one = ended | {"kept": 0, "runsAgain": ["load"], "runsAgainTotal": 1}
    taken = outcomes.retried("t")(execution(phase="Running", lastRetry="t", attempt=2, attempts=[one]))
    assert taken is not None
    assert taken.text.endswith("; 0 finished nodes kept, 1 finished node runs again: load")


def test_end_with_a_pending_retry_does_not_count() -> None:
    asked = {"retry": {"token": "t"}}
    assert outcomes.ended(execution(observed=1, phase="Failed", spec=asked)) is None
    assert outcomes.ended(execution(observed=1, phase="Failed", spec=asked, lastRetry="t")) is not None
    assert outcomes.ended(execution(phase="Failed", spec=asked)) is not None


@pytest.mark.parametrize(
    ("wanted", "phase", "code"),
    [
        ("finished", "Failed", 0),
        ("failed", "Failed", 0),
        ("stopped", "Stopped", 0),
        ("completed", "Stopped", 1),
        ("paused", "Paused", 0),
        ("paused", "Completed", 1),
        ("completed", "Paused", None),
        ("finished", "Running", None),
    ],
)
def test_reached_outcome_depends_on_the_wanted_phase(wanted: str, phase: str, code: int | None) -> None:
    outcome = outcomes.reached(wanted)(execution(phase=phase))
    assert (outcome.code if outcome else None) == code


@pytest.mark.parametrize(
    "leaving",
    [
        execution(observed=1, phase="Paused"),
        execution(phase="Paused", spec={"resume": "t2"}, lastResume="t1"),
        execution(phase="Paused", spec={"step": "t2"}),
    ],
)
def test_wait_for_a_pause_ignores_one_about_to_end(leaving: Execution) -> None:
    assert outcomes.reached("paused")(leaving) is None


def test_wait_for_a_pause_accepts_one_after_the_command() -> None:
    again = execution(phase="Paused", spec={"resume": "t", "step": "s"}, lastResume="t", lastStep="s")
    assert outcomes.reached("paused")(again) is not None
