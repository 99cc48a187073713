"""The chart and the operator mean the same by versions of workers: upgrade, rollback, a pool that goes, uninstall.

No Pods come of the Deployments here: worker processes with the settings of a version stand for them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from fixtures.chart.helm import Manifest, Rendered, environment, with_values
from fixtures.chart.release import APART, Release, kubeconfig_with_rights
from fixtures.cluster.control_plane import ControlPlane
from fixtures.cluster.view import Cluster
from fixtures.processes.programs import RunOperator, RunWorker, WorkerProcess
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration


class Fleet:
    """The operator of a release with its own rights, and workers of its versions."""

    def __init__(
        self,
        release: Release,
        cluster: Cluster,
        control_plane: ControlPlane,
        run_operator: RunOperator,
        run_worker: RunWorker,
        folder: Path,
    ) -> None:
        self.release = release
        self._cluster = cluster
        self._run_worker = run_worker
        installed = Rendered(yaml.safe_load_all(release.helm("get", "manifest", "cg", *release.at).stdout))
        operator = installed.one("Deployment", "cg-chaingraph-operator")["spec"]["template"]
        account = operator["spec"]["serviceAccountName"]
        self.kubeconfig = kubeconfig_with_rights(cluster, control_plane, folder, Rendered(), account)
        self.settings = environment(operator) | {
            "KUBECONFIG": str(self.kubeconfig),
            "CHAINGRAPH_HEALTH_PORT": "0",
            "CHAINGRAPH_NAMESPACES": cluster.namespace,
        }
        self.operator = run_operator(**self.settings)

    def worker(self, deployment: Manifest) -> WorkerProcess:
        """One of a Deployment's workers, which makes it available."""
        settings = environment(deployment["spec"]["template"])
        kept = ("CHAINGRAPH_POOL", "CHAINGRAPH_WORKER_VERSION", "CHAINGRAPH_QUEUES")
        worker = self._run_worker(**{name: settings[name] for name in kept}).wait_ready()
        condition = {"type": "Available", "status": "True", "reason": "Test", "message": ""}
        status = {"observedGeneration": deployment["metadata"]["generation"], "conditions": [condition]}
        name = deployment["metadata"]["name"]
        what = ("patch", "deployment", name, "--subresource=status", "--type=merge", "-p")
        self._cluster.kubectl(*what, json.dumps({"status": status}))
        return worker

    async def left(self, *versions: str) -> None:
        """Waits until only these versions have a Deployment."""

        async def look() -> bool:
            return set(self.release.versions()) == set(versions)

        await eventually(look, within=60, what=lambda: f"{versions} instead of {set(self.release.versions())}")


@pytest.mark.long
async def test_operator_removes_worker_deployments_kept_by_chart(
    release: Release,
    cluster: Cluster,
    control_plane: ControlPlane,
    run_operator: RunOperator,
    run_worker: RunWorker,
    tmp_path: Path,
) -> None:
    release.install()
    fleet = Fleet(release, cluster, control_plane, run_operator, run_worker, tmp_path)
    fleet.worker(release.versions()["0.1.0"])

    release.upgrade({"image": {"tag": "0.2.0"}})
    fleet.worker(release.versions()["0.2.0"])
    await fleet.left("0.2.0")

    release.rollback(1)
    assert set(release.versions()) == {"0.1.0", "0.2.0"}
    fleet.worker(release.versions()["0.1.0"])
    await fleet.left("0.1.0")

    release.upgrade({"workers": {"default": {"enabled": False}}})
    await fleet.left()
    assert "forbidden" not in fleet.operator.log.lower()


def test_uninstall_hook_removes_workers_with_operator_rights(
    release: Release, cluster: Cluster, control_plane: ControlPlane, tmp_path: Path
) -> None:
    release.install(with_values(APART, {"workers": {"other": {"queues": ["other"]}}}))
    release.upgrade({"image": {"tag": "0.2.0"}})
    assert len(release.get("deployments", "-l", "app.kubernetes.io/component=worker")["items"]) == 3
    hooks = Rendered(yaml.safe_load_all(release.helm("get", "hooks", "cg", *release.at).stdout))
    template = hooks.one("Job", "cg-chaingraph-remove-workers")["spec"]["template"]
    account = template["spec"]["serviceAccountName"]
    kubeconfig = kubeconfig_with_rights(cluster, control_plane, tmp_path, Rendered(), account)
    [program, *arguments] = template["spec"]["containers"][0]["command"]
    done = subprocess.run(
        [str(Path(sys.executable).parent / program), *arguments],
        env=environment(template) | {"KUBECONFIG": str(kubeconfig)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert release.get("deployments", "-l", "app.kubernetes.io/component=worker")["items"] == []
    assert release.get("deployment", "cg-chaingraph-operator"), "the rest is Helm's to remove"
