"""Two operators, of which one works: the other takes over when that goes."""

from __future__ import annotations

import time

from e2e.commands import say, until
from e2e.kind import Cluster
from e2e.release import NAMESPACE, Release
from e2e.work import Work

_LEASE = "chaingraph-operator"
_LEASE_SECONDS = 15


def _leader(cluster: Cluster) -> str:
    return str(cluster.get("lease", _LEASE, NAMESPACE)["spec"].get("holderIdentity") or "")


def _leading_pod(release: Release, cluster: Cluster) -> str:
    """Waits until there are two, and says which of them leads."""
    until("two operators are ready", lambda: len(release.ready("operator")) == 2, within=90)
    leader, pods = _leader(cluster), release.ready("operator")
    (pod,) = [each for each in pods if leader.startswith(each)] or [""]
    assert pod, f"the Lease is held by {leader!r}, which is none of {pods}"
    return pod


def _followed(work: Work, cluster: Cluster, leader: str, *, name: str, within: float) -> None:
    """Waits until another leads; work that is applied meanwhile ends, and what ran did not notice."""
    began = time.monotonic()
    work.start(f"{name}-after", nodes=1, seconds=0.1)
    other = until(
        "another operator leads",
        lambda: now if (now := _leader(cluster)) not in ("", leader) else None,
        within=within,
        every=0.2,
    )
    taken = time.monotonic() - began
    work.completes(f"{name}-after", within=60)
    seconds = time.monotonic() - began
    say(f"MEASURED {name}: {other} leads after {taken:.1f} s, and applied work has ended after {seconds:.1f} s")
    work.completes(name, within=60)
    work.ran_once(name, interrupted=0)


def test_deleted_leader_is_followed_at_once(release: Release, work: Work, cluster: Cluster) -> None:
    """It gives its Lease up when it is told to end."""
    pod, leader = _leading_pod(release, cluster), _leader(cluster)
    work.start("leader-deleted", nodes=8, seconds=1)
    work.runs("leader-deleted")
    cluster.kubectl("-n", NAMESPACE, "delete", "pod", pod, "--wait=false")
    _followed(work, cluster, leader, name="leader-deleted", within=_LEASE_SECONDS)


def test_crashed_leader_is_followed_when_its_lease_has_run_out(release: Release, work: Work, cluster: Cluster) -> None:
    pod, leader = _leading_pod(release, cluster), _leader(cluster)
    work.start("leader-crashed", nodes=8, seconds=1)
    work.runs("leader-crashed")
    cluster.kill(pod, NAMESPACE)
    _followed(work, cluster, leader, name="leader-crashed", within=_LEASE_SECONDS + 15)
    until("two operators are ready", lambda: len(release.ready("operator")) == 2, within=90)
