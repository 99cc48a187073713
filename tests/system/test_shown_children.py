"""Children as their resources show them: API server, operator, PostgreSQL and worker are all real."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import pytest

from fixtures.cluster.user import User, execution, flow
from fixtures.processes.programs import RunOperator, RunWorker
from fixtures.trees.families import CHAIN, FAN_OUT

pytestmark = pytest.mark.integration


def executions_of(user: User) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(user.kubectl("get", "cgx", "-o", "json").stdout)["items"]
    return found


def once_there_are(user: User, count: int, *, ended: bool = True, within: float = 90) -> list[dict[str, Any]]:
    """The executions, once there are so many and all show that their trees have ended."""
    deadline = time.monotonic() + within
    while True:
        found = executions_of(user)
        open_ = [each["metadata"]["name"] for each in found if tree_of(each) not in ("True", "False")]
        if len(found) == count and not (ended and open_):
            return found
        assert time.monotonic() < deadline, f"{len(found)} of {count} executions, and open are {open_}"
        time.sleep(0.2)


def tree_of(body: dict[str, Any]) -> str:
    conditions = body.get("status", {}).get("conditions", [])
    return next((str(each["status"]) for each in conditions if each["type"] == "TreeSucceeded"), "")


def test_each_child_is_shown_and_all_go_with_their_parent(
    user: User, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_worker().wait_ready()
    run_operator()
    numbers = list(range(40))
    user.apply(flow("fan-out", **FAN_OUT), execution("first", flowRef={"name": "fan-out"}, inputs={"items": numbers}))
    user.wait("first", "TreeSucceeded", within=120)
    status = user.status("first")
    assert {name: count for name, count in status["children"].items() if count} == {"total": 40, "completed": 40}
    children = [each for each in once_there_are(user, 41) if "spawnedBy" in each["spec"]]
    assert {each["metadata"]["name"]: each["status"]["outputs"]["got"] for each in children} == {
        f"first-{number}": number for number in numbers
    }
    assert {each["status"]["phase"] for each in children} == {"Completed"}
    writes = Counter(user.operator_writes())
    assert writes["create executions 201"] == 40
    statuses = sum(count for what, count in writes.items() if "executions/status" in what)
    assert statuses <= 2 * 40 + 20, "two for each child, and the parent's every two seconds"
    user.kubectl("delete", "cgx", "first", "--wait=false")
    assert once_there_are(user, 0) == []


def test_a_chain_of_children_is_shown_down_to_its_end(
    user: User, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_worker(CHAINGRAPH_MAX_DEPTH="6").wait_ready()
    run_operator()
    user.apply(execution("first", flow=CHAIN))
    shown = {each["metadata"]["name"]: each for each in once_there_are(user, 7)}
    names = ["first" + "-0" * depth for depth in range(7)]
    assert sorted(shown) == names
    for depth, name in enumerate(names):
        assert shown[name]["status"].get("depth", 0) == depth
        assert shown[name]["status"]["rootExecutionID"] == shown["first"]["status"]["executionID"]
        assert tree_of(shown[name]) == "False", "the last one failed"
    assert shown[names[-1]]["status"]["error"]["reason"] == "DepthLimit"
    assert shown[names[-2]]["status"]["phase"] == "Completed"
