"""Signals on real workers: running, parked, queued or paused, and once, whatever is killed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

import pytest

from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.signals import NewSignal
from fixtures.flows.chains import events_of, handing_back, running
from fixtures.ledger.ledger import ended, wait_for
from fixtures.ledger.moves import steer
from fixtures.ledger.new_executions import create_of
from fixtures.processes.programs import RunWorker

pytestmark = pytest.mark.integration
PARKS = {"CHAINGRAPH_PARK_SECONDS": "0.2"}


def paid(*, work: int = 0, after: int = 0) -> dict[str, Any]:
    """A flow that waits for a signal, beside and before nodes that work for so many milliseconds."""
    nodes = [
        {"id": "paid", "type": "WaitForSignal"},
        {"id": "work", "type": "work.Work", "inputs": {"milliseconds": work}},
        {"id": "after", "type": "work.Work", "inputs": {"milliseconds": after}},
    ]
    return {
        "outputs": [{"name": "amount", "from": "paid.payload"}],
        "nodes": [nodes[0], *([nodes[1]] if work else []), *([nodes[2]] if after else [])],
        "edges": [{"from": "paid.__success", "to": "after.__execute"}] if after else [],
    }


async def send(ledger: Ledger, execution: ExecutionId, id_: str, payload: Any, **changes: Any) -> None:
    await steer(ledger, execution, signals=(NewSignal(id_, "paid", json.dumps(payload).encode()),), **changes)


def asleep(row: ExecutionRow) -> bool:
    return row.parked and row.phase == "Running"


def waits(row: ExecutionRow) -> bool:
    return any(each["waits_for"] == "Signal" for each in row.running_nodes)


async def types_of(ledger: Ledger, execution: ExecutionId) -> Counter[str]:
    return Counter(each.type for each in await events_of(ledger, execution))


async def test_signal_reaches_a_running_execution(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker()
    execution = await create_of(ledger, paid(work=60_000))
    row = await wait_for(ledger, execution, lambda row: running(row) and waits(row))
    (waiting,) = [each for each in row.running_nodes if each["waits_for"]]
    assert (waiting["signal"], waiting["next_at"]) == ("paid", None)
    await send(ledger, execution, "a", {"eur": 3})
    row = await wait_for(ledger, execution, lambda row: row.nodes_completed == 1)
    assert (row.run, row.nodes_running) == (1, 1), "its worker had it all the time"
    assert (await types_of(ledger, execution))["signal:received"] == 1


async def test_signal_wakes_a_parked_execution(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(**PARKS)
    execution = await create_of(ledger, paid())
    row = await wait_for(ledger, execution, asleep)
    assert (row.worker, row.nodes_waiting) == ("", 1)
    await send(ledger, execution, "a", {"eur": 3})
    row = await ended(ledger, execution)
    assert (row.phase, row.run, row.outputs) == ("Completed", 2, {"amount": {"eur": 3}})
    found = await types_of(ledger, execution)
    assert (found["signal:received"], found["node:waiting"], found["flow:started"]) == (1, 1, 1)


async def test_signal_that_comes_before_any_worker_is_taken(ledger: Ledger, run_worker: RunWorker) -> None:
    execution = await create_of(ledger, paid())
    await send(ledger, execution, "a", 1)
    await send(ledger, execution, "b", 2)
    run_worker(**PARKS)
    row = await ended(ledger, execution)
    assert (row.run, row.outputs) == (1, {"amount": 1})
    found = await types_of(ledger, execution)
    assert (found["signal:received"], found["node:waiting"]) == (2, 0)


async def test_paused_execution_takes_its_signal_after_the_resume(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(**PARKS)
    execution = await create_of(ledger, paid())
    await wait_for(ledger, execution, asleep)
    await steer(ledger, execution, paused=True)
    await send(ledger, execution, "a", 7, paused=True)
    await asyncio.sleep(1)
    row = await wait_for(ledger, execution, lambda row: row.parked and row.phase == "Paused")
    assert row.nodes_completed == 0
    await steer(ledger, execution, paused=False)
    assert (await ended(ledger, execution)).outputs == {"amount": 7}


async def test_signal_of_another_name_leaves_the_wait(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(**PARKS)
    flow = paid() | {"nodes": [*paid()["nodes"], {"id": "other", "type": "WaitForSignal"}]}
    execution = await create_of(ledger, flow)
    await wait_for(ledger, execution, asleep)
    await steer(ledger, execution, signals=(NewSignal("a", "other", b"1"),))
    row = await wait_for(ledger, execution, lambda row: asleep(row) and row.nodes_completed == 1)
    assert [each["node"] for each in row.running_nodes] == ["paid"]
    await send(ledger, execution, "b", 2)
    assert (await ended(ledger, execution)).outputs == {"amount": 2}
    assert (await types_of(ledger, execution))["node:waiting"] == 2


@pytest.mark.crash
async def test_signal_is_taken_once_when_workers_are_killed(ledger: Ledger, run_worker: RunWorker) -> None:
    """A worker is killed as soon as it has the signal, and again after the node has taken it."""
    first = run_worker()
    execution = await create_of(ledger, paid(work=60_000, after=60_000))
    await wait_for(ledger, execution, lambda row: running(row) and waits(row))
    await asyncio.gather(send(ledger, execution, "a", "first"), asyncio.to_thread(first.kill))
    await send(ledger, execution, "b", "second")
    second = run_worker()
    async with handing_back(ledger):
        row = await wait_for(ledger, execution, lambda row: row.nodes_completed == 1, within=60)
        second.kill()
        run_worker()
        await wait_for(
            ledger, execution, lambda now: now.worker not in ("", row.worker) and now.nodes_running == 2, within=60
        )
    async with ledger.connection() as connection:
        cursor = await connection.execute(
            "SELECT record->>'signal', record->'outputs'->>'payload' FROM chaingraph.journal WHERE node_id = 'paid'"
        )
        assert await cursor.fetchall() == [("1", "first")]
    found = await types_of(ledger, execution)
    assert (found["signal:received"], found["node:waiting"]) == (2, 1)
