"""Releases in a cluster: what upgrade, rollback and uninstall leave, and what they keep.

There are no Pods in the tests' cluster, so hooks are left out; the end-to-end tests run them.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fixtures.chart.helm import CHART, Helm, with_values
from fixtures.chart.release import APART, Release
from fixtures.cluster.control_plane import ControlPlane, Kubectl

pytestmark = pytest.mark.integration


@pytest.fixture(params=["$HELM", "$HELM3"])
def any_helm(request: pytest.FixtureRequest, helm: Helm) -> Helm:
    """Helm, and besides an older one if the environment names one."""
    if request.param == "$HELM":
        return helm
    other = os.environ.get("HELM3")
    if not other:
        pytest.skip("$HELM3 names no other Helm")
    return Helm(Path(other), helm.folder)


def test_upgrade_keeps_old_workers_and_rollback_restores_them(
    any_helm: Helm, control_plane: ControlPlane, kubectl: Kubectl, namespace: str
) -> None:
    release = Release(any_helm.on(control_plane.kubeconfig), namespace, kubectl)
    release.install()
    first = release.versions()["0.1.0"]
    assert release.current() == {"default": "0.1.0"}

    release.upgrade({"image": {"tag": "0.2.0"}})
    assert set(release.versions()) == {"0.1.0", "0.2.0"}
    assert release.versions()["0.1.0"]["metadata"]["uid"] == first["metadata"]["uid"]
    assert release.versions()["0.1.0"]["spec"] == first["spec"], "its Pods must not be replaced"
    assert release.current() == {"default": "0.2.0"}

    release.rollback(1)
    assert release.current() == {"default": "0.1.0"}
    assert set(release.versions()) == {"0.1.0", "0.2.0"}
    assert release.versions()["0.1.0"]["metadata"]["uid"] == first["metadata"]["uid"]

    release.upgrade({"image": {"tag": "0.3.0"}})
    assert set(release.versions()) == {"0.1.0", "0.2.0", "0.3.0"}
    # What was drained the operator has removed; a rollback makes it again.
    release.delete("deployment", "cg-chaingraph-worker-default-0-1-0")
    release.rollback(1)
    assert release.current() == {"default": "0.1.0"}
    assert release.versions()["0.1.0"]["metadata"]["uid"] != first["metadata"]["uid"]


def test_removed_pool_has_no_current_version(release: Release) -> None:
    release.install(with_values(APART, {"workers": {"gpu": {"queues": ["gpu"]}}}))
    assert release.current() == {"default": "0.1.0", "gpu": "0.1.0"}
    release.upgrade({"workers": {"default": {}}})
    assert release.current() == {"default": "0.1.0"}
    found = release.get("deployments", "-l", "chaingraph.dev/pool=gpu")["items"]
    assert len(found) == 1, "its workers end what they have begun"


def test_upgrade_keeps_secrets_and_updates_workers_in_place(release: Release) -> None:
    release.install()
    before = release.versions()["0.1.0"]
    database, certificate = release.secret("cg-chaingraph-postgresql"), release.secret("cg-chaingraph-gateway-tls")
    assert len(database["password"]) == 32
    assert f":{database['password']}@" in database["url"]

    release.upgrade({"workerDefaults": {"replicas": 5, "resources": {"limits": {"memory": "2Gi"}}}})
    [after] = release.versions().values()
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"]["replicas"] == 5
    assert after["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == "2Gi"
    assert release.secret("cg-chaingraph-postgresql") == database
    assert release.secret("cg-chaingraph-gateway-tls") == certificate

    release.upgrade({"gateway": {"url": "https://chaingraph.example.com"}})
    assert release.secret("cg-chaingraph-gateway-tls")["tls.crt"] != certificate["tls.crt"]


def test_upgrade_migration_is_a_hook_with_bundled_database(release: Release) -> None:
    release.install()
    jobs = release.get("jobs")["items"]
    assert [each["metadata"]["labels"]["app.kubernetes.io/component"] for each in jobs] == ["migration"]
    release.upgrade({"image": {"tag": "0.2.0"}})
    assert release.get("jobs")["items"] == [], "the one of the installation goes with its revision"
    hooks = release.helm("get", "hooks", "cg", f"--namespace={release.namespace}").stdout
    assert "helm.sh/hook: pre-install,pre-upgrade" in hooks
    assert "chaingraph:0.2.0" in hooks


def test_connection_string_change_replaces_pods(release: Release, kubectl: Kubectl) -> None:
    def store(url: str) -> None:
        manifest = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "database", "namespace": release.namespace},
            "stringData": {"url": url},
        }
        kubectl("apply", "-f", "-", input=json.dumps(manifest))

    def checksum() -> str:
        template = release.get("deployment", "cg-chaingraph-operator")["spec"]["template"]
        found: str = template["metadata"]["annotations"]["chaingraph.dev/database-checksum"]
        return found

    own = {"postgresql": {"enabled": False}, "database": {"existingSecret": {"name": "database"}}}
    store("postgresql://one@db/chaingraph")
    release.install(with_values(APART, own))
    before = checksum()
    release.upgrade(own)
    assert checksum() == before
    store("postgresql://two@db/chaingraph")
    release.upgrade(own)
    assert checksum() != before


@pytest.mark.usefixtures("crds")
def test_uninstall_keeps_user_data_for_reinstall(release: Release, kubectl: Kubectl) -> None:
    with_crds = with_values(APART, {"crds": {"enabled": True}})
    # The tests' cluster has them already, from elsewhere.
    release.install(with_crds, "--take-ownership", "--force-conflicts")
    password = release.secret("cg-chaingraph-postgresql")["password"]
    hello = {
        "apiVersion": "chaingraph.dev/v1alpha1",
        "kind": "Execution",
        "metadata": {"name": "hello", "namespace": release.namespace},
        "spec": {"flow": {"nodes": [{"id": "a", "type": "Text"}]}},
    }
    kubectl("apply", "-f", "-", input=json.dumps(hello))
    release.uninstall()
    assert release.get("execution", "hello")["metadata"]["name"] == "hello"
    assert release.secret("cg-chaingraph-postgresql")["password"] == password
    assert set(release.versions()) == {"0.1.0"}, "its hook removes them, which is left out here"
    left = kubectl(
        "-n", release.namespace, "get", "deploy,statefulset,service,configmap,role,rolebinding", "-o", "name"
    )
    assert left.stdout.split() == ["deployment.apps/cg-chaingraph-worker-default-0-1-0"]
    release.install(with_crds, "--force-conflicts")
    assert release.secret("cg-chaingraph-postgresql")["password"] == password
    release.uninstall()
    # The policy went with the release; other tests want it.
    kubectl("apply", f"--filename={CHART.parents[1] / 'crds'}")
