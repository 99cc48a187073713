"""Signals and approvals as a user sees them, with kubectl."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fixtures.cluster.user import User, execution
from fixtures.processes.programs import RunOperator, RunWorker

pytestmark = pytest.mark.integration
PARKS = {"CHAINGRAPH_PARK_SECONDS": "0.2"}
ORDER: dict[str, Any] = {
    "outputs": [{"name": "eur", "from": "paid.payload.eur"}],
    "nodes": [
        {
            "id": "paid",
            "type": "WaitForSignal",
            "inputs": {"schema": {"type": "object", "properties": {"eur": "number"}}},
        }
    ],
}
RELEASE: dict[str, Any] = {
    "outputs": [{"name": "by", "from": "ask.by"}],
    "nodes": [
        {"id": "ask", "type": "Approval", "inputs": {"prompt": "Deploy?", "approvers": {"groups": ["system:masters"]}}},
        {"id": "deploy", "type": "Text", "inputs": {"value": "done"}},
    ],
    "edges": [{"from": "ask.approved", "to": "deploy.__execute"}],
}


def patch(user: User, name: str, **spec: Any) -> None:
    user.kubectl("patch", f"cgx/{name}", "--type=merge", "-p", json.dumps({"spec": spec}))


def signals(*entries: tuple[str, str, Any]) -> list[dict[str, Any]]:
    return [{"id": id_, "name": name, "payload": payload} for id_, name, payload in entries]


def states(status: dict[str, Any]) -> dict[str, str]:
    return {each["id"]: each.get("reason", each["state"]) for each in status.get("signals", ())}


def test_signal_is_accepted_or_refused_and_ends_the_wait(
    user: User, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_operator()
    run_worker(**PARKS)
    user.apply(
        execution("order", flow=ORDER), execution("early", flow=ORDER, signals=signals(("a", "paid", {"eur": 1})))
    )
    user.wait("order", "Waiting")
    (waiting,) = user.status("order")["waiting"]
    assert {name: waiting[name] for name in waiting if name != "since"} == {
        "node": "paid",
        "kind": "Signal",
        "signal": "paid",
    }
    entries = [("a", "payd", 1), ("b", "paid", {"eur": "x"})]
    patch(user, "order", signals=signals(*entries))
    user.wait("order", "SignalRefused")
    status = user.until("order", lambda status: len(status.get("signals", ())) == 2)
    assert states(status) == {"a": "UnknownSignal", "b": "InvalidPayload"}
    assert status["phase"] == "Running"
    events = user.kubectl("get", "events", "--field-selector=involvedObject.name=order").stdout
    assert "SignalRefused" in events
    assert "no node takes the signal 'payd'; did you mean 'paid'?" in events

    patch(user, "order", signals=signals(*entries, ("c", "paid", {"eur": 2.5})))
    user.wait("order")
    status = user.status("order")
    assert status["outputs"] == {"eur": 2.5}
    assert states(status)["c"] == "Accepted"
    patch(user, "order", signals=signals(("d", "paid", {"eur": 1})))
    status = user.until("order", lambda status: "d" in states(status))
    assert states(status) == {"d": "ExecutionEnded"}
    patch(user, "order", signals=[])
    user.until("order", lambda status: not status.get("signals"))
    user.wait("early")
    assert user.status("early")["outputs"] == {"eur": 1}


def test_sent_entry_that_is_applied_again_is_not_delivered_again(
    user: User, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_operator()
    run_worker(**PARKS)
    twice = {
        "outputs": [{"name": "second", "from": "b.payload"}],
        "nodes": [{"id": each, "type": "WaitForSignal"} for each in "ab"],
        "edges": [{"from": "a.__success", "to": "b.__execute"}],
    }
    user.apply(execution("twice", flow=twice, signals=signals(("1", "a", 1))))
    user.until("twice", lambda status: [each["node"] for each in status.get("waiting", ())] == ["b"])
    user.apply(execution("twice", flow=twice))
    user.apply(execution("twice", flow=twice, signals=signals(("1", "b", "again"))))
    user.until("twice", lambda status: states(status) == {"1": "Accepted"})
    user.apply(execution("twice", flow=twice, signals=signals(("1", "b", "again"), ("2", "b", "new"))))
    user.wait("twice")
    assert user.status("twice")["outputs"] == {"second": "new"}


@pytest.mark.crash
def test_approval_outlives_operator_and_workers(user: User, run_operator: RunOperator, run_worker: RunWorker) -> None:
    operator, worker = run_operator(), run_worker(**PARKS)
    user.apply(execution("release", flow=RELEASE))
    user.wait("release", "Waiting")
    (waiting,) = user.status("release")["waiting"]
    assert (waiting["kind"], waiting["signal"], waiting["prompt"]) == ("Approval", "ask", "Deploy?")
    worker.kill()
    operator.kill()
    me = json.loads(user.kubectl("auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]
    by = {"user": me["username"], "groups": ["system:masters"]}
    patch(user, "release", signals=[{"id": "a", "name": "ask", "payload": {"approved": True}, "by": by}])
    run_operator()
    run_worker(**PARKS)
    user.wait("release")
    assert user.status("release")["outputs"] == {"by": me["username"]}


def test_retry_from_the_start_asks_for_approval_again(
    user: User, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_operator()
    run_worker(**PARKS)
    failing = RELEASE | {
        "nodes": [*RELEASE["nodes"], {"id": "fail", "type": "Fail", "inputs": {"message": "no"}}],
        "edges": [{"from": "ask.approved", "to": "fail.__execute"}],
    }
    user.apply(execution("release", flow=failing))
    user.wait("release", "Waiting")
    me = json.loads(user.kubectl("auth", "whoami", "-o", "json").stdout)["status"]["userInfo"]["username"]
    given = {"id": "a", "name": "ask", "payload": {"approved": True}, "by": {"user": me, "groups": ["system:masters"]}}
    patch(user, "release", signals=[given])
    user.until("release", lambda status: status.get("phase") == "Failed")
    patch(user, "release", retry={"token": "kept"})
    user.until("release", lambda status: status.get("attempt") == 2 and status.get("phase") == "Failed")
    patch(user, "release", retry={"token": "anew", "from": "Start"})
    user.until("release", lambda status: status.get("attempt") == 3 and bool(status.get("waiting")))
    patch(user, "release", signals=[given, given | {"id": "b"}])
    user.until("release", lambda status: status.get("attempt") == 3 and status.get("phase") == "Failed")
