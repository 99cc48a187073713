"""Upgrade and rollback of workers: an operator, workers of two versions, and Deployments in a real API server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from kubernetes.aio.client import Configuration

from chaingraph_operator.kube.api import KubernetesApi
from chaingraph_operator.loops.worker_deployments import worker_selector
from chaingraph_runtime.cluster_access import ClusterAccess
from chaingraph_runtime.cluster_errors import Conflict
from chaingraph_store.ids import ExecutionId
from chaingraph_store.ledger import Ledger
from chaingraph_store.queue import leases
from chaingraph_store.queue.leases import WorkerRow
from fixtures.chart.worker_deployments import RELEASE, Release
from fixtures.cluster.control_plane import ControlPlane
from fixtures.cluster.service_account import RULES, kubeconfig_of_service_account
from fixtures.cluster.view import Cluster
from fixtures.flows.chains import steps
from fixtures.ledger.ledger import ended, row_of, wait_for
from fixtures.processes.programs import Process, RunOperator, RunWorker, WorkerProcess
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration
LASTING = {"CHAINGRAPH_LEASE_SECONDS": "12"}
LONG = steps(200, 1000)
"""It is stopped when it has served its purpose."""
OPERATOR_RULES = [
    *RULES,
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list", "delete"]},
    {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["shop-worker-pools"], "verbs": ["get"]},
]


@pytest.fixture
def release(cluster: Cluster) -> Release:
    return Release(cluster)


async def begin(cluster: Cluster, ledger: Ledger, name: str, **spec: object) -> ExecutionId:
    """An execution that has ended its first node at least."""
    row = await cluster.row(cluster.apply("Execution", name, {"flow": LONG} | spec))
    await wait_for(ledger, row.id, lambda row: row.nodes_completed > 0, within=60)
    return row.id


async def told(ledger: Ledger, worker: WorkerProcess, *, retired: bool) -> None:
    """Waits until the worker does as it is to be told."""

    async def look() -> bool:
        row = (await rows(ledger))[worker.executor_id]
        return (row.retired, row.serving) == (retired, not retired)

    await eventually(look, within=60, what=lambda: f"retired={retired}\n{worker.log}")


async def shown(operator: Process, metric: str) -> None:
    async def look() -> bool:
        return metric in operator.get("/metrics").text

    await eventually(look, what=lambda: f"{metric}\n{operator.get('/metrics').text}")


async def rows(ledger: Ledger) -> dict[str, WorkerRow]:
    async with ledger.connection() as connection:
        return {each.executor_id: each for each in await leases.all_workers(connection)}


async def test_upgrade_retires_drains_and_removes_the_old_version(
    cluster: Cluster,
    release: Release,
    control_plane: ControlPlane,
    run_operator: RunOperator,
    run_worker: RunWorker,
    ledger: Ledger,
    tmp_path: Path,
) -> None:
    kubeconfig = kubeconfig_of_service_account(cluster, control_plane, tmp_path, rules=OPERATOR_RULES)
    release.ask_for(default="1")
    release.available("1")
    old = run_worker(**LASTING, **release.worker_settings("1")).wait_ready()
    operator = run_operator(KUBECONFIG=str(kubeconfig), **release.operator_settings)
    begun = await begin(cluster, ledger, "begun")

    release.ask_for(default="2")
    new = run_worker(**LASTING, **release.worker_settings("2")).wait_ready()
    await shown(operator, 'chaingraph_operator_worker_versions{pool="default",state="superseded",version="1"} 1.0')
    assert not (await rows(ledger))[old.executor_id].retired, "the new one is not available"

    release.available("2")
    await told(ledger, old, retired=True)
    later = await begin(cluster, ledger, "later", flow=steps(1, 1))
    assert (await ended(ledger, later)).worker == new.executor_id
    row = await wait_for(ledger, begun, lambda row: row.nodes_completed > 1)
    assert (row.phase, row.worker, row.worker_version) == ("Running", old.executor_id, "1")
    await shown(operator, 'chaingraph_operator_pinned_executions{pool="default",version="1"} 1.0')
    assert cluster.status("cgx", "begun")["workerVersion"] == "1"
    assert release.deployments() == {"default/1", "default/2"}, "something of it still runs"

    cluster.kubectl("patch", "cgx", "begun", "--type=merge", "-p", json.dumps({"spec": {"stop": True}}))
    await release.left("default/2")
    assert sorted(await cluster.events_of(release.name("1"), count=2)) == [("Normal", "Removed"), ("Normal", "Retired")]
    assert "forbidden" not in operator.log


async def test_a_rollback_takes_the_former_version_back(
    cluster: Cluster, release: Release, run_operator: RunOperator, run_worker: RunWorker, ledger: Ledger
) -> None:
    release.ask_for(default="1")
    old = run_worker(**LASTING, **release.worker_settings("1")).wait_ready()
    run_operator(**release.operator_settings)
    begun = await begin(cluster, ledger, "begun")
    release.ask_for(default="2")
    release.available("2")
    new = run_worker(**LASTING, **release.worker_settings("2")).wait_ready()
    await told(ledger, old, retired=True)
    meanwhile = await begin(cluster, ledger, "meanwhile")
    assert (await row_of(ledger, meanwhile)).worker == new.executor_id

    release.ask_for(default="1")
    release.available("1")
    await told(ledger, old, retired=False)
    await told(ledger, new, retired=True)
    later = await begin(cluster, ledger, "later", flow=steps(1, 1))
    assert (await ended(ledger, later)).worker == old.executor_id
    for execution, worker in ((begun, old), (meanwhile, new)):
        row = await row_of(ledger, execution)
        assert (row.phase, row.worker) == ("Running", worker.executor_id)
    assert release.deployments() == {"default/1", "default/2"}

    # The version that was rolled back is broken: its work goes on with the former one.
    new.kill()
    await release.left("default/1")
    row = await wait_for(ledger, meanwhile, lambda row: row.worker == old.executor_id)
    assert (row.worker_version, row.recoveries) == ("1", 1)


async def test_deployment_changed_since_its_read_is_not_deleted(
    cluster: Cluster, release: Release, control_plane: ControlPlane
) -> None:
    release.ask_for(default="1")
    configuration = Configuration()
    configuration.host, configuration.ssl_ca_cert = control_plane.url, str(control_plane.ca)
    configuration.api_key = {"BearerToken": f"Bearer {control_plane.token}"}
    api = KubernetesApi(ClusterAccess(configuration), connections=1, may_write=lambda: None)
    try:
        (found,) = await api.list_deployments(cluster.namespace, worker_selector(RELEASE))
        release.ask_for(default="1")
        metadata = found["metadata"]
        with pytest.raises(Conflict):
            await api.delete_deployment(
                cluster.namespace,
                metadata["name"],
                uid=metadata["uid"],
                resource_version=metadata["resourceVersion"],
            )
    finally:
        await api.close()
    assert release.deployments() == {"default/1"}


def remove_workers(control_plane: ControlPlane, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chaingraph_operator.main", "remove-workers"],
        env=os.environ | {"PYTHONSAFEPATH": "1", "KUBECONFIG": str(control_plane.kubeconfig)} | environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def test_remove_workers_removes_all_workers_of_the_release(
    cluster: Cluster, release: Release, control_plane: ControlPlane
) -> None:
    release.ask_for(default="1", gpu="1")
    release.ask_for(default="2")
    cluster.kubectl("create", "deployment", "somebodys", "--image=x")
    cluster.kubectl("label", "deployment", "somebodys", "chaingraph.dev/pool=mine", "chaingraph.dev/worker-version=1")
    name = release.name("1")
    cluster.kubectl("patch", "deployment", name, "--type=merge", "-p", '{"metadata":{"finalizers":["test.dev/wait"]}}')
    where = {"CHAINGRAPH_WORKER_NAMESPACE": cluster.namespace, "CHAINGRAPH_RELEASE": RELEASE}
    done = remove_workers(control_plane, **where, CHAINGRAPH_REMOVE_WAIT_SECONDS="3")
    assert done.returncode == 1
    assert f'"deployments":["{name}"]' in done.stdout + done.stderr
    cluster.kubectl("patch", "deployment", name, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    done = remove_workers(control_plane, **where)
    assert done.returncode == 0, done.stdout + done.stderr
    assert release.deployments() == {"mine/1"}, "of other releases it takes nothing"


def test_remove_workers_requires_namespace_and_release(control_plane: ControlPlane) -> None:
    done = remove_workers(control_plane)
    assert done.returncode == 2
    assert "CHAINGRAPH_WORKER_NAMESPACE is not set" in done.stderr
    assert "CHAINGRAPH_RELEASE is not set" in done.stderr
