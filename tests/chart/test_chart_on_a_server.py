"""What the chart makes is what a real API server takes: its schemas, and the Pod Security level `restricted`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chaingraph_crds import names
from fixtures.chart.helm import Helm, Manifest, foreign_crds
from fixtures.chart.values import COMBINATIONS
from fixtures.cluster.control_plane import ControlPlane, Kubectl

pytestmark = pytest.mark.integration

STRICTLY = ("--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict")


@pytest.fixture(scope="module")
def foreign_kinds(kubectl: Kubectl, control_plane: ControlPlane) -> Iterator[None]:
    """Prometheus Operator's, KEDA's and cert-manager's kinds, served for the tests of this module."""
    files = [f"--filename={path}" for path in foreign_crds()]
    kubectl("apply", "--server-side", "--force-conflicts", *files)
    wanted = {
        "monitoring.coreos.com/v1": {"podmonitors", "servicemonitors", "prometheusrules"},
        "keda.sh/v1alpha1": {"scaledobjects"},
        "cert-manager.io/v1": {"certificates"},
    }
    with control_plane.client() as client:
        deadline = time.monotonic() + 30
        for version, plurals in wanted.items():
            while True:
                found = client.get(f"/apis/{version}")
                served = {each["name"] for each in found.json().get("resources", [])} if found.is_success else set()
                if plurals <= served:
                    break
                assert time.monotonic() < deadline, (version, found.text)
                time.sleep(0.1)
    yield
    kubectl("delete", "--wait=false", *files)


@pytest.fixture
def restricted(kubectl: Kubectl, namespace: str) -> str:
    """The test's namespace, in which only restricted Pods may be."""
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    return namespace


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS)
@pytest.mark.usefixtures("crds", "foreign_kinds")
def test_api_server_accepts_every_chart_object(
    helm: Helm, values: dict[str, Any], kubectl: Kubectl, namespace: str
) -> None:
    # What is listed there has to exist; the release's namespace stands for them, and for that of `helm template`.
    listed = [each for each in values.get("namespaces", []) if not each.startswith("kube-")]
    listed += [each for pool in values.get("workers", {}).values() for each in pool.get("secretNamespaces", [])]
    items = json.loads(renamed(json.dumps(helm.template(values)), dict.fromkeys(["here", *listed], namespace)))
    # Several Roles of one name would now be one. The Pod of `helm test` wants its account to be there; see below.
    unique = {
        (each["kind"], each["metadata"]["name"], each["metadata"].get("namespace")): each
        for each in items
        if each["kind"] != "Pod"
    }
    bundle = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(unique.values())})
    done = kubectl("apply", *STRICTLY, "-f", "-", input=bundle, check=False)
    assert done.returncode == 0, done.stderr
    warnings = [each for each in done.stderr.splitlines() if "last-applied-configuration" not in each]
    assert warnings == []
    assert len(done.stdout.splitlines()) == len(unique)


@pytest.mark.parametrize("values", COMBINATIONS.values(), ids=COMBINATIONS)
def test_chart_pods_pass_restricted_pod_security(
    helm: Helm, values: dict[str, Any], control_plane: ControlPlane, restricted: str
) -> None:
    with control_plane.client() as client:
        post = poster(client, restricted)
        for name, template in helm.template(values).pod_templates():
            if "StatefulSet" in name and "data" not in [each["name"] for each in template["spec"]["volumes"]]:
                template["spec"]["volumes"].append({"name": "data", "emptyDir": {}})  # the claim's
            spec = template["spec"] | {"serviceAccountName": "default"}
            spec.pop("priorityClassName", None)
            taken = post(spec)
            assert taken.status_code == 201, f"{name}: {taken.text}"
            assert "warning" not in taken.headers, f"{name}: {taken.headers['warning']}"


def test_pod_security_check_rejects_unrestricted_pod(helm: Helm, control_plane: ControlPlane, restricted: str) -> None:
    """The test above could not fail if the namespace let everything in."""
    [(_, template)] = [
        each
        for each in helm.template(COMBINATIONS["trial"]).pod_templates()
        if each[1]["spec"]["containers"][0]["name"] == "operator"
    ]
    spec = template["spec"] | {"serviceAccountName": "default"}
    spec["containers"][0]["securityContext"].pop("capabilities")
    with control_plane.client() as client:
        refused = poster(client, restricted)(spec)
    assert refused.status_code == 403
    assert "restricted" in refused.text


def poster(client: Any, namespace: str) -> Callable[[Manifest], Any]:
    def post(spec: Manifest) -> Any:
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "try-"}, "spec": spec}
        return client.post(f"/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Strict", json=body)

    return post


def renamed(text: str, namespaces: dict[str, str]) -> str:
    for old, new in namespaces.items():
        text = text.replace(f'"namespace": "{old}"', f'"namespace": "{new}"')
    return text


def test_user_cluster_roles_grant_expected_rights(
    helm: Helm, kubectl: Kubectl, crds: None, namespace: str, control_plane: ControlPlane
) -> None:
    """With Kubernetes' own aggregation, which is a controller that does not run here: its rules are joined by hand."""
    rendered = helm.template(COMBINATIONS["own database"])
    people = {each["metadata"]["name"].rpartition("-")[2]: each for each in rendered.of("ClusterRole")}
    expected = {"view": ("view",), "edit": ("view", "edit"), "admin": ("view", "edit")}
    for role, parts in expected.items():
        label = f"rbac.authorization.k8s.io/aggregate-to-{role}"
        found = {name for name, each in people.items() if each["metadata"]["labels"].get(label) == "true"}
        assert found == set(parts), role
    for name, rights in {"view": [people["view"]], "edit": [people["view"], people["edit"]]}.items():
        rules = [rule for each in rights for rule in each["rules"]]
        meta = {"name": f"{name}-person", "namespace": namespace}
        rbac = "rbac.authorization.k8s.io"
        role_object = {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": meta, "rules": rules}
        binding = {
            "apiVersion": f"{rbac}/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": {"apiGroup": rbac, "kind": "Role", "name": meta["name"]},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": meta["name"]}],
        }
        kubectl(
            "apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": [role_object, binding]})
        )

    def may(person: str, verb: str, resource: str) -> str:
        kind, _, part = resource.partition("/")
        what = ("auth", "can-i", verb, f"{kind}.{names.GROUP}", f"--subresource={part}")
        return kubectl(*what, f"--as={person}-person", "-n", namespace, check=False).stdout.strip()

    can = {
        (person, verb, resource): may(person, verb, resource)
        for person in ("view", "edit")
        for verb, resource in [
            ("watch", "executions"),
            ("get", "executions/status"),
            ("get", "executions/log"),
            ("create", "executions"),
            ("patch", "flows"),
            ("patch", "executions/status"),
        ]
    }
    yes = {key for key, answer in can.items() if answer == "yes"}
    reading = {("watch", "executions"), ("get", "executions/status"), ("get", "executions/log")}
    writing = {("create", "executions"), ("patch", "flows")}
    assert yes == {("view", *each) for each in reading} | {("edit", *each) for each in reading | writing}
