"""Kubernetes Events of executions: one for each request or problem, none for progress, none twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from chaingraph_crds.conditions import Condition
from chaingraph_crds.execution_status import ExecutionStatus
from chaingraph_operator.decide import status_events
from chaingraph_operator.decide.plan import Refuse, RetryImpossible, RetryRefusal, StopUncreated, Verdict, Wait
from chaingraph_operator.decide.status import execution_status
from chaingraph_operator.kube.events import KubernetesEvent
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import child_execution_id
from fixtures.cluster.execution_cases import ID, META, NOW, UNSEEN, row_of, spec_of

BREAKPOINT: dict[str, Any] = {"paused": True, "pause_node": "a"}
BY_SPEC: dict[str, Any] = {"paused": True, "wants_pause": True, "pause_node": ""}
PARENT = child_execution_id(ID, 0)


class Story:
    """One execution's statuses, one after the other, and the Events that they gave rise to."""

    def __init__(self) -> None:
        self.now: datetime = NOW
        self.status: dict[str, Any] = {}
        self.told: list[KubernetesEvent] = []

    def show(
        self,
        row: ExecutionRow | None,
        verdict: Verdict | None = None,
        *,
        below: dict[str, int] | None = None,
        **spec: Any,
    ) -> list[tuple[str, str]]:
        """Shows it twice, a second later each time, as a resync would; returns type and reason of the Events."""
        told: list[KubernetesEvent] = []
        for _ in range(2):
            before = self.status
            previous = ExecutionStatus.of(before) if before else UNSEEN
            self.status = execution_status(
                META, spec_of(**spec), row, verdict, previous, now=self.now, queue_served=True, below=below
            )
            told += status_events.of_execution(before, self.status)
            self.now += timedelta(seconds=1)
        self.told += told
        return [(each.type, each.reason) for each in told]

    @property
    def names(self) -> list[tuple[str, str]]:
        """What the name of each Event is derived from."""
        return [(each.reason, each.since) for each in self.told]


def test_a_short_execution_is_announced_once() -> None:
    story = Story()
    assert story.show(row_of("Running")) == []
    assert story.show(row_of("Completed")) == [("Normal", "Completed")]


def test_announcements_cover_waits_losses_and_ends() -> None:
    story = Story()
    assert story.show(None, Wait("FlowNotFound", "none")) == [("Warning", "FlowNotFound")]
    assert story.show(row_of("Pending")) == []
    assert story.show(row_of("Running")) == []
    assert story.show(row_of("Pending", lost_worker="w1", recoveries=1)) == [("Warning", "WorkerLost")]
    assert Story().show(row_of("Failed")) == [("Warning", "Failed")]
    assert Story().show(row_of("Stopped")) == [("Normal", "Stopped")]
    assert Story().show(None, Refuse("TooLarge", "m")) == [("Warning", "TooLarge")]
    assert Story().show(None, StopUncreated("m")) == [("Normal", "Stopped")]


def test_pause_and_resume_are_announced_once_each() -> None:
    story = Story()
    story.show(row_of("Running"))
    assert story.show(row_of("Running", **BY_SPEC), paused=True) == []
    assert story.show(row_of("Paused", **BY_SPEC), paused=True) == [("Normal", "Paused")]
    assert story.show(row_of("Paused", parked=True, nodes_running=0, **BY_SPEC), paused=True) == []
    # The command is on its way, and then it has arrived.
    assert story.show(row_of("Paused", control_seq=2)) == [("Normal", "Resumed")]
    assert story.told[-1].message == "Resumed. It was paused by spec.paused"
    assert story.show(row_of("Pending", run=2)) == []
    assert story.show(row_of("Running", run=2)) == []
    assert story.show(row_of("Paused", **BY_SPEC), paused=True) == [("Normal", "Paused")]
    assert story.show(row_of("Stopped")) == [("Normal", "Stopped")]
    assert len(set(story.names)) == len(story.names)


def test_hold_before_start_is_not_announced() -> None:
    story = Story()
    assert story.show(row_of("Created", wants_pause=True), paused=True) == []
    assert story.show(row_of("Created")) == []
    assert story.show(row_of("Running")) == []
    stepped = Story()
    assert stepped.show(row_of("Created", wants_pause=True), paused=True) == []
    for phase in ("Created", "Pending", "Running", "Paused"):
        owed = [] if phase == "Paused" else [1]
        assert stepped.show(row_of(phase, step_seqs=owed, **BY_SPEC), paused=True, step="1") == []


