"""What Flux does with Executions: the library that its kustomize-controller applies and waits with, on a real API
server. Helm's waiter reads the same kstatus."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chaingraph_cli.kubectl import FIELD_MANAGER
from fixtures.chart.evaluators import Evaluators
from fixtures.cluster.user import SUM, User, chain, execution, flow
from fixtures.processes.system import StartSystem

pytestmark = pytest.mark.integration

_DIVIDE: dict[str, Any] = {
    "nodes": [{"id": "divide", "type": "Math", "inputs": {"a": 40, "b": 0, "operation": "divide"}}]
}


class Kustomization:
    """A Kustomization of Flux whose target is the test's namespace."""

    def __init__(self, user: User, evaluators: Evaluators) -> None:
        self._user = user
        self._evaluators = evaluators

    def _ask(self, do: str, manifests: tuple[dict[str, Any], ...], **options: Any) -> Any:
        return self._evaluators.ask(
            do, app="nightly", namespace=self._user.namespace, manifests=list(manifests), **options
        )

    def apply(self, *manifests: dict[str, Any]) -> dict[str, str]:
        """What it did with each, by name: created, configured, unchanged."""
        told: dict[str, str] = self._ask("flux-apply", manifests)
        return {subject.rsplit("/", 1)[1]: action for subject, action in told.items()}

    def wait(self, *manifests: dict[str, Any], seconds: float = 60) -> None:
        """`wait: true`. A RuntimeError when one has failed, or time is up."""
        self._ask("flux-wait", manifests, seconds=seconds)


@pytest.fixture
def kustomization(user: User, live_evaluators: Evaluators, start_system: StartSystem) -> Kustomization:
    start_system()
    return Kustomization(user, live_evaluators)


def test_flux_applies_run_once_without_drift(kustomization: Kustomization, user: User) -> None:
    manifests = (flow("sum", **SUM), execution("sum", flow=chain(3, 300)))
    assert kustomization.apply(*manifests) == {"sum": "created"}
    while not user.has_succeeded("sum"):
        assert set(kustomization.apply(*manifests).values()) == {"unchanged"}
    kustomization.wait(*manifests)
    assert user.get("cgx", "sum")["metadata"]["generation"] == 1


def test_flux_wait_ends_on_completion_or_failure(kustomization: Kustomization, user: User) -> None:
    good, bad = execution("good", flow=chain(2, 500)), execution("bad", flow=_DIVIDE)
    kustomization.apply(good)
    kustomization.wait(good)
    assert user.has_succeeded("good")
    kustomization.apply(bad)
    began = time.monotonic()
    with pytest.raises(RuntimeError, match="bad status: 'Failed'"):
        kustomization.wait(bad)
    assert time.monotonic() - began < 30
    held = execution("held", flow=chain(1, 10), paused=True)
    kustomization.apply(held)
    with pytest.raises(RuntimeError, match=r"timeout waiting for: .*held status: 'InProgress'|exceed context deadline"):
        kustomization.wait(held, seconds=2)


_MERGE = {"kustomize.toolkit.fluxcd.io/ssa": "Merge"}


def _patch(user: User, name: str, spec: str, *, manager: str = "kubectl-patch") -> None:
    patch = f'{{"spec": {spec}}}'
    user.kubectl("patch", f"cgx/{name}", "--type=merge", "-p", patch, f"--field-manager={manager}")


@pytest.mark.parametrize("manager", ["kubectl-patch", FIELD_MANAGER])
def test_flux_reverts_kubectl_edits_but_keeps_plugin_edits(
    kustomization: Kustomization, user: User, manager: str
) -> None:
    manifest = execution("slow", flow=chain(2, 60_000))
    kustomization.apply(manifest)
    user.until("slow", lambda status: status.get("phase") == "Running")
    _patch(user, "slow", '{"paused": true}', manager=manager)
    user.wait("slow", "Paused")
    if manager == FIELD_MANAGER:
        assert kustomization.apply(manifest) == {"slow": "unchanged"}
        user.wait("slow", "Paused")
    else:
        assert kustomization.apply(manifest) == {"slow": "configured"}
        user.wait("slow", "Paused=false")


def test_flux_apply_fails_on_kubectl_stop_unless_merging(kustomization: Kustomization, user: User) -> None:
    strict, merged = execution("strict", flow=chain(2, 60_000)), execution("merged", flow=chain(2, 60_000))
    merged["metadata"]["annotations"] = _MERGE
    kustomization.apply(strict, merged)
    for name in ("strict", "merged"):
        _patch(user, name, '{"stop": true, "stopReason": "took too long"}')
        user.until(name, lambda status: status.get("phase") == "Stopped")
    assert kustomization.apply(merged) == {"merged": "unchanged"}
    with pytest.raises(RuntimeError, match="stop cannot be reverted"):
        kustomization.apply(strict)


def test_flux_reverts_fields_set_in_manifest(kustomization: Kustomization, user: User) -> None:
    manifest = execution("slow", flow=chain(2, 60_000), paused=False)
    manifest["metadata"]["annotations"] = _MERGE
    kustomization.apply(manifest)
    user.until("slow", lambda status: status.get("phase") == "Running")
    _patch(user, "slow", '{"paused": true}', manager=FIELD_MANAGER)
    user.wait("slow", "Paused")
    assert kustomization.apply(manifest) == {"slow": "configured"}
    user.wait("slow", "Paused=false")


def test_flux_reruns_expired_execution(kustomization: Kustomization, user: User) -> None:
    manifest = execution("once", flow=chain(1, 10), ttlSecondsAfterFinished=1)
    kustomization.apply(manifest)
    user.kubectl("wait", "--for=delete", "cgx/once", "--timeout=60s")
    assert kustomization.apply(manifest) == {"once": "created"}


def test_flux_skips_run_marked_if_not_present(kustomization: Kustomization, user: User) -> None:
    first = execution("once", flow=chain(1, 10))
    kustomization.apply(first)
    other = execution("once", flow=chain(2, 10))
    with pytest.raises(RuntimeError, match="immutable"):
        kustomization.apply(other)
    other["metadata"]["annotations"] = {"kustomize.toolkit.fluxcd.io/ssa": "IfNotPresent"}
    assert kustomization.apply(other) == {"once": "skipped"}
