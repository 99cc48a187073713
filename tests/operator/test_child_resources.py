"""Resources of children: each child gets its own, once, whatever dies or is in the way, and it acts on that child."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from chaingraph_operator.decide.child_manifest import manifest
from chaingraph_store.children import child_rows, completion, turns
from chaingraph_store.children.spawning import EmittedEvent
from chaingraph_store.ids import ExecutionId, execution_id, long_child_name
from chaingraph_store.ledger import Ledger
from fixtures.cluster.control_plane import ControlPlane
from fixtures.cluster.service_account import RULES, kubeconfig_of_service_account
from fixtures.cluster.view import Cluster
from fixtures.ledger.ledger import row_of, wait_for
from fixtures.ledger.new_executions import APP
from fixtures.ledger.worker_by_hand import StartWorker, Worker
from fixtures.processes.programs import Process, RunOperator
from fixtures.trees.children import complete, complete_and_spawn, emission
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

FLOW = {"nodes": [{"id": "a", "type": "Text", "inputs": {"value": "hello"}}]}
INLINE = {"flow": FLOW}


class Family:
    """A parent in the cluster, and its children as the ledger has them."""

    def __init__(self, cluster: Cluster, ledger: Ledger, worker: Worker, name: str, uid: str) -> None:
        self.cluster = cluster
        self.ledger = ledger
        self.worker = worker
        self.name = name
        self.uid = uid
        self.id = execution_id(uid)
        self.children: list[ExecutionId] = []

    async def spawn(self, emitted: Sequence[EmittedEvent] | int) -> list[ExecutionId]:
        await self.cluster.row(self.uid)
        self.children = await complete_and_spawn(self.ledger, self.id, emitted, worker=self.worker.executor_id)
        return self.children

    async def end(self, *executions: ExecutionId) -> None:
        """Runs children to their ends, and has their parent told."""
        for each in executions:
            await complete(self.ledger, each, worker=self.worker.executor_id)
        await completion.settle_upwards(self.ledger, self.id, application_name=APP)

    async def bound(self, *executions: ExecutionId, within: float = 30) -> list[str]:
        """The UIDs of the children's resources, once each has one."""
        found = [
            await wait_for(self.ledger, each, lambda row: row.uid is not None, within=within) for each in executions
        ]
        return [str(row.uid) for row in found]


def names_there(cluster: Cluster) -> list[str]:
    return sorted(cluster.kubectl("get", "cgx", "-o", "jsonpath={.items[*].metadata.name}").stdout.split())


async def exactly(cluster: Cluster, *expected: str, within: float = 30) -> None:
    async def look() -> bool:
        return names_there(cluster) == sorted(expected)

    await eventually(look, within=within, what=lambda: f"{sorted(expected)}, not {names_there(cluster)}")


@pytest.fixture
async def start_family(cluster: Cluster, ledger: Ledger, start_worker: StartWorker) -> Callable[..., Any]:
    worker = await start_worker()

    def start(name: str = "nightly", **spec: Any) -> Family:
        return Family(cluster, ledger, worker, name, cluster.apply("Execution", name, INLINE | spec))

    return start


StartFamily = Callable[..., Family]


async def spawned_unseen(run_operator: RunOperator, family: Family, count: int) -> Family:
    """The family, once so many children are there; the operator that took the parent died before it saw one of them."""
    operator = run_operator()
    await family.cluster.row(family.uid)
    operator.kill()
    await family.spawn(count)
    return family


