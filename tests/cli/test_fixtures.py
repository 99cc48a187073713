"""The fixtures that the whole suite stands on: a real API server and a real PostgreSQL."""

from __future__ import annotations

import json

import psycopg
import pytest

from fixtures.cluster.control_plane import ControlPlane, Kubectl

pytestmark = pytest.mark.integration


def test_the_api_server_answers_kubectl(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "configmap", "here", "--from-literal=a=b", "-n", namespace)
    found = json.loads(kubectl("get", "configmap", "here", "-n", namespace, "-o", "json").stdout)
    assert found["data"] == {"a": "b"}


def test_writes_are_in_the_audit_log(control_plane: ControlPlane, kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "configmap", "audited", "-n", namespace)
    kubectl("get", "configmaps", "-n", namespace)
    events = [each for each in control_plane.audit_events(namespace) if each["user"]["username"] == "admin"]
    assert [(each["verb"], each["objectRef"]["resource"]) for each in events] == [("create", "configmaps")]


def test_rbac_is_on(kubectl: Kubectl, namespace: str) -> None:
    denied = kubectl("get", "secrets", "-n", namespace, "--as=nobody", check=False)
    assert denied.returncode != 0
    assert "forbidden" in denied.stderr


def test_owner_references_are_collected(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "configmap", "owner", "-n", namespace)
    uid = kubectl("get", "configmap", "owner", "-n", namespace, "-o", "jsonpath={.metadata.uid}").stdout
    owned = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "owned",
            "namespace": namespace,
            "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}],
        },
    }
    kubectl("create", "-f", "-", input=json.dumps(owned))
    kubectl("delete", "configmap", "owner", "-n", namespace)
    kubectl("wait", "--for=delete", "configmap/owned", "-n", namespace, "--timeout=30s")


async def test_each_test_has_a_database_of_its_own(empty_database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(empty_database_url) as connection:
        await connection.execute("CREATE TABLE mine (id int)")
        row = await (await connection.execute("SELECT current_user, current_database()")).fetchone()
    assert row is not None
    assert row[0] == "chaingraph"
    assert row[1].startswith("test_")
