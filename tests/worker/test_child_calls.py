"""Calls that are executions of their own: made once, awaited without a worker, stopped when nobody waits for them."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

from chaingraph_store.children import child_rows, completion
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.flows import flow_names
from chaingraph_store.flows.flow_names import Content, Named
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures import soak
from fixtures.flows.chains import events_of
from fixtures.ledger.ledger import ended, row_of, wait_for
from fixtures.ledger.moves import retry, stop
from fixtures.ledger.new_executions import APP, create_of
from fixtures.processes.assassin import Assassin
from fixtures.processes.programs import RunWorker
from fixtures.processes.proxy import MakeProxy
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration
PARKS = {"CHAINGRAPH_PARK_SECONDS": "0.2"}


def calling(*nodes: dict[str, Any], **inputs: Any) -> dict[str, Any]:
    """A flow that calls a subflow of these nodes as children. The subflow's output is the result of the last one."""
    return {
        "outputs": [{"name": "results", "from": "all.results"}, {"name": "errors", "from": "all.errors"}],
        "subflows": [
            {
                "name": "one",
                "inputs": [{"name": "item", "type": "number"}],
                "outputs": [{"name": "value", "from": f"{nodes[-1]['id']}.result"}],
                "nodes": list(nodes),
                "edges": [{"from": "inputs.item", "to": f"{nodes[0]['id']}.a"}],
            }
        ],
        "nodes": [{"id": "all", "type": "ForEach", "inputs": {"subflow": "one", "run": "Child"} | inputs}],
    }


def double(id_: str = "double") -> dict[str, Any]:
    return {"id": id_, "type": "Math", "inputs": {"operation": "multiply", "b": 2}}


