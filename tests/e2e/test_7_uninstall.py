"""The release goes while work runs, and comes back. The ledger and the resources stay, so the work goes on."""

from __future__ import annotations

from e2e.images import SECOND
from e2e.kind import Cluster
from e2e.release import NAME, NAMESPACE, Release
from e2e.work import Work


def test_uninstall_keeps_work_and_reinstall_resumes_it(release: Release, work: Work, cluster: Cluster) -> None:
    work.start("ended", nodes=1, seconds=0.1)
    work.completes("ended", within=60)
    work.start("survivor", nodes=3, seconds=0.5, gate=True)
    work.runs("survivor", finished=3)
    work.start("waiting", nodes=1, seconds=0.1, gate=True)
    work.runs("waiting", finished=1)
    release.uninstall()
    _nothing_runs(cluster)
    _everything_is_kept(work, cluster)
    # Nobody is there to see this one; it waits in the API server alone.
    work.start("applied-meanwhile", nodes=1, seconds=0.1)
    release.install(tag=SECOND)
    work.completes("applied-meanwhile", within=60)
    for name in ("survivor", "waiting"):
        work.open_gate(name)
        status = work.completes(name, within=60)
        assert status["attempt"] == 1
        work.ran_once(name)


def _nothing_runs(cluster: Cluster) -> None:
    """No Pod of the release is left: not even its kept worker Deployments."""
    pods = cluster.list("pods", NAMESPACE, f"app.kubernetes.io/instance={NAME}")
    assert [each["metadata"]["name"] for each in pods if "deletionTimestamp" not in each["metadata"]] == []
    assert cluster.list("deployments", NAMESPACE, f"app.kubernetes.io/instance={NAME}") == []


def _everything_is_kept(work: Work, cluster: Cluster) -> None:
    """The definitions, the executions that ended, and those that ran, which are neither failed nor stopped."""
    for name in ("flows", "executions"):
        found = cluster.get("customresourcedefinition", f"{name}.chaingraph.dev", NAMESPACE)
        assert "deletionTimestamp" not in found["metadata"]
    assert work.status("ended")["phase"] == "Completed"
    for name in ("survivor", "waiting"):
        status = work.status(name)
        assert status["phase"] in ("Pending", "Running")
        assert "completionTime" not in status
