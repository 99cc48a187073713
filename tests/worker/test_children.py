"""A worker process spawns what completed executions have emitted: in bulk, once, and goes on after a crash."""

from __future__ import annotations

import asyncio

import pytest

from chaingraph_store.ids import ExecutionId, child_execution_id
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import recovery
from fixtures.ledger.ledger import row_of, wait_for
from fixtures.ledger.new_executions import APP, create_of
from fixtures.processes.programs import RunWorker
from fixtures.trees.families import CHAIN, FAN_OUT, family_of

pytestmark = pytest.mark.integration


async def tree_ended(ledger: Ledger, execution: ExecutionId, *, within: float = 60) -> None:
    await wait_for(ledger, execution, lambda row: row.tree_ended, within=within)


async def test_each_event_becomes_a_child_that_starts_at_its_listener(ledger: Ledger, run_worker: RunWorker) -> None:
    parent = await create_of(
        ledger,
        FAN_OUT,
        inputs={"items": ["a", {"b": 1}, None]},
        integration={"archai": {"agentID": "A", "messageID": "M"}, "external": {"k": 1}},
        options={"maxConcurrency": 7},
        priority=3,
    )
    run_worker()
    await tree_ended(ledger, parent)
    family = await family_of(ledger, parent)
    assert [(id_, position, depth) for id_, position, _, depth in family.rows] == [
        (child_execution_id(parent, number), number, 1) for number in range(3)
    ]
    assert family.phases == {"Completed": 3}
    assert [index for index, _, _ in family.log] == list(range(-1, len(family.log) - 1)), "dense"
    kinds = [kind for _, kind, _ in family.log]
    assert kinds.index("flow:completed") < kinds.index("child:spawned")
    assert [each["eventData"] for each in family.logged("child:spawned")] == ["a", {"b": 1}, None]
    assert {each["childExecutionId"] for each in family.logged("child:completed")} == {row[0] for row in family.rows}
    last = await row_of(ledger, child_execution_id(parent, 1))
    assert last.outputs == {"got": {"b": 1}}
    assert (last.parent_id, last.root_id, last.name, last.flow_name) == (parent, parent, "nightly-1", "report")
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT DISTINCT integration::text, options::text, priority FROM chaingraph.executions"
            " WHERE parent_id = %s",
            (parent,),
        )
        assert await cursor.fetchall() == [('{"archai":{"agentID":"A"},"external":{"k":1}}', '{"maxConcurrency":7}', 3)]


async def test_worker_spawns_a_thousand_children(ledger: Ledger, run_worker: RunWorker) -> None:
    parent = await create_of(ledger, FAN_OUT, inputs={"items": list(range(1000))})
    run_worker()
    await wait_for(ledger, parent, lambda row: row.ended and row.children_spawned == 1000, within=60)
    family = await family_of(ledger, parent)
    assert (len(family.rows), family.workflows) == (1000, 1000)
    assert [each["eventData"] for each in family.logged("child:spawned")] == list(range(1000))


async def test_chain_fails_clearly_at_depth_limit(ledger: Ledger, run_worker: RunWorker) -> None:
    parent = await create_of(ledger, CHAIN)
    run_worker(CHAINGRAPH_MAX_DEPTH="5")
    await tree_ended(ledger, parent)
    current = parent
    for depth in range(6):
        row = await row_of(ledger, current)
        assert (row.depth, row.phase) == (depth, "Completed" if depth < 5 else "Failed")
        current = child_execution_id(current, 0)
    assert (row.error_node, row.error_reason) == ("again", "DepthLimit")
    assert "CHAINGRAPH_MAX_DEPTH" in row.error_message
    assert row.children_total == 0


async def test_tree_limit_fails_execution_and_spawns_nothing(ledger: Ledger, run_worker: RunWorker) -> None:
    parent = await create_of(ledger, FAN_OUT, inputs={"items": list(range(10))})
    run_worker(CHAINGRAPH_MAX_TREE="10")
    row = await wait_for(ledger, parent, lambda row: row.ended)
    assert (row.phase, row.error_reason, row.children_total) == ("Failed", "TreeLimit", 0)
    assert "CHAINGRAPH_MAX_TREE" in row.error_message
    family = await family_of(ledger, parent)
    assert family.rows == []
    assert [kind for _, kind, _ in family.log][-1] == "flow:failed"
    assert "flow:completed" not in [kind for _, kind, _ in family.log]


@pytest.mark.parametrize("after", [0.0, 0.1])
async def test_worker_death_while_spawning_loses_or_repeats_no_child(
    ledger: Ledger, run_worker: RunWorker, after: float
) -> None:
    parent = await create_of(ledger, FAN_OUT, inputs={"items": list(range(1000))})
    first = run_worker()
    await wait_for(ledger, parent, lambda row: row.phase == "Completed")
    await asyncio.sleep(after)
    first.kill()
    before = (await row_of(ledger, parent)).children_spawned
    second = run_worker()
    second.wait_ready()
    async with ledger.transaction() as connection:
        await recovery.hand_back(connection, application_name=APP, executors=[first.executor_id])
    await wait_for(ledger, parent, lambda row: row.children_spawned == 1000, within=60)
    family = await family_of(ledger, parent)
    assert (len(family.rows), family.workflows) == (1000, 1000), f"{before} were there when the worker died"
    spawned = family.logged("child:spawned")
    assert [(each["position"], each["eventData"]) for each in spawned] == [(n, n) for n in range(1000)]
    assert [index for index, _, _ in family.log] == list(range(-1, len(family.log) - 1)), "dense"
