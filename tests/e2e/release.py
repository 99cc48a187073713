"""The chart's release, and the Pods that it makes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from e2e.commands import ROOT, Done, run, say
from e2e.images import REPOSITORY
from e2e.kind import Cluster, Json

NAME: Final = "chaingraph"
NAMESPACE: Final = "chaingraph-system"
CHART: Final = ROOT / "charts" / "chaingraph"
DATABASE_SECRET: Final = "chaingraph-database"
DRAIN_SECONDS: Final = 3
"""Short, so that a worker that is told to end hands its work back while it runs."""
_WAIT: Final = "--timeout=300s"
_TEAM: Final = {"kubernetes.io/metadata.name": "team-weather"}


class Release:
    """helm for the one release of these tests."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster

    def helm(self, *arguments: str, **options: Any) -> Done:
        return run("helm", f"--kubeconfig={self.cluster.kubeconfig}", "-n", NAMESPACE, *arguments, **options)

    def install(self, *changes: str, tag: str) -> None:
        """helm install, with the values of the tests."""
        say(f"helm install, image {REPOSITORY}:{tag} {' '.join(changes)}")
        self.helm("install", NAME, str(CHART), *_values(tag, changes), "--wait", _WAIT)

    def upgrade(self, *changes: str, tag: str) -> None:
        """helm upgrade; `changes` are further --set arguments."""
        say(f"helm upgrade to {REPOSITORY}:{tag} {' '.join(changes)}")
        self.helm("upgrade", NAME, str(CHART), *_values(tag, changes), "--wait", _WAIT)

    def rollback(self) -> None:
        say("helm rollback")
        self.helm("rollback", NAME, "--wait", _WAIT)

    def uninstall(self) -> None:
        say("helm uninstall")
        self.helm("uninstall", NAME, "--wait", _WAIT)

    def test(self) -> str:
        """helm test, and what its Pods print."""
        say("helm test")
        return self.helm("test", NAME, "--logs", _WAIT).stdout

    def pods(self, component: str, more: str = "") -> Sequence[Json]:
        """The Pods of a component that are not about to end."""
        selector = f"app.kubernetes.io/instance={NAME},app.kubernetes.io/component={component}" + (more and f",{more}")
        found = self.cluster.list("pods", NAMESPACE, selector)
        return [each for each in found if "deletionTimestamp" not in each["metadata"]]

    def ready(self, component: str, more: str = "") -> list[str]:
        """The names of its Pods that are ready."""
        return [name_of(each) for each in self.pods(component, more) if is_ready(each)]

    def worker_deployments(self) -> dict[str, Json]:
        """The Deployments of the default pool by their worker version."""
        found = self.cluster.list("deployments", NAMESPACE, "chaingraph.dev/pool=default")
        return {each["metadata"]["labels"]["chaingraph.dev/worker-version"]: each for each in found}


def name_of(found: Json) -> str:
    return str(found["metadata"]["name"])


def is_ready(pod: Json) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _values(tag: str, changes: Sequence[str]) -> list[str]:
    values = {
        "image": {"repository": REPOSITORY, "tag": tag},
        "database": {"existingSecret": {"name": DATABASE_SECRET}},
        "workerDefaults": {
            "drainSeconds": DRAIN_SECONDS,
            "resources": {"requests": {"cpu": "50m"}},
            # The flows of the tests fetch from a Service of the same cluster.
            "egressAllow": ["10.0.0.0/8"],
            # Flows call the server of the tests.
            "extraEgress": [{"to": [{"namespaceSelector": {"matchLabels": _TEAM}}]}],
        },
    }
    given = [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]
    return [*given, *(f"--set={each}" for each in changes)]
