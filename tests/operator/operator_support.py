"""The operator as a process of its own, a worker by hand, and the cluster as a user sees it.

The worker's part is played by the store's own functions: what a real worker would write, at the moment that a test
chooses. End-to-end tests with real workers are in tests/system.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from chaingraph_store import executions, runs
from chaingraph_store.executions import ExecutionRow
from chaingraph_store.ids import ExecutionId, execution_id
from chaingraph_store.ledger import Ledger
from chaingraph_store.runs import Claim, End, Progress
from fixtures.cluster import Kubectl

APP = "chaingraph-executor"
T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T | None]], *, within: float = 30, what: str = "it") -> T:
    """What `look` finds, as soon as it finds something."""
    deadline = time.monotonic() + within
    while True:
        found = await look()
        if found:
            return found
        if time.monotonic() > deadline:
            pytest.fail(f"{what}: not within {within} s")
        await asyncio.sleep(0.02)


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

    def wait_ready(self, within: float = 90) -> OperatorProcess:
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

    async def events_of(self, name: str, *, count: int) -> list[tuple[str, str]]:
        """Type and reason of the Kubernetes Events about an object, once there are so many."""

        async def look() -> list[tuple[str, str]] | None:
            selector = f"--field-selector=involvedObject.name={name}"
            items = json.loads(self.kubectl("get", "events", selector, "-o", "json").stdout)["items"]
            found = [(item["type"], item["reason"]) for item in items]
            return found if len(found) >= count else None

        return await eventually(look, what=f"{count} Events of {name}")

    async def condition(
        self, kind: str, name: str, type_: str, *, status: str = "", reason: str = "", within: float = 30
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

    async def row(self, uid: str, *, phase: str = "", within: float = 30) -> ExecutionRow:
        """The ledger's row of an execution, once it is in that phase."""

        async def look() -> ExecutionRow | None:
            async with self._ledger.connection() as connection:
                row = await executions.by_id(connection, execution_id(uid))
            return row if row is not None and phase in ("", row.phase) else None

        return await eventually(look, within=within, what=f"row of {uid} {phase}")
