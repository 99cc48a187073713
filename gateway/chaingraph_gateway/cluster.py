"""The gateway's requests to the API server: reviews of tokens and rights, namespaces, the client CA.

Its service account needs, in a ClusterRole:

    authentication.k8s.io   tokenreviews            create
    authorization.k8s.io    subjectaccessreviews    create
    "" (core)               namespaces              get

(the ClusterRole `system:auth-delegator` has the first two), and the Role `extension-apiserver-authentication-reader` in
the namespace kube-system.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import aiohttp
import structlog

from chaingraph_gateway.cache import Cache
from chaingraph_gateway.errors import ServiceUnavailable
from chaingraph_gateway.metrics import Metrics
from chaingraph_runtime.cluster_access import ClusterAccess
from chaingraph_runtime.cluster_api import ClusterApi
from chaingraph_runtime.cluster_errors import ApiError, NoCluster, Unavailable
from chaingraph_runtime.cluster_errors import NotFound as ApiNotFound
from chaingraph_store.reads.visibility import NamespaceIdentity

_log = structlog.get_logger(__name__)
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10, sock_connect=3)
_CONNECTIONS: Final = 16
_NAMESPACES: Final = 10_000
_NAMESPACE_SECONDS: Final = 2.0
"""How long a namespace's identity is cached: a deleted one cannot be created again and filled faster."""
_CLIENT_CA: Final = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication"


class Cluster:
    """The API server, as the gateway needs it."""

    def __init__(self, access: ClusterAccess, metrics: Metrics) -> None:
        self._server = access.server
        self._metrics = metrics
        self._api = ClusterApi(access, connections=_CONNECTIONS, user_agent="chaingraph-gateway", timeout=_TIMEOUT)
        self._namespaces: Cache[str, NamespaceIdentity | None] = Cache(_NAMESPACES, lambda _: _NAMESPACE_SECONDS)

    async def close(self) -> None:
        await self._api.close()

    async def review(self, group: str, resource: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Send a review of this spec, and return its status.

        Raises:
            ServiceUnavailable: the API server does not answer, or does not allow the review.
        """
        try:
            answer = await self._ask(group, resource, spec)
        except (ApiError, NoCluster, OSError) as error:
            self._metrics.reviews.labels(resource, "error").inc()
            # The API server, or a proxy, may quote the request.
            text = without(str(spec.get("token") or ""), str(error))
            _log.warning("review failed", resource=resource, error=text)
            raise ServiceUnavailable(f"{self._why(error, text, group, resource)}; try again later") from None
        self._metrics.reviews.labels(resource, "answered").inc()
        return dict(answer.get("status") or {})

    async def _ask(self, group: str, resource: str, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Send the request, and again after a renewal of the credentials or a stale idle connection."""
        try:
            return await self._api.request("POST", f"/apis/{group}/v1/{resource}", body={"spec": spec})
        except Unavailable as error:
            if error.status not in (0, 401):
                raise
        return await self._api.request("POST", f"/apis/{group}/v1/{resource}", body={"spec": spec})

    def _why(self, error: Exception, text: str, group: str, resource: str) -> str:
        if isinstance(error, ApiError) and error.status == 403:
            return (
                f"the gateway's service account may not create {resource}.{group}: bind the ClusterRole "
                "system:auth-delegator to it"
            )
        return f"the API server {self._server} does not answer, so rights cannot be checked: {text}"

    async def namespace(self, name: str) -> NamespaceIdentity | None:
        """Return the namespace of this name; None when there is none, or it is being deleted.

        Raises:
            ServiceUnavailable: the API server does not answer, or does not let the gateway read it.
        """
        return await self._namespaces.get(name, lambda: self._read_namespace(name))

    async def _read_namespace(self, name: str) -> NamespaceIdentity | None:
        try:
            found = await self._api.request("GET", f"/api/v1/namespaces/{name}")
        except ApiNotFound:
            return None
        except (ApiError, NoCluster, OSError) as error:
            _log.warning("cannot read a namespace", namespace=name, error=str(error))
            if isinstance(error, ApiError) and error.status == 403:
                raise ServiceUnavailable(
                    "the gateway's service account may not get namespaces: give it a ClusterRole with that right. "
                    "Without it, the owner of an execution is unknown"
                ) from error
            raise ServiceUnavailable(
                f"the API server {self._server} does not answer: {error}; try again later"
            ) from error
        metadata = found["metadata"]
        if metadata.get("deletionTimestamp"):
            return None
        return NamespaceIdentity(metadata["uid"], datetime.fromisoformat(metadata["creationTimestamp"]))

    async def client_ca(self) -> str:
        """Return the CA certificates (PEM) of the cluster's client certificates; '' when it has none.

        Raises:
            ApiError: the API server does not answer, or does not let the gateway read them.
            NoCluster: there are no credentials.
        """
        found = await self._api.request("GET", _CLIENT_CA)
        return str((found.get("data") or {}).get("client-ca-file", ""))


def without(secret: str, text: str) -> str:
    """Remove a secret from a text."""
    return text.replace(secret, "***") if secret else text