def once(*nodes: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A flow that calls a subflow without inputs."""
    return {
        "subflows": [{"name": "part", "nodes": list(nodes)}],
        "nodes": [{"id": "call", "type": "Call", "inputs": {"subflow": "part", "run": "Child"}, **fields}],
    }


def nap(milliseconds: int, id_: str = "nap") -> dict[str, Any]:
    return {"id": id_, "type": "Sleep", "inputs": {"milliseconds": milliseconds}}


async def children_of(ledger: Ledger, parent: ExecutionId) -> list[ExecutionRow]:
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT id FROM chaingraph.executions WHERE parent_id = %s ORDER BY position", (parent,)
        )
        ids = [ExecutionId(row[0]) for row in await cursor.fetchall()]
    return [await row_of(ledger, each) for each in ids]


async def has_children(ledger: Ledger, parent: ExecutionId, count: int = 1) -> list[ExecutionRow] | None:
    found = await children_of(ledger, parent)
    return found if len(found) >= count else None


async def named(ledger: Ledger, flow: str, content: dict[str, Any], revision: str) -> None:
    async with ledger.transaction() as connection:
        named = Named(revision, len(content["nodes"]))
        await flow_names.publish(connection, ("team", flow), named, Content(content, {}))


def asleep(row: ExecutionRow) -> bool:
    return row.parked and row.phase == "Running"


async def test_each_element_is_a_child_with_its_outputs(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker()
    execution = await create_of(ledger, calling(double(), items=[1, 2, 3, 4, 5], maxParallel=2))
    row = await ended(ledger, execution)
    assert (row.phase, row.error_message) == ("Completed", "")
    assert row.outputs == {"results": [{"value": 2 * each} for each in range(1, 6)], "errors": [None] * 5}
    children = await children_of(ledger, execution)
    assert [each.called_by for each in children] == [f"all[{number}]" for number in range(5)]
    assert [each.position for each in children] == [0, 1, 2, 3, 4]
    assert {(each.phase, each.subflow, each.nodes_total, each.depth) for each in children} == {
        ("Completed", "one", 1, 1)
    }
    assert len({each.name for each in children}) == 5
    assert (row.children_total, row.children_spawned) == (5, 5)
    log = await events_of(ledger, execution)
    told = [each.data["nodeId"] for each in log if each.type == "child:spawned"]
    assert sorted(told) == sorted(each.data["nodeId"] for each in log if each.type == "child:completed")
    assert sorted(told) == [f"all[{number}]" for number in range(5)]
    await wait_for(ledger, execution, lambda row: row.children_active == 0)
    assert await events_of(ledger, execution) == log  # each end is told once


async def test_calls_are_made_once_whatever_worker_is_killed(ledger: Ledger, run_worker: RunWorker) -> None:
    flow = calling(double("a"), nap(150), items=list(range(12)), maxParallel=4)
    flow["subflows"][0]["outputs"] = [{"name": "value", "from": "a.result"}]
    flow["subflows"][0]["edges"].append({"from": "a.__success", "to": "nap.__execute"})
    execution = await create_of(ledger, flow)
    for made in (2, 5, 9):
        worker = run_worker(**PARKS)
        await eventually(partial(has_children, ledger, execution, made))
        worker.kill()
    run_worker(**PARKS)
    row = await ended(ledger, execution, within=60)
    assert (row.phase, row.error_message) == ("Completed", "")
    assert row.outputs is not None
    assert row.outputs["results"] == [{"value": 2 * each} for each in range(12)]
    children = await children_of(ledger, execution)
    assert sorted(each.called_by for each in children) == sorted(f"all[{number}]" for number in range(12))
    log = await events_of(ledger, execution)
    assert len([each for each in log if each.type == "child:spawned"]) == 12
    assert len([each for each in log if each.type == "child:completed"]) == 12


async def test_caller_waits_without_a_worker(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(CHAINGRAPH_WORKER_CONCURRENCY="1", **PARKS)
    execution = await create_of(ledger, once(nap(1500)))
    row = await wait_for(ledger, execution, asleep)
    assert [(each["node"], each["waits_for"]) for each in row.running_nodes] == [("call", ""), ("call", "Child")]
    assert (await ended(ledger, execution)).phase == "Completed"


async def test_failure_has_the_childs_node_and_message(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker()
    text = {"id": "bad", "type": "Fail", "inputs": {"message": "no luck"}}
    execution = await create_of(ledger, once(text, retry={"maxAttempts": 2, "backoffSeconds": 0}))
    row = await ended(ledger, execution)
    assert (row.phase, row.error_node) == ("Failed", "call")
    assert row.error_message.startswith("call.bad: no luck")
    children = await children_of(ledger, execution)
    assert [(each.phase, each.error_node) for each in children] == [("Failed", "bad")] * 2
    await retry(ledger, execution, token="1")
    again = await wait_for(ledger, execution, lambda row: row.attempt == 2 and row.ended)
    assert again.phase == "Failed"
    assert len(await children_of(ledger, execution)) == 4


async def test_calls_stop_when_nobody_waits_for_them(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(**PARKS)
    timed_out = await create_of(ledger, once(nap(60_000), timeoutSeconds=1), name="times-out")
    stopped = await create_of(ledger, once(nap(60_000)), name="stopped")
    flow = once(nap(60_000))
    flow["nodes"].append({"id": "bad", "type": "Fail", "inputs": {"message": "no luck"}})
    failed = await create_of(ledger, flow, name="fails")
    await eventually(partial(has_children, ledger, stopped))
    await stop(ledger, stopped)
    for execution, phase, reason in (
        (timed_out, "Failed", "NodeTimeout"),
        (stopped, "Stopped", "Stopped"),
        (failed, "Failed", "NodeFailed"),
    ):
        row = await ended(ledger, execution)
        assert (row.phase, row.error_reason) == (phase, reason), row.error_message
        for child in await children_of(ledger, execution):
            assert (await ended(ledger, child.id)).phase == "Stopped"
        await completion.settle_upwards(ledger, execution, application_name=APP)  # the operator does
        assert (await row_of(ledger, execution)).children_active == 0


async def test_another_flow_is_called_with_checked_inputs(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker()
    greet = {
        "inputs": [{"name": "who", "type": "string", "required": True}],
        "outputs": [{"name": "greeting", "from": "say.result"}],
        "nodes": [{"id": "say", "type": "Template", "inputs": {"template": "Hello, {{ who }}!"}}],
        "edges": [{"from": "inputs.who", "to": "say.values.who"}],
    }
    await named(ledger, "greet", greet, "f" * 64)

    def call(flow: str, inputs: dict[str, Any]) -> dict[str, Any]:
        return {
            "outputs": [{"name": "said", "from": "call.outputs.greeting"}],
            "nodes": [{"id": "call", "type": "Call", "inputs": {"flow": flow, "inputs": inputs}}],
        }

    good = await ended(ledger, await create_of(ledger, call("greet", {"who": "Ann"})))
    assert (good.outputs, good.error_message) == ({"said": "Hello, Ann!"}, "")
    (child,) = await children_of(ledger, good.id)
    assert (child.flow_name, child.flow_revision) == ("greet", "f" * 64)
    wrong = await ended(ledger, await create_of(ledger, call("greet", {"whom": 1})))
    assert wrong.error_message.startswith("call: inputs.whom: the flow has no input 'whom'"), wrong.error_message
    assert "requires input 'who'" in wrong.error_message
    missing = await ended(ledger, await create_of(ledger, call("gret", {})))
    assert missing.error_message == "call: Flow 'gret' not found in namespace 'team', called by 'call'"


async def test_recursion_ends_at_the_depth_limit(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(CHAINGRAPH_MAX_DEPTH="3")
    again = {"id": "again", "type": "Call", "inputs": {"subflow": "part", "run": "Child"}}
    row = await ended(ledger, await create_of(ledger, once(again)))
    assert row.phase == "Failed"
    assert row.error_message.startswith("call.again.again.again: "), row.error_message
    assert "CHAINGRAPH_MAX_DEPTH" in row.error_message


async def test_on_exit_runs_however_the_execution_ends(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker()

    def flow(*nodes: dict[str, Any]) -> dict[str, Any]:
        return {
            "inputs": [{"name": "n", "default": 1}],
            "onExit": {"subflow": "after", "timeoutSeconds": 30},
            "subflows": [
                {
                    "name": "after",
                    "inputs": [{"name": "phase", "type": "string"}, {"name": "reason"}, {"name": "inputs"}],
                    "outputs": [
                        {"name": "phase", "from": "phase.result"},
                        {"name": "reason", "from": "reason.result"},
                        {"name": "n", "from": "given.result"},
                    ],
                    "nodes": [
                        {"id": "phase", "type": "Expression", "inputs": {"expression": "@"}},
                        {"id": "reason", "type": "Expression", "inputs": {"expression": "@"}},
                        {"id": "given", "type": "Expression", "inputs": {"expression": "@"}},
                    ],
                    "edges": [
                        {"from": "inputs.phase", "to": "phase.value"},
                        {"from": "inputs.reason", "to": "reason.value"},
                        {"from": "inputs.inputs.n", "to": "given.value"},
                    ],
                }
            ],
            "nodes": list(nodes),
        }

    bad = {"id": "bad", "type": "Fail", "inputs": {"message": "no luck"}}
    completed = await create_of(ledger, flow(nap(1)), name="completes")
    failed = await create_of(ledger, flow(bad), name="fails")
    stopped = await create_of(ledger, flow(nap(60_000)), name="stops")
    late = await create_of(ledger, flow(nap(60_000, "late")), name="late", options={"flowTimeoutSeconds": 1})
    await wait_for(ledger, stopped, lambda row: row.nodes_waiting == 1)
    await stop(ledger, stopped)
    for execution, phase, reason in (
        (completed, "Completed", ""),
        (failed, "Failed", "NodeFailed"),
        (stopped, "Stopped", "Stopped"),
        (late, "Failed", "FlowTimeout"),
    ):
        (child,) = await eventually(partial(has_children, ledger, execution))
        row = await ended(ledger, child.id)
        assert (row.phase, row.error_message) == ("Completed", "")
        assert row.outputs == {"phase": phase, "reason": reason, "n": 1}
        assert (row.subflow, row.called_by) == ("after", "")
        parent = await wait_for(ledger, execution, lambda row: row.children_active == 0)
        assert (parent.phase, parent.children_total) == (phase, 1)
    async with ledger.connection() as connection:
        assert (await child_rows.summary(connection, stopped)).counts == {"Completed": 1}


@pytest.mark.crash
@pytest.mark.long
@pytest.mark.soak
@pytest.mark.timeout(900)
async def test_worker_killed_between_any_two_steps_of_a_call_loses_nothing(
    ledger: Ledger, run_worker: RunWorker, make_proxy: MakeProxy, database_url: str
) -> None:
    assassin = Assassin()
    through = {"DATABASE_URL_EXECUTIONS": make_proxy(database_url, watch=assassin.watch).url, **PARKS}
    worker = await asyncio.to_thread(run_worker(**through).wait_ready)
    # Every tenth message has its turn in a soak, and here every fiftieth, from a random one on.
    step = 10 if soak.examples(1) > 1 else 50
    flow = {**once(nap(300)), "onExit": {"subflow": "part"}}
    strikes = 0
    for message in itertools.count(random.randint(1, step), step):
        assassin.arm(worker, message)
        execution = await create_of(ledger, flow, name=f"killed-at-{message}")
        settled = partial(_settled, ledger, execution)
        struck = await eventually(partial(_struck_or, assassin, settled), within=60) == "struck"
        if struck:
            strikes += 1
            worker.process.wait(10)
            worker = await asyncio.to_thread(run_worker(**through).wait_ready)
        row = await eventually(settled, within=60)
        assert (row.phase, row.nodes_completed) == ("Completed", 1)
        assert [each.phase for each in await children_of(ledger, execution)] == ["Completed", "Completed"]
        log = Counter(each.type for each in await events_of(ledger, execution))
        assert (log["child:completed"], log["child:spawned"], log["flow:completed"]) == (2, 2, 1)
        if not struck:
            break
    assert strikes > 3, "the worker was killed at too few places to mean anything"


async def _struck_or(assassin: Assassin, settled: Callable[[], Awaitable[ExecutionRow | None]]) -> str:
    return "struck" if assassin.struck.is_set() else "settled" if await settled() else ""


async def _settled(ledger: Ledger, execution: ExecutionId) -> ExecutionRow | None:
    row = await row_of(ledger, execution)
    return row if row.ended and row.children_total == 2 and not row.children_active else None
