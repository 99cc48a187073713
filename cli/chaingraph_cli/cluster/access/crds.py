"""Installs the CustomResourceDefinitions and their admission policy."""

from __future__ import annotations

from pathlib import Path

from chaingraph_cli.cluster.access import applying
from chaingraph_crds.definitions.manifests import crd_manifests
from chaingraph_crds.definitions.policies import policy_manifests


def apply(kubeconfig: Path) -> None:
    """Apply everything and wait until the API server serves the resources; blocks.

    Raises:
        CliError: the cluster is unreachable, rejects a manifest, or does not serve the resources in time.
    """
    definitions = crd_manifests()
    kubectl = applying.apply(kubeconfig, (*definitions, *policy_manifests()))
    names = [f"crd/{each['metadata']['name']}" for each in definitions]
    kubectl.run("wait", "--for=condition=Established", "--timeout=30s", *names).ok()
