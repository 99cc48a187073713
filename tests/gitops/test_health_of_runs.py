"""Every version of an Execution that an API server has, in real runs updated by Argo CD's buttons: its health is never
Healthy before it completed, and changes only when something happened."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import httpx
import pytest

from chaingraph_operator.kube.merge_patch import difference
from fixtures.chart.evaluators import Evaluators
from fixtures.cluster.control_plane import ControlPlane
from fixtures.cluster.user import SUM, User, chain, execution, flow
from fixtures.processes.programs import RunOperator, RunWorker

pytestmark = pytest.mark.integration

_KSTATUS: Final = {
    "Healthy": "Current",
    "Degraded": "Failed",
    "Progressing": "InProgress",
    "Suspended": "InProgress",
}


class Versions:
    """Every version of the Executions of a namespace, as a watch brings them."""

    def __init__(self, client: httpx.Client, namespace: str) -> None:
        self._client = client
        self._url = f"/apis/chaingraph.dev/v1alpha1/namespaces/{namespace}/executions"
        self._found: dict[str, list[dict[str, Any]]] = {}
        self._seen = threading.Condition()
        self._open = threading.Event()
        self._closing = False
        threading.Thread(target=self._watch, daemon=True).start()
        assert self._open.wait(30)

    def _watch(self) -> None:
        try:
            while not self._client.get(self._url).is_success:  # The kind may be too new to be served.
                time.sleep(0.2)
            with self._client.stream("GET", self._url, params={"watch": "1"}, timeout=None) as answer:
                self._open.set()
                for line in answer.iter_lines():
                    self._note(json.loads(line)["object"])
        except (httpx.HTTPError, RuntimeError):
            if not self._closing:
                raise

    def _note(self, found: dict[str, Any]) -> None:
        with self._seen:
            self._found.setdefault(found["metadata"]["name"], []).append(found)
            self._seen.notify_all()

    def close(self) -> None:
        self._closing = True
        self._client.close()

    def of(self, name: str) -> list[dict[str, Any]]:
        with self._seen:
            return list(self._found.get(name, ()))

    def until(self, name: str, health: str, evaluators: Evaluators, *, within: float = 60) -> dict[str, Any]:
        """The newest version, once it has that health."""
        with self._seen:
            arrived = self._seen.wait_for(
                lambda: name in self._found and evaluators.health(self._found[name][-1])["status"] == health, within
            )
            assert arrived, json.dumps(self._found.get(name, [{}])[-1], indent=1)
            return self._found[name][-1]


@pytest.fixture
def versions(user: User, control_plane: ControlPlane) -> Iterator[Versions]:
    found = Versions(control_plane.client(), user.namespace)
    yield found
    found.close()


class Argo:
    """Somebody with Argo CD's page of the namespace before them."""

    def __init__(self, user: User, versions: Versions, evaluators: Evaluators) -> None:
        self._user = user
        self._versions = versions
        self._evaluators = evaluators

    def sees(self, name: str, health: str) -> dict[str, Any]:
        return self._versions.until(name, health, self._evaluators)

    def presses(self, button: str, name: str) -> None:
        found = self._versions.of(name)[-1]
        assert button in self._evaluators.buttons(found)
        patch = difference(found, self._evaluators.press(button, found))
        self._user.kubectl("patch", f"cgx/{name}", "--type=merge", "-p", json.dumps(patch))

    def story(self, name: str) -> list[str]:
        """The health of all versions, repetitions left out; kstatus and the end of each are held against it."""
        found = []
        for version in self._versions.of(name):
            health = self._evaluators.health(version)["status"]
            assert self._evaluators.kstatus(version) == _KSTATUS[health]
            phase = version.get("status", {}).get("phase")
            assert (health == "Healthy") <= (phase == "Completed"), version
            found.append(health)
        return [health for health, _ in itertools.groupby(found)]


@pytest.fixture
def argo(user: User, versions: Versions, evaluators: Evaluators) -> Argo:
    return Argo(user, versions, evaluators)