async def test_each_child_gets_its_own_resource_with_its_spec(
    cluster: Cluster, run_operator: RunOperator, start_family: StartFamily
) -> None:
    run_operator()
    cluster.apply("Flow", "report", {**FLOW, "inputs": [{"name": "city", "type": "string"}]})
    long = "x" * 10_000
    family = start_family(
        flow=None,
        flowRef={"name": "report"},
        inputs={"city": "Bern"},
        integration={"archai": {"messageID": "m", "chatID": "c"}},
        options={"maxConcurrency": 3, "breakpoints": ["a"]},
        priority=7,
        ttlSecondsAfterFinished=3600,
    )
    spawned = await family.spawn([emission("item", {"id": 1, "none": None}), emission("item", long)])
    [first, _] = await family.bound(*spawned)
    shown = cluster.get("Execution", "nightly-0")
    assert shown["metadata"]["uid"] == first
    assert shown["metadata"]["labels"] == {
        "chaingraph.dev/execution-id": spawned[0],
        "chaingraph.dev/parent-id": family.id,
        "chaingraph.dev/root-id": family.id,
    }
    assert shown["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "chaingraph.dev/v1alpha1",
            "kind": "Execution",
            "name": "nightly",
            "uid": family.uid,
            "controller": True,
            "blockOwnerDeletion": False,
        }
    ]
    spec = shown["spec"]
    assert spec["flowRef"] == {"name": "report"}
    assert spec["spawnedBy"] == {
        "executionID": spawned[0],
        "parentExecutionID": family.id,
        "parentName": "nightly",
        "position": 0,
    }
    assert spec["events"] == [{"name": "item", "payload": {"id": 1, "none": None}}]
    assert (spec["inputs"], spec["integration"]) == ({"city": "Bern"}, {"archai": {"chatID": "c"}})
    assert (spec["options"]["maxConcurrency"], spec["options"]["breakpoints"], spec["priority"]) == (3, ["a"], 7)
    assert "ttlSecondsAfterFinished" not in spec, "it goes with its parent"
    other = cluster.get("Execution", "nightly-1")
    assert other["spec"]["events"] == [{"name": "item"}]
    assert other["metadata"]["annotations"] == {"chaingraph.dev/payload-left-out": "10002 bytes"}
    await family.end(*spawned)
    await cluster.condition("Execution", "nightly-0", "TreeSucceeded", status="True")
    status = cluster.status("Execution", "nightly-0")
    assert (status["executionID"], status["depth"], status["rootExecutionID"]) == (spawned[0], 1, family.id)
    assert status["parentRef"] == {"executionID": family.id, "name": "nightly"}
    await exactly(cluster, "nightly", "nightly-0", "nightly-1")


async def test_parent_shows_child_counts_until_its_tree_has_ended(
    cluster: Cluster, ledger: Ledger, run_operator: RunOperator, start_family: StartFamily
) -> None:
    run_operator()
    family = start_family()
    one, two = await family.spawn(2)
    await cluster.condition("Execution", "nightly", "TreeSucceeded", status="Unknown", reason="ChildrenActive")
    assert cluster.status("Execution", "nightly")["phase"] == "Completed"
    await family.end(one)

    async def counted() -> bool:
        shown = cluster.status("Execution", "nightly")["children"]
        return bool(shown["total"] == 2 and shown.get("completed") == 1 and shown.get("pending") == 1)

    await eventually(counted, what="a child that has completed and one that waits")
    await family.bound(one, two)
    grandchildren = await complete_and_spawn(ledger, two, 1, worker=family.worker.executor_id)
    await completion.settle_upwards(ledger, family.id, application_name=APP)
    assert (await row_of(ledger, family.id)).children_active == 1
    await cluster.condition("Execution", "nightly-1", "TreeSucceeded", status="Unknown")
    await complete(ledger, grandchildren[0], worker=family.worker.executor_id)
    await completion.settle_upwards(ledger, two, application_name=APP)
    for name in ("nightly-1-0", "nightly-1", "nightly"):
        ended = await cluster.condition("Execution", name, "TreeSucceeded", status="True")
        assert ended["reason"] == ("AllCompleted" if name != "nightly-1-0" else "Completed")
    status = cluster.status("Execution", "nightly")
    assert {name: count for name, count in status["children"].items() if count} == {"total": 2, "completed": 2}
    assert status["childRefs"] == [
        {"executionID": one, "name": "nightly-0", "phase": "Completed"},
        {"executionID": two, "name": "nightly-1", "phase": "Completed"},
    ]


def figures(operator: Process) -> dict[str, float]:
    """What was reconciled and written so far."""
    found = re.findall(
        r"^chaingraph_operator_(reconciles_total|api_requests_total)(\{(?!.*(?:get|list)[^a-z]).*?\}) (\S+)$",
        operator.get("/metrics").text,
        re.MULTILINE,
    )
    return {name + labels: float(value) for name, labels, value in found}


