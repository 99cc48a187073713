"""Two operators of one release, as processes: one leads, the other takes its place, and none works beside another."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from chaingraph_runtime.watchdog import LOST_EXIT
from chaingraph_store.ledger import Ledger
from fixtures.cluster.control_plane import ControlPlane
from fixtures.cluster.service_account import kubeconfig_of_service_account
from fixtures.cluster.view import Cluster
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.cut_off import Way
from fixtures.processes.programs import Process, RunOperator
from fixtures.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.crash]
TIMES = {
    "CHAINGRAPH_LEADER_ELECTION": "true",
    "CHAINGRAPH_LEASE_DURATION_SECONDS": "3",
    "CHAINGRAPH_LEASE_RENEW_SECONDS": "2",
    "CHAINGRAPH_LEASE_RETRY_SECONDS": "0.2",
}
FLOW = {"nodes": [{"id": "a", "type": "Text", "inputs": {"value": "hello"}}]}


@pytest.fixture(autouse=True)
async def worker(start_worker: StartWorker) -> None:
    """Somebody who has published what nodes there are; it is needed for a row, not to run it."""
    await start_worker()


@pytest.fixture
def elected(run_operator: RunOperator, cluster: Cluster) -> RunOperator:
    count = iter(range(10))

    def start(**more: Any) -> Process:
        own = {"CHAINGRAPH_LEASE_NAMESPACE": cluster.namespace, "CHAINGRAPH_POD_NAME": f"operator-{next(count)}"}
        return run_operator(**(TIMES | own | more))

    return start


def leads(operator: Process) -> bool:
    return "\nchaingraph_operator_leader 1.0\n" in operator.get("/metrics").text


def holder(cluster: Cluster) -> str:
    found = json.loads(cluster.kubectl("get", "lease", "chaingraph-operator", "-o", "json").stdout)
    return str(found["spec"].get("holderIdentity", ""))


async def becomes_leader(operator: Process, *, within: float) -> None:
    async def look() -> bool:
        return leads(operator)

    await eventually(look, within=within, what="the election of the other one")


async def epochs(ledger: Ledger) -> list[tuple[str, int]]:
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT holder, epoch FROM chaingraph.operators")
        return [(row[0], row[1]) for row in await cursor.fetchall()]


async def test_standby_takes_over_at_once_when_the_leader_terminates(
    cluster: Cluster, elected: RunOperator, ledger: Ledger
) -> None:
    first, second = elected(), elected()
    assert (leads(first), leads(second)) == (True, False)
    assert holder(cluster).startswith("operator-0_")
    uid = cluster.apply("Execution", "one", {"flow": FLOW})
    await cluster.row(uid)
    began = time.monotonic()
    assert first.terminate() == 0
    await becomes_leader(second, within=10)
    assert time.monotonic() - began < 3 + 10, "it was released: nobody waits until it runs out"
    uid = cluster.apply("Execution", "two", {"flow": FLOW})
    await cluster.row(uid)
    assert holder(cluster).startswith("operator-1_")
    ((who, epoch),) = await epochs(ledger)
    assert who.startswith("operator-1_")
    assert epoch == 2


async def test_leader_waking_from_a_freeze_exits(cluster: Cluster, elected: RunOperator, ledger: Ledger) -> None:
    first, second = elected(), elected()
    first.freeze()
    await becomes_leader(second, within=30)
    await cluster.row(cluster.apply("Execution", "one", {"flow": FLOW}))
    os.kill(first.process.pid, signal.SIGCONT)
    assert first.process.wait(15) == LOST_EXIT
    assert "exiting immediately" in first.log
    assert leads(second)


async def test_leader_with_a_stopped_clock_is_fenced_by_the_ledger(
    cluster: Cluster, elected: RunOperator, ledger: Ledger
) -> None:
    """As after the pause of a virtual machine: it believes that it has renewed its Lease just now."""
    first = elected()
    async with ledger.transaction() as connection:
        await connection.execute("UPDATE chaingraph.operators SET epoch = epoch + 1, holder = 'another one'")
    cluster.apply("Execution", "one", {"flow": FLOW})
    assert first.process.wait(15) == LOST_EXIT
    assert "another one leads since" in first.log
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT count(*) FROM chaingraph.executions")
        assert await cursor.fetchone() == (0,)


async def test_leader_cut_off_from_the_api_exits_and_is_replaced(
    cluster: Cluster, elected: RunOperator, way: Way
) -> None:
    proxy, kubeconfig = way
    first = elected(KUBECONFIG=str(kubeconfig))
    second = elected()
    proxy.cut()
    assert first.process.wait(15) == LOST_EXIT
    assert "could not be renewed for" in first.log
    await becomes_leader(second, within=30)
    await cluster.row(cluster.apply("Execution", "one", {"flow": FLOW}))


async def test_candidate_without_rights_names_the_missing_ones(
    cluster: Cluster, elected: RunOperator, control_plane: ControlPlane, tmp_path: Path
) -> None:
    kubeconfig = kubeconfig_of_service_account(cluster, control_plane, tmp_path)
    refused = elected(ready=False, KUBECONFIG=str(kubeconfig))

    async def said() -> bool:
        return "allow the operator to get, create and update the Lease" in refused.log

    await eventually(said, what="why it does not lead")
    answer = refused.get("/readyz")
    assert answer.status_code == 503
    assert "waiting for leader election" in answer.text
