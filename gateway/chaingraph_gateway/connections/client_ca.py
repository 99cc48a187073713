"""Follow the client CA in the ConfigMap kube-system/extension-apiserver-authentication."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from chaingraph_gateway.cluster import Cluster
from chaingraph_gateway.connections.tls import ServingTls
from chaingraph_gateway.errors import CertificateUnusable
from chaingraph_runtime.cluster_errors import ApiError, ClusterError, NotFound

_log = structlog.get_logger(__name__)
_READ_SECONDS: Final = 60.0
_FIRST_RETRY_SECONDS: Final = 0.5
_LONGEST_RETRY_SECONDS: Final = 10.0
_ROLE: Final = "bind the Role kube-system/extension-apiserver-authentication-reader to the gateway"


class ClientCa:
    """The CA of client certificates. The last known one is kept while the API server is unavailable."""

    def __init__(self, cluster: Cluster, tls: ServingTls) -> None:
        self._cluster = cluster
        self._tls = tls
        self._known: str | None = None

    def error(self) -> str | None:
        """Return the current problem, or None: certificates cannot be judged before the first reading."""
        return None if self._known is not None else "the client CA of the cluster has not been read yet"

    async def follow(self) -> None:
        """Read it every minute until cancelled; more often while the API server does not answer."""
        delay = _FIRST_RETRY_SECONDS
        while True:
            try:
                found = await self._read()
            except (ClusterError, OSError) as error:
                _log.warning("cannot read the client CA of the cluster", error=str(error), retry_seconds=delay)
                await asyncio.sleep(delay)
                delay = min(_LONGEST_RETRY_SECONDS, delay * 2)
                continue
            delay = _FIRST_RETRY_SECONDS
            self._take(found)
            await asyncio.sleep(_READ_SECONDS)

    async def _read(self) -> str:
        """Return the certificates; '' when the cluster has none, or does not let us read them."""
        try:
            return await self._cluster.client_ca()
        except NotFound:
            return ""
        except ApiError as error:
            if error.status != 403:
                raise
            if self._known is None:
                _log.warning(f"client certificates are not accepted: {_ROLE}", error=str(error))
            return self._known or ""

    def _take(self, found: str) -> None:
        if found == self._known:
            return
        try:
            self._tls.trust(found)
        except CertificateUnusable as error:
            _log.error("invalid new client CA of the cluster", error=str(error))
        else:
            _log.info("client certificates are accepted" if found else "the cluster publishes no client CA")
        self._known = found
