"""The states in gitops/argocd/*/testdata are those of real runs: here each is reached, and compared with its file.

With CHAINGRAPH_RECORD_STATES=1 the files are written instead; the expectations beside them are then to be looked at.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from tools import argocd

from chaingraph_crds import names
from fixtures.chart.evaluators import recorded
from fixtures.cluster.user import SUM, User, chain, execution, flow
from fixtures.processes.programs import Process, RunOperator, RunWorker, WorkerProcess

pytestmark = [pytest.mark.integration, pytest.mark.crash]

_FOLDER: Final = argocd.FOLDER / names.GROUP
_RECORDS: Final = os.environ.get("CHAINGRAPH_RECORD_STATES") == "1"
_METADATA: Final = ("creationTimestamp", "generation", "name", "namespace", "resourceVersion", "uid", "labels")

Holds = Callable[[dict[str, Any], dict[str, dict[str, Any]]], bool]
"""Of a status, and its conditions by type."""


def _phase(wanted: str) -> Holds:
    return lambda status, _: status.get("phase") == wanted


def _is(type_: str, status: str = "True") -> Holds:
    return lambda _, conditions: conditions.get(type_, {}).get("status") == status


def _reason(type_: str, wanted: str) -> Holds:
    return lambda _, conditions: conditions.get(type_, {}).get("reason") == wanted


class States:
    """Compares objects of the test's namespace with the recorded ones, or records them."""

    def __init__(self, user: User) -> None:
        self._user = user
        self.seen: set[Path] = set()

    def reach(self, name: str, file: str, holds: Holds, *, kind: str = "Execution") -> None:
        deadline = time.monotonic() + 60
        while True:
            found = self._user.get(kind.lower(), name)
            status = found.get("status", {})
            if holds(status, {each["type"]: each for each in status.get("conditions", ())}):
                break
            assert time.monotonic() < deadline, f"{file}: {json.dumps(status, indent=1)}"
            time.sleep(0.05)
        path = _FOLDER / kind / "testdata" / f"{file}.yaml"
        self.seen.add(path)
        if _RECORDS:
            path.write_text(yaml.safe_dump(self._shown(found), sort_keys=False, allow_unicode=True, width=110), "utf-8")
        else:
            assert _outline(found) == _outline(recorded(path)), file

    def _shown(self, found: dict[str, Any]) -> dict[str, Any]:
        whole = {
            "apiVersion": found["apiVersion"],
            "kind": found["kind"],
            "metadata": {key: found["metadata"][key] for key in _METADATA if key in found["metadata"]},
            "spec": found["spec"],
            "status": found["status"],
        }
        shown: dict[str, Any] = json.loads(json.dumps(whole).replace(self._user.namespace, "default"))
        return shown


def _outline(found: dict[str, Any]) -> dict[str, Any]:
    """What must be the same whenever and wherever it ran."""
    status = found["status"]
    return {
        "name": found["metadata"]["name"],
        "behind": found["metadata"]["generation"] - status["observedGeneration"],
        "phase": status.get("phase"),
        "conditions": [(each["type"], each["status"], each["reason"]) for each in status.get("conditions", ())],
    }


_CYCLE: Final[dict[str, Any]] = {
    "nodes": [{"id": "a", "type": "Not"}, {"id": "b", "type": "Not"}],
    "edges": [{"from": "a.result", "to": "b.value"}, {"from": "b.result", "to": "a.value"}],
}
_DIVIDE: Final[dict[str, Any]] = {
    "nodes": [{"id": "divide", "type": "Math", "inputs": {"a": 40, "b": 0, "operation": "divide"}}]
}
_FAN: Final[dict[str, Any]] = {
    "nodes": [
        {"id": "each", "type": "EmitEach", "inputs": {"eventName": "city", "items": [0, 60_000, 60_000]}},
        {"id": "city", "type": "EventListener", "inputs": {"eventName": "city", "schema": "number"}},
        {"id": "wait", "type": "work.Work"},
    ],
    "edges": [{"from": "city.payload", "to": "wait.milliseconds"}],
}