async def test_parent_with_idle_children_is_not_reconciled(
    cluster: Cluster, run_operator: RunOperator, start_family: StartFamily
) -> None:
    operator = run_operator()
    family = start_family()
    await family.bound(*await family.spawn(3))
    await cluster.condition("Execution", "nightly", "TreeSucceeded", status="Unknown")

    async def quiet() -> bool:
        before = figures(operator)
        await asyncio.sleep(3)
        return figures(operator) == before

    await eventually(quiet, what="three seconds in which nothing is reconciled or written")


async def test_operator_crash_before_binding_makes_no_second_resource(
    cluster: Cluster, ledger: Ledger, run_operator: RunOperator, start_family: StartFamily
) -> None:
    family = await spawned_unseen(run_operator, start_family(), 3)
    spawned = family.children
    async with ledger.connection() as connection:
        made = await child_rows.portrait(connection, spawned[1])
    assert made is not None
    cluster.kubectl("create", "-f", "-", input=json.dumps(manifest(made)))
    uid = cluster.get("Execution", "nightly-1")["metadata"]["uid"]
    run_operator()
    assert (await family.bound(*spawned))[1] == uid
    await exactly(cluster, "nightly", "nightly-0", "nightly-1", "nightly-2")
    await family.end(spawned[1])
    await cluster.condition("Execution", "nightly-1", "Succeeded", status="True")


async def test_child_whose_name_is_in_use_gets_another_name(
    cluster: Cluster, run_operator: RunOperator, start_family: StartFamily
) -> None:
    run_operator()
    stranger = cluster.apply("Execution", "nightly-0", INLINE | {"paused": True})
    family = start_family()
    [child] = await family.spawn(1)
    await family.bound(child)
    name = long_child_name("nightly", child)
    assert cluster.get("Execution", name)["spec"]["spawnedBy"]["executionID"] == child
    assert cluster.get("Execution", "nightly-0")["metadata"]["uid"] == stranger
    assert (await cluster.row(stranger)).phase == "Created"
    await exactly(cluster, "nightly", "nightly-0", name)


async def test_recreated_parents_children_wait_for_old_ones_to_go(
    cluster: Cluster, ledger: Ledger, run_operator: RunOperator, start_family: StartFamily
) -> None:
    first = run_operator()
    family = start_family()
    old = await family.spawn(2)
    await family.bound(*old)
    first.kill()
    cluster.kubectl("delete", "cgx", "nightly", "--cascade=background")
    again = start_family()
    run_operator(CHAINGRAPH_SWEEP_SECONDS="1")
    new = await again.spawn(2)
    await again.bound(*new)
    await exactly(cluster, "nightly", "nightly-0", "nightly-1")
    for each in old:
        await wait_for(ledger, each, lambda row: row.phase == "Stopped")
    assert cluster.get("Execution", "nightly-0")["spec"]["spawnedBy"]["executionID"] == new[0]


async def test_children_without_resources_are_still_counted(
    cluster: Cluster, ledger: Ledger, run_operator: RunOperator, start_family: StartFamily
) -> None:
    run_operator()
    hidden = start_family("hidden", children={"resources": "None"})
    shown = start_family("shown")
    unseen = await hidden.spawn(3)
    await shown.bound(*await shown.spawn(1))
    await hidden.end(*unseen)
    ended = await cluster.condition("Execution", "hidden", "TreeSucceeded", status="True")
    assert ended["reason"] == "AllCompleted"
    status = cluster.status("Execution", "hidden")
    assert (status["children"]["total"], status["children"]["completed"]) == (3, 3)
    assert status["childRefs"] == [{"executionID": each, "phase": "Completed"} for each in unseen]
    await exactly(cluster, "hidden", "shown", "shown-0")
    assert [(await row_of(ledger, each)).uid for each in unseen] == [None] * 3


