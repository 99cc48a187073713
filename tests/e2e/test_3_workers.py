"""Worker Pods come and go: deleted, crashed, evicted. What they ran goes on elsewhere."""

from __future__ import annotations

import subprocess
import time

from e2e.commands import say, until
from e2e.database import losses
from e2e.kind import Cluster, Json
from e2e.release import DRAIN_SECONDS, NAMESPACE, Release
from e2e.work import Work

_LEASE_SECONDS = 6
_LEASE_LOST = 70
"""Exit code of a worker that finds its lease gone."""
_NODE_SECONDS = 1.5


def _two_workers(release: Release) -> list[str]:
    return until(
        "two workers are ready", lambda: found if len(found := release.ready("worker")) == 2 else None, within=90
    )


def test_deleted_worker_hands_its_work_back(release: Release, work: Work, cluster: Cluster) -> None:
    _two_workers(release)
    work.start("deleted", nodes=14, seconds=_NODE_SECONDS)
    pod = work.runs("deleted", finished=2)
    began = time.monotonic()
    cluster.kubectl("-n", NAMESPACE, "delete", "pod", pod, "--wait=false")
    other = work.elsewhere("deleted", pod, within=60)
    seconds = time.monotonic() - began
    say(f"MEASURED worker Pod deleted, work goes on in {other} after {seconds:.1f} s ({DRAIN_SECONDS} s of them drain)")
    status = work.completes("deleted", within=90)
    assert losses(cluster, "deleted") == 0, f"took {seconds:.1f} s: the lease had to run out"
    assert status["attempt"] == 1
    work.ran_once("deleted")


def test_crashed_worker_loses_its_work_with_its_lease(release: Release, work: Work, cluster: Cluster) -> None:
    _two_workers(release)
    work.start("crashed", nodes=14, seconds=_NODE_SECONDS)
    pod = work.runs("crashed", finished=2)
    before, restarts = work.status("crashed")["worker"], _restarts(cluster, pod)
    began = time.monotonic()
    cluster.kill(pod, NAMESPACE)
    until(
        "another worker process goes on with `crashed`",
        # In between it has none: it waits in its queue.
        lambda: work.status("crashed").get("worker", before) != before,
        within=60,
        every=0.2,
    )
    seconds = time.monotonic() - began
    say(f"MEASURED worker process killed with signal 9, work goes on after {seconds:.1f} s (lease {_LEASE_SECONDS} s)")
    work.completes("crashed", within=90)
    assert losses(cluster, "crashed") == 1
    work.ran_once("crashed")
    ended = until(
        "the kubelet has started the worker again", lambda: _ended(cluster, pod, restarts=restarts), within=90
    )
    assert ended["exitCode"] == 137


def _restarts(cluster: Cluster, pod: str) -> int:
    (status,) = cluster.get("pod", pod, NAMESPACE)["status"]["containerStatuses"]
    return int(status["restartCount"])


def _ended(cluster: Cluster, pod: str, *, restarts: int) -> Json | None:
    """How the Pod's container ended, once it has been started again more often than so."""
    (status,) = cluster.get("pod", pod, NAMESPACE)["status"]["containerStatuses"]
    found: Json | None = status["lastState"].get("terminated")
    return found if status["restartCount"] > restarts else None


def test_frozen_worker_that_wakes_up_changes_nothing_more(release: Release, work: Work, cluster: Cluster) -> None:
    _two_workers(release)
    work.start("frozen", nodes=14, seconds=_NODE_SECONDS)
    pod = work.runs("frozen", finished=2)
    restarts = _restarts(cluster, pod)
    cluster.freeze(pod, NAMESPACE)
    try:
        work.elsewhere("frozen", pod, within=60)
    finally:
        cluster.thaw(pod, NAMESPACE)
    ended = until("the worker that woke up ends by itself", lambda: _ended(cluster, pod, restarts=restarts), within=60)
    assert ended["exitCode"] == _LEASE_LOST
    assert work.completes("frozen", within=90)["attempt"] == 1
    work.ran_once("frozen")


def test_drained_node_hands_its_work_to_other_workers(release: Release, work: Work, cluster: Cluster) -> None:
    """kubectl drain evicts workers one after the other, as the PodDisruptionBudget wants it, and operators too."""
    workers = _two_workers(release)
    for name in ("drained-a", "drained-b", "drained-c", "drained-d"):
        work.start(name, nodes=20, seconds=_NODE_SECONDS)
    pods = {name: work.runs(name) for name in ("drained-a", "drained-b", "drained-c", "drained-d")}
    nodes = {each: cluster.get("pod", each, NAMESPACE)["spec"]["nodeName"] for each in workers}
    node = nodes[workers[0]]
    draining = _drain(cluster, node)
    try:
        until("a worker of the node is evicted", lambda: set(workers) - set(release.ready("worker")), within=60)
        assert release.ready("worker"), "all workers were evicted at once"
        if len(cluster.list("nodes", NAMESPACE)) > 1:
            assert draining.wait(timeout=240) == 0
    finally:
        # With one node alone, what was evicted finds a place only now, and then the rest may be evicted too.
        cluster.kubectl("uncordon", node)
    printed, _ = draining.communicate(timeout=240)
    assert draining.returncode == 0, printed
    evicted = {name for name in workers if f"pod/{name} evicted" in printed}
    assert evicted == {each for each in workers if nodes[each] == node}, printed
    for name, pod in pods.items():
        work.completes(name, within=120)
        # Evicted once, and perhaps a second time from the other worker of the node.
        work.ran_once(name, interrupted=2)
        if pod in evicted:
            assert work.pod_of(name) != pod
    _two_workers(release)
    until("two operators are ready", lambda: len(release.ready("operator")) == 2, within=90)


def _drain(cluster: Cluster, node: str) -> subprocess.Popen[str]:
    say(f"kubectl drain {node}")
    command = ("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=240s")
    ours = "--pod-selector=app.kubernetes.io/name=chaingraph"
    return subprocess.Popen(
        ["kubectl", f"--kubeconfig={cluster.kubeconfig}", *command, ours],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