@pytest.mark.long
def test_recorded_states_match_real_runs(user: User, run_operator: RunOperator, run_worker: RunWorker) -> None:
    states = States(user)
    operator, worker = _beginnings(user, states, run_operator, run_worker)
    _waits_and_ends(user, states)
    _children(user, states)
    user.apply(execution("lost", flow=chain(2, 60_000)))
    user.until("lost", lambda status: status.get("nodes", {}).get("running") == 1)
    worker.kill()
    # It was the only worker, which is known a little earlier or later than the loss.
    lost, nobody = _is("WorkerLost"), _reason("Succeeded", "NoWorker")
    states.reach("lost", "worker-lost", lambda status, by: lost(status, by) and nobody(status, by))
    operator.terminate()
    _edit(user, "ok", {"ttlSecondsAfterFinished": 60})
    states.reach("ok", "completed-and-edited", _phase("Completed"))
    _edit(user, "failing", {"retry": {"token": "once-more"}})
    states.reach("failing", "failed-and-retried", _phase("Failed"))
    assert sorted(states.seen) == sorted(_FOLDER.glob("*/testdata/*.yaml"))


def _edit(user: User, name: str, spec: dict[str, Any]) -> None:
    user.kubectl("patch", f"cgx/{name}", "--type=merge", "-p", json.dumps({"spec": spec}))


def _beginnings(
    user: User, states: States, run_operator: RunOperator, run_worker: RunWorker
) -> tuple[Process, WorkerProcess]:
    """Before there is an operator, before there is a worker, and after that."""
    own = flow("own", nodes=[{"id": "a", "type": "AcmeInvoice"}])
    user.apply(flow("sum", **SUM), flow("cyclic", **_CYCLE), own)
    user.apply(execution("ok", flowRef={"name": "sum"}, inputs={"a": 40}))
    states.reach("sum", "new", lambda status, _: status["observedGeneration"] == -1, kind="Flow")
    states.reach("ok", "new", lambda status, _: status["observedGeneration"] == -1)
    operator = run_operator()
    states.reach("sum", "waiting-for-workers", _is("Ready", "Unknown"), kind="Flow")
    states.reach("ok", "waiting-for-workers", _reason("Succeeded", "WaitingForWorkers"))
    worker = run_worker().wait_ready()
    states.reach("ok", "completed", _phase("Completed"))
    states.reach("sum", "ready", _is("Ready"), kind="Flow")
    states.reach("cyclic", "invalid", _is("Stalled"), kind="Flow")
    states.reach("own", "unknown-node-type", _reason("Ready", "UnknownNodeType"), kind="Flow")
    return operator, worker


def _waits_and_ends(user: User, states: States) -> None:
    user.apply(
        execution("lonely", flowRef={"name": "none"}),
        execution("invalid", flowRef={"name": "cyclic"}),
        execution("held", paused=True, flowRef={"name": "sum"}, inputs={"a": 1}),
        execution("refused", flowRef={"name": "sum"}, inputs={"a": "forty"}),
        execution("other-queue", flowRef={"name": "sum"}, inputs={"a": 1}, queue="nightly"),
        execution("slow", flow=chain(3, 20_000)),
        execution("approval", flow=chain(2, 10), options={"breakpoints": ["s1"]}),
        execution("failing", flow=_DIVIDE),
        execution("stopped", flow=chain(1, 60_000)),
    )
    states.reach("slow", "running", _phase("Running"))
    states.reach("lonely", "flow-not-found", _reason("Succeeded", "FlowNotFound"))
    states.reach("invalid", "flow-invalid", _reason("Succeeded", "FlowInvalid"))
    states.reach("held", "held", _is("Paused"))
    states.reach("refused", "refused", _phase("Failed"))
    states.reach("other-queue", "no-worker", _reason("Succeeded", "NoWorker"))
    states.reach("approval", "breakpoint", _is("Paused"))
    states.reach("failing", "failed", _phase("Failed"))
    _edit(user, "slow", {"paused": True})
    states.reach("slow", "paused", _is("Paused"))
    _edit(user, "stopped", {"stop": True, "stopReason": "took too long"})
    states.reach("stopped", "stopped", _phase("Stopped"))


def _children(user: User, states: States) -> None:
    user.apply(execution("fan", flow=_FAN))
    counts = {"total": 3, "completed": 1, "running": 2}
    states.reach(
        "fan",
        "completed-with-active-children",
        lambda status, _: {key: value for key, value in status.get("children", {}).items() if value} == counts,
    )
    states.reach("fan-0", "completed-child", _phase("Completed"))
    _edit(user, "fan", {"stop": True})
    states.reach("fan", "completed-with-stopped-children", _is("TreeSucceeded", "False"))