async def test_deleting_a_childs_resource_stops_its_subtree_for_good(
    cluster: Cluster, ledger: Ledger, run_operator: RunOperator, start_family: StartFamily
) -> None:
    run_operator()
    family = start_family()
    one, two, three = await family.spawn(3)
    await family.bound(one, two, three)
    [below] = await complete_and_spawn(ledger, two, 1, worker=family.worker.executor_id)
    await family.bound(below)
    cluster.kubectl("delete", "cgx", "nightly-0", "nightly-1")
    await wait_for(ledger, one, lambda row: row.phase == "Stopped")
    assert (await row_of(ledger, one)).error_message == "Resource deleted"
    await wait_for(ledger, below, lambda row: row.phase == "Stopped")
    await exactly(cluster, "nightly", "nightly-2")
    assert (await row_of(ledger, two)).phase == "Completed"
    assert (await row_of(ledger, three)).phase == "Pending"
    await asyncio.sleep(1)
    assert names_there(cluster) == ["nightly", "nightly-2"]


async def test_stopping_a_child_spares_siblings_and_retry_reruns_it(
    cluster: Cluster, ledger: Ledger, run_operator: RunOperator, start_family: StartFamily
) -> None:
    run_operator()
    family = start_family()
    one, two = await family.spawn(2)
    await family.bound(one, two)
    stop = {"spec": {"stop": True, "stopReason": "not this one"}}
    cluster.kubectl("patch", "cgx", "nightly-1", "--type=merge", "-p", json.dumps(stop))
    stopped = await cluster.condition("Execution", "nightly-1", "Succeeded", status="False")
    assert (stopped["reason"], stopped["message"]) == ("Stopped", "not this one")
    assert (await row_of(ledger, two)).phase == "Stopped"
    await family.end(one)
    tree = await cluster.condition("Execution", "nightly", "TreeSucceeded", status="False")
    assert "1" in tree["message"]
    assert (await row_of(ledger, one)).phase == "Completed"
    again = {"spec": {"stop": False, "stopReason": None, "retry": {"token": "again"}}}
    cluster.kubectl("patch", "cgx", "nightly-1", "--type=merge", "-p", json.dumps(again))
    await wait_for(ledger, two, lambda row: row.attempt == 2)
    await cluster.condition("Execution", "nightly", "TreeSucceeded", status="Unknown")
    await family.end(two)
    await cluster.condition("Execution", "nightly", "TreeSucceeded", status="True")


@pytest.mark.parametrize("on_stop", ["Stop", "Continue"])
async def test_stop_of_a_completed_parent_follows_children_on_stop(
    cluster: Cluster, ledger: Ledger, run_operator: RunOperator, start_family: StartFamily, on_stop: str
) -> None:
    run_operator()
    family = start_family(children={"onStop": on_stop})
    spawned = await family.spawn(2)
    await family.bound(*spawned)
    await cluster.condition("Execution", "nightly", "TreeSucceeded", status="Unknown")
    cluster.kubectl("patch", "cgx", "nightly", "--type=merge", "-p", '{"spec":{"stop":true}}')

    async def obeyed() -> bool:
        found = cluster.get("Execution", "nightly")
        return bool(found["status"]["observedGeneration"] == found["metadata"]["generation"])

    await eventually(obeyed, what="the status of the generation with the stop")
    if on_stop == "Stop":
        for each in spawned:
            await wait_for(ledger, each, lambda row: row.phase == "Stopped")
        await cluster.condition("Execution", "nightly", "TreeSucceeded", status="False")
    else:
        assert [(await row_of(ledger, each)).phase for each in spawned] == ["Pending", "Pending"]
    assert cluster.status("Execution", "nightly")["phase"] == "Completed"


async def test_deleting_the_parent_collects_and_stops_its_tree(
    cluster: Cluster, ledger: Ledger, run_operator: RunOperator, start_family: StartFamily
) -> None:
    run_operator(CHAINGRAPH_CHILD_RESOURCES_PER_SECOND="5")
    family = start_family(children={"onStop": "Continue"})
    spawned = await family.spawn(30)
    await family.bound(spawned[0])
    below = await complete_and_spawn(ledger, spawned[0], 2, worker=family.worker.executor_id)
    cluster.kubectl("delete", "cgx", "nightly", "--cascade=background")
    for each in (*spawned[1:], *below):
        await wait_for(ledger, each, lambda row: row.phase == "Stopped")
    await exactly(cluster)
    async with ledger.connection() as connection:
        assert await turns.count(connection, namespaces=None) == 0
    await asyncio.sleep(1)
    assert names_there(cluster) == []


