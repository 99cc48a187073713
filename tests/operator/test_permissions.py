"""The operator gets along with the permissions that `main` lists, and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaingraph_store.ledger import Ledger
from fixtures.cluster import operator_rights as operators_day
from fixtures.cluster.control_plane import ControlPlane
from fixtures.cluster.service_account import kubeconfig_of_service_account
from fixtures.cluster.view import Cluster
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.programs import RunOperator

pytestmark = pytest.mark.integration

CLUSTER_RULES = [
    {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
]


@pytest.mark.long
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
    await operators_day.passes(cluster, ledger, worker, operator)
    assert await recorded_uid(ledger) == "", (
        "who serves one namespace may not read kube-system, and serves all the same"
    )


async def test_kube_system_permission_identifies_the_cluster(
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
