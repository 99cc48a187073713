"""The operator gets along with the permissions that `main` lists, and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from chaingraph_store.ids import execution_id
from chaingraph_store.ledger import Ledger
from fixtures.cluster import ControlPlane
from fixtures.cluster_view import Cluster
from fixtures.processes import RunOperator
from fixtures.waiting import eventually
from fixtures.worker_by_hand import StartWorker

pytestmark = pytest.mark.integration

RULES = [
    {"apiGroups": ["chaingraph.dev"], "resources": ["flows", "executions"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": ["chaingraph.dev"], "resources": ["flows/status", "executions/status"], "verbs": ["patch"]},
    {"apiGroups": ["chaingraph.dev"], "resources": ["executions"], "verbs": ["delete"]},
    {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
]
CLUSTER_RULES = [
    {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
]


def kubeconfig_of_service_account(cluster: Cluster, control_plane: ControlPlane, folder: Path) -> Path:
    """A kubeconfig for a service account of the test's namespace that has a Role with `RULES`."""
    meta = {"name": "operator", "namespace": cluster.namespace}
    rbac = "rbac.authorization.k8s.io"
    objects = [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": RULES},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": "operator"},
            "subjects": [{"kind": "ServiceAccount", **meta}],
        },
    ]
    for each in objects:
        cluster.kubectl("apply", "-f", "-", input=json.dumps(each))
    token = cluster.kubectl("create", "token", "operator").stdout.strip()
    config = yaml.safe_load(control_plane.kubeconfig.read_text(encoding="utf-8"))
    config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
    path = folder / "operator.kubeconfig"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


async def test_the_documented_permissions_are_enough(
    cluster: Cluster,
    control_plane: ControlPlane,
    run_operator: RunOperator,
    start_worker: StartWorker,
    ledger: Ledger,
    tmp_path: Path,
) -> None:
    worker = await start_worker()
    kubeconfig = kubeconfig_of_service_account(cluster, control_plane, tmp_path)
    operator = run_operator(KUBECONFIG=str(kubeconfig), CHAINGRAPH_SWEEP_SECONDS="1")
    cluster.apply("Flow", "hello", {"nodes": [{"id": "a", "type": "Text"}]})
    await cluster.condition("Flow", "hello", "Ready", status="True")
    uid = cluster.apply("Execution", "brief", {"flowRef": {"name": "hello"}, "ttlSecondsAfterFinished": 2})
    await worker.run(execution_id(uid))
    await cluster.condition("Execution", "brief", "Succeeded", status="True")
    assert await cluster.events_of("brief", count=1) == [("Normal", "Completed")]

    async def expired() -> bool:
        return cluster.kubectl("get", "cgx", "-o", "name").stdout == ""

    await eventually(expired, what="the end of 'brief'")
    assert "forbidden" not in operator.log
    assert await recorded_uid(ledger) == "", (
        "who serves one namespace may not read kube-system, and serves all the same"
    )


async def test_the_permission_on_kube_system_tells_the_operator_which_cluster_it_serves(
    cluster: Cluster, control_plane: ControlPlane, run_operator: RunOperator, ledger: Ledger, tmp_path: Path
) -> None:
    kubeconfig = kubeconfig_of_service_account(cluster, control_plane, tmp_path)
    rbac = "rbac.authorization.k8s.io"
    meta = {"name": cluster.namespace, "namespace": "kube-system"}
    account = {"kind": "ServiceAccount", "name": "operator", "namespace": cluster.namespace}
    role = {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": CLUSTER_RULES}
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "RoleBinding",
        "metadata": meta,
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": cluster.namespace},
        "subjects": [account],
    }
    for each in (role, binding):
        cluster.kubectl("--namespace=kube-system", "apply", "-f", "-", input=json.dumps(each))
    run_operator(KUBECONFIG=str(kubeconfig))
    expected = cluster.kubectl("get", "namespace", "kube-system", "-o", "jsonpath={.metadata.uid}").stdout
    assert await recorded_uid(ledger) == expected


async def recorded_uid(ledger: Ledger) -> str:
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT uid FROM chaingraph.cluster")
        rows = await cursor.fetchall()
    assert len(rows) == 1
    return str(rows[0][0])
