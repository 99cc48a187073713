"""Writes the kubeconfig of a local cluster: one cluster, one user with a token."""

from __future__ import annotations

import base64
from pathlib import Path

from chaingraph_cli.cluster import private
from chaingraph_crds.yaml.writing import written

CONTEXT = "chaingraph"


def write(path: Path, *, server: str, ca: Path, token: str, user: str) -> None:
    """Write a private kubeconfig; replaces the file atomically.

    Args:
        path: the kubeconfig.
        server: `https://host:port`.
        ca: PEM file with the CA of the server; it is embedded, so that the kubeconfig can be copied.
        token: bearer token of the user.
        user: name of the user's entry.
    """
    authority = base64.b64encode(ca.read_bytes()).decode("ascii")
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user, "namespace": "default"}}],
        "current-context": CONTEXT,
    }
    private.write(path, written(content))
