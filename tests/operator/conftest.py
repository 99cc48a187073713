"""The operator as a process of its own, against a real API server and a real PostgreSQL.

The worker's part is played by the store's own functions: what a real worker would write, at the moment that a test
chooses. End-to-end tests with real workers are in tests/system.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from chaingraph_crds import names
from chaingraph_flow.registry import Registry
from chaingraph_store import executions, leases, runs
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId, execution_id
from chaingraph_store.leases import NewLease
from chaingraph_store.ledger import Ledger
from chaingraph_store.runs import Claim, End, Progress
from fixtures.cluster import ControlPlane, Kubectl

APP = "chaingraph-executor"
CRD_FOLDER = Path(__file__).parents[2] / "crds"
T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T | None]], *, within: float = 15, what: str = "it") -> T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + within
    while True:
        found = await look()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {within} s")
        await asyncio.sleep(0.02)


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


@dataclass
class OperatorProcess:
    """An operator that runs. `log` is what it wrote so far."""

    process: subprocess.Popen[bytes]
    log_file: Path
    _port: int = field(default=0)

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    @property
    def port(self) -> int:
        while not self._port:
            for line in self.lines():
                self._port = int(line.get("health_port", 0)) or self._port
            assert self.process.poll() is None, self.log
            time.sleep(0.02)
        return self._port

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5, trust_env=False)

    def wait_ready(self, within: float = 30) -> OperatorProcess:
        deadline = time.monotonic() + within
        while self.get("/readyz").status_code != 200:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, f"not ready: {self.get('/readyz').text}\n{self.log}"
            time.sleep(0.05)
        return self

    def terminate(self, within: float = 15) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


StartOperator = Callable[..., OperatorProcess]


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


class Worker:
    """The worker's moves in the ledger, one at a time."""

    def __init__(self, ledger: Ledger, executor_id: str) -> None:
        self.ledger = ledger
        self.executor_id = executor_id

    async def claim(self, execution: ExecutionId) -> Claim:
        """What DBOS's queue and then the worker's run do when they take an execution."""

        async def dequeued() -> bool:
            async with self.ledger.connection() as connection:
                cursor = await connection.execute(
                    "UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = %s,"
                    " owner_xid = gen_random_uuid()::text WHERE workflow_uuid = %s AND status = 'ENQUEUED'",
                    (self.executor_id, execution),
                )
                return cursor.rowcount == 1

        await eventually(dequeued, what=f"{execution} in the queue")
        async with self.ledger.transaction() as connection:
            row = await executions.by_id(connection, execution)
            assert row is not None
            claimed = await runs.claim(
                connection,
                execution,
                attempt=row.attempt,
                workflow=row.workflow_id,
                worker=self.executor_id,
            )
        assert claimed is not None
        return claimed

    async def progress(self, claimed: Claim, *, done: int, total: int, end: End | None = None) -> None:
        running = [] if end else [f"node-{done}"]
        async with self.ledger.transaction() as connection:
            await runs.flush(
                connection,
                claimed,
                journal=[],
                log=[],
                progress=Progress(total, done, 0, 0, len(running), running),
                end=end,
            )

    async def run(self, execution: ExecutionId, *, outputs: dict[str, Any] | None = None, total: int = 1) -> None:
        """Claims an execution and completes it."""
        claimed = await self.claim(execution)
        await self.progress(claimed, done=total, total=total, end=End("Completed", outputs=outputs or {}))


StartWorker = Callable[..., Awaitable[Worker]]


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


class Cluster:
    """The test's namespace, as a user sees it."""

    def __init__(self, kubectl: Kubectl, namespace: str, ledger: Ledger) -> None:
        self._kubectl = kubectl
        self.namespace = namespace
        self._ledger = ledger

    def kubectl(self, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return self._kubectl("-n", self.namespace, *args, **options)

    def apply(self, kind: str, name: str, spec: dict[str, Any]) -> str:
        """Applies an object and returns its UID."""
        manifest = {
            "apiVersion": "chaingraph.dev/v1alpha1",
            "kind": kind,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }
        self.kubectl("apply", "-f", "-", input=json.dumps(manifest))
        return str(self.get(kind, name)["metadata"]["uid"])

    def get(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-o", "json").stdout)
        return found

    def status(self, kind: str, name: str) -> dict[str, Any]:
        return dict(self.get(kind, name).get("status", {}))

    def events(self, name: str) -> list[tuple[str, str]]:
        """Type and reason of the Kubernetes Events about an object."""
        found = json.loads(
            self.kubectl("get", "events", f"--field-selector=involvedObject.name={name}", "-o", "json").stdout
        )
        return [(item["type"], item["reason"]) for item in found["items"]]

    async def condition(
        self, kind: str, name: str, type_: str, *, status: str = "", reason: str = "", within: float = 15
    ) -> dict[str, Any]:
        """The condition, once it has that status and reason."""

        async def look() -> dict[str, Any] | None:
            for condition in self.status(kind, name).get("conditions", []):
                right = (not status or condition["status"] == status) and (not reason or condition["reason"] == reason)
                if condition["type"] == type_ and right:
                    return dict(condition)
            return None

        try:
            return await eventually(look, within=within, what=f"{kind} {name}: {type_} {status} {reason}")
        except pytest.fail.Exception:
            print(json.dumps(self.status(kind, name), indent=1))
            raise

    async def row(self, uid: str, *, phase: str = "", within: float = 15) -> ExecutionRow:
        """The ledger's row of an execution, once it is in that phase."""

        async def look() -> ExecutionRow | None:
            async with self._ledger.connection() as connection:
                row = await executions.by_id(connection, execution_id(uid))
            return row if row is not None and phase in ("", row.phase) else None

        return await eventually(look, within=within, what=f"row of {uid} {phase}")


@pytest.fixture
def cluster(crds: None, kubectl: Kubectl, namespace: str, ledger: Ledger) -> Cluster:
    return Cluster(kubectl, namespace, ledger)
