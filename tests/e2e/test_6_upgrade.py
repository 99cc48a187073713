"""A new version while work runs, and back: what runs stays with the workers it began on, what is new is for the new."""

from __future__ import annotations

from e2e.commands import until
from e2e.database import serving
from e2e.images import FIRST, SECOND
from e2e.kind import Cluster
from e2e.release import NAMESPACE, Release
from e2e.work import Work


def _version_of(cluster: Cluster, pod: str) -> str:
    return str(cluster.get("pod", pod, NAMESPACE)["metadata"]["labels"]["chaingraph.dev/worker-version"])


def _only(release: Release, version: str) -> None:
    """Waits until the default pool has this version alone."""
    until(f"only workers of {version} are left", lambda: set(release.worker_deployments()) == {version}, within=90)


def _changes_over(release: Release, work: Work, cluster: Cluster, *, old: str, new: str, name: str) -> None:
    """After a change from one version to another, while `name` waits at its gate."""
    deployments = release.worker_deployments()
    assert set(deployments) == {old, new}, "the old workers have to stay while work runs on them"
    # Until they have heard that they are retired they may take what is new as well.
    until(f"no worker of {old} takes new work", lambda: serving(cluster, old) == 0, within=60)
    work.start(f"{name}-new", nodes=1, seconds=0.1)
    work.completes(f"{name}-new", within=60)
    assert _version_of(cluster, work.pod_of(f"{name}-new")) == new
    status = work.status(name)
    assert status["phase"] == "Running"
    assert _version_of(cluster, work.pod_of(name)) == old
    assert old in release.worker_deployments()
    work.open_gate(name)
    work.completes(name, within=60)
    assert work.status(name)["worker"] == status["worker"]
    work.ran_once(name, interrupted=0)
    _only(release, new)


def test_upgrade_and_rollback_keep_running_work(release: Release, work: Work, cluster: Cluster) -> None:
    _only(release, FIRST)
    work.start("upgraded", nodes=2, seconds=0.1, gate=True)
    work.runs("upgraded", finished=2)
    release.upgrade(tag=SECOND)
    _changes_over(release, work, cluster, old=FIRST, new=SECOND, name="upgraded")
    # The values of the upgrade no longer name the pool of the derived image.
    pool = "chaingraph.dev/pool=acme"
    until("the pool is removed", lambda: not cluster.list("deployments", NAMESPACE, pool), within=60)
    work.start("rolled-back", nodes=2, seconds=0.1, gate=True)
    work.runs("rolled-back", finished=2)
    release.rollback()
    _changes_over(release, work, cluster, old=SECOND, new=FIRST, name="rolled-back")


def test_deleted_worker_of_an_old_version_is_replaced(release: Release, work: Work, cluster: Cluster) -> None:
    """Its Deployment, which is kept for that, brings another of its version, and that one goes on."""
    work.start("old-deleted", nodes=2, seconds=0.1, gate=True)
    pod = work.runs("old-deleted", finished=2)
    release.upgrade(tag=SECOND)
    cluster.kubectl("-n", NAMESPACE, "delete", "pod", pod, "--wait=false")
    other = work.elsewhere("old-deleted", pod, within=60)
    assert _version_of(cluster, other) == FIRST
    work.open_gate("old-deleted")
    work.completes("old-deleted", within=60)
    work.ran_once("old-deleted")
    _only(release, SECOND)
