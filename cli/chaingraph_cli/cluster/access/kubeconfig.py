"""The kubeconfig of the local cluster: one cluster, one user with a token, its server's certificate verified."""

from __future__ import annotations

import base64
import os
from pathlib import Path

from chaingraph_crds.yaml.writing import written

CONTEXT = "chaingraph"


def write(path: Path, *, server: str, ca: Path, token: str, user: str) -> None:
    """Write a kubeconfig readable by its owner only; replaces the file in one move.

    Args:
        path: where to.
        server: `https://host:port`.
        ca: PEM file that signed the server's certificate; embedded, so the kubeconfig can be copied elsewhere.
        token: bearer token of the user.
        user: name of the user's entry.
    """
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": CONTEXT,
                "cluster": {
                    "server": server,
                    "certificate-authority-data": base64.b64encode(ca.read_bytes()).decode("ascii"),
                },
            }
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": user, "namespace": "default"}}],
        "current-context": CONTEXT,
    }
    write_private(path, written(content))


def write_private(path: Path, text: str) -> None:
    """Replace a file by one that only its owner may read, in one move: readers see the old or the new text."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
