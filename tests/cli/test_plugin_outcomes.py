"""When a verb counts as carried out, and what is said of where an execution stands."""

from __future__ import annotations

from typing import Any

import pytest

from chaingraph_cli.plugin import outcomes
from chaingraph_cli.plugin.execution import Execution, standing

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
        (unmade("FlowInvalid"), "waiting for its Flow to be mended"),
        (unmade("WaitingForWorkers"), "waiting for a worker to check its Flow"),
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
        (
            execution(phase="Paused", currentNodes=["a"], spec={"options": {"breakpoints": ["a"]}}),
            "paused at a breakpoint before 'a'",
        ),
        (
            execution(phase="Paused", currentNodes=["a", "b"], nodes={"running": 1}),
            "pausing: 1 running to their end, at 'a', 'b'",
        ),
        (execution(phase="Paused", conditions=[PAUSED | {"reason": "Resuming"}]), "about to go on"),
        (execution(phase="Completed"), "completed"),
        (execution(phase="Failed", error={"node": "a", "message": "broke"}), "failed: node 'a': broke"),
        (execution(phase="Stopped"), "stopped"),
    ],
)
def test_where_an_execution_stands(shown: Execution, words: str) -> None:
    assert standing(shown) == words


def test_nothing_counts_before_the_operator_has_seen_the_edit() -> None:
    assert outcomes.paused(execution(observed=1, phase="Paused")) is None
    assert outcomes.paused(execution(phase="Paused")) is not None
    assert outcomes.resumed("t")(execution(observed=1, phase="Running", lastResume="t")) is None
    assert outcomes.started(execution(observed=1, phase="Running")) is None
    assert outcomes.started(execution(phase="Running")) is not None


def test_a_pause_waits_for_the_nodes_in_flight() -> None:
    assert outcomes.paused(execution(phase="Paused", nodes={"running": 1})) is None
    missed = outcomes.paused(execution(phase="Completed"))
    assert missed is not None
    assert (missed.text, missed.code) == ("ended before it could pause: completed", 3)


def test_tokens_are_told_apart() -> None:
    assert outcomes.stepped("t")(execution(phase="Paused", lastStep="s")) is None
    assert outcomes.stepped("t")(execution(phase="Running", lastStep="t")) is None
    assert outcomes.stepped("t")(execution(phase="Paused", lastStep="t", nodes={"running": 1})) is None
    assert outcomes.stepped("t")(execution(phase="Paused", lastStep="t")) is not None
    assert outcomes.resumed("t")(execution(phase="Running", lastResume="s")) is None
    assert outcomes.resumed("t")(execution(phase="Running", lastResume="t")) is not None
    assert outcomes.retried("t")(execution(phase="Pending", lastRetry="s")) is None
    assert outcomes.retried("t")(execution(phase="Pending", lastRetry="t")) is not None


def test_a_retry_is_told_with_its_attempt_or_as_another_judgement_of_what_never_ran() -> None:
    taken = outcomes.retried("t")(execution(phase="Failed", lastRetry="t", attempt=2, error={"message": "broke"}))
    assert taken is not None
    assert taken.text == "retried: attempt 2 failed: broke"
    again = outcomes.retried("t")(unmade("InvalidInputs", "Failed", lastRetry="t", error={"message": "no input 'b'"}))
    assert again is not None
    assert again.text == "judged anew: failed: no input 'b'"


def test_the_end_of_an_attempt_whose_retry_is_on_its_way_is_no_end() -> None:
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
def test_what_is_waited_for(wanted: str, phase: str, code: int | None) -> None:
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
def test_the_pause_that_a_resume_or_a_step_is_about_to_end_is_not_waited_for(leaving: Execution) -> None:
    assert outcomes.reached("paused")(leaving) is None


def test_a_pause_after_what_was_asked_for_is_waited_for() -> None:
    again = execution(phase="Paused", spec={"resume": "t", "step": "s"}, lastResume="t", lastStep="s")
    assert outcomes.reached("paused")(again) is not None
