"""A long wait gives its slot up, survives the loss of every worker, and ends in time."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ledger import Ledger
from fixtures.flows.chains import events_of, steps
from fixtures.ledger.ledger import ended, wait_for
from fixtures.ledger.moves import workflows
from fixtures.ledger.new_executions import create_of
from fixtures.processes.programs import RunWorker

pytestmark = pytest.mark.integration


def sleep(milliseconds: int, **options: Any) -> dict[str, Any]:
    """A flow that sleeps between two texts, and its result is how long."""
    return {
        "outputs": [{"name": "slept", "from": "nap.actual"}],
        "nodes": [
            {"id": "before", "type": "ServerTime"},
            {"id": "nap", "type": "Sleep", "inputs": {"milliseconds": milliseconds}, **options},
            {"id": "after", "type": "ServerTime"},
        ],
        "edges": [
            {"from": "before.__success", "to": "nap.__execute"},
            {"from": "nap.__success", "to": "after.__execute"},
        ],
    }


def asleep(row: ExecutionRow) -> bool:
    return row.parked and row.phase == "Running"


async def test_sleeping_execution_frees_slot_and_outlives_all_workers(ledger: Ledger, run_worker: RunWorker) -> None:
    first = run_worker(CHAINGRAPH_PARK_SECONDS="0.2", DBOS_WORKER_CONCURRENCY="1", DBOS_QUEUE_CONCURRENCY="1")
    execution = await create_of(ledger, sleep(4000))
    row = await wait_for(ledger, execution, asleep)
    assert (row.worker, row.nodes_running, row.nodes_waiting, row.wake_at is None) == ("", 0, 1, False)
    assert [(each["node"], each["waits_for"]) for each in row.running_nodes] == [("nap", "Time")]
    other = await create_of(ledger, steps(1, 1))
    assert (await ended(ledger, other)).phase == "Completed", "the only slot is free"
    first.kill()
    await asyncio.sleep(1)
    run_worker(CHAINGRAPH_PARK_SECONDS="0.2").wait_ready()
    ready = time.time() * 1000
    since = row.running_nodes[0]["since"]
    row = await ended(ledger, execution)
    assert (row.phase, row.run, row.attempt, row.recoveries, row.losses) == ("Completed", 2, 1, 0, 0)
    assert row.outputs is not None
    assert 4000 <= row.outputs["slept"] < ready - since + 4000, "a restart does not begin it again"
    log = await events_of(ledger, execution)
    types = [event.type for event in log]
    assert types.count("node:waiting") == 1
    assert types.count("flow:started") == 1
    assert set(await workflows(ledger, execution)) == {execution, f"{execution}-2"}
