"""Calls of subflows on real workers: nodes in them run once, park, take signals and are killed like others."""

from __future__ import annotations

from collections import Counter
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.signals import NewSignal
from fixtures.flows.chains import events_of
from fixtures.ledger.ledger import ended, wait_for
from fixtures.ledger.moves import steer
from fixtures.ledger.new_executions import create_of
from fixtures.processes.programs import RunWorker
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration
PARKS = {"CHAINGRAPH_PARK_SECONDS": "0.2"}


def each(items: int, *nodes: dict[str, Any], most: int = 5, **options: Any) -> dict[str, Any]:
    """A flow that runs a chain of nodes for each number below `items`."""
    ids = [node["id"] for node in nodes]
    return {
        "outputs": [{"name": "results", "from": "all.results"}],
        "subflows": [
            {
                "name": "chain",
                "inputs": [{"name": "item"}],
                "outputs": [{"name": "done", "from": f"{ids[-1]}.__success"}],
                "nodes": list(nodes),
                "edges": [{"from": f"{one}.__success", "to": f"{two}.__execute"} for one, two in pairwise(ids)],
            }
        ],
        "nodes": [
            {
                "id": "all",
                "type": "ForEach",
                "inputs": {"subflow": "chain", "items": list(range(items)), "maxParallel": most, **options},
            }
        ],
    }


def work(id_: str, milliseconds: int) -> dict[str, Any]:
    return {"id": id_, "type": "work.Work", "inputs": {"milliseconds": milliseconds}}


def asleep(row: ExecutionRow) -> bool:
    return row.parked and row.phase == "Running"


def asking_for(row: ExecutionRow) -> set[str]:
    return {each["signal"] for each in row.running_nodes if each["signal"]}


async def ends(ledger: Ledger, execution: ExecutionId) -> Counter[str]:
    """How often the end of each node was published."""
    log = await events_of(ledger, execution)
    return Counter(each.data["nodeId"] for each in log if each.type == "node:completed")


async def has_ended(ledger: Ledger, execution: ExecutionId, nodes: int) -> bool:
    return (await ends(ledger, execution)).total() >= nodes


async def test_calls_end_once_whatever_worker_is_killed(ledger: Ledger, run_worker: RunWorker) -> None:
    execution = await create_of(ledger, each(40, work("a", 80), {"id": "b", "type": "ServerTime"}))
    for _ in range(3):
        worker = run_worker()
        enough = min((await ends(ledger, execution)).total() + 5, 40)
        await eventually(partial(has_ended, ledger, execution, enough))
        worker.kill()
    run_worker()
    row = await ended(ledger, execution)
    assert row.phase == "Completed"
    assert row.outputs == {"results": [{"done": True}] * 40}
    assert (row.nodes_total, row.nodes_completed) == (1, 1)
    assert await ends(ledger, execution) == Counter(["all", *(f"all[{item}].b" for item in range(40))])


async def test_waits_and_signals_inside_calls_need_no_worker(ledger: Ledger, run_worker: RunWorker) -> None:
    first = run_worker(**PARKS)
    asking = {"id": "ask", "type": "WaitForSignal"}
    sleeping = {"id": "nap", "type": "Sleep", "inputs": {"milliseconds": 3000}}
    execution = await create_of(ledger, each(2, sleeping, asking))
    row = await wait_for(ledger, execution, asleep)
    assert {(each["node"], each["waits_for"]) for each in row.running_nodes if each["waits_for"]} == {
        ("all[0].nap", "Time"),
        ("all[1].nap", "Time"),
    }
    first.kill()
    run_worker(**PARKS)
    wanted = {"all[0].ask", "all[1].ask"}
    await wait_for(
        ledger, execution, lambda row: asleep(row) and {each["signal"] for each in row.running_nodes} >= wanted
    )
    for item in (1, 0):
        await steer(ledger, execution, signals=(NewSignal(f"s{item}", f"all[{item}].ask", b'"yes"'),))
    row = await ended(ledger, execution)
    assert row.phase == "Completed"
    assert row.outputs == {"results": [{"done": True}] * 2}
