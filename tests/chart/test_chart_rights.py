"""The processes get along with the rights that the chart gives them, and with no others."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chaingraph_store.ledger import Ledger
from fixtures.chart.helm import CHART, Helm, Rendered, environment, with_values
from fixtures.chart.release import kubeconfig_with_rights
from fixtures.chart.values import OWN_DATABASE
from fixtures.cluster import operator_rights as operators_day
from fixtures.cluster.control_plane import ControlPlane
from fixtures.cluster.view import Cluster
from fixtures.ledger.worker_by_hand import StartWorker
from fixtures.processes.gateway import READER, People, RunGateway
from fixtures.processes.programs import RunOperator
from fixtures.processes.system import System
from fixtures.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("everywhere", [True, False], ids=["cluster-wide", "listed namespaces"])
async def test_operator_works_with_chart_rights(
    helm: Helm,
    cluster: Cluster,
    control_plane: ControlPlane,
    run_operator: RunOperator,
    start_worker: StartWorker,
    ledger: Ledger,
    tmp_path: Path,
    everywhere: bool,
) -> None:
    worker = await start_worker()
    rendered = rendered_in(helm, cluster.namespace, {} if everywhere else {"namespaces": [cluster.namespace]})
    [deployment] = [each for each in rendered.of("Deployment") if each["metadata"]["name"] == "cg-chaingraph-operator"]
    template = deployment["spec"]["template"]
    kubeconfig = kubeconfig_with_rights(
        cluster, control_plane, tmp_path, rendered, template["spec"]["serviceAccountName"]
    )
    settings = environment(template) | {
        "KUBECONFIG": str(kubeconfig),
        "CHAINGRAPH_HEALTH_PORT": "0",
        "CHAINGRAPH_NAMESPACES": cluster.namespace,
        "CHAINGRAPH_SWEEP_SECONDS": "1",
    }
    operator = run_operator(**settings)
    await operators_day.passes(cluster, ledger, worker, operator)
    assert cluster.get("lease", "cg-chaingraph-operator")["spec"]["holderIdentity"]
    async with ledger.connection() as connection:
        cursor = await connection.execute("SELECT uid FROM chaingraph.cluster")
        assert await cursor.fetchone() != ("",), "it may read which cluster it serves"


@pytest.mark.parametrize("everywhere", [True, False], ids=["cluster-wide", "listed namespaces"])
async def test_operator_has_no_other_rights(
    helm: Helm, cluster: Cluster, control_plane: ControlPlane, tmp_path: Path, everywhere: bool
) -> None:
    rendered = rendered_in(helm, cluster.namespace, {} if everywhere else {"namespaces": [cluster.namespace]})
    kubeconfig_with_rights(cluster, control_plane, tmp_path, rendered, "cg-chaingraph-operator")
    who = f"--as=system:serviceaccount:{cluster.namespace}:cg-chaingraph-operator"

    def may(verb: str, what: str, *options: str) -> bool:
        return cluster.kubectl("auth", "can-i", verb, what, who, *options, check=False).stdout.strip() == "yes"

    assert may("list", "executions.chaingraph.dev", "-A") is everywhere
    assert may("list", "executions.chaingraph.dev", "-n", cluster.namespace)
    assert may("delete", "deployments.apps", "-n", cluster.namespace)
    assert not may("delete", "deployments.apps", "-n", "default")
    for verb, what in [
        ("get", "secrets"),
        ("list", "configmaps"),
        ("create", "pods"),
        ("delete", "flows.chaingraph.dev"),
        ("update", "executions.chaingraph.dev"),
        ("create", "deployments.apps"),
        ("patch", "deployments.apps"),
        ("delete", "leases.coordination.k8s.io"),
        ("list", "namespaces"),
        ("watch", "namespaces"),
        ("patch", "namespaces"),
    ]:
        assert not may(verb, what, "-n", cluster.namespace), (verb, what)
    assert may("get", f"namespaces/{cluster.namespace}", "-n", cluster.namespace)
    assert may("get", "namespaces/default", "-n", "default") is everywhere


async def test_operator_deletes_worker_deployments_only(
    helm: Helm, cluster: Cluster, control_plane: ControlPlane, tmp_path: Path
) -> None:
    """Its Role lets it delete all of the namespace; the admission policy narrows that down."""
    rendered = rendered_in(helm, cluster.namespace, {})
    kubeconfig_with_rights(cluster, control_plane, tmp_path, rendered, "cg-chaingraph-operator")
    for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
        [policy] = [each for each in rendered.of(kind) if each["metadata"]["name"].endswith("-operator-deletes")]
        cluster.kubectl("apply", "-f", "-", input=json.dumps(policy))
    who = f"--as=system:serviceaccount:{cluster.namespace}:cg-chaingraph-operator"
    worker = {"app.kubernetes.io/instance": "cg", "app.kubernetes.io/component": "worker"}
    others: dict[str, dict[str, str]] = {
        "plain": {},
        "gateway": worker | {"app.kubernetes.io/component": "gateway"},
        "other-release": worker | {"app.kubernetes.io/instance": "other"},
        "half": {"app.kubernetes.io/component": "worker"},
    }
    for name, labels in {"worker": worker, **others}.items():
        cluster.kubectl("create", "deployment", name, "--image=none", "--replicas=0")
        cluster.kubectl("label", "--overwrite", "deployment", name, "x=y", *(f"{k}={v}" for k, v in labels.items()))

    def refusal(name: str, *options: str) -> str:
        done = cluster.kubectl("delete", "deployment", name, "--wait=false", *options, check=False)
        return done.stderr if done.returncode else ""

    async def refused() -> bool:
        return refusal("plain", who, "--dry-run=server") != ""

    await eventually(refused, what="the policy, of which the API server takes a moment to know")
    for name in others:
        assert "ValidatingAdmissionPolicy" in refusal(name, who), name
    assert refusal("worker", who) == ""
    assert refusal("plain") == "", "others are not asked"


async def test_gateway_works_with_chart_rights_and_certificate(
    helm: Helm,
    cluster: Cluster,
    control_plane: ControlPlane,
    run_gateway: RunGateway,
    people: People,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    rendered = rendered_in(helm, cluster.namespace, {"gateway": {"discovery": {"enabled": False}}})
    template = rendered.one("Deployment", "cg-chaingraph-gateway")["spec"]["template"]
    account = template["spec"]["serviceAccountName"]
    kubeconfig = kubeconfig_with_rights(cluster, control_plane, tmp_path, rendered, account, component="gateway")
    settings = environment(template) | {"KUBECONFIG": str(kubeconfig), "CHAINGRAPH_HEALTH_PORT": "0"}
    settings |= {"CHAINGRAPH_GATEWAY_HOST": "127.0.0.1", "CHAINGRAPH_GATEWAY_PORT": "0"}
    secret = rendered.one("Secret", "cg-chaingraph-gateway-tls")["data"]
    for name, variable in {"tls.crt": "CHAINGRAPH_TLS_CERTIFICATE", "tls.key": "CHAINGRAPH_TLS_KEY"}.items():
        settings[variable] = str(tmp_path / name)
        (tmp_path / name).write_bytes(base64.b64decode(secret[name]))
    gateway = run_gateway(**settings)
    gateway.ca = tmp_path / "ca.crt"
    gateway.ca.write_bytes(base64.b64decode(secret["ca.crt"]))

    path = f"/executions?namespace={cluster.namespace}"
    assert (await gateway.ask(path)).status_code == 401
    assert (await gateway.ask(path, people.service_account("stranger"))).status_code == 403
    assert (await gateway.ask(path, people.service_account("reader", READER))).status_code == 200
    certified = people.certified("ada")
    assert (await gateway.ask(path, certified)).status_code == 403, "it knows the cluster's client CA"


def test_worker_migration_and_database_have_no_rights(helm: Helm) -> None:
    rendered = helm.template({"postgresql": {"enabled": True}})
    accounts = {each["metadata"]["name"].removeprefix("cg-chaingraph-") for each in rendered.of("ServiceAccount")}
    bound = {
        subject["name"].removeprefix("cg-chaingraph-")
        for kind in ("RoleBinding", "ClusterRoleBinding")
        for each in rendered.of(kind)
        for subject in each["subjects"]
        if subject["kind"] == "ServiceAccount"
    }
    assert accounts - bound == {"worker", "migration", "postgresql"}


def test_helm_test_passes_on_working_system(system: System, tmp_path: Path, helm: Helm) -> None:
    done = first_execution(system, helm, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Completed after" in done.stdout
    assert system.kubectl("get", "cgf,cgx", "-o", "name").stdout == "", "it leaves nothing behind"


def test_helm_test_fails_with_reason_without_operator(
    control_plane: ControlPlane, crds: None, namespace: str, kubectl: Any, helm: Helm
) -> None:
    done = first_execution(System(namespace, control_plane.kubeconfig, kubectl), helm, timeout=2)
    assert done.returncode == 1
    assert "not Completed" in done.stdout
    assert kubectl("-n", namespace, "get", "cgf,cgx", "-o", "name").stdout == ""


def first_execution(system: System, helm: Helm, *, timeout: int) -> subprocess.CompletedProcess[str]:
    """What the Pod of `helm test` runs."""
    [pod] = helm.template(with_values(OWN_DATABASE, {"test": {"timeoutSeconds": timeout}})).of("Pod")
    container = pod["spec"]["containers"][0]
    settings = environment({"spec": pod["spec"]}) | {"TEST_NAMESPACE": system.namespace}
    assert container["command"][:2] == ["python3", "-c"]
    assert container["command"][2] == (CHART / "files" / "first-execution.py").read_text(encoding="utf-8")
    return subprocess.run(
        [sys.executable, *container["command"][1:]],
        env=settings | {"KUBECONFIG": str(system.kubeconfig)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def rendered_in(helm: Helm, namespace: str, values: dict[str, Any]) -> Rendered:
    """The chart in a namespace, with a name of its own for what is cluster-wide."""
    text = json.dumps(helm.template(with_values(OWN_DATABASE, values)))
    for here, there in {'"here"': f'"{namespace}"', "here-cg": f"{namespace}-cg", ":here:": f":{namespace}:"}.items():
        text = text.replace(here, there)
    return Rendered(json.loads(text))
