"""Workers alone keep the work going: recovery with no operator, leases at a distance, whom a loss is charged to."""

from __future__ import annotations

import time

import pytest

from chaingraph_store import executions, leases, recovery
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures.flows.chains import steps
from fixtures.ledger.ledger import ended, row_of, wait_for
from fixtures.ledger.moves import take_from_queue
from fixtures.ledger.new_executions import APP, create, create_of
from fixtures.ledger.new_leases import take_lease
from fixtures.processes.programs import RunWorker
from fixtures.processes.proxy import MakeProxy

pytestmark = pytest.mark.integration
ONE_WAY_SECONDS = 0.15


async def test_distant_worker_starts_keeps_lease_and_runs(
    ledger: Ledger, run_worker: RunWorker, make_proxy: MakeProxy, database_url: str
) -> None:
    """300 ms for a round trip to PostgreSQL, with the lease that workers have by default."""
    distant = make_proxy(database_url, delay=ONE_WAY_SECONDS).url
    worker = run_worker(DATABASE_URL_EXECUTIONS=distant, CHAINGRAPH_LEASE_SECONDS="6").wait_ready()
    execution = await create_of(ledger, steps(2, 4000))
    row = await ended(ledger, execution, within=120)
    assert (row.phase, row.worker, row.losses) == ("Completed", worker.executor_id, 0)
    assert worker.process.poll() is None, worker.log
    assert "could not renew" not in worker.log
    assert worker.terminate() == 0, worker.log
