"""Two operators, of which one works: the other takes over when that goes."""

from __future__ import annotations

import time

from e2e.commands import say, until
from e2e.kind import Cluster
from e2e.release import NAMESPACE, Release
from e2e.work import Work

_LEASE = "chaingraph-operator"
_TAKEN_OVER_SECONDS = 30


def _leader(cluster: Cluster) -> str:
    return str(cluster.get("lease", _LEASE, NAMESPACE)["spec"].get("holderIdentity") or "")


def test_deleted_leader_is_followed_by_the_other(release: Release, work: Work, cluster: Cluster) -> None:
    until("two operators are ready", lambda: len(release.ready("operator")) == 2, within=90)
    leader = _leader(cluster)
    pods = release.ready("operator")
    assert [each for each in pods if leader.startswith(each)], f"{leader} is none of {pods}"
    work.start("operator-gone", nodes=8, seconds=1)
    work.runs("operator-gone")
    began = time.monotonic()
    cluster.kubectl(
        "-n", NAMESPACE, "delete", "pod", next(each for each in pods if leader.startswith(each)), "--wait=false"
    )
    work.start("after-operator", nodes=1, seconds=0.1)
    other = until(
        "another operator leads", lambda: now if (now := _leader(cluster)) not in ("", leader) else None, within=60
    )
    taken = time.monotonic() - began
    work.completes("after-operator", within=60)
    seconds = time.monotonic() - began
    say(
        f"MEASURED operator deleted: {other} leads after {taken:.1f} s; "
        f"an execution applied meanwhile ended after {seconds:.1f} s"
    )
    assert taken < _TAKEN_OVER_SECONDS
    work.completes("operator-gone", within=60)
    work.ran_once("operator-gone", interrupted=0)
    until("two operators are ready", lambda: len(release.ready("operator")) == 2, within=90)
