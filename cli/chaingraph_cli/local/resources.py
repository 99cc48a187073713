"""Flows and Executions of a namespace, for `demo`; blocks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from chaingraph_cli.kubectl import EXECUTIONS, Kubectl

_FIELD_MANAGER: Final = "chaingraph-demo"


class Resources:
    """The resources of a namespace. Every method raises CliError if the cluster is unreachable."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self._kubectl = kubectl
        self.namespace = namespace

    def apply(self, manifest: dict[str, Any]) -> None:
        """Apply a Flow or an Execution on the server side.

        Raises:
            CliError: the API server rejected it.
        """
        arguments = ("--server-side", "--force-conflicts", f"--field-manager={_FIELD_MANAGER}", "-f", "-")
        self._kubectl.run("apply", "-n", self.namespace, *arguments, input_=json.dumps(manifest)).ok()

    def executions(self) -> dict[str, dict[str, Any]]:
        """Return the Executions by name."""
        found = self._kubectl.run("get", EXECUTIONS, "-n", self.namespace, "-o", "json").json()
        return {str(each["metadata"]["name"]): each for each in found["items"]}


def new_namespace(kubeconfig: Path, base: str) -> Resources:
    """Create a namespace: `base`, or `base-2` and so on if it exists.

    Raises:
        CliError: the cluster is unreachable or does not allow it.
    """
    kubectl = Kubectl.on(kubeconfig)
    existing = kubectl.run("get", "namespaces", "-o", "jsonpath={.items[*].metadata.name}").ok().out.split()
    number = 1
    while (name := base if number == 1 else f"{base}-{number}") in existing:
        number += 1
    kubectl.run("create", "namespace", name).ok()
    return Resources(kubectl, name)
