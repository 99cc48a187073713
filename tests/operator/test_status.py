"""The status: kstatus' rules hold in every state, times stay while nothing changes, and it stays small."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.execution_status import ExecutionStatus
from chaingraph_operator.plan import Meta, Refuse, StopUnmade, Verdict, Wait
from chaingraph_operator.status import MAX_OUTPUT_BYTES, execution_status
from chaingraph_store.executions import ExecutionRow
from fixtures.cluster.execution_cases import (
    ID,
    META,
    NOW,
    TERMINAL,
    UNSEEN,
    metas,
    row_of,
    rows,
    spec_of,
    specs,
    statuses,
)

verdicts: st.SearchStrategy[Verdict | None] = st.sampled_from(
    [
        None,
        Wait("FlowNotFound", "none"),
        Wait("FlowInvalid", "wrong", stalled=True),
        Refuse("TooLarge", "too large"),
        StopUnmade("spec.stop was set"),
    ]
)


def by_type(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["type"]: each for each in status.get("conditions", [])}


@given(spec=specs, meta=metas, row=rows, verdict=verdicts, previous=statuses, served=st.none() | st.booleans())
def test_status_follows_the_kstatus_rules(
    spec: ExecutionSpec,
    meta: Meta,
    row: ExecutionRow | None,
    verdict: Verdict | None,
    previous: ExecutionStatus,
    served: bool | None,
) -> None:
    status = execution_status(meta, spec, row, verdict, previous, now=NOW, queue_served=served)
    assert status["observedGeneration"] == meta.generation
    if row is None and verdict is None:
        return
    found = by_type(status)
    assert len(found) == len(status["conditions"])
    assert {"Succeeded", "Ready", "Paused", "WorkerLost"} <= set(found)
    assert ("Reconciling" in found) != ("Stalled" in found) or status["phase"] == "Completed"
    for each in found.values():
        assert each["reason"]
        assert each["observedGeneration"] == meta.generation
        if each["type"] in ("Reconciling", "Stalled"):
            assert each["status"] == "True"
        if each["type"] == "RetryRefused":
            assert each["status"] == "True"
    # Paused is active: something is still going to happen, though a person has to say so.
    if status["phase"] != "Created":
        assert (found["Paused"]["status"] == "True") == (status["phase"] == "Paused")
    ended = status["phase"] in TERMINAL
    assert (found["Succeeded"]["status"] == "Unknown") != ended
    assert (found["Ready"]["status"] == "True") == (status["phase"] == "Completed")
    assert ("completionTime" in status) == ended
    assert ("TreeSucceeded" in found) == ended


@given(spec=specs, row=rows, verdict=verdicts)
def test_status_is_unchanged_when_computed_again_later(
    spec: ExecutionSpec, row: ExecutionRow | None, verdict: Verdict | None
) -> None:
    first = execution_status(META, spec, row, verdict, UNSEEN, now=NOW)
    later = NOW + timedelta(minutes=5)
    assert execution_status(META, spec, row, verdict, ExecutionStatus.of(first), now=later) == first


def test_transition_time_changes_with_status_not_with_reason() -> None:
    later = NOW + timedelta(seconds=3)
    queued = execution_status(META, spec_of(), row_of("Pending"), None, UNSEEN, now=NOW)
    running = execution_status(META, spec_of(), row_of("Running"), None, ExecutionStatus.of(queued), now=later)
    done = execution_status(META, spec_of(), row_of("Completed"), None, ExecutionStatus.of(running), now=later)
    times = [by_type(status)["Succeeded"]["lastTransitionTime"] for status in (queued, running, done)]
    assert times == ["2026-05-04T12:00:00Z", "2026-05-04T12:00:00Z", "2026-05-04T12:00:03Z"]


def test_completed_execution_shows_its_outputs_and_counts() -> None:
    row = row_of("Completed", nodes_completed=2, nodes_skipped=1, finished_at=NOW + timedelta(seconds=1.5))
    status = execution_status(META, spec_of(), row, None, UNSEEN, now=NOW)
    assert status["phase"] == "Completed"
    assert status["executionID"] == ID
    assert status["outputs"] == {"x": 1}
    assert status["nodes"] == {"total": 3, "completed": 2, "failed": 0, "skipped": 1, "running": 0}
    assert by_type(status)["Succeeded"]["message"] == "2 nodes completed, 1 skipped in 1.50 s"
    assert "error" not in status


@pytest.mark.parametrize("length", [100, MAX_OUTPUT_BYTES, 10 * MAX_OUTPUT_BYTES])
def test_outputs_are_shown_while_they_are_small(length: int) -> None:
    row = row_of("Completed", outputs={"text": "x" * length})
    status = execution_status(META, spec_of(), row, None, UNSEEN, now=NOW)
    assert ("outputs" in status) == (length < MAX_OUTPUT_BYTES)
    assert ("too large" in by_type(status)["Succeeded"]["message"]) == (length >= MAX_OUTPUT_BYTES)


def test_the_status_of_a_huge_graph_with_a_huge_fault_is_small() -> None:
    row = row_of(
        "Failed", error_message="é" * 100_000, current_nodes=[f"node-{i}" for i in range(500)], worker="w" * 1000
    )
    status = execution_status(META, spec_of(), row, None, UNSEEN, now=NOW)
    assert len(orjson.dumps(status)) < 80_000
    ExecutionStatus.model_validate(status)


def test_unserved_queue_is_named_in_the_status() -> None:
    queued = execution_status(META, spec_of(), row_of("Pending"), None, UNSEEN, now=NOW, queue_served=True)
    assert by_type(queued)["Succeeded"]["reason"] == "Queued"
    none = execution_status(META, spec_of(), row_of("Pending", queue="gpu"), None, UNSEEN, now=NOW, queue_served=False)
    assert by_type(none)["Succeeded"]["reason"] == "NoWorker"
    assert "'gpu'" in by_type(none)["Succeeded"]["message"]


def test_rowless_end_stays_and_reports_the_new_generation() -> None:
    refused = execution_status(META, spec_of(), None, Refuse("TooLarge", "m"), UNSEEN, now=NOW)
    assert by_type(refused)["TreeSucceeded"]["status"] == "False"
    later = execution_status(
        replace(META, generation=2), spec_of(), None, None, ExecutionStatus.of(refused), now=NOW + timedelta(1)
    )
    assert [each["type"] for each in later["conditions"]] == [each["type"] for each in refused["conditions"]]
    assert later["observedGeneration"] == 2
    assert {each["observedGeneration"] for each in later["conditions"]} == {2}
    assert later["completionTime"] == refused["completionTime"]
    assert by_type(later)["Succeeded"]["reason"] == "TooLarge"
