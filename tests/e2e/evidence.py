"""What is kept of a cluster in which a test has failed."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from e2e.commands import CommandFailed, run, say
from e2e.kind import Cluster

_QUERIES: Final = {
    "pods.txt": ("get", "pods", "-A", "-o", "wide"),
    "describe.txt": ("describe", "pods", "-A"),
    "events.txt": ("get", "events", "-A", "--sort-by=.lastTimestamp"),
    "executions.yaml": ("get", "executions,flows", "-A", "-o", "yaml"),
    "workloads.yaml": ("get", "deployments,statefulsets,jobs,poddisruptionbudgets,leases", "-A", "-o", "yaml"),
    "nodes.txt": ("describe", "nodes"),
}


def collect(cluster: Cluster, folder: Path) -> None:
    """Writes logs, descriptions and events into a folder, whatever of it can be had."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, query in _QUERIES.items():
        _write(cluster, folder / name, *query)
    try:
        pods = cluster.kubectl(
            "get", "pods", "-A", "--no-headers", "-o", "custom-columns=:metadata.namespace,:metadata.name"
        )
        for line in pods.stdout.splitlines():
            namespace, name = line.split()
            if namespace != "kube-system":
                told = ("-n", namespace, "logs", name, "--all-containers", "--timestamps")
                _write(cluster, folder / f"{namespace}.{name}.log", *told)
                _write(cluster, folder / f"{namespace}.{name}.previous.log", *told, "--previous")
    except CommandFailed as error:
        (folder / "error.txt").write_text(str(error), encoding="utf-8")
    say(f"FAILED. Logs, descriptions and events of all Pods: {folder}")


def helm_history(cluster: Cluster, folder: Path, namespace: str) -> None:
    """The releases of a namespace."""
    done = run("helm", f"--kubeconfig={cluster.kubeconfig}", "-n", namespace, "list", "--all", check=False)
    (folder / "releases.txt").write_text(done.stdout + done.stderr, encoding="utf-8")


def _write(cluster: Cluster, path: Path, *arguments: str) -> None:
    try:
        done = cluster.kubectl(*arguments, check=False, timeout=60)
    except CommandFailed as error:
        path.write_text(str(error), encoding="utf-8")
        return
    if done.stdout or not path.name.endswith(".previous.log"):
        path.write_text(done.stdout + done.stderr, encoding="utf-8")