def test_health_follows_undisturbed_runs(
    user: User, argo: Argo, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    divide = {"id": "divide", "type": "Math", "inputs": {"a": 40, "b": 0, "operation": "divide"}}
    user.apply(
        execution("before-its-flow", flowRef={"name": "sum"}, inputs={"a": 40}),
        execution("long", flow=chain(6, 500)),
        execution("fails", flow={"nodes": [divide]}),
        execution("refused", flowRef={"name": "sum"}, inputs={"a": "forty"}),
        execution("expires", flow=chain(2, 10), ttlSecondsAfterFinished=1),
    )
    argo.sees("before-its-flow", "Progressing")
    run_operator()
    worker = run_worker()
    user.apply(flow("sum", **SUM))
    for name in ("before-its-flow", "long"):
        argo.sees(name, "Healthy")
        assert argo.story(name) == ["Progressing", "Healthy"]
    for name in ("fails", "refused"):
        argo.sees(name, "Degraded")
        assert argo.story(name) == ["Progressing", "Degraded"]
    argo.sees("expires", "Healthy")
    user.kubectl("wait", "--for=delete", "cgx/expires", "--timeout=30s")
    assert argo.story("expires") == ["Progressing", "Healthy"]
    assert worker.process.poll() is None


def test_health_follows_runs_steered_by_buttons(
    user: User, argo: Argo, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_operator()
    run_worker().wait_ready()
    user.apply(
        execution("held", flow=chain(1, 10), paused=True),
        execution("approval", flow=chain(3, 10), options={"breakpoints": ["s1"]}),
        execution("paused", flow=chain(8, 500)),
        execution("stopped", flow=chain(2, 60_000)),
    )
    argo.sees("held", "Suspended")
    argo.presses("start", "held")
    argo.sees("approval", "Suspended")
    argo.presses("step", "approval")
    user.until("approval", lambda status: status["nodes"]["completed"] == 2 and bool(status.get("lastStep")))
    argo.sees("approval", "Suspended")
    argo.presses("resume", "approval")
    user.until("paused", lambda status: status.get("phase") == "Running")
    argo.presses("pause", "paused")
    argo.sees("paused", "Suspended")
    argo.presses("resume", "paused")
    user.until("stopped", lambda status: status.get("phase") == "Running")
    argo.presses("stop", "stopped")
    argo.sees("stopped", "Degraded")
    said = user.condition("stopped", "Succeeded")
    assert said is not None
    assert said["message"].startswith("stopped in Argo CD; interrupted: 's0' since ")
    argo.presses("retry", "stopped")
    user.until("stopped", lambda status: status["attempt"] == 2 and status["phase"] == "Running")
    argo.presses("stop", "stopped")
    argo.sees("stopped", "Degraded")
    argo.presses("retry-from-start", "stopped")
    user.until("stopped", lambda status: status["attempt"] == 3 and status["phase"] == "Running")
    for name in ("held", "approval", "paused"):
        argo.sees(name, "Healthy")
    assert argo.story("held") == ["Progressing", "Suspended", "Progressing", "Healthy"]
    assert argo.story("paused") == ["Progressing", "Suspended", "Progressing", "Healthy"]
    assert argo.story("approval") == ["Progressing", "Suspended"] * 2 + ["Progressing", "Healthy"]
    assert argo.story("stopped") == ["Progressing", "Degraded"] * 2 + ["Progressing"]


@pytest.mark.crash
def test_health_stays_progressing_after_worker_kill(
    user: User, argo: Argo, run_operator: RunOperator, run_worker: RunWorker
) -> None:
    run_operator()
    worker = run_worker().wait_ready()
    user.apply(execution("orphan", flow=chain(4, 1500)))
    user.until("orphan", lambda status: status.get("nodes", {}).get("completed", 0) >= 1)
    worker.kill()
    user.wait("orphan", "WorkerLost")
    run_worker()
    argo.sees("orphan", "Healthy")
    assert argo.story("orphan") == ["Progressing", "Healthy"]
