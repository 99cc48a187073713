"""What Argo CD does with Executions: its own sync engine and its own comparison, against a real API server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fixtures.chart.evaluators import Evaluators
from fixtures.cluster.user import SUM, User, chain, execution, flow
from fixtures.processes.system import StartSystem

pytestmark = pytest.mark.integration

_TRACKING = "argocd.argoproj.io/tracking-id"
_SEVERAL: dict[str, Any] = {
    "nodes": [
        {"id": "each", "type": "EmitEach", "inputs": {"eventName": "number", "items": [1, 2, 3]}},
        {"id": "number", "type": "EventListener", "inputs": {"eventName": "number", "schema": "number"}},
        {"id": "double", "type": "Math", "inputs": {"operation": "multiply", "b": 2}},
    ],
    "edges": [{"from": "number.payload", "to": "double.a"}],
}


def annotated(manifest: dict[str, Any], **annotations: str) -> dict[str, Any]:
    found = {f"argocd.argoproj.io/{name.replace('_', '-')}": value for name, value in annotations.items()}
    return manifest | {"metadata": manifest["metadata"] | {"annotations": found}}


class App:
    """An Application of Argo CD whose destination is the test's namespace."""

    def __init__(self, user: User, evaluators: Evaluators) -> None:
        self._user = user
        self._evaluators = evaluators

    def sync(self, *manifests: dict[str, Any], seconds: float = 60, **options: Any) -> dict[str, dict[str, str]]:
        """What it says of each resource, by name."""
        results = self._evaluators.ask(
            "argo-sync",
            app="nightly",
            namespace=self._user.namespace,
            manifests=list(manifests),
            seconds=seconds,
            **options,
        )
        return {each["name"]: each for each in results}

    def out_of_sync(self, manifest: dict[str, Any]) -> bool:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        shown = self._user.kubectl("get", kind, name, "-o", "json", "--ignore-not-found").stdout
        live = json.loads(shown) if shown else None
        return bool(
            self._evaluators.ask("argo-diff", app="nightly", namespace=self._user.namespace, object=manifest, live=live)
        )

    def tree(self) -> dict[str, dict[str, str]]:
        found = self._evaluators.ask("argo-tree", app="nightly", namespace=self._user.namespace)
        return {f"{each['kind']}/{each['name']}": each for each in found}


@pytest.fixture
def app(user: User, live_evaluators: Evaluators, start_system: StartSystem) -> App:
    start_system()
    return App(user, live_evaluators)


def uid(user: User, name: str) -> str:
    return str(user.get("cgx", name)["metadata"]["uid"])


@pytest.mark.parametrize("server_side", [False, True], ids=["client-side", "server-side"])
def test_argocd_keeps_finished_run_in_sync(app: App, user: User, server_side: bool) -> None:
    manifests = [flow("sum", **SUM), execution("sum", flowRef={"name": "sum"}, inputs={"a": 40})]
    assert all(app.out_of_sync(each) for each in manifests)
    app.sync(*manifests, serverSide=server_side)
    user.wait("sum")
    assert not any(app.out_of_sync(each) for each in manifests)
    ran = uid(user, "sum")
    app.sync(*manifests, serverSide=server_side)
    assert uid(user, "sum") == ran
    assert user.status("sum")["attempt"] == 1