def test_steps_are_never_announced() -> None:
    story = Story()
    story.show(row_of("Running"))
    story.show(row_of("Paused", parked=True, **BY_SPEC), paused=True)
    owed: dict[str, Any] = {"step_seqs": [2], "control_seq": 2, "run": 2}
    for number in range(3):
        step: dict[str, Any] = {"paused": True, "step": str(number)}
        assert story.show(row_of("Pending", **owed, **BY_SPEC), **step) == []
        assert story.status["phase"] == "Paused"
        assert story.show(row_of("Running", **owed, **BY_SPEC), **step) == []
        assert story.show(row_of("Paused", nodes_completed=number, **BY_SPEC), **step) == []


def test_each_breakpoint_is_announced_with_its_node() -> None:
    story = Story()
    story.show(row_of("Running"))
    assert story.show(row_of("Paused", **BREAKPOINT)) == [("Normal", "BreakpointHit")]
    assert story.told[-1].message.startswith("Paused at the breakpoint 'a'; ")
    assert story.show(row_of("Paused", current_nodes=["c"], **BREAKPOINT)) == []
    # It went on and met the next one before anybody looked.
    other: dict[str, Any] = {"paused": True, "pause_node": "b", "current_nodes": ["b"]}
    assert story.show(row_of("Paused", **other)) == [("Normal", "BreakpointHit")]
    assert story.told[-1].message.startswith("Paused at the breakpoint 'b'; ")
    assert story.show(row_of("Running")) == [("Normal", "Resumed")]
    assert story.told[-1].message == "Resumed. It was paused at the breakpoint 'b'"
    assert len(set(story.names)) == 3


def test_retry_and_its_end_are_announced_even_if_seen_late() -> None:
    story = Story()
    assert story.show(row_of("Failed")) == [("Warning", "Failed")]
    second = {"attempt": 2, "retry_token": "1", "attempts": [ended(1, "Failed")]}
    retry = {"token": "1"}
    assert story.show(row_of("Failed", **second), retry=retry) == [("Normal", "RetryStarted"), ("Warning", "Failed")]
    assert "Attempt 2 started, keeping completed nodes" in [each.message for each in story.told]
    third = {"attempt": 3, "retry_token": "2", "attempts": [ended(1, "Failed"), ended(2, "Start")]}
    retry = {"token": "2"}
    assert story.show(row_of("Pending", **third), retry=retry) == [("Normal", "RetryStarted")]
    assert "Attempt 3 started, from the beginning" in [each.message for each in story.told]
    assert story.show(row_of("Completed", **third), retry=retry) == [("Normal", "Completed")]
    assert len(set(story.names)) == len(story.names)


def ended(attempt: int, retried_from: str) -> dict[str, Any]:
    return {"attempt": attempt, "phase": "Failed", "retriedFrom": retried_from}


def test_retry_from_a_node_announces_what_runs_again() -> None:
    story = Story()
    story.show(row_of("Failed"))
    told = ended(1, "Failed") | {"retriedNode": "a", "flowRevision": "0" * 64, "kept": 3, "removed": 1}
    told |= {"runsAgain": ["a"], "runsAgainTotal": 1}
    again = row_of("Pending", attempt=2, retry_token="1", flow_revision="f" * 64, attempts=[told])
    assert story.show(again, retry={"token": "1", "node": "a"}) == [("Normal", "RetryStarted")]
    assert story.told[-1].message == (
        "Attempt 2 started, from node 'a', with revision ffffffffffff of the flow instead of 000000000000, "
        "3 finished nodes kept, 1 finished node runs again: a; 1 finished node removed"
    )


def test_retry_that_begins_paused_gets_one_announcement() -> None:
    story = Story()
    story.show(row_of("Failed"))
    again = row_of("Paused", attempt=2, parked=True, retry_token="1", attempts=[ended(1, "Failed")], **BY_SPEC)
    assert story.show(again, retry={"token": "1"}, paused=True) == [("Normal", "RetryStarted")]


def test_refused_retry_is_announced_once_per_token() -> None:
    story = Story()
    story.show(row_of("Running"))
    for token in ("1", "2"):
        refused = row_of(
            "Running", retry_token=token, retry_refusal="StillRunning", retry_refusal_message="it was Running"
        )
        assert story.show(refused, retry={"token": token}) == [("Warning", "RetryRefused")]
        assert story.told[-1].message == f"Retry {token!r} refused: it was Running"
    assert len(set(story.names)) == 2


