"""Killed and cut off: the operator between any two of its steps, a worker in the middle of a flow, PostgreSQL away."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from chaingraph_store import events
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures.cluster.user import SUM, User, chain, execution
from fixtures.processes.programs import Process, RunOperator, RunWorker
from fixtures.processes.proxy import MakeProxy

pytestmark = [pytest.mark.integration, pytest.mark.crash]


async def assert_one_run(ledger: Ledger, execution_id: str, *, nodes: list[str]) -> None:
    """Dense events without repeats, one start, each node completed once, one workflow."""
    async with ledger.connection() as connection:
        log = await events.read(connection, ExecutionId(execution_id), limit=10_000)
        cursor = await connection.execute(
            "SELECT count(*) FROM dbos.workflow_status WHERE workflow_uuid LIKE %s", (f"{execution_id}%",)
        )
        workflows = await cursor.fetchone()
    assert [event.index for event in log] == list(range(-1, len(log) - 1))
    types = Counter(event.type for event in log)
    assert (types["execution:created"], types["flow:started"], types["flow:completed"]) == (1, 1, 1)
    assert Counter(event.data["nodeId"] for event in log if event.type == "node:completed") == dict.fromkeys(nodes, 1)
    assert workflows == (1,)


class Assassin:
    """Kills an operator just before its n-th message to PostgreSQL after it was armed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._left = 0
        self._victim: Process | None = None
        self.struck = threading.Event()

    def arm(self, victim: Process, message: int) -> None:
        with self._lock:
            self._victim, self._left = victim, message
            self.struck.clear()

    def strikes_before(self, done: Callable[[], bool], *, within: float) -> bool:
        """Whether it struck before that was done; disarms itself if not."""
        deadline = time.monotonic() + within
        while not self.struck.is_set() and not done():
            assert time.monotonic() < deadline, "neither killed nor done"
        with self._lock:
            self._victim = None
        return self.struck.is_set()

    def watch(self, _: bytes) -> None:
        with self._lock:
            if self._victim is None:
                return
            self._left -= 1
            if self._left == 0:
                os.kill(self._victim.process.pid, signal.SIGKILL)
                self._victim = None
                self.struck.set()


@pytest.mark.long
@pytest.mark.timeout(600)
async def test_operator_killed_between_any_two_steps_makes_one_run(
    user: User,
    run_operator: RunOperator,
    run_worker: RunWorker,
    make_proxy: MakeProxy,
    ledger: Ledger,
    database_url: str,
) -> None:
    """The steps are its messages to PostgreSQL; the next operator finds what the killed one left."""
    run_worker().wait_ready()
    assassin = Assassin()
    proxy = make_proxy(database_url, watch=assassin.watch)
    # Sweeps and resyncs far apart, so that the messages are those of the execution's life.
    through = {
        "DATABASE_URL_EXECUTIONS": proxy.url,
        "CHAINGRAPH_SWEEP_SECONDS": "600",
    }
    operator = run_operator(**through)
    for message in itertools.count(1):
        name = f"killed-at-{message}"
        assassin.arm(operator, message)
        user.apply(execution(name, flow=SUM, inputs={"a": message}))
        struck = assassin.strikes_before(partial(user.has_succeeded, name), within=60)
        if struck:
            operator.process.wait(10)
            operator = run_operator(**through)
        user.wait(name)
        status = user.status(name)
        assert status["outputs"] == {"total": message + 2}
        await assert_one_run(ledger, status["executionID"], nodes=["add"])
        if not struck:
            break
    assert message > 8, "the operator was killed at too few places to mean anything"


async def test_worker_replacement_repeats_no_completed_node(
    user: User, run_operator: RunOperator, run_worker: RunWorker, ledger: Ledger
) -> None:
    first = run_worker().wait_ready()
    run_operator()
    user.apply(execution("long", flow=chain(12, 400)))
    user.until("long", lambda status: status.get("nodes", {}).get("completed", 0) >= 3)
    first.kill()
    killed = time.monotonic()
    second = run_worker()
    user.until("long", lambda status: status.get("worker") == second.executor_id)
    took = time.monotonic() - killed
    user.wait("long")
    status = user.status("long")
    assert (status["worker"], status["nodes"]["completed"]) == (second.executor_id, 12)
    await assert_one_run(ledger, status["executionID"], nodes=[f"s{n}" for n in range(12)])
    resumed = next(line for line in second.lines() if line["message"] == "running")
    assert resumed["journaled"] >= 3
    assert took < 20, "lease, hand-back and a worker's start together"


async def test_executions_resume_when_postgresql_is_back(
    user: User,
    run_operator: RunOperator,
    run_worker: RunWorker,
    make_proxy: MakeProxy,
    ledger: Ledger,
    database_url: str,
) -> None:
    proxy = make_proxy(database_url)
    run_worker(DATABASE_URL_EXECUTIONS=proxy.url, CHAINGRAPH_LEASE_SECONDS="30").wait_ready()
    operator = run_operator(DATABASE_URL_EXECUTIONS=proxy.url)
    user.apply(execution("long", flow=chain(10, 300)))
    user.until("long", lambda status: status.get("nodes", {}).get("completed", 0) >= 2)
    proxy.cut()
    await asyncio.sleep(3)
    user.apply(execution("meanwhile", flow=SUM, inputs={"a": 1}))
    for _ in range(100):
        if operator.get("/readyz").status_code == 503:
            break
        await asyncio.sleep(0.1)
    assert operator.get("/readyz").status_code == 503
    assert operator.get("/healthz").status_code == 200, "nothing that a restart would mend"
    proxy.restore()
    user.wait("long")
    user.wait("meanwhile")
    await assert_one_run(ledger, user.status("long")["executionID"], nodes=[f"s{n}" for n in range(10)])
    await assert_one_run(ledger, user.status("meanwhile")["executionID"], nodes=["add"])


async def test_executions_continue_while_the_operator_is_away(
    user: User, run_operator: RunOperator, run_worker: RunWorker, ledger: Ledger
) -> None:
    run_worker().wait_ready()
    operator = run_operator()
    user.apply(execution("long", flow=chain(4, 300)))
    running = user.until("long", lambda status: status.get("phase") == "Running")
    operator.kill()
    for _ in range(200):
        async with ledger.connection() as connection:
            log = await events.read(connection, ExecutionId(running["executionID"]))
        if log[-1].type == "flow:completed":
            break
        await asyncio.sleep(0.05)
    assert log[-1].type == "flow:completed"
    assert user.status("long")["phase"] == "Running", "nobody could tell"
    run_operator()
    user.wait("long")
    assert user.status("long")["nodes"]["completed"] == 4