def test_argocd_waves_wait_for_run_and_stop_at_failure(app: App, user: User) -> None:
    good = annotated(execution("migration", flow=chain(2, 400)), sync_wave="0")
    after = annotated({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"}}, sync_wave="1")
    told = app.sync(good, after)
    assert told["migration"]["phase"] == "Succeeded"
    assert told["app"]["status"] == "Synced"
    completed = user.status("migration")["completionTime"]
    assert completed[:19] + "Z" <= user.get("configmap", "app")["metadata"]["creationTimestamp"]
    divide = {"id": "divide", "type": "Math", "inputs": {"a": 40, "b": 0, "operation": "divide"}}
    bad = annotated(execution("bad-migration", flow={"nodes": [divide]}), sync_wave="0")
    never = annotated({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "never"}}, sync_wave="1")
    told = app.sync(bad, never)
    assert told["bad-migration"]["phase"] == "Failed"
    assert "division by zero" in told["bad-migration"]["message"]
    assert "not found" in user.kubectl("get", "configmap", "never", check=False).stderr


def test_argocd_hook_runs_at_each_sync(app: App, user: User) -> None:
    manifest = annotated(execution("", flow=chain(1, 300)), hook="PreSync", hook_delete_policy="BeforeHookCreation")
    manifest["metadata"] = {"generateName": "check-", "annotations": manifest["metadata"]["annotations"]}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"}, "data": {"version": "1"}}
    for version in ("1", "2"):
        config["data"] = {"version": version}
        told = app.sync(manifest, config)
        [hook] = [each for each in told.values() if each["hook"]]
        assert hook["phase"] == "Succeeded", told
        assert hook["message"].startswith("Completed: ")
        assert user.get("configmap", "app")["data"]["version"] == version
    runs = json.loads(user.kubectl("get", "cgx", "-o", "json").stdout)["items"]
    assert {each["status"]["phase"] for each in runs} == {"Completed"}
    assert {bool(each["metadata"]["name"].startswith("check-")) for each in runs} == {True}


def test_argocd_nests_children_and_does_not_prune_them(app: App, user: User) -> None:
    parent = execution("several", flow=_SEVERAL)
    app.sync(parent)
    user.wait("several", "TreeSucceeded")
    user.until("several", lambda status: len(status.get("childRefs", [])) == 3)
    app.sync(parent, prune=True)
    names = ["several", *(f"several-{number}" for number in range(3))]
    tree = app.tree()
    assert sorted(tree) == sorted(f"Execution/{name}" for name in names)
    assert {name: each["app"] for name, each in tree.items() if each["app"]} == {"Execution/several": "nightly"}
    assert {each["health"] for each in tree.values()} == {"Healthy"}
    for name in names[1:]:
        assert _TRACKING not in user.get("cgx", name)["metadata"].get("annotations", {})
    app.sync(prune=True)
    user.kubectl("wait", "--for=delete", *(f"cgx/{name}" for name in names), "--timeout=30s")


@pytest.mark.parametrize("server_side", [False, True], ids=["client-side", "server-side"])
def test_argocd_sync_reverts_pause_only_if_in_manifest(app: App, user: User, server_side: bool) -> None:
    silent = execution("silent", flow=chain(2, 60_000))
    outspoken = execution("outspoken", flow=chain(2, 60_000), paused=False)
    app.sync(silent, outspoken, serverSide=server_side)
    for name in ("silent", "outspoken"):
        user.until(name, lambda status: status.get("phase") == "Running")
        user.kubectl("patch", f"cgx/{name}", "--type=merge", "-p", '{"spec": {"paused": true}}')
        user.wait(name, "Paused")
    assert not app.out_of_sync(silent)
    assert app.out_of_sync(outspoken)
    app.sync(silent, outspoken, serverSide=server_side)
    user.wait("outspoken", "Paused=false")
    user.wait("silent", "Paused")


def test_argocd_sync_rejects_immutable_change_unless_replaced(app: App, user: User) -> None:
    manifest = execution("sum", flow={"nodes": [{"id": "a", "type": "Text", "inputs": {"value": "one"}}]})
    app.sync(manifest)
    user.wait("sum")
    ran = uid(user, "sum")
    other = execution("sum", flow={"nodes": [{"id": "a", "type": "Text", "inputs": {"value": "two"}}]})
    assert app.out_of_sync(other)
    told = app.sync(other)
    assert told["sum"]["status"] == "SyncFailed"
    assert "immutable" in told["sum"]["message"]
    assert uid(user, "sum") == ran
    told = app.sync(annotated(other, sync_options="Force=true,Replace=true"))
    assert told["sum"]["status"] == "Synced", told
    user.wait("sum")
    assert uid(user, "sum") != ran


def test_argocd_sync_reruns_expired_execution(app: App, user: User) -> None:
    manifest = execution("once", flow=chain(1, 10), ttlSecondsAfterFinished=5)
    app.sync(manifest)
    ran = uid(user, "once")
    user.kubectl("wait", "--for=delete", "cgx/once", "--timeout=60s")
    assert app.out_of_sync(manifest)
    app.sync(manifest)
    assert uid(user, "once") != ran


def test_argocd_repeated_sync_retries_once(app: App, user: User) -> None:
    divide = {"nodes": [{"id": "divide", "type": "Math", "inputs": {"a": 40, "b": 0, "operation": "divide"}}]}
    app.sync(execution("again", flow=divide))
    user.until("again", lambda status: status.get("phase") == "Failed")
    retried = execution("again", flow=divide, retry={"token": "2026-11-26"})
    for _ in range(2):
        app.sync(retried)
        user.until("again", lambda status: status["attempt"] == 2 and status["phase"] == "Failed")
    assert user.get("cgx", "again")["metadata"]["generation"] == 2
