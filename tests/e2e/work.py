"""A team's namespace: its executions, the commands of the image in a Pod of its own, and a web server with data."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from e2e.commands import Done, say, until
from e2e.database import CONTAINER, POD
from e2e.kind import Cluster, Json

NAMESPACE: Final = "team-weather"
_TOOLS: Final = "tools"
_DATA: Final = "data"
_DATA_PORT: Final = 8000
_SERVER: Final = Path(__file__).with_name("data_server.py")
DATA_URL: Final = f"http://{_DATA}.{NAMESPACE}.svc:{_DATA_PORT}"


class Work:
    """What somebody of the team does and sees."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def kubectl(self, *arguments: str, **options: Any) -> Done:
        """kubectl in the team's namespace."""
        return self.cluster.kubectl("-n", NAMESPACE, *arguments, **options)

    def chaingraph(self, *arguments: str) -> str:
        """`kubectl chaingraph` of the image, in a Pod, with the rights of a service account that may edit."""
        return self.kubectl("exec", _TOOLS, "--", "kubectl", "chaingraph", *arguments).stdout

    def start(self, name: str, *, nodes: int, seconds: float, gate: bool = False) -> None:
        """An Execution whose nodes run one after the other, each so long; the last one, `gate`, until `open_gate`."""
        ids = [f"n{number:02d}" for number in range(nodes)]
        found: list[Json] = [
            {"id": each, "type": "Sleep", "inputs": {"milliseconds": int(seconds * 1000)}} for each in ids
        ]
        if gate:
            ids.append("gate")
            where = {"baseUri": f"{DATA_URL}/gates", "path": name, "timeout": 900}
            found.append({"id": "gate", "type": "HTTP", "timeoutSeconds": 900, "inputs": where})
        flow = {
            "nodes": found,
            "edges": [{"from": f"{before}.__success", "to": f"{after}.__execute"} for before, after in pairwise(ids)],
        }
        self.apply(name, flow=flow)

    def open_gate(self, name: str) -> None:
        """Lets an execution go on that waits at its gate, or comes there later."""
        self.kubectl("exec", _DATA, "--", "touch", f"/tmp/{name}")

    def apply(self, name: str, **spec: Any) -> None:
        """An Execution with this spec."""
        metadata = {"name": name, "namespace": NAMESPACE}
        self.cluster.apply(
            {"apiVersion": "chaingraph.dev/v1alpha1", "kind": "Execution", "metadata": metadata, "spec": spec}
        )

    def status(self, name: str) -> Json:
        found: Json = self.cluster.get("execution", name, NAMESPACE).get("status", {})
        return found

    def pod_of(self, name: str) -> str:
        """The Pod that runs it, or ran it last; empty when none has yet. A worker has its name, and a part more."""
        return str(self.status(name).get("worker") or "").rpartition("-")[0]

    def runs(self, name: str, *, finished: int = 1, within: float = 60) -> str:
        """Waits until so many of its nodes are finished and it runs; returns the Pod."""

        def pod() -> str:
            status = self.status(name)
            enough = status.get("phase") == "Running" and status.get("nodes", {}).get("completed", 0) >= finished
            return str(status.get("worker") or "").rpartition("-")[0] if enough else ""

        return until(f"{name} runs and has {finished} finished nodes", pod, within=within)

    def elsewhere(self, name: str, pod: str, *, within: float) -> str:
        """Waits until another Pod runs it, and returns that."""
        return until(
            f"another Pod than {pod} goes on with {name}",
            lambda: other if (other := self.pod_of(name)) not in ("", pod) else None,
            within=within,
            every=0.2,
        )

    def completes(self, name: str, *, within: float) -> Json:
        """Waits for its end, which has to be Completed; returns its status."""
        self.kubectl("wait", "--for=condition=Succeeded", f"execution/{name}", f"--timeout={within:.0f}s")
        return self.status(name)

    def events(self, name: str) -> list[Json]:
        """Its events so far, as the gateway gives them to the command in the image."""
        lines = self.chaingraph("events", name, "-o", "json").splitlines()
        return [json.loads(line) for line in lines if line.strip()]

    def ran_once(self, name: str, *, interrupted: int = 1) -> None:
        """Every node ended once, and not more than so many were begun twice: those that were running when they lost
        their worker. No event is missing and none is there twice.
        """
        events = self.events(name)
        assert [each["index"] for each in events] == list(range(-1, len(events) - 1))
        begun = Counter(_node(each) for each in events if each["type"] == "node:started")
        ended = Counter(_node(each) for each in events if each["type"] == "node:completed")
        assert set(ended.values()) == {1}, f"{name}: nodes ended more than once: {ended}"
        assert set(begun) == set(ended), f"{name}: begun {sorted(begun)}, ended {sorted(ended)}"
        again = sorted(node for node, count in begun.items() if count > 1)
        assert len(again) <= interrupted, f"{name}: begun more than once: {again}"

    def open(self, *, tools_image: str, server_image: str, data: Path) -> None:
        """Makes the namespace with its two Pods; the files of the folder `data` are then at DATA_URL."""
        say(f"namespace {NAMESPACE}: tools, data")
        self.cluster.restricted_namespace(NAMESPACE)
        # A ConfigMap has no folders: the volume puts each file back where it was.
        files = {
            str(each.relative_to(data)): each for each in sorted(data.rglob("*")) if each.suffix in (".csv", ".json")
        }
        files[_SERVER.name] = _SERVER
        keys = {path: path.replace("/", "__") for path in files}
        contents = [f"--from-file={keys[path]}={file}" for path, file in files.items()]
        self.kubectl("create", "configmap", _DATA, *contents)
        command = ["python3", f"/data/{_SERVER.name}", "/data", str(_DATA_PORT)]
        items = [{"key": key, "path": path} for path, key in keys.items()]
        volume = {"name": "files", "configMap": {"name": _DATA, "items": items}}
        self.cluster.apply(
            *_may_edit(),
            _pod(_TOOLS, tools_image, ["sleep", "infinity"], {"name": "files", "emptyDir": {}}),
            _pod(_DATA, server_image, command, volume),
            _service(),
        )
        self.kubectl("wait", "--for=condition=Ready", f"pod/{_TOOLS}", f"pod/{_DATA}", "--timeout=120s")


def _node(event: Json) -> str:
    return str(event["data"]["nodeId"])


def _metadata(name: str) -> Json:
    return {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}


def _service() -> Json:
    spec = {"selector": {"app": _DATA}, "ports": [{"port": _DATA_PORT}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(_DATA), "spec": spec}


def _may_edit() -> tuple[Json, Json]:
    """A service account with the cluster's role `edit`, to which the chart adds what concerns executions."""
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}
    return (
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _metadata(_TOOLS)},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": _metadata(_TOOLS),
            "roleRef": role,
            "subjects": [{"kind": "ServiceAccount", "name": _TOOLS, "namespace": NAMESPACE}],
        },
    )


def _pod(name: str, image: str, command: list[str], volume: Json) -> Json:
    container = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "securityContext": CONTAINER,
        "volumeMounts": [{"name": volume["name"], "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}],
    }
    spec: Json = {
        "securityContext": POD,
        "containers": [container],
        "volumes": [volume, {"name": "tmp", "emptyDir": {}}],
        "terminationGracePeriodSeconds": 0,
    }
    if name == _TOOLS:
        spec["serviceAccountName"] = _TOOLS
    return {"apiVersion": "v1", "kind": "Pod", "metadata": _metadata(name), "spec": spec}
