"""What Helm does with Executions in a chart: a real Helm on a real API server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fixtures.chart.helm import Helm
from fixtures.cluster.user import chain, execution
from fixtures.processes.system import System

pytestmark = pytest.mark.integration

_DIVIDE: dict[str, Any] = {
    "nodes": [{"id": "divide", "type": "Math", "inputs": {"a": 40, "b": 0, "operation": "divide"}}]
}


def chart(folder: Path, *manifests: dict[str, Any]) -> str:
    """A chart with these manifests."""
    (folder / "templates").mkdir(parents=True, exist_ok=True)
    (folder / "Chart.yaml").write_text('{"apiVersion": "v2", "name": "nightly", "version": "1.0.0"}', encoding="utf-8")
    for path in (folder / "templates").iterdir():
        path.unlink()
    for number, each in enumerate(manifests):
        (folder / "templates" / f"{number}.yaml").write_text(json.dumps(each), encoding="utf-8")
    return str(folder)


def test_helm_wait_ends_with_run_and_reports_reason(helm: Helm, system: System, tmp_path: Path) -> None:
    here = helm.on(system.kubeconfig)
    install = ("upgrade", "--install", "nightly", "--namespace", system.namespace, "--wait", "--timeout=60s")
    here(*install, chart(tmp_path / "chart", execution("good", flow=chain(2, 1000))))
    phase = system.kubectl("get", "cgx", "good", "-o", "jsonpath={.status.phase}").stdout
    assert phase == "Completed"
    failed = here(*install, chart(tmp_path / "chart", execution("bad", flow=_DIVIDE)), check=False)
    assert failed.returncode != 0
    assert "division by zero" in failed.stderr, failed.stderr
    held = chart(tmp_path / "chart", execution("held", flow=chain(1, 10), paused=True))
    late = here(*install, "--timeout=8s", held, check=False)
    assert late.returncode != 0
    assert "Created, not started: spec.paused is true" in late.stderr, late.stderr


def test_helm_upgrade_reruns_expired_execution(helm: Helm, system: System, tmp_path: Path) -> None:
    here = helm.on(system.kubeconfig)
    upgrade = ("upgrade", "--install", "nightly", "--namespace", system.namespace)
    folder = chart(tmp_path / "chart", execution("once", flow=chain(1, 10), ttlSecondsAfterFinished=5))
    here(*upgrade, folder)
    system.kubectl("wait", "--for=delete", "cgx/once", "--timeout=60s")
    here(*upgrade, folder)
    system.kubectl("get", "cgx", "once")


def test_helm_upgrade_keeps_manual_pause(helm: Helm, system: System, tmp_path: Path) -> None:
    here = helm.on(system.kubeconfig)
    upgrade = ("upgrade", "--install", "nightly", "--namespace", system.namespace)
    folder = chart(tmp_path / "chart", execution("slow", flow=chain(2, 60_000)))
    here(*upgrade, folder)
    system.kubectl("patch", "cgx", "slow", "--type=merge", "-p", '{"spec": {"paused": true}}')
    here(*upgrade, folder)
    system.kubectl("wait", "--for=condition=Paused", "cgx/slow", "--timeout=30s")
    paused = system.kubectl("get", "cgx", "slow", "-o", "jsonpath={.spec.paused}").stdout
    assert paused == "true"
