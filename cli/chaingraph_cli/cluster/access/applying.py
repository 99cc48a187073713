"""Server-side apply of the API and of the gateway's address, for `up`. Blocks; called in threads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from chaingraph_cli.errors import Forbidden
from chaingraph_cli.kubectl import Kubectl

_FIELD_MANAGER: Final = "chaingraph-up"


def apply(kubeconfig: Path, manifests: Iterable[Mapping[str, Any]]) -> Kubectl:
    """Apply manifests; returns kubectl for the cluster.

    Raises:
        CliError: the cluster is unreachable or rejects one of them.
    """
    kubectl = Kubectl.on(kubeconfig)
    items = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
    arguments = ("--server-side", "--force-conflicts", f"--field-manager={_FIELD_MANAGER}", "--request-timeout=30s")
    try:
        kubectl.run("apply", *arguments, "-f", "-", input_=items).ok()
    except Forbidden as error:
        raise Forbidden(error.message, "A cluster administrator has to install ChainGraph once.") from error
    return kubectl
