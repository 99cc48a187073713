"""Installs the API (the CustomResourceDefinitions and their admission policy) by server-side apply.

Called by `up`, in a thread.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from chaingraph_cli.cluster.access import applying
from chaingraph_cli.errors import ClusterUnreachable
from chaingraph_crds.manifests import crd_manifests
from chaingraph_crds.policies import policy_manifests

_ESTABLISHED_SECONDS = 30.0
_POLL_SECONDS = 0.05


def apply(kubeconfig: Path) -> None:
    """Apply everything and wait until the API server serves the resources; blocks.

    Raises:
        ClusterUnreachable: the server cannot be reached, refuses us, or does not establish them in time.
    """
    with applying.connected(kubeconfig) as connection:
        from kubernetes import client

        manifests = crd_manifests()
        applying.apply(connection, (*manifests, *policy_manifests()))
        _await_established(client.ApiextensionsV1Api(connection), [each["metadata"]["name"] for each in manifests])


def _await_established(api: Any, names: list[str]) -> None:
    deadline = time.monotonic() + _ESTABLISHED_SECONDS
    for name in names:
        while not _established(api.read_custom_resource_definition(name, _request_timeout=applying.REQUEST_SECONDS)):
            if time.monotonic() > deadline:
                raise ClusterUnreachable(f"The cluster does not serve {name} after {_ESTABLISHED_SECONDS:g} s.")
            time.sleep(_POLL_SECONDS)


def _established(definition: Any) -> bool:
    conditions = (definition.status.conditions if definition.status else None) or ()
    return any(each.type == "Established" and each.status == "True" for each in conditions)
