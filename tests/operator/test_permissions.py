"""The operator gets along with the permissions that `main` lists, and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaingraph_store.ids import execution_id
from chaingraph_store.ledger import Ledger
from fixtures.children import complete_and_spawn
from fixtures.cluster import ControlPlane
from fixtures.cluster_view import Cluster
from fixtures.ledger import wait_for
from fixtures.processes import RunOperator
from fixtures.service_account import kubeconfig_of_service_account
from fixtures.waiting import eventually
from fixtures.worker_by_hand import StartWorker

pytestmark = pytest.mark.integration

CLUSTER_RULES = [
    {"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]},
]


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

    uid = cluster.apply("Execution", "parent", {"flowRef": {"name": "hello"}})
    await cluster.row(uid)
    [child] = await complete_and_spawn(ledger, execution_id(uid), 1, worker=worker.executor_id)
    await wait_for(ledger, child, lambda row: row.uid is not None)
    cluster.kubectl("delete", "cgx", "parent")

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
