"""Fixtures of the operator's tests; what they give is in `operator_support`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from operator_support import APP, Cluster, OperatorProcess, StartOperator, StartWorker, Worker

from chaingraph_crds import names
from chaingraph_flow.registry import Registry
from chaingraph_store import leases
from chaingraph_store.leases import NewLease
from chaingraph_store.ledger import Ledger
from fixtures.cluster import ControlPlane, Kubectl

CRD_FOLDER = Path(__file__).parents[2] / "crds"


@pytest.fixture(scope="session")
def crds(kubectl: Kubectl, control_plane: ControlPlane) -> None:
    """Both kinds, served. `kubectl wait` stumbles over a CRD that has no conditions yet, so discovery is asked."""
    kubectl("apply", f"--filename={CRD_FOLDER}")
    deadline = time.monotonic() + 30
    with control_plane.client() as client:
        while True:
            found = client.get(f"/apis/{names.API_VERSION}")
            served = {each["name"] for each in found.json().get("resources", [])} if found.is_success else set()
            if {names.FLOW_PLURAL, names.EXECUTION_PLURAL} <= served:
                return
            assert time.monotonic() < deadline, found.text
            time.sleep(0.1)


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    ledger = Ledger(database_url, application_name="tests", pool_size=4)
    await ledger.open()
    yield ledger
    await ledger.close()


@pytest.fixture
def start_operator(
    crds: None, control_plane: ControlPlane, namespace: str, database_url: str, tmp_path: Path
) -> Iterator[StartOperator]:
    """Starts operators of the test's namespace; those that still run are ended after the test."""
    running: list[OperatorProcess] = []

    def start(*, ready: bool = True, **environment: str) -> OperatorProcess:
        log_file = tmp_path / f"operator-{len(running)}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "chaingraph_operator.main"],
                env=os.environ
                | {
                    "KUBECONFIG": str(control_plane.kubeconfig),
                    "DATABASE_URL_EXECUTIONS": database_url,
                    "CHAINGRAPH_NAMESPACES": namespace,
                    "CHAINGRAPH_HEALTH_PORT": "0",
                    "PYTHONSAFEPATH": "1",
                }
                | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        operator = OperatorProcess(process, log_file)
        running.append(operator)
        return operator.wait_ready() if ready else operator

    yield start
    for operator in running:
        if operator.process.poll() is None:
            operator.terminate()


@pytest.fixture
def start_worker(ledger: Ledger) -> StartWorker:
    """A live worker with all built-in node types."""

    async def start(*, seconds: float = 600, queues: tuple[str, ...] = ("chaingraph-executions",)) -> Worker:
        catalogue = Registry.discover().catalogue
        executor_id = f"worker-{uuid.uuid4().hex[:8]}"
        async with ledger.transaction() as connection:
            await leases.take(
                connection,
                NewLease(
                    executor_id=executor_id,
                    application_name=APP,
                    application_version="1",
                    host="here",
                    pod="",
                    queues=queues,
                    concurrency=5,
                    catalogue_hash=catalogue.hash,
                    catalogue=catalogue.to_json(),
                    seconds=seconds,
                ),
            )
        return Worker(ledger, executor_id)

    return start


@pytest.fixture
def cluster(crds: None, kubectl: Kubectl, namespace: str, ledger: Ledger) -> Cluster:
    return Cluster(kubectl, namespace, ledger)
