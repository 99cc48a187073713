"""Retries from a node and with a repaired Flow, as a user sees them: what is kept is not repeated, whatever dies."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from functools import partial
from typing import Any

import pytest

from chaingraph_store import events
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from fixtures import soak
from fixtures.cluster.user import User, execution, flow
from fixtures.processes.assassin import Assassin
from fixtures.processes.programs import RunOperator, RunWorker
from fixtures.processes.proxy import MakeProxy

pytestmark = pytest.mark.integration
PARKS = {"CHAINGRAPH_PARK_SECONDS": "0.2"}


def load(message: str | None, **inputs: Any) -> dict[str, Any]:
    """Fetch, clean, load, and a node beside them. The load fails with this message; without one it is repaired."""
    repaired = {"type": "Text", "inputs": {"value": "done"}}
    last = repaired if message is None else {"type": "Fail", "inputs": {"message": message}}
    return {
        "outputs": [{"name": "cleaned", "from": "clean.result"}],
        "nodes": [
            {"id": "fetch", "type": "Text", "inputs": {"value": "raw"}},
            {"id": "clean", "type": "Template", "inputs": {"template": "clean {{ text }}"}},
            {"id": "load", **last},
            {"id": "side", "type": "Text", "inputs": {"value": "aside"}},
        ],
        "edges": [
            {"from": "fetch.value", "to": "clean.values.text"},
            {"from": "clean.__success", "to": "load.__execute"},
        ],
    } | inputs


def patch(user: User, name: str, **spec: Any) -> None:
    user.kubectl("patch", f"cgx/{name}", "--type=merge", "-p", json.dumps({"spec": spec}))


def failed(user: User, name: str, attempt: int = 1) -> dict[str, Any]:
    return user.until(name, lambda status: (status.get("phase"), status.get("attempt")) == ("Failed", attempt))


async def runs_of(ledger: Ledger, execution_id: str) -> list[Counter[str]]:
    """How often each node has started, by attempt; the log is dense."""
    async with ledger.connection() as connection:
        log = await events.read(connection, ExecutionId(execution_id))
    assert [event.index for event in log] == list(range(-1, len(log) - 1))
    found: list[Counter[str]] = []
    for event in log:
        if event.type == "flow:started":
            found.append(Counter())
        if event.type in ("node:completed", "node:failed"):
            found[-1][event.data["nodeId"]] += 1
    return found


async def test_node_and_its_dependents_run_again(
    user: User, run_operator: RunOperator, run_worker: RunWorker, ledger: Ledger
) -> None:
    run_operator()
    run_worker()
    user.apply(execution("nightly", flow=load("no")))
    status = failed(user, "nightly")
    patch(user, "nightly", retry={"token": "a", "node": "clan"})
    user.wait("nightly", "RetryRefused")
    refused = user.condition("nightly", "RetryRefused")
    assert refused is not None
    assert (refused["reason"], "did you mean 'clean'" in refused["message"]) == ("UnknownNode", True)
    patch(user, "nightly", retry={"token": "b", "node": "clean"})
    status = failed(user, "nightly", 2)
    told = status["attempts"][0]
    assert (told["retriedNode"], told["kept"], told["runsAgain"]) == ("clean", 2, ["clean", "load"])
    assert await runs_of(ledger, status["executionID"]) == [
        {"fetch": 1, "clean": 1, "load": 1, "side": 1},
        {"clean": 1, "load": 1},
    ]
    written = user.kubectl("get", "events", "--field-selector=involvedObject.name=nightly").stdout
    assert (
        "Attempt 2 started, from node 'clean', 2 finished nodes kept, 2 finished nodes run again: clean, load"
        in written
    )


async def test_repaired_flow_keeps_valid_outputs(
    user: User, run_operator: RunOperator, run_worker: RunWorker, ledger: Ledger
) -> None:
    run_operator()
    run_worker()
    user.apply(flow("report", **load("no")), execution("nightly", flowRef={"name": "report"}))
    former = failed(user, "nightly")["flowRevision"]
    broken = load(None)
    broken["nodes"][2]["type"] = "Tekst"
    user.apply(flow("report", **broken))
    patch(user, "nightly", retry={"token": "a", "flowRevision": "Latest"})
    user.wait("nightly", "RetryRefused")
    refused = user.condition("nightly", "RetryRefused")
    assert refused is not None
    assert (refused["reason"], "'Text'" in refused["message"]) == ("UnknownNodeType", True)
    required = [{"name": "day", "type": "string", "required": True}]
    user.apply(flow("report", **load(None, inputs=required)))
    patch(user, "nightly", retry={"token": "b"})
    user.until("nightly", lambda status: status.get("lastRetry") == "b")
    refused = user.condition("nightly", "RetryRefused")
    assert refused is not None
    assert (refused["reason"], "input 'day'" in refused["message"]) == ("InvalidInputs", True)
    # Flow and retry of the same moment: the retry takes the Flow that the API server has.
    user.apply(flow("report", **load(None)))
    patch(user, "nightly", retry={"token": "c"})
    user.wait("nightly")
    status = user.status("nightly")
    assert status["outputs"] == {"cleaned": "clean raw"}
    told = status["attempts"][0]
    assert (told["flowRevision"], told["kept"], told["runsAgain"]) == (former, 3, ["load"])
    assert status["flowRevision"] not in (None, former)
    assert user.get("flow", "report")["status"]["revision"] == status["flowRevision"]
    assert (await runs_of(ledger, status["executionID"]))[1] == {"load": 1}


async def test_missing_flow_is_refused(user: User, run_operator: RunOperator, run_worker: RunWorker) -> None:
    run_operator()
    run_worker()
    user.apply(flow("report", **load("no")), execution("nightly", flowRef={"name": "report"}))
    failed(user, "nightly")
    user.kubectl("delete", "flow", "report")
    patch(user, "nightly", retry={"token": "a", "flowRevision": "Latest"})
    user.wait("nightly", "RetryRefused")
    refused = user.condition("nightly", "RetryRefused")
    assert refused is not None
    assert refused["reason"] == "FlowNotFound"


def test_approval_that_runs_again_is_asked_for_again(
    user: User, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_operator()
    run_worker(**PARKS)
    release = {
        "nodes": [
            {"id": "paid", "type": "WaitForSignal"},
            {
                "id": "ask",
                "type": "Approval",
                "inputs": {"prompt": "Deploy?", "approvers": {"groups": ["system:masters"]}},
            },
            {"id": "fail", "type": "Fail", "inputs": {"message": "no"}},
        ],
        "edges": [
            {"from": "paid.__success", "to": "ask.__execute"},
            {"from": "ask.approved", "to": "fail.__execute"},
        ],
    }
    me = json.loads(user.kubectl("auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]["username"]
    sent = {"id": "p", "name": "paid", "payload": 1}
    given = {"id": "a", "name": "ask", "payload": {"approved": True}, "by": {"user": me, "groups": ["system:masters"]}}
    user.apply(execution("release", flow=release))
    user.wait("release", "Waiting")
    patch(user, "release", signals=[sent, given])
    failed(user, "release")
    patch(user, "release", retry={"token": "kept", "node": "fail"})
    failed(user, "release", 2)
    # The node takes the signal of another system again; a person has to answer again.
    patch(user, "release", retry={"token": "again", "node": "paid"})
    user.until("release", lambda status: [each["node"] for each in status.get("waiting", ())] == ["ask"])
    patch(user, "release", signals=[sent, given, given | {"id": "b"}])
    failed(user, "release", 3)


@pytest.mark.crash
async def test_worker_lost_in_a_retry_repeats_no_kept_node(
    user: User, run_operator: RunOperator, run_worker: RunWorker, ledger: Ledger
) -> None:
    run_operator()
    worker = run_worker()
    slow = [{"id": f"s{n}", "type": "Sleep", "inputs": {"milliseconds": 400 if n > 1 else 0}} for n in range(6)]
    edges = [{"from": f"s{n}.__success", "to": f"s{n + 1}.__execute"} for n in range(5)]
    broken = [*slow, {"id": "end", "type": "Fail", "inputs": {"message": "no"}}]
    edges.append({"from": "s5.__success", "to": "end.__execute"})
    user.apply(flow("report", nodes=broken, edges=edges), execution("long", flowRef={"name": "report"}))
    failed(user, "long")
    repaired = [*slow, {"id": "end", "type": "Text", "inputs": {"value": "done"}}]
    user.apply(flow("report", nodes=repaired, edges=edges))
    patch(user, "long", retry={"token": "a", "node": "s2", "flowRevision": "Latest"})
    user.until("long", lambda status: status["attempt"] == 2 and status["nodes"]["completed"] >= 4)
    worker.kill()
    run_worker()
    user.wait("long")
    status = user.status("long")
    assert (status["attempts"][0]["kept"], status["nodes"]["completed"]) == (2, 7)
    _, second = await runs_of(ledger, status["executionID"])
    assert second == dict.fromkeys(["s2", "s3", "s4", "s5", "end"], 1)


@pytest.mark.crash
@pytest.mark.long
@pytest.mark.timeout(600)
async def test_worker_killed_between_messages_of_a_retry_repeats_nothing(
    user: User,
    run_operator: RunOperator,
    run_worker: RunWorker,
    make_proxy: MakeProxy,
    ledger: Ledger,
    database_url: str,
) -> None:
    run_operator()
    assassin = Assassin()
    through = {"DATABASE_URL_EXECUTIONS": make_proxy(database_url, watch=assassin.watch).url}
    worker = run_worker(**through).wait_ready()
    strikes = 0
    for message in (2, 5, 8, 11, 14, 18):
        name = f"killed-at-{message}"
        user.apply(flow(name, **load("no")), execution(name, flowRef={"name": name}))
        failed(user, name)
        user.apply(flow(name, **load(None)))
        assassin.arm(worker, message)
        patch(user, name, retry={"token": "a", "node": "clean", "flowRevision": "Latest"})
        if assassin.strikes_before(partial(user.has_succeeded, name), within=60):
            worker.process.wait(10)
            worker = run_worker(**through).wait_ready()
            strikes += 1
        user.wait(name)
        status = user.status(name)
        assert (status["attempt"], status["nodes"]["completed"]) == (2, 4)
        assert (await runs_of(ledger, status["executionID"]))[1] == {"clean": 1, "load": 1}
    assert strikes > 3, "the worker was killed at too few places to mean anything"


@pytest.mark.crash
@pytest.mark.long
@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_operator_killed_between_any_two_steps_retries_once(
    user: User,
    run_operator: RunOperator,
    run_worker: RunWorker,
    make_proxy: MakeProxy,
    ledger: Ledger,
    database_url: str,
) -> None:
    run_worker().wait_ready()
    assassin = Assassin()
    proxy = make_proxy(database_url, watch=assassin.watch)
    through = {"DATABASE_URL_EXECUTIONS": proxy.url, "CHAINGRAPH_SWEEP_SECONDS": "600"}
    operator = run_operator(**through)
    # Each message has its turn in a soak; here every fourth, from a random one on.
    step = 1 if soak.examples(1) > 1 else 4
    for message in itertools.count(random.randint(1, step), step):
        name = f"killed-at-{message}"
        user.apply(flow(name, **load("no")), execution(name, flowRef={"name": name}))
        failed(user, name)
        user.apply(flow(name, **load(None)))
        user.kubectl("wait", "--for=jsonpath={.status.observedGeneration}=2", f"flow/{name}", "--timeout=60s")
        assassin.arm(operator, message)
        patch(user, name, retry={"token": "a", "node": "clean", "flowRevision": "Latest"})
        struck = assassin.strikes_before(partial(user.has_succeeded, name), within=60)
        if struck:
            operator.process.wait(10)
            operator = run_operator(**through)
        user.wait(name)
        status = user.status(name)
        assert (status["attempt"], status["attempts"][0]["kept"]) == (2, 2)
        assert (await runs_of(ledger, status["executionID"]))[1] == {"clean": 1, "load": 1}
        if not struck:
            break
    assert message > 8, "the operator was killed at too few places to mean anything"