async def test_children_of_a_parent_deleted_unseen_get_no_resource(
    cluster: Cluster, ledger: Ledger, run_operator: RunOperator, start_family: StartFamily
) -> None:
    family = await spawned_unseen(run_operator, start_family(), 3)
    spawned = family.children
    cluster.kubectl("delete", "cgx", "nightly")
    run_operator(CHAINGRAPH_SWEEP_SECONDS="1")
    for each in spawned:
        row = await wait_for(ledger, each, lambda row: row.phase == "Stopped" and row.resources == "None")
        assert row.uid is None
    assert names_there(cluster) == []


async def test_child_resources_are_created_at_the_configured_rate(
    cluster: Cluster, control_plane: ControlPlane, run_operator: RunOperator, start_family: StartFamily
) -> None:
    family = await spawned_unseen(run_operator, start_family(), 40)
    spawned = family.children
    operator = run_operator(CHAINGRAPH_CHILD_RESOURCES_PER_SECOND="10")
    await family.bound(*spawned)
    made = [
        datetime.fromisoformat(event["requestReceivedTimestamp"])
        for event in control_plane.audit_events(cluster.namespace)
        if event["verb"] == "create"
        and event["objectRef"]["resource"] == "executions"
        and event["userAgent"].startswith("chaingraph-operator")
    ]
    assert len(made) == 40, "each once"
    assert (max(made) - min(made)).total_seconds() >= 39 / 10 * 0.9
    operator.wait_figure('chaingraph_operator_child_resources_total{result="created"} 40.0')


async def test_resource_that_falsely_claims_a_child_never_runs(
    cluster: Cluster, ledger: Ledger, run_operator: RunOperator, start_family: StartFamily
) -> None:
    run_operator()
    family = start_family()
    [child] = await family.spawn(1)
    await family.bound(child)
    said = {"executionID": child, "parentExecutionID": family.id, "parentName": "nightly", "position": 0}
    invented = {"executionID": "EX" + "A" * 24, "parentExecutionID": family.id, "position": 7}
    uids = [
        cluster.apply("Execution", "second", {"spawnedBy": said}),
        cluster.apply("Execution", "invented", {"spawnedBy": invented, "flow": FLOW}),
    ]
    for name in ("second", "invented"):
        stalled = await cluster.condition("Execution", name, "Stalled", status="True", reason="NotAChild")
        assert stalled
        why = await cluster.condition("Execution", name, "Succeeded", status="Unknown", reason="NotAChild")
        assert "spec.spawnedBy" in why["message"]
        assert "executionID" not in cluster.status("Execution", name)
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM chaingraph.executions WHERE uid = ANY(%s)", (uids,))
        assert await cursor.fetchone() == (0,)
    cluster.kubectl("delete", "cgx", "second", "invented")
    await exactly(cluster, "nightly", "nightly-0")
    assert (await row_of(ledger, child)).phase == "Pending", "nothing of it was stopped with its pretenders"


async def test_children_run_without_create_rights_and_parent_warns(
    cluster: Cluster,
    control_plane: ControlPlane,
    run_operator: RunOperator,
    start_family: StartFamily,
    tmp_path: Path,
) -> None:
    fewer = [each | {"verbs": [verb for verb in each["verbs"] if verb != "create"]} for each in RULES[:3]] + RULES[3:]
    kubeconfig = kubeconfig_of_service_account(cluster, control_plane, tmp_path, rules=fewer)
    first = run_operator(KUBECONFIG=str(kubeconfig))
    family = start_family()
    spawned = await family.spawn(2)

    async def warned() -> bool:
        return ("Warning", "ChildResourceRefused") in await cluster.events_of("nightly", count=1)

    await eventually(warned, what="a Warning at the parent")
    await family.end(*spawned)
    await cluster.condition("Execution", "nightly", "TreeSucceeded", status="True")
    assert names_there(cluster) == ["nightly"]
    refused = re.search(r'child_resources_total\{result="refused"\} (\d+)', first.get("/metrics").text)
    assert refused is not None
    assert 1 <= int(refused[1]) <= 4, "and then it leaves the namespace alone for a while"
    first.terminate()
    run_operator()
    await family.bound(*spawned)
    await cluster.condition("Execution", "nightly-1", "Succeeded", status="True")
