"""What a parent's status says of its children: true of every mixture of row and counts, final once all has ended."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaingraph_crds import limits
from chaingraph_crds.execution import SpawnedBy
from chaingraph_crds.execution_status import ExecutionPhase, ExecutionStatus
from chaingraph_operator.decide.status import execution_status
from chaingraph_store.children.child_rows import BARRED, ChildRow, ChildSummary
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import child_execution_id
from fixtures.cluster.execution_cases import ID, META, NOW, TERMINAL, UNSEEN, row_of, spec_of

CHILDREN = [ChildRow(child_execution_id(ID, n), f"nightly-{n}", "Running", shown=n % 2 == 0) for n in range(150)]


def parent(total: int, **fields: Any) -> ExecutionRow:
    """One that has completed, whose children were all made and are active, unless `fields` say otherwise."""
    fields = {"children_spawned": total, "children_active": total} | fields
    return row_of("Completed", children_total=total, **fields)


def shown(
    row: ExecutionRow,
    counts: dict[str, int] | None = None,
    below: dict[str, int] | None = None,
    previous: dict[str, Any] | None = None,
) -> dict[str, Any]:
    summary = ChildSummary(counts, CHILDREN[: min(row.children_spawned, 100)]) if counts is not None else None
    return execution_status(
        META, spec_of(), row, None, ExecutionStatus.of(previous), now=NOW, children=summary, below=below
    )


def tree(status: dict[str, Any]) -> tuple[str, str, str]:
    [found] = [each for each in status["conditions"] if each["type"] == "TreeSucceeded"]
    return found["status"], found["reason"], found["message"]


def test_children_are_counted_and_the_first_are_named() -> None:
    status = shown(parent(150), {"Running": 40, "Completed": 100, "Failed": 10})
    assert status["children"] == {
        "total": 150,
        "pending": 0,
        "created": 0,
        "running": 40,
        "paused": 0,
        "completed": 100,
        "failed": 10,
        "stopped": 0,
    }
    assert len(status["childRefs"]) == limits.MAX_CHILD_REFS
    assert status["childRefs"][0] == {"executionID": CHILDREN[0].id, "name": "nightly-0", "phase": "Running"}
    assert status["childRefs"][1] == {"executionID": CHILDREN[1].id, "phase": "Running"}, "it has no resource"
    ExecutionStatus.model_validate(status)


def test_unspawned_children_are_pending_and_barred_have_no_phase() -> None:
    status = shown(parent(1000, children_spawned=200, children_active=1000), {"Pending": 150, "Running": 50})
    assert (status["children"]["total"], status["children"]["pending"]) == (1000, 950)
    barred = parent(1000, children_spawned=200, children_suppressed=800, children_active=3, tree_stopped=True)
    status = shown(barred, {"Running": 3, "Stopped": 197})
    assert (status["children"]["total"], status["children"]["pending"]) == (1000, 0)
    assert tree(status)[2] == (
        "1000 children: 3 running, 197 stopped; 800 of 1000 events spawned no execution because of the stop"
    )


def test_children_spawned_between_reads_are_counted_once() -> None:
    status = shown(parent(10, children_spawned=2, children_active=10), {"Running": 6})
    assert (status["children"]["pending"], status["children"]["running"]) == (4, 6)


def test_unread_children_keep_their_last_counts() -> None:
    before = shown(parent(3), {"Running": 3})
    again = shown(parent(3, children_active=2), previous=before)
    assert again["children"] == before["children"]
    assert again["childRefs"] == before["childRefs"]
    never = shown(parent(3))
    assert "children" not in never
    assert tree(never) == ("Unknown", "ChildrenActive", "3 of 3 children unfinished, or with unfinished descendants")


def test_the_status_of_a_wide_tree_is_small() -> None:
    row = parent(100_000, children_spawned=100)
    wide = [replace(each, name="n" * 63) for each in CHILDREN[:100]]
    status = execution_status(
        META, spec_of(), row, None, UNSEEN, now=NOW, children=ChildSummary({"Running": 100}, wide)
    )
    assert len(orjson.dumps(status)) < 20_000


@pytest.mark.parametrize("phase", TERMINAL)
def test_childless_tree_condition_equals_the_execution(phase: str) -> None:
    status = shown(row_of(phase))
    found = {each["type"]: each for each in status["conditions"]}
    for field in ("status", "reason"):
        assert found["TreeSucceeded"][field] == found["Succeeded"][field]
    assert {"children", "childRefs"}.isdisjoint(status)


@pytest.mark.parametrize("phase", [each for each in ExecutionPhase if not each.finished])
def test_active_execution_has_no_tree_condition(phase: str) -> None:
    assert "TreeSucceeded" not in [each["type"] for each in shown(row_of(phase))["conditions"]]


@pytest.mark.parametrize(
    ("row", "counts", "message"),
    [
        (parent(1), {"Running": 1}, "1 child: 1 running"),
        (
            parent(12, children_active=9),
            {"Completed": 3, "Running": 4, "Pending": 5},
            "12 children: 5 pending, 4 running, 3 completed",
        ),
        (
            parent(12, children_active=2),
            {"Completed": 12},
            "12 children: 12 completed; unfinished descendants below 2 of them",
        ),
    ],
)
def test_tree_condition_counts_active_children(row: ExecutionRow, counts: dict[str, int], message: str) -> None:
    status = shown(row, counts)
    assert status["phase"] == "Completed"
    assert tree(status) == ("Unknown", "ChildrenActive", message)


@pytest.mark.parametrize(
    ("row", "below", "expected"),
    [
        (parent(1), {"Completed": 1}, ("True", "AllCompleted", "1 of 1 descendant completed")),
        (parent(3), {"Completed": 12}, ("True", "AllCompleted", "12 of 12 descendants completed")),
        # Stopped, when there was nothing left to stop.
        (
            parent(3, tree_stopped=True),
            {"Completed": 3},
            ("True", "AllCompleted", "3 of 3 descendants completed"),
        ),
        (
            parent(3),
            {"Completed": 8, "Failed": 3, "Stopped": 1},
            ("False", "SomeFailed", "12 descendants: 8 completed, 3 failed, 1 stopped"),
        ),
        (
            parent(3, tree_stopped=True),
            {"Completed": 8, "Failed": 4},
            ("False", "SomeFailed", "12 descendants: 8 completed, 4 failed"),
        ),
        (
            parent(3, tree_stopped=True),
            {"Failed": 1, "Stopped": 2},
            ("False", "TreeStopped", "3 descendants: 1 failed, 2 stopped"),
        ),
        (
            parent(1000, children_spawned=988, children_suppressed=12, tree_stopped=True),
            {"Completed": 988},
            (
                "False",
                "TreeStopped",
                "988 descendants: 988 completed; 12 of 1000 events spawned no execution because of the stop",
            ),
        ),
        (
            parent(1, children_spawned=0, children_suppressed=1, tree_stopped=True),
            {},
            ("False", "TreeStopped", "1 of 1 event spawned no execution because of the stop"),
        ),
        # One of them was stopped while it spawned; nobody stopped this one.
        (
            parent(1),
            {"Completed": 4, BARRED: 7},
            (
                "False",
                "SomeFailed",
                "4 descendants: 4 completed; 7 events of descendants spawned no execution because of the stop",
            ),
        ),
    ],
)
def test_ended_tree_condition_says_how_it_ended(
    row: ExecutionRow, below: dict[str, int], expected: tuple[str, str, str]
) -> None:
    status = shown(replace(row, children_active=0), {"Completed": row.children_spawned}, below)
    assert tree(status) == expected
    found = {each["type"]: each["status"] for each in status["conditions"]}
    assert (found["Succeeded"], found["Ready"]) == ("True", "True"), "its own end is its own"


def test_tree_condition_reopens_on_retry_and_dates_the_last_end() -> None:
    later = [NOW + timedelta(seconds=10 * step) for step in range(4)]
    rows = [parent(1), parent(1, children_active=0), parent(1), parent(1, children_active=0)]
    belows: list[dict[str, int] | None] = [None, {"Failed": 1}, None, {"Completed": 1}]
    status: dict[str, Any] = {}
    seen = []
    for row, below, now in zip(rows, belows, later, strict=True):
        previous = ExecutionStatus.of(status)
        status = execution_status(META, spec_of(), row, None, previous, now=now, below=below)
        [found] = [each for each in status["conditions"] if each["type"] == "TreeSucceeded"]
        seen.append((found["status"], found["lastTransitionTime"][17:19]))
    assert seen == [("Unknown", "00"), ("False", "10"), ("Unknown", "20"), ("True", "30")]


counts = st.dictionaries(st.sampled_from([str(each) for each in ExecutionPhase]), st.integers(1, 50))


@given(
    found=st.none() | counts,
    below=st.none() | st.builds(lambda a, b: a | b, counts, st.sampled_from([{}, {BARRED: 2}])),
    unmade=st.integers(0, 5),
    barred=st.integers(0, 5),
    still_open=st.integers(0, 3),
    stopped=st.booleans(),
)
def test_tree_is_final_only_when_ended_true_only_if_completed(
    found: dict[str, int] | None,
    below: dict[str, int] | None,
    unmade: int,
    barred: int,
    still_open: int,
    stopped: bool,
) -> None:
    made = sum((found or {}).values())
    row = parent(
        made + unmade + barred + 1,
        children_spawned=made,
        children_suppressed=barred,
        children_active=still_open,
        tree_stopped=stopped,
    )
    status = shown(row, found, below)
    verdict, reason, message = tree(status)
    assert reason
    assert message
    ended = not still_open and below is not None and all(each in (*TERMINAL, BARRED) for each in below)
    assert (verdict == "Unknown") == (not ended)
    if verdict == "True":
        assert set(below or {}) <= {"Completed"}
        assert not barred
    if found is not None:
        phases = {name: number for name, number in status["children"].items() if name != "total"}
        assert sum(phases.values()) + barred == status["children"]["total"] == row.children_total
    assert shown(row, found, below, previous=status) == status


def test_a_child_names_its_parent() -> None:
    row = row_of("Running", parent_id=child_execution_id(ID, 1), depth=2)
    spec = spec_of(spawnedBy=SpawnedBy(execution_id=ID, parent_execution_id=ID, parent_name="orders", position=3))
    for name, expected in ((None, "orders"), ("bills", "bills")):
        status = execution_status(META, spec, row, None, UNSEEN, now=NOW, parent_name=name)
        assert status["parentRef"] == {"executionID": row.parent_id, "name": expected}
    assert "name" not in shown(row)["parentRef"]


def test_child_of_a_missing_flow_has_no_revision() -> None:
    row = row_of("Failed", flow_revision=None, error_reason="FlowNotFound", started_at=None, nodes_total=0)
    status = shown(row)
    assert "flowRevision" not in status
    assert status["error"]["reason"] == "FlowNotFound"
    assert tree(status)[:2] == ("False", "FlowNotFound")
