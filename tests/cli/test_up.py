"""`chaingraph up`, `status` and `down` as a person runs them, with every process real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from chaingraph_cli.cluster.spec import ProcessCondition, Report
from fixtures.cluster.control_plane import ControlPlane, Kubectl
from fixtures.cluster.local import COMMAND, Local

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600), pytest.mark.long]

CONTROL_PLANE = {"etcd", "kube-apiserver", "kube-controller-manager"}
EXECUTION = """
apiVersion: chaingraph.dev/v1alpha1
kind: Execution
metadata: {name: hello}
spec:
  flow:
    nodes: [{id: text, type: Text, inputs: {value: hello}}]
    outputs: [{name: said, from: text.value}]
"""


def _pids(status: dict[str, Any]) -> list[int]:
    return [each["pid"] for each in status["processes"]] + [status["supervisorPid"]]


def _gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists() or "State:\tZ" in Path(f"/proc/{pid}/status").read_text()


def _runs_again(record: Report) -> bool:
    return record.restarts == 1 and record.condition == ProcessCondition.RUNNING


@pytest.mark.crash
def test_up_survives_crashes_and_keeps_its_data(local: Local) -> None:
    assert local.run("status", check=False).returncode == 1

    said = local.run("up", "--detach", "--workers", "1").stdout
    assert f"export KUBECONFIG={local.folder / 'kubeconfig'}" in said
    assert local.run("status").returncode == 0
    first = local.status()
    assert first["phase"] == "Running"
    assert {each["name"] for each in first["processes"]} == CONTROL_PLANE | {
        "postgres",
        "operator",
        "gateway",
        "worker-1",
    }

    local.kubectl("apply", "-f", "-", input=EXECUTION)
    local.kubectl("wait", "--for=condition=Succeeded", "execution/hello", "--timeout=60s")

    again = local.run("up", "--detach", "--workers", "1")
    assert "already running" in again.stdout
    other = local.run("up", "--detach", "--workers", "2", check=False)
    assert other.returncode == 1
    assert "with other settings" in other.stderr

    victims = {name: local.remembered(name) for name in ("worker-1", "operator")}
    for victim in victims.values():
        assert victim.identity is not None
        os.kill(victim.identity.pid, signal.SIGKILL)
    deadline = time.monotonic() + 120
    while not all(_runs_again(local.remembered(name)) for name in victims):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert all(local.remembered(name).identity != victim.identity for name, victim in victims.items())

    crashed = local.status()
    os.kill(crashed["supervisorPid"], signal.SIGKILL)
    assert local.status()["phase"] == "Crashed"
    with subprocess.Popen(
        [str(COMMAND), "up", "--workers", "1", "--state", str(local.folder)], stdout=subprocess.PIPE, text=True
    ) as foreground:
        assert foreground.stdout is not None
        shown = ""
        while "ChainGraph is up" not in shown:
            line = foreground.stdout.readline()
            assert line, shown
            shown += line
        second = local.status()
        kept = json.loads(local.kubectl("get", "execution", "hello", "-o", "json"))
        foreground.send_signal(signal.SIGINT)
        rest = foreground.stdout.read()
    assert second["healthy"]
    assert not set(_pids(second)) & set(_pids(crashed))
    assert all(_gone(pid) for pid in _pids(crashed))
    ports = [{each["name"]: each["port"] for each in status["processes"]} for status in (first, second)]
    # They stay, unless another process of the machine has taken one meanwhile.
    assert len(ports[0].items() ^ ports[1].items()) <= 2
    assert kept["status"]["outputs"] == {"said": "hello"}
    assert foreground.returncode == 0
    assert "The cluster has stopped." in rest
    assert all(_gone(pid) for pid in _pids(second))
    stopped = local.run("status", check=False)
    assert stopped.returncode == 1
    assert "Stopped" in stopped.stdout


def test_up_on_an_existing_cluster_installs_only_the_api(
    local: Local, control_plane: ControlPlane, kubectl: Kubectl, namespace: str, database_url: str
) -> None:
    # The session's API server holds what other tests left: this operator is for our namespace alone.
    local.environment["CHAINGRAPH_NAMESPACES"] = namespace
    existing = ("--kubeconfig", str(control_plane.kubeconfig), "--database-url", database_url)
    before = _workloads(kubectl)
    local.run("up", "--detach", "--workers", "1", *existing)
    status = local.status()
    assert status["healthy"]
    assert {each["name"] for each in status["processes"]} == {"operator", "gateway", "worker-1"}
    local.kubectl("apply", "-n", namespace, "-f", "-", input=EXECUTION)
    kubectl("wait", "-n", namespace, "--for=condition=Succeeded", "execution/hello", "--timeout=60s")
    assert _workloads(kubectl) <= before


def _workloads(kubectl: Kubectl) -> set[str]:
    columns = "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name"
    return set(kubectl("get", "deployments,pods", "-A", "--no-headers", "-o", columns).stdout.splitlines())


def test_up_on_an_unreachable_cluster_fails_with_an_error(
    local: Local, control_plane: ControlPlane, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    away.write_text(control_plane.kubeconfig.read_text().replace(control_plane.url, "https://127.0.0.1:1"))
    failed = local.run(
        "up", "--detach", "--kubeconfig", str(away), "--database-url", "postgresql://127.0.0.1:1/no", check=False
    )
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert "Error: " in failed.stderr
    assert local.status()["phase"] == "Failed"
