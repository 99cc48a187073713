"""Killed and cut off: the operator between any two of its steps, a worker in the middle of a flow, PostgreSQL away.

PostgreSQL fails over as well: a stand-by takes the connections of the lost primary before its promotion.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from functools import partial

import psycopg
import pytest

from chaingraph_store import events
from chaingraph_store.ids import ExecutionId, hold_workflow_id
from chaingraph_store.ledger import Ledger
from fixtures.cluster.user import SUM, User, chain, execution
from fixtures.ledger.standby import Replicated
from fixtures.processes.assassin import Assassin
from fixtures.processes.programs import Process, RunOperator, RunWorker
from fixtures.processes.proxy import MakeProxy

pytestmark = [pytest.mark.integration, pytest.mark.crash]

_START_SECONDS = 10
_AWAITED = "SELECT 1 FROM dbos.workflow_status WHERE workflow_uuid = %s AND status = 'PENDING'"


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
    assert operator.terminate() == 0


def until_awaited(url: str, execution_id: str) -> None:
    """Returns once a worker waits for the start of the execution."""
    with psycopg.connect(url, autocommit=True) as connection:
        deadline = time.monotonic() + 20
        while not connection.execute(_AWAITED, (hold_workflow_id(ExecutionId(execution_id)),)).fetchone():
            assert time.monotonic() < deadline, "nobody waits for its start"
            time.sleep(0.05)


def assert_read_only(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("UPDATE chaingraph.executions SET phase = phase")


def wait_until_refused(process: Process, within: float = 20) -> None:
    """Returns once the process has met the stand-by."""
    deadline = time.monotonic() + within
    while not any(said in process.log for said in ("in a read-only transaction", "during recovery")):
        assert time.monotonic() < deadline, process.log
        time.sleep(0.1)


@pytest.mark.long
async def test_executions_complete_over_a_fail_over_to_a_stand_by(
    user: User, run_operator: RunOperator, run_worker: RunWorker, make_proxy: MakeProxy, replicated: Replicated
) -> None:
    proxy = make_proxy(replicated.primary_url)
    worker = run_worker(DATABASE_URL_EXECUTIONS=proxy.url, CHAINGRAPH_LEASE_SECONDS="60").wait_ready()
    operator = run_operator(DATABASE_URL_EXECUTIONS=proxy.url)
    nodes = {f"running-{n}": [f"s{i}" for i in range(8)] for n in range(6)}
    user.apply(*(execution(name, flow=chain(8, 400)) for name in nodes))
    user.apply(execution("paused", flow=SUM, inputs={"a": 1}, paused=True))
    # DBOS has to record the end of its wait for this one on the stand-by.
    user.apply(execution("unstarted", flow=SUM, inputs={"a": 1}, paused=True, startTimeoutSeconds=_START_SECONDS))
    applied = time.monotonic()
    unstarted = user.until("unstarted", lambda status: "executionID" in status)
    until_awaited(replicated.primary_url, unstarted["executionID"])
    user.until("running-0", lambda status: status.get("nodes", {}).get("completed", 0) >= 2)

    replicated.kill_primary()
    proxy.redirect(replicated.standby_url)
    assert_read_only(proxy.url)
    during = {f"during-{n}": ["add"] for n in range(6)}
    user.apply(*(execution(name, flow=SUM, inputs={"a": 1}) for name in during))
    user.kubectl("patch", "cgx", "paused", "--type=merge", "--patch", '{"spec": {"paused": false}}')
    for each in (worker, operator):
        wait_until_refused(each)
    await asyncio.sleep(max(3.0, applied + _START_SECONDS + 2 - time.monotonic()))
    assert_read_only(proxy.url)
    assert operator.get("/readyz").status_code == 503
    replicated.promote()

    for name in (*nodes, *during, "paused"):
        user.wait(name)
    user.wait("unstarted", "Succeeded=False")
    assert (worker.process.poll(), operator.process.poll()) == (None, None), "nothing that a restart would fix"
    operator.wait_ready()
    promoted = Ledger(replicated.standby_url, application_name="tests")
    await promoted.open()
    try:
        for name, expected in {**nodes, **during}.items():
            await assert_one_run(promoted, user.status(name)["executionID"], nodes=expected)
    finally:
        await promoted.close()


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
