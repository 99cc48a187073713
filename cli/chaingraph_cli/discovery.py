"""ConfigMap `kube-public/chaingraph`, by which clients find the gateway of a cluster.

`chaingraph up` and the chart write it; every user may read it.
"""

from __future__ import annotations

from typing import Any, Final

NAMESPACE: Final = "kube-public"
NAME: Final = "chaingraph"
GATEWAY: Final = "gateway"
"""Key of the gateway's address, such as https://127.0.0.1:8443."""
CA: Final = "ca.crt"
"""Key of its CA certificates (PEM); absent if the system's certificates verify it."""
VERSION: Final = "version"
"""Key of the version of the operator."""
_RBAC: Final = "rbac.authorization.k8s.io"


def manifests(gateway: str, ca: str, version: str) -> tuple[dict[str, Any], ...]:
    """Make the ConfigMap, and the Role and RoleBinding that let every authenticated user read it.

    Args:
        gateway: its address.
        ca: its CA certificates, in PEM.
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
