"""Trees of executions in the whole system: deep ones, wide ones beside others, stopped and deleted half way."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from chaingraph_store.ids import ExecutionId, child_execution_id
from chaingraph_store.ledger import Ledger
from fixtures.cluster.user import SUM, User, execution
from fixtures.ledger.ledger import row_of, wait_for
from fixtures.processes.programs import RunOperator, RunWorker
from fixtures.trees.checks import active, live_workflows
from fixtures.trees.families import CHAIN
from fixtures.trees.generations import levels
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration

_PHASES = """
SELECT depth, phase, count(*) FROM chaingraph.executions WHERE root_id = %s GROUP BY 1, 2
"""
_MADE = "SELECT count(*), sum(children_spawned)::int FROM chaingraph.executions WHERE root_id = %s"
_PLACES = """
SELECT w.created_at - min(w.created_at) OVER () FROM dbos.workflow_status w
JOIN chaingraph.executions e ON e.workflow_id = w.workflow_uuid WHERE e.parent_id = %s ORDER BY e.position
"""


def start(run_operator: RunOperator, run_worker: RunWorker, **environment: str) -> None:
    """An operator and a worker that nothing costs its lease, however busy the machine is."""
    worker = run_worker(CHAINGRAPH_LEASE_SECONDS="60", **environment)
    run_operator()
    worker.wait_ready()


async def apply(user: User, name: str, **spec: object) -> ExecutionId:
    """Applies an execution and returns its id, once the operator has taken it."""
    await asyncio.to_thread(user.apply, execution(name, **spec))
    status = await asyncio.to_thread(user.until, name, lambda status: "executionID" in status)
    return ExecutionId(status["executionID"])


async def phases(ledger: Ledger, root: ExecutionId) -> Counter[tuple[int, str]]:
    """How many executions of the tree there are at each depth in each phase."""
    async with ledger.connection() as connection:
        rows = await (await connection.execute(_PHASES, (root,))).fetchall()
    return Counter({(row[0], row[1]): row[2] for row in rows})


async def made(ledger: Ledger, root: ExecutionId) -> tuple[int, int]:
    """How many executions the tree has, and how many its members say they have spawned."""
    async with ledger.connection() as connection:
        row = await (await connection.execute(_MADE, (root,))).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


@pytest.mark.timeout(400)
async def test_hundred_generations_complete_and_the_next_one_fails(
    user: User, run_operator: RunOperator, run_worker: RunWorker, ledger: Ledger
) -> None:
    start(run_operator, run_worker)
    root = await apply(user, "deep", flow=CHAIN, children={"resources": "None"})
    await wait_for(ledger, root, lambda row: row.tree_ended, within=300)
    assert await phases(ledger, root) == {(depth, "Completed"): 1 for depth in range(100)} | {(100, "Failed"): 1}
    last = root
    for _ in range(100):
        last = child_execution_id(last, 0)
    row = await row_of(ledger, last)
    assert (row.error_node, row.error_reason, row.children_total) == ("again", "DepthLimit", 0)
    assert "CHAINGRAPH_MAX_DEPTH" in row.error_message
    assert await live_workflows(ledger, root) == []
    await asyncio.to_thread(user.wait, "deep", "TreeSucceeded=False")
    tree = user.condition("deep", "TreeSucceeded")
    assert tree is not None
    assert tree["reason"] == "SomeFailed"
    assert user.status("deep")["phase"] == "Completed"


@pytest.mark.timeout(400)
async def test_wide_tree_does_not_delay_other_executions(
    user: User, run_operator: RunOperator, run_worker: RunWorker, ledger: Ledger
) -> None:
    """Neither somebody else's execution nor the whole of a small tree."""
    start(run_operator, run_worker)
    wide = await apply(
        user,
        "wide",
        flow=levels(1, leaf_ms=100),
        inputs={"items": list(range(2000))},
        children={"resources": "None"},
    )
    await wait_for(ledger, wide, lambda row: row.children_spawned == 2000, within=120)
    small = await apply(user, "small", flow=levels(2), inputs={"items": [1, 2, 3]}, children={"resources": "None"})
    await apply(user, "other", flow=SUM, inputs={"a": 1})
    await asyncio.to_thread(user.wait, "other", within=120)
    assert (await phases(ledger, wide))[1, "Pending"] > 1500, "it waited for most of the children"
    await wait_for(ledger, small, lambda row: row.tree_ended, within=120)
    assert (await phases(ledger, wide))[1, "Pending"] > 1000, "its children waited for most of the others"
    assert (await phases(ledger, small)) == {(0, "Completed"): 1, (1, "Completed"): 3, (2, "Completed"): 9}


