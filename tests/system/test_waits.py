"""Waits as a user sees them: what the status says, and that a wait outlives whatever is killed meanwhile."""

from __future__ import annotations

import time
from typing import Any

import pytest

from fixtures.cluster.user import User, execution
from fixtures.processes.programs import RunOperator, RunWorker

pytestmark = pytest.mark.integration
PARKS = {"CHAINGRAPH_PARK_SECONDS": "0.2"}


def nap(milliseconds: int, **spec: Any) -> dict[str, Any]:
    flow = {
        "outputs": [{"name": "slept", "from": "nap.actual"}],
        "nodes": [
            {"id": "before", "type": "ServerTime"},
            {"id": "nap", "type": "Sleep", "inputs": {"milliseconds": milliseconds}},
        ],
        "edges": [{"from": "before.__success", "to": "nap.__execute"}],
    }
    return execution("sleeper", flow=flow, **spec)


def test_status_says_what_an_execution_waits_for(user: User, run_operator: RunOperator, run_worker: RunWorker) -> None:
    run_operator()
    run_worker(**PARKS)
    user.apply(nap(600_000))
    user.wait("sleeper", "Waiting")
    status = user.status("sleeper")
    assert status["phase"] == "Running"
    (waiting,) = status["waiting"]
    assert (waiting["node"], waiting["kind"]) == ("nap", "Time")
    assert waiting["until"] > waiting["since"]
    assert (status["nodes"]["running"], status["nodes"]["waiting"], status["nodes"]["done"]) == (0, 1, 1)
    condition = user.condition("sleeper", "Waiting")
    assert condition is not None
    assert condition["reason"] == "Time"
    assert condition["message"].startswith("'nap' waiting since 20")
    head, row = user.kubectl("get", "cgx", "sleeper").stdout.splitlines()
    assert row[head.index("WAITING") :].split()[0] == "Time"

    user.kubectl("patch", "cgx/sleeper", "--type=merge", "-p", '{"spec": {"paused": true}}')
    user.wait("sleeper", "Paused")
    assert user.condition("sleeper", "Waiting") is None
    user.kubectl("patch", "cgx/sleeper", "--type=merge", "-p", '{"spec": {"paused": false}}')
    user.wait("sleeper", "Waiting")
    user.kubectl("patch", "cgx/sleeper", "--type=merge", "-p", '{"spec": {"stop": true}}')
    status = user.until("sleeper", lambda status: status.get("phase") == "Stopped")
    assert "waiting" not in status
    assert "interrupted: 'nap' waiting since" in next(
        each["message"] for each in status["conditions"] if each["type"] == "Succeeded"
    )


def test_flow_times_out_while_it_waits(user: User, run_operator: RunOperator, run_worker: RunWorker) -> None:
    run_operator()
    run_worker(**PARKS)
    user.apply(nap(600_000, options={"flowTimeoutSeconds": 3}))
    status = user.until("sleeper", lambda status: status.get("phase") == "Failed")
    assert status["error"]["reason"] == "FlowTimeout"
    assert "interrupted: 'nap' waiting since" in status["error"]["message"]


@pytest.mark.crash
def test_wait_ends_in_time_after_all_was_killed(user: User, run_operator: RunOperator, run_worker: RunWorker) -> None:
    operator, worker = run_operator(), run_worker(**PARKS)
    user.apply(nap(8000))
    user.wait("sleeper", "Waiting")
    since = time.monotonic()
    worker.kill()
    operator.kill()
    run_worker(**PARKS).wait_ready()
    ready = time.monotonic() - since
    run_operator()
    user.wait("sleeper", within=60)
    slept = user.status("sleeper")["outputs"]["slept"]
    assert 8000 <= slept < max(8, ready) * 1000 + 4000, "it is neither lost nor begun again"
