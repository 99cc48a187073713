"""A cluster of kind, and kubectl for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from e2e.commands import Done, run, say
from e2e.surroundings import CLUSTER, Surroundings

Json = dict[str, Any]
_RESTRICTED = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")}


class Cluster:
    """A running cluster."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig

    def kubectl(self, *arguments: str, **options: Any) -> Done:
        """kubectl as the cluster's administrator."""
        return run("kubectl", f"--kubeconfig={self.kubeconfig}", *arguments, **options)

    def get(self, kind: str, name: str, namespace: str) -> Json:
        """One object.

        Raises:
            CommandFailed: there is none.
        """
        found: Json = json.loads(self.kubectl("-n", namespace, "get", kind, name, "-o", "json").stdout)
        return found

    def list(self, kind: str, namespace: str, selector: str = "") -> Sequence[Json]:
        """The objects with these labels."""
        asked = ("-n", namespace, "get", kind, "-o", "json", *([f"--selector={selector}"] if selector else []))
        items: list[Json] = json.loads(self.kubectl(*asked).stdout)["items"]
        return items

    def apply(self, *manifests: Json) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "-f", "-", input=json.dumps(listed))

    def restricted_namespace(self, name: str) -> None:
        """A namespace in which no Pod starts that does not keep to the Pod Security Standard `restricted`."""
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": _RESTRICTED}})

    def kill(self, pod: str, namespace: str) -> None:
        """Signal 9 to a Pod's one container, from outside of it: nothing in it is asked."""
        self._task(pod, namespace, "kill", "--signal=9")

    def freeze(self, pod: str, namespace: str) -> None:
        """Its processes get no more time, until `thaw`."""
        self._task(pod, namespace, "pause")

    def thaw(self, pod: str, namespace: str) -> None:
        self._task(pod, namespace, "resume")

    def _task(self, pod: str, namespace: str, *command: str) -> None:
        found = self.get("pod", pod, namespace)
        (container,) = found["status"]["containerStatuses"]
        identity = container["containerID"].removeprefix("containerd://")
        node = found["spec"]["nodeName"]
        run("docker", "exec", node, "ctr", "--namespace=k8s.io", "tasks", *command, identity)


def create(surroundings: Surroundings, kubeconfig: Path) -> Cluster:
    """A new cluster; with E2E_KEEP an older one, if there is one."""
    if surroundings.keep and CLUSTER in run("kind", "get", "clusters").stdout.split():
        say(f"kind: uses the cluster {CLUSTER} that is there")
        run("kind", "export", "kubeconfig", "--name", CLUSTER, "--kubeconfig", str(kubeconfig))
        cluster = Cluster(kubeconfig)
        _empty(cluster)
        return cluster
    delete()
    options = [f"--image={surroundings.node_image}"] if surroundings.node_image else []
    options += [f"--config={surroundings.kind_config}"] if surroundings.kind_config else []
    say(f"kind: creates the cluster {CLUSTER} {' '.join(options)}")
    run("kind", "create", "cluster", "--name", CLUSTER, "--kubeconfig", str(kubeconfig), "--wait=180s", *options)
    return Cluster(kubeconfig)


def _empty(cluster: Cluster) -> None:
    """Takes away what an earlier run has left."""
    ours = "app.kubernetes.io/part-of=chaingraph"
    own = {"default", "kube-node-lease", "kube-public", "kube-system", "local-path-storage"}
    names = cluster.kubectl("get", "namespaces", "-o", "name").stdout.replace("namespace/", "").split()
    for name in set(names) - own:
        cluster.kubectl("delete", "namespace", name)
    for kinds in (
        "customresourcedefinitions,validatingadmissionpolicies,validatingadmissionpolicybindings",
        "clusterroles,clusterrolebindings",
    ):
        cluster.kubectl("delete", kinds, f"--selector={ours}")
    for name in ("kube-system", "kube-public"):
        cluster.kubectl("-n", name, "delete", "configmaps,roles,rolebindings", f"--selector={ours}")


def delete() -> None:
    run("kind", "delete", "cluster", "--name", CLUSTER)


def load(images: Sequence[str]) -> None:
    """Brings images from the engine into every node, all at once, so that layers they share go once."""
    say(f"kind: loads {', '.join(images)}")
    run("kind", "load", "docker-image", "--name", CLUSTER, *images)
