"""Real worker processes on a real PostgreSQL; executions are created as the operator creates them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from chaingraph_crds.flow import FlowSpec
from chaingraph_flow import bind_inputs, revision
from chaingraph_store import creation, executions
from chaingraph_store.creation import NewExecution
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId, execution_id
from chaingraph_store.ledger import Ledger

APP = "chaingraph-executor"


@pytest.fixture
async def ledger(database_url: str) -> AsyncIterator[Ledger]:
    ledger = Ledger(database_url, application_name="tests", pool_size=6)
    await ledger.open()
    yield ledger
    await ledger.close()


@dataclass
class WorkerProcess:
    """A worker that runs; `log` is what it wrote so far."""

    process: subprocess.Popen[bytes]
    executor_id: str
    log_file: Path
    _port: int = field(default=0)

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def terminate(self, *, within: float = 60) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=5, trust_env=False)

    @property
    def port(self) -> int:
        """The health port, as the worker logs it."""
        while not self._port:
            for line in self.log.splitlines():
                if '"message":"health endpoint"' in line:
                    self._port = int(line.split('"port":')[1].split(",")[0].rstrip("}"))
            time.sleep(0.02)
        return self._port

    def wait_ready(self, within: float = 30) -> WorkerProcess:
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                pytest.fail(f"the worker ended with {self.process.returncode}:\n{self.log}")
            if '"message":"ready"' in self.log:
                return self
            time.sleep(0.02)
        pytest.fail(f"the worker was not ready within {within} s:\n{self.log}")


StartWorker = Callable[..., WorkerProcess]


@pytest.fixture
def start_worker(database_url: str, tmp_path: Path) -> Iterator[StartWorker]:
    started: list[WorkerProcess] = []

    def start(**environment: str) -> WorkerProcess:
        executor = f"worker-{uuid.uuid4().hex[:8]}"
        log_file = tmp_path / f"{executor}.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "chaingraph_worker.main"],
                env={
                    **os.environ,
                    "DATABASE_URL_EXECUTIONS": database_url,
                    "CHAINGRAPH_EXECUTOR_ID": executor,
                    "CHAINGRAPH_HEALTH_PORT": "0",
                    "CHAINGRAPH_LEASE_SECONDS": "2",
                    "CHAINGRAPH_QUEUE_POLL_SECONDS": "0.05",
                    **environment,
                },
                stdout=log,
                stderr=log,
            )
        worker = WorkerProcess(process, executor, log_file)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        if worker.process.poll() is None:
            worker.kill()


async def create(
    ledger: Ledger,
    flow: dict[str, Any],
    *,
    inputs: dict[str, Any] | None = None,
    options: dict[str, Any] | None = None,
    events: list[dict[str, Any]] | None = None,
    held: bool = False,
    start_timeout_seconds: int = 300,
    queue: str = "chaingraph-executions",
) -> ExecutionId:
    uid = str(uuid.uuid4())
    spec = FlowSpec.model_validate(flow)
    bound, faults = bind_inputs(spec.inputs, inputs or {})
    assert not faults
    new = NewExecution(
        id=execution_id(uid),
        uid=uid,
        namespace="team",
        name=f"run-{uid[:8]}",
        flow_name="",
        flow_revision=revision(spec),
        flow_spec=spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        nodes_total=len(spec.nodes),
        inputs=bound,
        events=events or [],
        integration={},
        options=options or {},
        queue=queue,
        priority=0,
        start_timeout_seconds=start_timeout_seconds,
        held=held,
    )
    async with ledger.transaction() as connection:
        assert await creation.create(connection, new, application_name=APP)
    return new.id


async def row_of(ledger: Ledger, execution: ExecutionId) -> ExecutionRow:
    async with ledger.connection() as connection:
        row = await executions.by_id(connection, execution)
    assert row is not None
    return row


async def wait_for(
    ledger: Ledger, execution: ExecutionId, condition: Callable[[ExecutionRow], bool], *, within: float = 30
) -> ExecutionRow:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        row = await row_of(ledger, execution)
        if condition(row):
            return row
        await asyncio.sleep(0.02)
    pytest.fail(f"not within {within} s; the row is {row}")


async def ended(ledger: Ledger, execution: ExecutionId, *, within: float = 30) -> ExecutionRow:
    return await wait_for(ledger, execution, lambda row: row.ended, within=within)
