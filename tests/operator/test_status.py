"""The status: kstatus' rules hold in every state, times stay while nothing changes, and it stays small."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds.execution import ExecutionSpec
from chaingraph_crds.execution_status import ExecutionStatus
from chaingraph_operator.decide.plan import ObjectMeta, Refuse, StopUncreated, Verdict, Wait
from chaingraph_operator.decide.status import execution_status
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
        StopUncreated("Stop requested"),
    ]
)


def by_type(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["type"]: each for each in status.get("conditions", [])}


@given(spec=specs, meta=metas, row=rows, verdict=verdicts, previous=statuses, served=st.none() | st.booleans())
def test_status_follows_the_kstatus_rules(
    spec: ExecutionSpec,
    meta: ObjectMeta,
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
    assert status["nodes"] == {
        "total": 3,
        "done": 3,
        "completed": 2,
        "failed": 0,
        "skipped": 1,
        "running": 0,
        "waiting": 0,
    }
    assert by_type(status)["Succeeded"]["message"] == "2 nodes completed, 1 skipped in 1.50 s"
    assert "error" not in status


def test_outputs_that_kubernetes_would_round_are_left_out_by_name() -> None:
    outputs = {"id": {"rows": [1, 2**64 - 1]}, "small": 2**63 - 1, "half": 0.5, "far": -(2**63), "huge": 1e300}
    status = execution_status(META, spec_of(), row_of("Completed", outputs=outputs), None, UNSEEN, now=NOW)
    assert status["outputs"] == {name: value for name, value in outputs.items() if name != "id"}
    message = by_type(status)["Succeeded"]["message"]
    assert "output id is not shown here, because id.rows[1] is 18446744073709551615, and Kubernetes rounds" in message
    assert message.endswith(f": kubectl chaingraph outputs {META.name} -n {META.namespace} --output id")
    alone = execution_status(META, spec_of(), row_of("Completed", outputs={"n": 2**63}), None, UNSEEN, now=NOW)
    assert ("outputs" not in alone, alone["omittedOutputs"]) == (True, [{"name": "n", "bytes": 19}])


def test_a_large_output_is_named_with_the_command_that_prints_it() -> None:
    row = row_of("Completed", outputs={"x": 1}, omitted_outputs={"rows": 60_000_000})
    status = execution_status(META, spec_of(), row, None, UNSEEN, now=NOW)
    assert (status["outputs"], status["omittedOutputs"]) == ({"x": 1}, [{"name": "rows", "bytes": 60_000_000}])
    message = by_type(status)["Succeeded"]["message"]
    assert message.endswith(
        "; output rows is too large for the status: kubectl chaingraph outputs nightly -n team --output rows"
    )
    many = replace(row, outputs={}, omitted_outputs={f"o{number}": 20_000 for number in range(5)})
    status = execution_status(META, spec_of(), many, None, UNSEEN, now=NOW)
    assert "outputs" not in status
    assert "5 outputs (o0, o1, o2, …) are too large" in by_type(status)["Succeeded"]["message"]


def test_what_ran_when_it_was_stopped_and_what_is_tried_again_is_named() -> None:
    began, again = (int(datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC).timestamp() * 1000) for second in (5, 35))
    running = {"node": "a", "tries": 1, "max_tries": 1, "since": began, "next_at": None}
    waiting = {"node": "b", "tries": 2, "max_tries": 3, "since": began, "next_at": again}
    told = "'b' retrying at 2026-01-02T03:04:35Z (try 2 of 3 failed)"
    row = row_of("Stopped", error_message="enough", running_nodes=[running, waiting])
    status = execution_status(META, spec_of(), row, None, UNSEEN, now=NOW)
    stopped = by_type(status)["Succeeded"]["message"]
    assert stopped == f"enough; interrupted: 'a' since 2026-01-02T03:04:05Z (try 1 of 1), {told}"
    row = row_of("Running", nodes_running=2, running_nodes=[running, waiting])
    status = execution_status(META, spec_of(), row, None, UNSEEN, now=NOW)
    assert by_type(status)["Succeeded"]["message"] == f"1 of 3 nodes done, 2 running; {told}"


def test_waits_are_in_list_condition_and_message() -> None:
    began, until = (int(datetime(2026, 1, 2, 3, 4, second, tzinfo=UTC).timestamp() * 1000) for second in (5, 35))
    wait = {"tries": 1, "max_tries": 1, "since": began, "next_at": until, "waits_for": "Time"}
    waits = [wait | {"node": f"n{number}"} for number in range(5)]
    row = row_of("Running", nodes_running=0, nodes_waiting=5, running_nodes=waits)
    status = execution_status(META, spec_of(), row, None, UNSEEN, now=NOW)
    assert status["waiting"][0] == {
        "node": "n0",
        "kind": "Time",
        "since": "2026-01-02T03:04:05.000Z",
        "until": "2026-01-02T03:04:35.000Z",
    }
    told = "'n0' waiting since 2026-01-02T03:04:05Z until 2026-01-02T03:04:35Z"
    condition = by_type(status)["Waiting"]
    assert (condition["status"], condition["reason"]) == ("True", "Time")
    assert condition["message"].startswith(f"{told}, 'n1' waiting")
    assert condition["message"].endswith(" and 2 more")
    assert by_type(status)["Succeeded"]["message"].startswith(f"1 of 3 nodes done, 0 running, 5 waiting; {told}")
    ExecutionStatus.model_validate(status)
    absurd = wait | {"node": "n0", "since": -1, "next_at": 10**30, "waits_for": "T" * 1000}
    row = row_of("Running", nodes_running=0, nodes_waiting=1, running_nodes=[absurd])
    (shown,) = execution_status(META, spec_of(), row, None, UNSEEN, now=NOW)["waiting"]
    assert (shown["since"], shown["until"][:4]) == ("1970-01-01T00:00:00.000Z", "9999"), "a runner may report anything"
    for changes in ({"nodes_running": 1}, {"paused": True}):
        changed = row_of("Paused" if "paused" in changes else "Running", **{"nodes_waiting": 5} | changes)
        assert "Waiting" not in by_type(execution_status(META, spec_of(), changed, None, UNSEEN, now=NOW))


def test_the_status_of_a_huge_graph_with_a_huge_error_is_small() -> None:
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
