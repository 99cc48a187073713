"""Where people find the gateway of a cluster: ConfigMap `chaingraph` in `kube-public`, which every user may read.

Written by `chaingraph up` and by the chart, read by the commands that follow events. Imports nothing heavy:
those commands answer in a fraction of a second.
"""

from __future__ import annotations

from typing import Any, Final

NAMESPACE: Final = "kube-public"
NAME: Final = "chaingraph"
GATEWAY: Final = "gateway"
"""Key of the gateway's address, such as https://127.0.0.1:8443, without a slash at its end."""
CA: Final = "ca.crt"
"""Key of the certificates (PEM) to verify it by; absent where the system's own are right."""
VERSION: Final = "version"
"""Key of the version of the operator that the cluster runs."""
_RBAC: Final = "rbac.authorization.k8s.io"


def manifests(gateway: str, ca: str, version: str) -> tuple[dict[str, Any], ...]:
    """The ConfigMap, and what lets every authenticated user read it.

    Args:
        gateway: its address.
        ca: the certificates it is verified by, in PEM.
        version: of the operator.
    """
    metadata = {"name": NAME, "namespace": NAMESPACE, "labels": {"app.kubernetes.io/name": "chaingraph"}}
    data = {GATEWAY: gateway, CA: ca, VERSION: version}
    return (
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data},
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "Role",
            "metadata": metadata,
            "rules": [{"apiGroups": [""], "resources": ["configmaps"], "resourceNames": [NAME], "verbs": ["get"]}],
        },
        {
            "apiVersion": f"{_RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": NAME},
            "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": "system:authenticated"}],
        },
    )
