"""The workers' right to read Secrets: in the namespaces that a pool names, and nowhere without one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.chart.helm import Helm, Rendered, environment, with_values
from fixtures.chart.release import kubeconfig_with_rights
from fixtures.chart.values import COMBINATIONS, OWN_DATABASE
from fixtures.cluster.control_plane import ControlPlane
from fixtures.cluster.view import Cluster

API_SERVER = {"networkPolicy": {"egress": {"apiServer": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]}}}


def test_no_worker_reads_secrets_by_default(helm: Helm) -> None:
    rendered = helm.template(OWN_DATABASE)
    for each in (*rendered.of("Role"), *rendered.of("ClusterRole")):
        assert not any("secrets" in rule.get("resources", []) for rule in each["rules"]), each["metadata"]["name"]
    for each in rendered.of("Deployment"):
        if each["metadata"]["labels"]["app.kubernetes.io/component"] == "worker":
            pod = each["spec"]["template"]
            assert pod["spec"]["automountServiceAccountToken"] is False
            assert not {"CHAINGRAPH_SECRET_NAMESPACES", "CHAINGRAPH_SECRETS_FOLDER"} & environment(pod).keys()


def test_accounts_of_pools_get_secrets_in_their_namespaces(helm: Helm) -> None:
    rendered = helm.template(COMBINATIONS["secrets"])
    granted = {}
    for binding in rendered.of("RoleBinding"):
        if binding["metadata"]["name"].endswith("-secrets"):
            namespace = binding["metadata"]["namespace"]
            granted[namespace] = {(each["name"], each["namespace"]) for each in binding["subjects"]}
            [role] = [
                each
                for each in rendered.of("Role")
                if each["metadata"]["name"] == binding["roleRef"]["name"] and each["metadata"]["namespace"] == namespace
            ]
            assert role["rules"] == [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    ours = ("cg-chaingraph-worker", "here")
    assert granted == {"team-a": {ours}, "team-b": {ours, ("billing", "here")}}
    pods = {
        each["metadata"]["labels"]["chaingraph.dev/pool"]: each["spec"]["template"]
        for each in rendered.of("Deployment")
        if "chaingraph.dev/pool" in each["metadata"]["labels"]
    }
    assert {name: each["spec"]["automountServiceAccountToken"] for name, each in pods.items()} == {
        "default": True,
        "billing": True,
        "plain": False,
    }
    assert environment(pods["default"])["CHAINGRAPH_SECRET_NAMESPACES"] == "team-a,team-b"
    assert environment(pods["billing"])["CHAINGRAPH_SECRETS_FOLDER"] == "/secrets"


def test_pool_with_secrets_reaches_the_api_server_alone(helm: Helm) -> None:
    rendered = helm.template(COMBINATIONS["secrets"])
    opened = {
        each["spec"]["podSelector"]["matchLabels"]["chaingraph.dev/pool"]: each["spec"]["egress"]
        for each in rendered.of("NetworkPolicy")
        if "chaingraph.dev/pool" in each["spec"]["podSelector"]["matchLabels"]
    }
    ports = [{"port": port, "protocol": "TCP"} for port in (443, 6443)]
    rule = {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}], "ports": ports}
    assert opened == {"default": [rule], "billing": [rule]}


def test_secrets_need_the_address_of_the_api_server(helm: Helm) -> None:
    values = with_values(OWN_DATABASE, {"workers": {"default": {"secretNamespaces": ["team-a"]}}})
    told = helm.refused(values)
    assert "workers.default.secretNamespaces is set and networkPolicy.egress.apiServer is empty" in told
    assert helm.template(with_values(values, {"networkPolicy": {"enabled": False}}))


@pytest.mark.parametrize("name", ["*", "Team", "a/b", ""])
def test_secret_namespaces_are_names(helm: Helm, name: str) -> None:
    values = with_values(OWN_DATABASE, API_SERVER, {"workers": {"default": {"secretNamespaces": [name]}}})
    assert "secretNamespaces/0" in helm.refused(values)


@pytest.mark.integration
async def test_worker_has_the_right_to_get_secrets_and_no_other(
    helm: Helm, cluster: Cluster, control_plane: ControlPlane, tmp_path: Path
) -> None:
    values = with_values(OWN_DATABASE, API_SERVER, {"workers": {"default": {"secretNamespaces": [cluster.namespace]}}})
    text = json.dumps(helm.template(values)).replace('"here"', json.dumps(cluster.namespace))
    rendered = Rendered(json.loads(text))
    account = "cg-chaingraph-worker"
    kubeconfig_with_rights(cluster, control_plane, tmp_path, rendered, account, component="worker")
    who = f"--as=system:serviceaccount:{cluster.namespace}:{account}"

    def may(verb: str, what: str, namespace: str) -> bool:
        done = cluster.kubectl("auth", "can-i", verb, what, who, "-n", namespace, check=False)
        return done.stdout.strip() == "yes"

    assert may("get", "secrets", cluster.namespace)
    assert not may("get", "secrets", "default")
    for verb, what in (("list", "secrets"), ("watch", "secrets"), ("update", "secrets"), ("get", "configmaps")):
        assert not may(verb, what, cluster.namespace), (verb, what)