async def half_way(user: User, ledger: Ledger, name: str) -> ExecutionId:
    """A tree of 1 + 30 + 900, once some of its leaves have ended and some of its branches have not spawned."""
    root = await apply(user, name, flow=levels(2, leaf_ms=200), inputs={"items": list(range(30))})

    async def some_leaves() -> bool:
        return (await phases(ledger, root))[2, "Completed"] >= 10

    await eventually(some_leaves, within=120, what=f"leaves of {name}")
    before = await phases(ledger, root)
    assert sum(before.values()) - before[2, "Completed"] > 100, "not half way but done"
    return root


async def assert_nothing_goes_on(ledger: Ledger, root: ExecutionId) -> Counter[tuple[int, str]]:
    """Everything below has ended, nothing comes later. Returns how many are in which phase."""

    async def nothing_runs() -> bool:
        return not await active(ledger, root) and not await live_workflows(ledger, root)

    await eventually(nothing_runs, within=60, what=f"the end of everything below {root}")
    ended, counts = await phases(ledger, root), await made(ledger, root)
    assert counts[0] == counts[1] + 1, "each member but the root was spawned by another"
    assert ended[1, "Stopped"] + ended[2, "Stopped"] > 0
    await asyncio.sleep(2)
    assert await nothing_runs()
    assert (await phases(ledger, root), await made(ledger, root)) == (ended, counts)
    return ended


async def test_tree_stopped_half_way_starts_nothing_more(
    user: User, run_operator: RunOperator, run_worker: RunWorker, ledger: Ledger
) -> None:
    start(run_operator, run_worker)
    root = await half_way(user, ledger, "tree")
    user.kubectl("patch", "cgx", "tree", "--type=merge", "-p", '{"spec": {"stop": true, "stopReason": "enough"}}')
    ended = await assert_nothing_goes_on(ledger, root)
    assert ended[0, "Completed"] == 1, "the root had completed, and stays so"
    await asyncio.to_thread(user.wait, "tree", "TreeSucceeded=False")
    assert user.status("tree")["phase"] == "Completed"


async def test_tree_deleted_half_way_starts_nothing_more(
    user: User, run_operator: RunOperator, run_worker: RunWorker, ledger: Ledger
) -> None:
    start(run_operator, run_worker)
    root = await half_way(user, ledger, "tree")
    user.kubectl("delete", "cgx", "tree")
    await assert_nothing_goes_on(ledger, root)

    async def no_resources() -> bool:
        return "No resources found" in user.kubectl("get", "cgx").stderr

    await eventually(no_resources, within=60, what="the end of the children's resources")
    await asyncio.sleep(2)
    assert await no_resources(), "none is made for what has lost its parent"


async def test_the_widest_spacing_is_kept_in_the_queue(
    user: User, run_operator: RunOperator, run_worker: RunWorker, ledger: Ledger
) -> None:
    start(run_operator, run_worker, CHAINGRAPH_CHILD_SPACING_MS="60000")
    root = await apply(user, "wide", flow=levels(1), inputs={"items": list(range(250))}, children={"resources": "None"})
    await wait_for(ledger, root, lambda row: row.children_spawned == 250, within=60)
    async with ledger.connection() as connection:
        places = [row[0] for row in await (await connection.execute(_PLACES, (root,))).fetchall()]
    assert places == [number * 60_000 for number in range(250)]