def test_unstarted_execution_announces_each_new_refusal() -> None:
    story = Story()
    assert story.show(None, Refuse("InvalidInputs", "m")) == [("Warning", "InvalidInputs")]
    assert story.show(None, Refuse("InvalidInputs", "m"), retry={"token": "1"}) == [("Warning", "InvalidInputs")]
    impossible = RetryImpossible("2", RetryRefusal.STOP_IS_SET, "Set spec.stop to false")
    assert story.show(None, impossible, stop=True, retry={"token": "2"}) == [("Warning", "RetryRefused")]
    assert len(set(story.names)) == 3


def test_parent_announces_its_own_end_and_its_trees_end() -> None:
    story = Story()
    active, over = (row_of("Completed", children_total=3, children_spawned=3, children_active=n) for n in (3, 0))
    assert story.show(active) == [("Normal", "Completed")]
    assert story.show(over, below={"Completed": 2, "Failed": 1}) == [("Warning", "TreeFailed")]
    assert story.told[-1].message == "3 descendants: 2 completed, 1 failed"
    # A retry of the one that failed.
    assert story.show(active) == []
    assert story.show(over, below={"Completed": 3}) == [("Normal", "TreeCompleted")]
    assert story.told[-1].message == "3 of 3 descendants completed"
    assert len(set(story.names)) == len(story.names)
    at_once = Story()
    assert at_once.show(over, below={"Completed": 3}) == [("Normal", "Completed"), ("Normal", "TreeCompleted")]
    stopped = Story()
    stopped.show(active)
    over = replace(over, tree_stopped=True)
    assert stopped.show(over, below={"Stopped": 3}) == [("Normal", "TreeStopped")]


def test_child_announces_only_failures_and_refusals() -> None:
    """A tree of thousands would not be read, and each Event costs as much as a status."""
    child: dict[str, Any] = {"parent_id": PARENT, "depth": 1}
    for fields in ({"phase": "Completed"}, {"phase": "Stopped"}, {"phase": "Paused"} | BREAKPOINT):
        story = Story()
        assert story.show(row_of("Pending", queue="gpu", **child)) == []
        assert story.show(row_of("Running", **child)) == []
        assert story.show(row_of("Pending", lost_worker="w1", recoveries=1, **child)) == []
        assert story.show(row_of(**fields, **child)) == []
    # Nor of the trees within the tree: its root tells.
    within = row_of("Completed", children_total=1, children_spawned=1, **child)
    assert Story().show(within, below={"Failed": 1}) == []
    failed = Story()
    assert failed.show(row_of("Failed", **child)) == [("Warning", "Failed")]
    assert failed.show(row_of("Failed", **child)) == []
    again = row_of("Running", attempt=2, retry_token="1", attempts=[ended(1, "Failed")], **child)
    assert failed.show(again, retry={"token": "1"}) == []
    refused = replace(again, retry_token="2", retry_refusal="StillRunning", retry_refusal_message="it was Running")
    assert failed.show(refused, retry={"token": "2"}) == [("Warning", "RetryRefused")]


def test_announcement_names_first_error_and_counts_the_rest() -> None:
    story = Story()
    message = "the inputs have 7 errors: spec.inputs.city: is required\nspec.inputs.days: odd\n... and 5 more"
    story.show(None, Refuse("InvalidInputs", message))
    assert story.told[0].message == "the inputs have 7 errors: spec.inputs.city: is required"
    waits = Story()
    waits.show(None, Wait("FlowInvalid", "the Flow 'x' has 1 error: spec.nodes[0].id: twice", stalled=True))
    assert waits.told[0].message == "the Flow 'x' has 1 error: spec.nodes[0].id: twice"
    # The lines of a node's own error are its own.
    failed = Story()
    failed.show(row_of("Failed", error_node="a", error_message="Traceback\n  line 3"))
    assert failed.told[0].message == "node 'a': Traceback\n  line 3"


def test_flow_announcement_names_first_error_and_counts_rest() -> None:
    def ready(status: str, reason: str, message: str) -> dict[str, Any]:
        told = Condition(type="Ready", status=status, reason=reason, message=message, last_transition_time=NOW)
        return {"conditions": [told.manifest()]}

    [told] = status_events.of_flow({}, ready("False", "Invalid", "2 errors: spec.a: odd\nspec.b: odd"))
    assert told.message == "2 errors: spec.a: odd"
    [told] = status_events.of_flow({}, ready("False", "Invalid", "spec.a: odd"))
    assert told.message == "spec.a: odd"
