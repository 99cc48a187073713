"""A real worker serves a namespace with little to do beside one that holds every slot (H5)."""

from __future__ import annotations

import pytest

from chaingraph_store.ledger import Ledger
from fixtures.flows.chains import running, steps
from fixtures.ledger.ledger import ended, row_of, wait_for
from fixtures.ledger.new_executions import create_of
from fixtures.processes.programs import RunWorker

pytestmark = pytest.mark.integration
WEEK = {"nodes": [{"id": "sleep", "type": "work.Work", "inputs": {"milliseconds": 3_600_000}}]}


async def test_weeks_of_sleep_hold_no_neighbour(ledger: Ledger, run_worker: RunWorker) -> None:
    run_worker(DBOS_WORKER_CONCURRENCY="2", DBOS_QUEUE_CONCURRENCY="2", CHAINGRAPH_GUEST_SLOTS="1").wait_ready()
    sleeping = [await create_of(ledger, WEEK, namespace="sleeper") for _ in range(4)]
    for each in sleeping[:2]:
        await wait_for(ledger, each, running)
    for number in range(3):
        trivial = await create_of(ledger, steps(1, 1), namespace="quiet", name=f"t{number}")
        assert (await ended(ledger, trivial)).phase == "Completed"
    phases = [(await row_of(ledger, each)).phase for each in sleeping]
    assert phases == ["Running", "Running", "Pending", "Pending"]
